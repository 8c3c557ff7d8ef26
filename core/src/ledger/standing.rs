//! What the finalized order says about the replicas themselves: each one's standing, and who is banned
//! (`docs/protocol.md` X13, X14).
//!
//! A function of the order and of nothing else, so it is the same everywhere. It touches no quorum: a banned replica
//! is counted, heard and answered as before.

use super::BrokenSnapshot;
use crate::committee::{Committee, ReplicaSet, singleton};
use crate::evidence::{Evidence, EvidenceKey, EvidenceKind};
use crate::mutant::Mutant;
use crate::types::{ReplicaId, Slot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The standing that everybody begins with, in thousandths.
pub const FULL_STANDING: u16 = 1000;

/// Who has less is banned.
const BAN_BELOW: u16 = 300;

/// Pieces that can count against one replica, at the most: after so many of the lightest kind nothing is left.
const MAX_COUNTED: usize = 5;

/// The standing of all replicas.
#[derive(Clone, Debug)]
pub struct Standings {
    committee: Committee,
    interval: u64,
    /// Of those against whom something was proven; all others have the full standing.
    records: BTreeMap<ReplicaId, Standing>,
    /// Those who are banned in the next slot.
    banned: ReplicaSet,
}

/// What was proven against one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// In thousandths.
    score: u16,
    /// The last slot in which it is not banned.
    last_free: Option<Slot>,
    /// What counted, in the order in which it was finalized. Nothing counts twice.
    counted: Vec<EvidenceKey>,
}

/// What a piece of evidence costs, in thousandths. What no mistake of a program and no lost file explains costs
/// everything.
fn cost(kind: EvidenceKind) -> u16 {
    match kind {
        EvidenceKind::E1
        | EvidenceKind::E2
        | EvidenceKind::E3
        | EvidenceKind::E4
        | EvidenceKind::E5
        | EvidenceKind::E7
        | EvidenceKind::E12 => FULL_STANDING,
        EvidenceKind::E8 | EvidenceKind::E9 => 400,
        EvidenceKind::E11 => 200,
    }
}

impl Standings {
    pub(super) fn new(committee: Committee, interval: u64) -> Self {
        Self { committee, interval, records: BTreeMap::new(), banned: 0 }
    }

    /// A replica's standing, in thousandths.
    #[must_use]
    pub fn of(&self, id: ReplicaId) -> u16 {
        self.records.get(&id).map_or(FULL_STANDING, |record| record.score)
    }

    /// Those who are banned in the next slot.
    #[must_use]
    pub fn banned(&self) -> ReplicaSet {
        self.banned
    }

    /// Whether a replica is banned in the next slot.
    #[must_use]
    pub fn is_banned(&self, id: ReplicaId) -> bool {
        self.banned & singleton(id) != 0
    }

    /// The replicas that are proven faulty, by whatever evidence, ascending.
    #[must_use]
    pub fn faulty(&self) -> impl ExactSizeIterator<Item = ReplicaId> {
        self.records.keys().copied()
    }

    /// Whether more are proven faulty than the protocol bears: then nothing that it promises holds any more.
    #[must_use]
    pub fn are_too_many(&self) -> bool {
        usize::from(self.committee.f()) < self.records.len()
    }

    /// Whether a piece of evidence would change anything if it were finalized now.
    #[must_use]
    pub fn would_count(&self, evidence: &Evidence) -> bool {
        let record = self.records.get(&evidence.accused());
        let counted = |record: &Standing| record.counted.contains(&evidence.key()) && !Mutant::CountsTwice.is_on();
        record.is_none_or(|record| 0 < record.score && !counted(record))
    }

