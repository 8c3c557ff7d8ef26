//! Coming back after a crash (`docs/protocol.md` G7 to G10, G14, G15).
//!
//! A replica is what its newest durable snapshot and its records say. View, mode and target are what the last
//! VIEW-CHANGE or NEW-VIEW on record says; the first tick sends again whatever others may not have received.

use super::Replica;
use super::execution::OwnState;
use crate::batch::HashedBatch;
use crate::certificate::Certificate;
use crate::config::{Chain, Config};
use crate::hash::Digest;
use crate::ledger::{BrokenSnapshot, CoreSnapshot, Ledger};
use crate::message::{Message, NewViewMessage, Signed};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target, Task};
use crate::record::Record;
use crate::signature::{Signer, Statement};
use crate::slots::{Proposal, Standing};
use crate::types::{Slot, View};
use crate::vote::{Phase, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A snapshot of this replica's own state.
#[derive(Clone, Debug)]
pub struct OwnSnapshot {
    /// The core's part.
    pub core: Arc<CoreSnapshot>,
    /// The hashes of the application's chunks.
    pub app: Vec<Digest>,
}

/// Why a replica cannot be restarted from what its disk holds. The remedy is a new identity: a replica that may
/// have forgotten what it said must not speak again (`docs/protocol.md` G7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The snapshot is damaged.
    #[error("{0}; restore it from a backup, or give this replica a new key")]
    Snapshot(#[from] BrokenSnapshot),
    /// A record contradicts the ones before.
    #[error("the log is damaged: {0}; restore it from a backup, or give this replica a new key")]
    Log(&'static str),
}

impl Replica {
    /// A replica from its durable snapshots, which need not be in order, and its durable records, which must be.
    /// Obsolete records may be missing ([`is_obsolete`](Self::is_obsolete)).
    ///
    /// # Errors
    /// [`RecoverError`] when the two do not describe a replica.
    ///
    /// # Panics
    /// When the configuration does not suit the chain, as [`Replica::new`].
    pub fn recover(
        chain: Arc<Chain>,
        config: Config,
        signer: Box<dyn Signer>,
        snapshots: impl IntoIterator<Item = OwnSnapshot>,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Self, RecoverError> {
        let mut replica = Self::new(chain, config, signer);
        let records: Vec<Record> = records.into_iter().collect();
        replica.restore_watermarks(&records)?;
        let mut snapshots: Vec<OwnSnapshot> = snapshots.into_iter().collect();
        snapshots.sort_by_key(|snapshot| snapshot.core.slot);
        for snapshot in snapshots {
            replica.restore_snapshot(snapshot)?;
        }
        let mut batches = BTreeMap::new();
        for record in records {
            replica.restore(record, &mut batches)?;
        }
        replica.restore_marks();
        Ok(replica)
    }

    /// The watermarks come first: they decide which of the other records still matter.
    fn restore_watermarks(&mut self, records: &[Record]) -> Result<(), RecoverError> {
        for record in records {
            let Record::Stable(proof) = record else { continue };
            if proof.vote.slot <= self.low() {
                return Err(RecoverError::Log("the low watermark falls"));
            }
            self.previous_stable = self.stable.replace(proof.clone());
            self.log.advance(proof.vote.slot);
        }
        Ok(())
    }

    /// Snapshots come in the order of their slots: the newest one that nothing contradicts is where this replica
    /// goes on; those before can be served.
    fn restore_snapshot(&mut self, snapshot: OwnSnapshot) -> Result<(), RecoverError> {
        if self.execution.diverged {
            self.execution.worthless.push(snapshot.core.slot);
            return Ok(());
        }
        let manifest = Arc::new(snapshot.core.manifest(snapshot.app));
        let stable = [&self.stable, &self.previous_stable];
        let contradicts = |proof: &Arc<crate::checkpoint::CheckpointCertificate>| {
            proof.vote.slot == manifest.slot && proof.vote.state != manifest.state()
        };
        if stable.into_iter().flatten().any(contradicts) {
            // A state that a quorum contradicts is worth nothing: have the right one transferred.
            self.execution.diverged = true;
            self.execution.worthless.push(manifest.slot);
            return Ok(());
        }
        self.ledger = Ledger::restore(self.chain.clone(), &snapshot.core)?;
        self.execution.at(&self.ledger);
        self.execution.snapshots.insert(manifest.slot, OwnState::new(manifest));
        Ok(())
    }

    fn restore(
        &mut self,
        record: Record,
        batches: &mut BTreeMap<Digest, Arc<HashedBatch>>,
    ) -> Result<(), RecoverError> {
        match record {
            Record::OwnVertex(vertex) => {
                if !Mutant::ForgetsHeight.is_on() {
                    self.authoring.made(&vertex);
                }
                self.restore_vertex(&vertex);
            }
            Record::Vertex(vertex) => self.restore_vertex(&vertex),
            Record::Batch(slot, batch) => {
                if let Some(state) = self.log.get_mut(slot) {
                    state.recorded.push(batch.digest());
                    state.batches.push(batch.clone());
                }
                batches.insert(batch.digest(), batch);
            }
            Record::Voted(view, slot, digest) => self.restore_vote(view, slot, digest)?,
            Record::Prepared(certificate) => self.restore_prepared(certificate),
            Record::Committed(certificate) => {
                if let Some(state) = self.log.get_mut(certificate.claim.slot) {
                    state.committed = Some(certificate);
                }
            }
            Record::OwnCheckpoint(vote) => {
                self.checkpoints.own = Some(self.sign(vote, |vote| Statement::Checkpoint(vote)));
            }
            Record::Stable(_) => {} // restored first
            Record::ViewChangeSent(_) if Mutant::ForgetsTarget.is_on() => {}
            Record::ViewChangeSent(message) => {
                self.target = Some(message.signed.body.view);
                self.freeze(&message);
                for claim in &message.signed.body.prepared {
                    if let Some(batch) = batches.get(&claim.digest) {
                        self.change.batches.insert(claim.digest, batch.clone());
                    }
                }
            }
            Record::NewViewInstalled(message) => self.restore_view(&message)?,
            Record::StateInstalled(slot) => self.execution.installed = slot.max(self.execution.installed),
            Record::Evidence(evidence) => {
                self.evidence.insert(evidence);
            }
            Record::Halted(halt) => self.halted = Some(halt),
        }
        Ok(())
    }

    fn restore_vertex(&mut self, vertex: &Arc<crate::vertex::SignedVertex>) {
        let id = vertex.id();
        if !self.pool.contains(&id) {
            // The end of the log is listed here so that nothing is evicted before the slots are looked at.
            let end = self.log.end();
            self.pool.insert(vertex.clone(), false, end, self.ledger.frontier(), self.moment());
        }
        self.pool.get_mut(&id).expect("just inserted").recorded = true;
    }

    fn restore_vote(&mut self, view: View, slot: Slot, digest: Digest) -> Result<(), RecoverError> {
        let held = self.log.get_mut(slot).filter(|_| !Mutant::ForgetsVotes.is_on());
        let Some(state) = held else { return Ok(()) };
        let contradicts = state.voted.is_some_and(|(at, said)| view < at || (at == view && said != digest));
        if contradicts {
            return Err(RecoverError::Log("two votes of one view differ, or a vote is older than the one before"));
        }
        state.voted = Some((view, digest));
        Ok(())
    }

    fn restore_prepared(&mut self, certificate: Arc<Certificate>) {
        let held = self.log.get_mut(certificate.claim.slot);
        if let Some(state) = held.filter(|_| !Mutant::ForgetsPrepared.is_on()) {
            state.prepared = Some(certificate);
        }
    }

    fn restore_view(&mut self, message: &Arc<NewViewMessage>) -> Result<(), RecoverError> {
        let body = &message.signed.body;
        if body.view <= self.view {
            return Err(RecoverError::Log("the view falls"));
        }
        if !Mutant::ForgetsView.is_on() {
            self.view = body.view;
        }
        self.new_view = Some(message.clone());
        self.new_view_end = body.proposals.last().map_or(body.stable, |(slot, _)| *slot);
        if self.target.is_some_and(|target| target <= body.view) {
            self.target = None;
            self.change.enter_view(body.view);
        }
        Ok(())
    }

    /// What follows from all records together: which vertices the slots list, and what was proposed in this view.
    fn restore_marks(&mut self) {
        self.pool.unlist();
        let mut used = Slot(0);
        for state in self.log.all_mut() {
            let batches = std::mem::take(&mut state.batches);
            state.batches = batches.iter().filter(|batch| state.needs_batch(batch.digest())).cloned().collect();
            for batch in &state.batches {
                batch.vertices.iter().for_each(|id| self.pool.list(id, state.slot));
            }
            if state.voted.is_some_and(|(view, _)| view == self.view) {
                used = used.max(state.slot);
            }
        }
        if self.is_primary() && !Mutant::ForgetsUsedSlots.is_on() {
            self.proposed = used;
        }
        if let Some(own) = &self.change.own {
            for claim in &own.signed.body.prepared {
                let batch = self.change.batches.get(&claim.digest);
                batch.into_iter().flat_map(|batch| &batch.vertices).for_each(|id| self.pool.list(id, claim.slot));
            }
        }
        self.pool.reopen(self.exec(), self.ledger.frontier(), self.moment());
        self.forget_settled_requests();
    }

    /// The first tick: everything that others may not have received goes out again.
    pub(super) fn resume(&mut self, out: &mut Outbox) {
        self.resuming = false;
        self.timers.enter_view(self.now);
        // What the log gave back was judged at a time that nobody had told yet. It waits from now on (T4).
        self.pool.reopen(self.exec(), self.ledger.frontier(), self.moment());
        self.schedule_evidence();
        if self.execution.diverged {
            out.task(Task::DropSnapshots(std::mem::take(&mut self.execution.worthless)));
            self.begin_transfer();
        }
        self.start_transfer_if_behind();
        if self.silent.is_none() && self.halted.is_none() {
            self.speak(out);
        }
        self.try_execute(out);
        self.send_status(out);
    }

    /// Sends again what others may not have received, and goes on.
    pub(super) fn speak(&mut self, out: &mut Outbox) {
        self.resume_checkpoint(out);
        if let Some(target) = self.target {
            self.resume_view_change(target, out);
        } else if self.may_vote() {
            self.resume_view(out);
        }
        self.send_own_vertices(out);
        self.try_execute(out);
        self.try_author(out);
        self.try_propose(out);
    }

    /// The newest CHECKPOINT counts again, and is signed now if the crash came between the snapshot and it.
    fn resume_checkpoint(&mut self, out: &mut Outbox) {
        if let Some(own) = self.checkpoints.own.clone() {
            let _ = self.on_checkpoint(&own, out);
            self.send(Target::All, Message::Checkpoint(own), out);
        }
        if let Some(newest) = self.execution.snapshots.last_key_value().map(|(slot, _)| *slot) {
            let _ = self.sign_checkpoint(newest, out);
        }
    }

    fn resume_view_change(&mut self, target: View, out: &mut Outbox) {
        let own = self.change.own.clone().expect("a target has its VIEW-CHANGE on record");
        let primary = self.chain.committee.primary(target);
        if primary != self.config.id {
            self.send(Target::One(primary), Message::ViewChange(own), out);
        }
        self.send_own_view_change(out);
        self.change.retransmit_at = Some(self.now + self.config.timeouts.retransmit);
        self.restore_own_view_change(out);
    }

    /// Signs the votes of this view again, each as it is on record, and takes the NEW-VIEW's proposals anew.
    fn resume_view(&mut self, out: &mut Outbox) {
        let (low, exec, view) = (self.low(), self.exec(), self.view);
        if let Some(new_view) = self.new_view.clone() {
            if self.is_primary() {
                self.send(Target::All, Message::NewView(new_view.clone()), out);
            }
            self.take_proposals(&new_view, &BTreeMap::new(), out);
        }
        for slot in exec.max(low).next().0..=self.log.high().0 {
            let slot = Slot(slot);
            let state = self.log.get_mut(slot).expect("inside the window");
            let Some((_, digest)) = state.voted.filter(|(at, _)| *at == view) else { continue };
            // A proposal may have come while this replica kept silent. What it voted for is what it accepted.
            let held = state.proposal.take().filter(|held| held.digest == digest);
            let is_said = held.as_ref().is_some_and(|held| held.standing == Standing::Accepted);
            let pre_prepare = held.and_then(|held| held.pre_prepare);
            state.proposal = Some(Proposal { digest, pre_prepare, standing: Standing::Accepted });
            let prepared = state.prepared.clone().filter(|prepared| prepared.claim.view == view);
            if !is_said {
                self.resend_vote(slot, digest, out);
            }
            if prepared.is_some() {
                let vote = self.sign(Vote::one(Phase::Commit, view, slot, digest), |vote| Statement::Vote(vote));
                self.send(Target::All, Message::Vote(vote.clone()), out);
                let _ = self.count(slot, digest, &vote, out);
            }
            self.note_activity(slot);
        }
        // What came while this replica kept silent can be voted for now.
        for slot in self.low().next().0..=self.log.high().0 {
            let _ = self.try_accept(Slot(slot), out);
        }
    }

    fn resend_vote(&mut self, slot: Slot, digest: Digest, out: &mut Outbox) {
        let body = Vote::one(Phase::Prepare, self.view, slot, digest);
        let vote: Signed<Vote> = self.sign(body, |vote| Statement::Vote(vote));
        let complete = self.require_bodies(slot, digest, self.config.id);
        assert!(complete, "what was voted for is on record with its bodies");
        self.record_bodies(slot, digest, out);
        if self.is_primary() && self.new_view_end < slot {
            self.send_pre_prepare(slot, vote, out);
        } else {
            self.send(Target::All, Message::Vote(vote.clone()), out);
            let _ = self.count(slot, digest, &vote, out);
        }
    }

    fn send_own_vertices(&mut self, out: &mut Outbox) {
        let own: Vec<_> = self.pool.open_of(self.config.id).map(|held| held.vertex.clone()).collect();
        for vertex in own {
            self.send(Target::All, Message::Vertex(vertex), out);
        }
    }

    /// Whether a record is needed no more: recovery gives the same replica with and without it (G14). Ask only when
    /// every record appended so far is durable ([`Outbox::is_durable`]): what makes one obsolete is often a later one.
    #[must_use]
    pub fn is_obsolete(&self, record: &Record) -> bool {
        let (low, floor) = (self.low(), self.log.floor());
        let proofs = [&self.stable, &self.previous_stable];
        match record {
            Record::OwnVertex(vertex) => {
                let is_tip = vertex.id() == self.authoring.tip.id;
                !is_tip && !self.pool.contains(&vertex.id()) && !self.change.needs_vertex(&vertex.id())
            }
            Record::Vertex(vertex) => !self.pool.contains(&vertex.id()),
            Record::Batch(slot, batch) => *slot <= floor && !self.change.batches.contains_key(&batch.digest()),
            Record::Voted(view, slot, digest) => {
                let newest = self.log.get(*slot).and_then(|state| state.voted);
                *slot <= low
                    || newest != Some((*view, *digest))
                    || *view < self.target.unwrap_or(self.view) && Mutant::PrunesVotes.is_on()
            }
            Record::Prepared(certificate) => {
                let newest = self.log.get(certificate.claim.slot).and_then(|state| state.prepared.as_ref());
                certificate.claim.slot <= low
                    || newest.is_none_or(|newest| newest.claim != certificate.claim)
                    || certificate.claim.view < self.target.unwrap_or(self.view) && Mutant::PrunesPrepared.is_on()
            }
            Record::Committed(certificate) => certificate.claim.slot <= floor,
            Record::OwnCheckpoint(vote) => self.checkpoints.own.as_ref().is_some_and(|own| vote.slot < own.body.slot),
            Record::Stable(proof) => !proofs.into_iter().flatten().any(|kept| kept.vote == proof.vote),
            Record::ViewChangeSent(message) => {
                message.signed.body.view < self.view.max(self.target.unwrap_or_default())
            }
            Record::NewViewInstalled(message) => message.signed.body.view < self.view,
            Record::StateInstalled(slot) => *slot < self.execution.installed,
            Record::Evidence(_) | Record::Halted(_) => false,
        }
    }
}
