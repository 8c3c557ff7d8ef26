//! What is counted during a run, for the report and the expectations.

use crate::meta::Meta;
use crate::plan::{Expectation, KINDS};
use cretoai_core::evidence::EvidenceKind;
use cretoai_core::input::Ignored;
use cretoai_core::types::ReplicaId;

/// Reasons to ignore an input.
const REASONS: [Ignored; 14] = [
    Ignored::Duplicate,
    Ignored::OutOfWindow,
    Ignored::WrongView,
    Ignored::NotPrimary,
    Ignored::ViewChanging,
    Ignored::Conflict,
    Ignored::Settled,
    Ignored::Untimely,
    Ignored::Waiting,
    Ignored::Full,
    Ignored::Moot,
    Ignored::Unproven,
    Ignored::Stopped,
    Ignored::Unasked,
];

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Tallies {
    /// Messages handed to replicas.
    pub deliveries: u64,
    /// Copies sent, by kind.
    pub sent: [u64; KINDS],
    /// Messages that did not pass verification.
    pub forged: u64,
    /// Messages that their receivers dropped because too much of their senders waited.
    pub throttled: u64,
    ignored: [u64; REASONS.len()],
    /// Crashes.
    pub crashes: u64,
    /// State transfers completed.
    pub transfers: u64,
    /// Who completed one.
    pub transferred: u128,
    /// View changes begun by honest replicas.
    pub view_changes: u64,
    /// The highest view that an honest replica installed.
    pub highest_view: u64,
    /// Proposals that were slow to come to honest replicas.
    pub slow_proposals: u64,
    /// Evidence stored by honest replicas: by whom, against whom, of which kind.
    pub evidence: Vec<(ReplicaId, ReplicaId, EvidenceKind)>,
    /// Who was ever banned, as honest replicas executed it.
    pub banned: u128,
    /// Who ended for good.
    pub ended: u128,
    /// The last slot that somebody executed when the safety phase ended.
    pub slots_safety: u64,
    watches: Vec<Watch>,
    /// Whether messages are counted by slot.
    pub by_slot: bool,
}

/// A count that an expectation asks for.
#[derive(Debug)]
struct Watch {
    /// Which expectation, by its place in the plan.
    expectation: usize,
    kind: usize,
    from: u128,
    views: Option<[u64; 2]>,
    slots: Option<[u64; 2]>,
    from_ns: u64,
    own: bool,
    count: u64,
}

impl Tallies {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(expectations: &[Expectation]) -> Self {
        let watch = |(index, expectation): (usize, &Expectation)| match expectation {
            Expectation::Sent { replicas, kind, views, slots, from_us, own, .. } => Some(Watch {
                expectation: index,
                kind: *kind as usize,
                from: crate::rules::set_or_all(replicas),
                views: *views,
                slots: *slots,
                from_ns: from_us * 1000,
                own: *own,
                count: 0,
            }),
            _ => None,
        };
        Self {
            watches: expectations.iter().enumerate().filter_map(watch).collect(),
            by_slot: expectations.iter().any(|e| matches!(e, Expectation::MessagesPerSlot { .. })),
            ..Self::default()
        }
    }

    /// A replica sends copies of a message; `signer` is whose statement it is, if it is somebody's.
    #[inline]
    pub fn send(&mut self, id: ReplicaId, signer: Option<ReplicaId>, meta: &Meta, copies: u64, now: u64) {
        self.sent[meta.kind as usize] += copies;
        for watch in &mut self.watches {
            let view = meta.view.map(|view| (view, view));
            let counts = watch.kind == meta.kind as usize
                && watch.from >> id.0 & 1 == 1
                && (!watch.own || signer == Some(id))
                && watch.from_ns <= now
                && overlap(watch.views, view)
                && overlap(watch.slots, meta.slots);
            watch.count += if counts { copies } else { 0 };
        }
    }

    /// How many copies an expectation's watch has seen.
    #[must_use]
    pub fn watched(&self, expectation: usize) -> u64 {
        self.watches.iter().find(|watch| watch.expectation == expectation).map_or(0, |watch| watch.count)
    }

    /// A replica ignored an input, or did not.
    #[inline]
    pub fn took(&mut self, result: Result<(), Ignored>) {
        if let Err(reason) = result {
            self.ignored[reason as usize] += 1;
        }
    }

    /// How often each reason was given.
    pub fn ignored(&self) -> impl Iterator<Item = (Ignored, u64)> + '_ {
        REASONS.into_iter().map(|reason| (reason, self.ignored[reason as usize])).filter(|(_, count)| *count > 0)
    }
}

fn overlap(range: Option<[u64; 2]>, span: Option<(u64, u64)>) -> bool {
    let Some([low, high]) = range else { return true };
    span.is_some_and(|(first, last)| first <= high && low <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        for (index, reason) in REASONS.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
    }
}
