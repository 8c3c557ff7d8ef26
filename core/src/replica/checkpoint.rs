//! Checkpoints and watermarks. Read PBFT 4.3 first (`docs/protocol.md` C1 to C7).
//!
//! - Upon the durable snapshot of a checkpoint slot that this replica executed itself: record and send CHECKPOINT.
//! - Upon a quorum of equal CHECKPOINTs, or a certificate of one: the low watermark follows, at once, even if this
//!   replica has not executed so far.
//! - A replica whose own state differs from the certified one stops voting and has its state transferred.

use super::execution::OwnState;
use super::{Halt, Replica};
use crate::checkpoint::{CheckpointCertificate, CheckpointVote};
use crate::committee::{Committee, singleton};
use crate::evidence::{Evidence, forensics};
use crate::hash::Digest;
use crate::input::Ignored;
use crate::message::{FetchItem, Message, Signed};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target, Task};
use crate::record::Record;
use crate::signature::Statement;
use crate::types::{ReplicaId, Slot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// CHECKPOINTs above the low watermark: of each sender those inside the window, and the highest one above it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    votes: BTreeMap<Slot, Vec<Option<Signed<CheckpointVote>>>>,
    highest: Vec<Slot>,
    n: u16,
    /// This replica's newest.
    pub(super) own: Option<Signed<CheckpointVote>>,
}

impl Checkpoints {
    pub(super) fn new(n: u16) -> Self {
        Self { votes: BTreeMap::new(), highest: vec![Slot(0); usize::from(n)], n, own: None }
    }

    fn vote_of(&self, signer: ReplicaId, slot: Slot) -> Option<&Signed<CheckpointVote>> {
        self.votes.get(&slot)?.get(signer.index())?.as_ref()
    }

    /// The newest one held of a sender.
    pub(super) fn newest_of(&self, signer: ReplicaId) -> Option<&Signed<CheckpointVote>> {
        self.votes.values().rev().find_map(|votes| votes[signer.index()].as_ref())
    }

    fn insert(&mut self, vote: &Signed<CheckpointVote>, high: Slot) {
        let (signer, slot) = (vote.signer, vote.body.slot);
        if high < slot {
            let highest = &mut self.highest[signer.index()];
            if slot <= *highest {
                return;
            }
            let replaced = std::mem::replace(highest, slot);
            if high < replaced {
                self.remove(signer, replaced);
            }
        }
        let votes = self.votes.entry(slot).or_insert_with(|| vec![None; usize::from(self.n)]);
        votes[signer.index()] = Some(vote.clone());
    }

    fn remove(&mut self, signer: ReplicaId, slot: Slot) {
        if let Some(votes) = self.votes.get_mut(&slot) {
            votes[signer.index()] = None;
            if votes.iter().all(Option::is_none) {
                self.votes.remove(&slot);
            }
        }
    }

    fn certificate(&self, committee: Committee, vote: CheckpointVote) -> Option<CheckpointCertificate> {
        let is_same = |held: &&Signed<CheckpointVote>| held.body == vote || Mutant::MixedStates.is_on();
        let same = self.votes.get(&vote.slot)?.iter().flatten().filter(is_same);
        let signers = same.clone().fold(0, |set, vote| set | singleton(vote.signer));
        let is_quorum =
            committee.is_quorum(signers) || Mutant::StableByTooFew.is_on() && committee.is_weak_quorum(signers);
        is_quorum.then(|| CheckpointCertificate { vote, votes: same.cloned().collect() })
    }

    fn forget(&mut self, upto: Slot) {
        self.votes = self.votes.split_off(&upto.next());
    }

    pub(super) fn len(&self) -> usize {
        self.votes.values().map(|votes| votes.iter().flatten().count()).sum()
    }
}

impl Replica {
    pub(super) fn on_snapshot_durable(
        &mut self,
        slot: Slot,
        app: Vec<Digest>,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        if 0 < self.execution.void_snapshots {
            self.execution.void_snapshots -= 1;
            // Unless the same slot was executed again meanwhile: its new snapshot takes the place of the void one.
            if !self.execution.fixing.contains_key(&slot) && !self.execution.snapshots.contains_key(&slot) {
                out.task(Task::DropSnapshots(vec![slot]));
            }
            return Err(Ignored::Unasked);
        }
        let core = self.execution.fixing.remove(&slot).expect("only work given out is completed");
        self.execution.snapshots.insert(slot, OwnState::new(Arc::new(core.manifest(app))));
        self.keep_snapshots(out);
        self.check_own_state(out);
        self.sign_checkpoint(slot, out)
    }

    /// Signed only for a state of this replica's own making, and never again for an earlier slot (C1).
    pub(super) fn sign_checkpoint(&mut self, slot: Slot, out: &mut Outbox) -> Result<(), Ignored> {
        let Some(own) = self.execution.snapshots.get(&slot) else { return Err(Ignored::Stopped) };
        let vote = CheckpointVote { slot, state: own.digest };
        let signed_already = self.checkpoints.own.as_ref().is_some_and(|own| slot <= own.body.slot);
        let is_foreign = slot <= self.execution.installed && !Mutant::SignsForeignState.is_on();
        if signed_already || is_foreign || !self.may_vote() {
            return Err(Ignored::Duplicate);
        }
        out.persist(Record::OwnCheckpoint(vote));
        let signed = self.sign(vote, |vote| Statement::Checkpoint(vote));
        self.checkpoints.own = Some(signed.clone());
        self.send(Target::All, Message::Checkpoint(signed.clone()), out);
        self.on_checkpoint(&signed, out)
    }