    /// Takes a piece of evidence that a slot finalizes, whose predicate and signatures were checked. Whether it
    /// changed anything: the same fault counts once, and of nothing there is nothing to take.
    pub(super) fn apply(&mut self, evidence: &Evidence, slot: Slot) -> bool {
        if !self.would_count(evidence) {
            return false;
        }
        let fresh = Standing { score: FULL_STANDING, last_free: None, counted: Vec::new() };
        let record = self.records.entry(evidence.accused()).or_insert(fresh);
        record.score = record.score.saturating_sub(cost(evidence.kind()));
        record.counted.push(evidence.key());
        let is_due = record.score < BAN_BELOW && record.last_free.is_none();
        // One too many is not banned: nothing is executed any more that it could be kept from.
        if is_due && !self.are_too_many() {
            let checkpoint = Slot(slot.0.div_ceil(self.interval).saturating_mul(self.interval));
            self.records.entry(evidence.accused()).and_modify(|record| record.last_free = Some(checkpoint));
        }
        true
    }

    /// A slot is finalized: bans come into force behind a checkpoint, wherever that lies by now for a replica.
    pub(super) fn advance(&mut self, slot: Slot) {
        if self.records.is_empty() {
            return; // as in every run without faults
        }
        let is_over = |record: &Standing| {
            record.last_free.is_some_and(|last_free| last_free <= slot || Mutant::BannedAtOnce.is_on())
        };
        let banned = self.records.iter().filter(|(_, record)| is_over(record));
        self.banned = banned.fold(0, |set, (id, _)| set | singleton(*id));
    }

    pub(super) fn records(&self) -> Vec<(ReplicaId, Standing)> {
        self.records.iter().map(|(id, record)| (*id, record.clone())).collect()
    }

    /// The standings that a snapshot after `slot` holds.
    pub(super) fn restored(mut self, slot: Slot, records: Vec<(ReplicaId, Standing)>) -> Result<Self, BrokenSnapshot> {
        let is_sound = |(id, record): &(ReplicaId, Standing)| {
            self.committee.contains(*id) && record.score < FULL_STANDING && record.counted.len() <= MAX_COUNTED
        };
        if !records.iter().all(is_sound) || !records.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(BrokenSnapshot("the standings are nobody's"));
        }
        self.records = records.into_iter().collect();
        self.advance(slot);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::View;
    use crate::verify::testing::World;
    use crate::vote::Phase;

    fn standings() -> Standings {
        Standings::new(World::new(4).chain.committee, 4)
    }

    /// Evidence of kind E8 against a replica, at different slots.
    fn light(accused: u16, slot: u64) -> Evidence {
        let world = World::new(4);
        let states = [1, 2].map(|state| world.checkpoint(accused, slot, state));
        Evidence::from_checkpoints(&states[0], &states[1]).expect("two states")
    }

    fn heavy(accused: u16) -> Evidence {
        let world = World::new(4);
        let votes = [1, 2].map(|batch| world.vote(accused, Phase::Prepare, 0, &[(3, batch)]));
        Evidence::from_votes(&votes[0], &votes[1]).expect("two batches")
    }

    /// Evidence of kind E11, for different views.
    fn ill_formed(accused: u16, view: u64) -> Evidence {
        let world = World::new(4);
        Evidence::from_view_change(&world.chain, &world.view_change(accused, view, 3, &[])).expect("no checkpoint")
    }

    #[test]
    fn standing_falls_by_what_is_proven_and_never_rises() {
        let mut standings = standings();
        let mut seen = vec![standings.of(ReplicaId(1))];
        for evidence in [ill_formed(1, 1), light(1, 4), ill_formed(1, 2), light(1, 8), ill_formed(1, 3)] {
            standings.apply(&evidence, Slot(1));
            seen.push(standings.of(ReplicaId(1)));
        }
        assert_eq!(seen, [1000, 800, 400, 200, 0, 0]);
        assert!(!standings.apply(&heavy(1), Slot(1)), "of nothing there is nothing to take");
        assert_eq!(standings.of(ReplicaId(2)), FULL_STANDING, "of somebody else");
    }

