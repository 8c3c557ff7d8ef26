//! What hears everything that happens at a replica, and passes it on: to counters, to the view of how far others are,
//! and to the file of events.

use crate::events::EventLog;
use crate::metrics::Metrics;
use cretoai_core::config::Chain;
use cretoai_core::message::Message;
use cretoai_core::record::Record;
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_runtime::driver::{Event, Observer};
use cretoai_runtime::env::Env;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Within this span a replica that was heard of is in touch. Each says where it is several times a second.
const IN_TOUCH: Duration = Duration::from_secs(5);

/// How far others say they are.
#[derive(Debug)]
pub struct Heads {
    weak_quorum: usize,
    peers: Vec<Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    executed: AtomicU64,
    /// When a verified message came from it, in nanoseconds since genesis; 0 if none did.
    heard: AtomicU64,
}

/// Where a replica stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// A slot that some honest replica has executed, as far as is known.
    pub head: Slot,
    /// Other replicas that were heard of a moment ago.
    pub heard_from: usize,
}

impl Heads {
    /// Nothing is known of anybody.
    #[must_use]
    pub fn new(chain: &Chain) -> Self {
        let peers = chain.committee.members().map(|_| Peer::default()).collect();
        Self { weak_quorum: usize::from(chain.committee.weak_quorum()), peers }
    }

    fn heard(&self, from: ReplicaId, message: &Message, now: Instant) {
        if let Some(peer) = self.peers.get(from.index()) {
            peer.heard.store(now.0.max(1), Ordering::Relaxed);
        }
        let Message::Status(status) = message else { return };
        if let Some(peer) = self.peers.get(status.signer.index()) {
            peer.executed.fetch_max(status.body.executed.0, Ordering::Relaxed);
        }
    }

    /// Where a replica that executed this much stands. Of `f + 1` that claim to have executed a slot one is honest, so
    /// nobody can make up a head alone.
    #[must_use]
    pub fn lag(&self, own: Slot, now: Instant) -> Lag {
        let mut executed: Vec<u64> = self.peers.iter().map(|peer| peer.executed.load(Ordering::Relaxed)).collect();
        executed.sort_unstable();
        let vouched = executed.iter().rev().nth(self.weak_quorum - 1).copied().unwrap_or_default();
        let is_in_touch = |peer: &&Peer| {
            let heard = peer.heard.load(Ordering::Relaxed);
            0 < heard && now.since(Instant(heard)) < IN_TOUCH
        };
        Lag { head: own.max(Slot(vouched)), heard_from: self.peers.iter().filter(is_in_touch).count() }
    }
}

/// Passes on what happens.
pub struct NodeObserver<E> {
    id: ReplicaId,
    env: E,
    metrics: Arc<Metrics>,
    heads: Arc<Heads>,
    events: Option<EventLog>,
}

impl<E> fmt::Debug for NodeObserver<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeObserver").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<E: Env> NodeObserver<E> {
    /// An observer of a replica.
    #[must_use]
    pub fn new(id: ReplicaId, env: E, metrics: Arc<Metrics>, heads: Arc<Heads>, events: Option<EventLog>) -> Self {
        Self { id, env, metrics, heads, events }
    }
}

impl<E: Env> Observer for NodeObserver<E> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Received(from, message) = event {
            self.heads.heard(*from, message, self.env.now());
        }
        if let Event::Accused(evidence) = event {
            let (kind, accused) = (evidence.kind(), evidence.accused());
            tracing::warn!(?kind, %accused, "a replica contradicted itself; the evidence is kept");
        }
        if let Event::Recorded(_, Record::Halted(halt)) = event {
            tracing::error!(
                ?halt,
                "stopped for good; once the process has ended, `cretoai-node proof` writes what it can prove"
            );
        }
        self.metrics.observe(self.id, event, || self.env.now());
        if let Some(events) = &self.events {
            events.write(self.env.now(), event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::config::{Genesis, Scheme};

    fn heads(executed: [u64; 4]) -> Heads {
        let genesis = Genesis::new("heads", Scheme::Simulated, vec![vec![0]; 4]);
        let heads = Heads::new(&Chain::new(genesis, false).expect("four replicas"));
        for (peer, executed) in heads.peers.iter().zip(executed) {
            peer.executed.store(executed, Ordering::Relaxed);
            peer.heard.store(executed, Ordering::Relaxed);
        }
        heads
    }

    #[test]
    fn one_liar_makes_up_no_head_and_two_honest_replicas_show_it() {
        let now = Instant(100);
        assert_eq!(heads([0, u64::MAX, 7, 5]).lag(Slot(3), now).head, Slot(7));
        assert_eq!(heads([0, u64::MAX, 0, 0]).lag(Slot(3), now).head, Slot(3));
    }

    #[test]
    fn whoever_was_never_heard_of_or_long_ago_is_not_in_touch() {
        assert_eq!(heads([0, 1, 2, 3]).lag(Slot(0), Instant(9)).heard_from, 3);
        assert_eq!(heads([0, 1, 2, 3]).lag(Slot(0), Instant(60_000_000_000)).heard_from, 0);
    }
}
