//! O7: memory is bounded, whatever others send (`docs/protocol.md` O7).

use super::Finding;
use cretoai_core::config::Chain;
use cretoai_core::evidence::MAX_PIECES;
use cretoai_core::replica::Footprint;
use cretoai_core::types::{ReplicaId, Slot};
use std::sync::Arc;

/// The bounds, and the most that was seen.
#[derive(Debug)]
pub(super) struct Memory {
    limit: Footprint,
    peak: u64,
    /// Slots between checkpoints.
    interval: u64,
}

impl Memory {
    pub(super) fn new(chain: &Arc<Chain>) -> Self {
        let n = usize::from(chain.committee.n());
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (interval, window) = (size(chain.checkpoint_interval()), size(chain.window()));
        let ring = window + 2 * interval;
        let open = size(chain.genesis.limits.open_vertices);
        let limit = Footprint {
            // Two phases in two views, while the view changes.
            votes: ring * n * 4,
            // Voted for, prepared, decided, and proposed by a NEW-VIEW: each may be another.
            batches: ring * 4,
            checkpoints: n * (window / interval + 2),
            view_changes: 2 * n,
            unlisted_vertices: 2 * open * n,
            fetches: 4 * (ring * 4 + 2 * open * n * 4 + 64),
            queued_requests: usize::MAX,
            executing: ring,
            seen_requests: size(chain.genesis.limits.seen_requests),
            evidence: n * MAX_PIECES,
        };
        Self { limit, peak: 0, interval: chain.checkpoint_interval() }
    }

    /// How much a replica holds.
    pub(super) fn weigh(&mut self, id: ReplicaId, holds: &Footprint) -> Finding {
        let limit = &self.limit;
        let pairs = [
            ("votes", holds.votes, limit.votes),
            ("batches", holds.batches, limit.batches),
            ("checkpoints", holds.checkpoints, limit.checkpoints),
            ("view changes", holds.view_changes, limit.view_changes),
            ("unlisted vertices", holds.unlisted_vertices, limit.unlisted_vertices),
            ("things to fetch", holds.fetches, limit.fetches),
            ("slots in execution", holds.executing, limit.executing),
            ("remembered requests", holds.seen_requests, limit.seen_requests),
            ("pieces of evidence", holds.evidence, limit.evidence),
        ];
        let total = holds.votes + holds.batches + holds.checkpoints + holds.view_changes + holds.unlisted_vertices;
        self.peak = self.peak.max(total as u64);
        let over = pairs.into_iter().find(|(_, count, limit)| limit < count);
        over.map_or(Ok(()), |(what, count, limit)| Err(format!("{id} holds {count} {what}; {limit} are allowed")))
    }

    /// A checkpoint became stable. `oldest` is the lowest slot that lists a vertex which is held and has its last
    /// verdict: what stands in no slot that is still needed is gone (C7).
    pub(super) fn collected(&self, id: ReplicaId, stable: Slot, oldest: Option<Slot>) -> Finding {
        let done = stable.minus(self.interval);
        match oldest {
            Some(slot) if slot <= done => Err(format!("{id} holds vertices of {slot}; up to {done} nobody needs any")),
            _ => Ok(()),
        }
    }

    /// The most of everything together that one replica held.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn vertices_are_held_until_the_second_checkpoint_after_their_slot() {
        let plan = Plan { checkpoint_interval: 4, window: 8, ..Plan::default() };
        let chain = Chain::new(plan.genesis(vec![vec![0]; usize::from(plan.n)]), false).expect("four replicas");
        let memory = Memory::new(&Arc::new(chain));
        let holds = |stable, oldest: Option<u64>| memory.collected(ReplicaId(0), Slot(stable), oldest.map(Slot));
        assert_eq!([holds(8, Some(5)), holds(8, None), holds(4, Some(1))], [Ok(()), Ok(()), Ok(())]);
        assert!(holds(8, Some(4)).is_err());
    }
}