    #[test]
    fn the_same_fault_counts_once_however_often_it_is_proven() {
        let mut standings = standings();
        assert!(standings.apply(&light(1, 4), Slot(1)));
        let world = World::new(4);
        let again = Evidence::from_checkpoints(&world.checkpoint(1, 4, 7), &world.checkpoint(1, 4, 9)).expect("two");
        assert!(!standings.apply(&again, Slot(2)), "other statements about the same slot");
        assert_eq!(standings.of(ReplicaId(1)), 600);
        assert!(standings.apply(&light(1, 8), Slot(2)), "another slot");
    }

    #[test]
    fn three_hundred_thousandths_are_enough_and_one_less_is_not() {
        let mut standings = standings();
        let record = |score| vec![(ReplicaId(1), Standing { score, last_free: None, counted: vec![] })];
        standings.records = record(700).into_iter().collect();
        standings.apply(&light(1, 4), Slot(1));
        standings.advance(Slot(4));
        assert_eq!((standings.of(ReplicaId(1)), standings.banned()), (300, 0));
        standings.records = record(699).into_iter().collect();
        standings.apply(&light(1, 4), Slot(1));
        standings.advance(Slot(4));
        assert_eq!((standings.of(ReplicaId(1)), standings.banned()), (299, 0b10));
    }

    #[test]
    fn a_ban_begins_behind_the_next_checkpoint_also_if_the_slot_is_one() {
        for (proven, last_free) in [(1, 4), (3, 4), (4, 4), (5, 8), (8, 8)] {
            let mut standings = standings();
            standings.apply(&heavy(1), Slot(proven));
            let from = (proven..20).find(|slot| {
                standings.advance(Slot(*slot));
                standings.is_banned(ReplicaId(1))
            });
            assert_eq!(from, Some(last_free), "proven in {proven}: banned in the slot after");
        }
    }

    #[test]
    fn what_is_proven_later_does_not_put_a_ban_off() {
        let mut standings = standings();
        standings.apply(&light(1, 4), Slot(1));
        standings.apply(&light(1, 8), Slot(2));
        standings.advance(Slot(4));
        assert_eq!((standings.of(ReplicaId(1)), standings.banned()), (200, 0b10));
        assert!(standings.apply(&ill_formed(1, 1), Slot(5)));
        standings.advance(Slot(5));
        assert_eq!((standings.of(ReplicaId(1)), standings.banned()), (0, 0b10));
    }

    #[test]
    fn one_more_than_can_be_faulty_is_named_and_not_banned() {
        let mut standings = standings();
        standings.apply(&heavy(1), Slot(1));
        assert!(!standings.are_too_many());
        standings.apply(&ill_formed(2, 1), Slot(2));
        assert!(standings.are_too_many(), "the lightest evidence is proof all the same");
        standings.apply(&heavy(2), Slot(2));
        standings.advance(Slot(8));
        assert_eq!((standings.of(ReplicaId(2)), standings.banned()), (0, 0b10));
    }

    #[test]
    fn standings_come_back_from_a_snapshot_and_rubbish_does_not() {
        let mut before = standings();
        before.apply(&heavy(3), Slot(2));
        before.apply(&ill_formed(1, 9), Slot(2));
        before.advance(Slot(4));
        let after = standings().restored(Slot(4), before.records()).expect("a snapshot");
        assert_eq!((after.banned(), after.of(ReplicaId(1))), (0b1000, 800));
        assert!(!after.would_count(&ill_formed(1, 9)), "what counted is remembered");
        assert!(standings().restored(Slot(3), before.records()).expect("a snapshot").banned() == 0, "not yet");

        let one = |id, score, counted| (ReplicaId(id), Standing { score, last_free: None, counted });
        let many = vec![(EvidenceKind::E1, View(0), 0); MAX_COUNTED + 1];
        for broken in [
            vec![one(4, 0, vec![])],
            vec![one(1, FULL_STANDING, vec![])],
            vec![one(1, 0, many)],
            vec![one(2, 0, vec![]), one(1, 0, vec![])],
            vec![one(1, 0, vec![]), one(1, 0, vec![])],
        ] {
            assert!(standings().restored(Slot(4), broken.clone()).is_err(), "{broken:?}");
        }
    }
}