    pub(super) fn on_checkpoint(&mut self, vote: &Signed<CheckpointVote>, out: &mut Outbox) -> Result<(), Ignored> {
        let slot = vote.body.slot;
        if slot <= self.low() || !slot.is_checkpoint(self.chain.checkpoint_interval()) {
            return Err(Ignored::OutOfWindow);
        }
        if let Some(first) = self.checkpoints.vote_of(vote.signer, slot).cloned() {
            if first.body == vote.body {
                return Err(Ignored::Duplicate);
            }
            self.accuse(Evidence::from_checkpoints(&first, vote), out);
            return Err(Ignored::Conflict);
        }
        self.checkpoints.insert(vote, self.log.high());
        match self.checkpoints.certificate(self.chain.committee, vote.body) {
            Some(certificate) => self.on_stable_checkpoint(&Arc::new(certificate), out),
            None => Ok(()),
        }
    }

    /// A checkpoint is proven stable: the low watermark follows the proof, not the execution (C3).
    pub(super) fn on_stable_checkpoint(
        &mut self,
        proof: &Arc<CheckpointCertificate>,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let slot = proof.vote.slot;
        let known = [&self.stable, &self.previous_stable].into_iter().flatten();
        let rival = known.into_iter().find(|known| known.vote.slot == slot && known.vote != proof.vote).cloned();
        if let Some(rival) = rival {
            self.accuse_all(forensics::signed_two_states(&rival, proof), out);
            self.halt(Halt::ContradictingCheckpoints(slot), out);
            return Err(Ignored::Stopped);
        }
        let is_wanted = self.fetches.take(&FetchItem::StableCheckpoint(slot)) && self.target.is_some();
        if slot <= self.low() {
            if !is_wanted {
                return Err(Ignored::Duplicate);
            }
            // Others left the view at a checkpoint that this replica, the new primary, has passed since (V11).
            self.change.stables.insert(slot, proof.clone());
            self.try_new_view(out);
            return Ok(());
        }
        out.persist(Record::Stable(proof.clone()));
        self.previous_stable = self.stable.replace(proof.clone());
        self.log.advance(slot);
        self.checkpoints.forget(slot);
        let kept = if Mutant::BodiesDropped.is_on() { slot } else { self.oldest_kept_slot() };
        if !Mutant::GarbageKept.is_on() {
            self.pool.collect(kept, self.ledger.frontier(), self.moment());
        }
        let floor = self.log.floor();
        self.waiting = self.waiting.split_off(&floor.next());
        self.keep_fetches();
        self.decay_timeout();
        self.keep_snapshots(out);
        self.check_own_state(out);
        self.start_transfer_if_behind();
        for slot in slot.next().0..=self.log.high().0 {
            let _ = self.try_accept(Slot(slot), out);
        }
        self.try_execute(out);
        if self.exec() < slot {
            self.note_behind();
        }
        self.try_propose(out);
        self.try_new_view(out);
        Ok(())
    }

    /// Bodies of slots above this one are kept: those of the ring, and those that the frozen VIEW-CHANGE claims (C7).
    pub(super) fn oldest_kept_slot(&self) -> Slot {
        let claimed = self.change.oldest_needed_slot().filter(|_| !Mutant::ClaimedDropped.is_on());
        claimed.unwrap_or(self.low()).min(self.log.floor())
    }

    /// The timeout shrinks only if everything, what still waits included, went well within it. A checkpoint that came
    /// as a certificate, with nothing executed here since the one before, says nothing of how long anything took (T4).
    fn decay_timeout(&mut self) {
        let Some(latency) = self.execution.latency.take() else { return };
        let waiting = self.pool.oldest_pending().map(|(since, _)| self.now.since(since)).unwrap_or_default();
        if !Mutant::NeverDecays.is_on() {
            self.timers.decay(latency.max(waiting));
        }
    }

    /// The last two stable checkpoints can be served; the newest own snapshot is where a restart begins (C7).
    fn keep_snapshots(&mut self, out: &mut Outbox) {
        let stable = [&self.stable, &self.previous_stable].map(|proof| proof.as_ref().map(|proof| proof.vote.slot));
        let newest = self.execution.snapshots.last_key_value().map(|(slot, _)| *slot);
        let low = self.low();
        let keep = |slot: &Slot| stable.contains(&Some(*slot)) || Some(*slot) == newest || low < *slot;
        let dropped: Vec<Slot> = self.execution.snapshots.keys().copied().filter(|slot| !keep(slot)).collect();
        self.execution.snapshots.retain(|slot, _| keep(slot));
        if !dropped.is_empty() {
            out.task(Task::DropSnapshots(dropped));
        }
    }

    /// Compares this replica's own states at the stable checkpoints with the certified ones (C5). A snapshot may become
    /// durable when the next checkpoint is stable already, so the one before counts too.
    fn check_own_state(&mut self, out: &mut Outbox) {
        let contradicted = |CheckpointVote { slot, state }: CheckpointVote| {
            let own = self.execution.snapshots.get(&slot)?;
            (own.digest != state && !Mutant::OwnStateTrusted.is_on()).then_some(slot)
        };
        let proofs = [&self.stable, &self.previous_stable];
        let first_wrong = proofs.into_iter().flatten().filter_map(|proof| contradicted(proof.vote)).min();
        if let Some(slot) = first_wrong {
            // Whatever was built on the wrong state is wrong as well.
            let wrong = self.execution.snapshots.split_off(&slot);
            self.execution.void_snapshots += std::mem::take(&mut self.execution.fixing).len();
            self.execution.diverged = true;
            self.begin_transfer();
            out.task(Task::DropSnapshots(wrong.into_keys().collect()));
        }
    }
}
