//! Executing decided slots in order (`docs/protocol.md` N13, N14), and answering clients (F8, F9).
//!
//! - While the next slot is decided and all its bodies are held: finalize its vertices, hand its requests over.
//! - After a checkpoint slot, the next one waits until the application has fixed its state for the snapshot.
//! - Upon the results of a slot: remember them, sign one REPLY, and at a checkpoint slot take the snapshot.

use super::{Replica, pick};
use crate::batch::NULL_BATCH;
use crate::bytes::Bytes;
use crate::hash::Digest;
use crate::input::Ignored;
use crate::ledger::{CoreSnapshot, Fate, Finalized, Ledger, Listed, Manifest, Verdict};
use crate::mutant::Mutant;
use crate::outbox::{Execution, Outbox, Task};
use crate::reply::{Outcome, Reply, ReplyStatement, outcome_root, result_hash};
use crate::request::RequestId;
use crate::signature::Statement;
use crate::time::Duration;
use crate::types::Slot;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What is being executed, and what the executed state was fixed as.
#[derive(Debug, Default)]
pub(super) struct ExecutionState {
    /// Slots handed to the application, in order.
    in_flight: VecDeque<(Slot, Vec<Listed>)>,
    /// The last slot whose results are known.
    pub(super) applied: Slot,
    /// Snapshots that are being made durable, by slot.
    pub(super) fixing: BTreeMap<Slot, Arc<CoreSnapshot>>,
    /// Work given out whose completion is void, because the state was replaced meanwhile.
    void_executions: usize,
    pub(super) void_snapshots: usize,
    /// Snapshots of this replica that are durable, by slot.
    pub(super) snapshots: BTreeMap<Slot, OwnState>,
    /// Durable snapshots that recovery found to be worth nothing, and that are to be deleted.
    pub(super) worthless: Vec<Slot>,
    /// The last slot whose state came from others.
    pub(super) installed: Slot,
    /// Whether a certificate contradicts this replica's own state (`docs/protocol.md` C5).
    pub(super) diverged: bool,
    /// The longest a vertex was pending before it was executed, since the last stable checkpoint; none if none was.
    pub(super) latency: Option<Duration>,
}

/// A state of this replica that is durable.
#[derive(Debug)]
pub(super) struct OwnState {
    pub(super) manifest: Arc<Manifest>,
    /// Its digest `D`.
    pub(super) digest: Digest,
}

impl OwnState {
    pub(super) fn new(manifest: Arc<Manifest>) -> Self {
        Self { digest: manifest.state(), manifest }
    }
}

impl ExecutionState {
    /// The state after a restart or a transfer: everything up to `slot` is applied.
    pub(super) fn at(&mut self, ledger: &Ledger) {
        self.void_executions += std::mem::take(&mut self.in_flight).len();
        self.void_snapshots += std::mem::take(&mut self.fixing).len();
        self.applied = ledger.slot();
    }

    /// Copies of requests that just completed, in the same slot or in later ones, learn their results. The seen set
    /// may have dropped them by the time the copies are answered: the slots ahead have moved the time (F9).
    fn tell_copies(&mut self, completed: &mut [Listed]) {
        let waits = |listed: &Listed| listed.fate == Fate::Duplicate && listed.result.is_none();
        let later = self.in_flight.iter().flat_map(|(_, listed)| listed);
        if !completed.iter().chain(later).any(waits) {
            return;
        }
        let results: BTreeMap<_, _> =
            completed.iter().filter_map(|listed| Some((listed.request.id(), listed.result?))).collect();
        let later = self.in_flight.iter_mut().flat_map(|(_, listed)| listed);
        for listed in completed.iter_mut().chain(later).filter(|listed| waits(listed)) {
            listed.result = results.get(&listed.request.id()).copied();
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

impl Replica {
    /// Executes every slot that can be.
    pub(super) fn try_execute(&mut self, out: &mut Outbox) {
        let before = self.exec();
        while self.halted.is_none() && !self.execution.diverged && self.execute_next(out) {}
        if before < self.exec() {
            if self.target.is_none() {
                self.timers.stop_view_change(self.now);
            }
            self.refresh_activity();
            self.try_author(out);
            self.try_propose(out);
        } else if self.timers.is_changing_view()
            && self.target.is_none()
            && self.pool.pending().len() == 0
            && !Mutant::NeverIdle.is_on()
        {
            self.timers.stop_view_change(self.now);
        }
    }

    fn execute_next(&mut self, out: &mut Outbox) -> bool {
        let exec = self.exec();
        let slot = exec.next();
        let at_checkpoint = exec.is_checkpoint(self.chain.checkpoint_interval());
        if at_checkpoint && self.execution.applied < exec && !Mutant::CheckpointNotAwaited.is_on() {
            return false;
        }
        let Some(certificate) = self.log.get(slot).and_then(|state| state.committed.clone()) else { return false };
        let digest = certificate.claim.digest;
        let witness = pick(certificate.votes(), slot).signer;
        if !self.require_bodies(slot, digest, witness) {
            return false;
        }
        self.record_bodies(slot, digest, out);
        let done = self.finalize(slot);
        done.accusations.iter().for_each(|evidence| self.keep_evidence(evidence, out));
        let requests = done.fates.iter().filter(|listed| listed.fate == Fate::Executes);
        let requests = requests.map(|listed| listed.request.clone()).collect();
        let body = |id| self.pool.get(id).expect("held").vertex.clone();
        let listed = done.verdicts.iter().map(|(id, verdict)| (body(id), *verdict)).collect();
        out.task(Task::Execute(Execution { slot, time: done.time, requests, listed }));
        self.execution.in_flight.push_back((slot, done.fates));
        self.halt_if_too_many(out);
        true
    }

    fn finalize(&mut self, slot: Slot) -> Finalized {
        let state = self.log.get(slot).expect("inside the ring");
        let digest = state.committed.as_ref().expect("decided").claim.digest;
        let batch = (digest != NULL_BATCH).then(|| state.batch(digest).expect("held"));
        let pool = &self.pool;
        let banned = self.ledger.standings().banned();
        let done = self.ledger.finalize(slot, batch.map(|batch| &**batch), |id| &pool.get(id).expect("held").vertex);
        let mut entangled = false;
        for (id, verdict) in &done.verdicts {
            match verdict {
                Verdict::Missing => self.pool.set_open(id, None),
                Verdict::Final | Verdict::Duplicate | Verdict::Dead | Verdict::Banned => {
                    self.settle(id);
                    let author = self.pool.get(id).expect("held").vertex.author();
                    entangled |= self.pool.is_entangled(author);
                }
            }
        }
        let proposed = self.log.get(slot).and_then(|state| state.proposal.as_ref()).map(|proposal| proposal.digest);
        if proposed.is_some_and(|proposed| proposed != digest) {
            self.pool.close(slot);
        }
        let newly_banned = self.ledger.standings().banned() & !banned;
        if newly_banned != 0 {
            self.forget_authors(newly_banned);
        }
        if entangled || newly_banned != 0 {
            self.pool.refresh(self.ledger.frontier(), self.moment());
        }
        done
    }

    pub(super) fn settle(&mut self, id: &crate::vertex::VertexId) {
        if let Some(since) = self.pool.pending_since(id) {
            self.execution.latency = self.execution.latency.max(Some(self.now.since(since)));
        }
        self.pool.settle(id);
        let held = self.pool.get(id).expect("held");
        if held.vertex.author() == self.config.id {
            let vertex = held.vertex.clone();
            self.authoring.settled(&vertex);
        }
    }

    pub(super) fn on_executed(&mut self, slot: Slot, results: Vec<Bytes>, out: &mut Outbox) -> Result<(), Ignored> {
        if 0 < self.execution.void_executions {
            // Work is done in order, so this was given out before the state was replaced.
            self.execution.void_executions -= 1;
            return Err(Ignored::Unasked);
        }
        let (due, mut listed) = self.execution.in_flight.pop_front().expect("only work given out is completed");
        assert_eq!(due, slot, "executions complete in order");
        let executed = listed.iter().filter(|listed| listed.fate == Fate::Executes).count();
        assert_eq!(results.len(), executed, "one result for each request of {slot}");
        let hashes = results.iter().map(|result| result_hash(&result.0));
        for (listed, hash) in listed.iter_mut().filter(|listed| listed.fate == Fate::Executes).zip(hashes) {
            listed.result = Some(hash);
            self.ledger.complete(listed, hash);
        }
        self.execution.tell_copies(&mut listed);
        self.execution.applied = slot;
        if self.execution.diverged {
            // Nobody is to hear of a state that is known to be wrong, and no restart is to begin from it (C5).
            return Ok(());
        }
        if !listed.is_empty() {
            self.reply(slot, &listed, results, out);
        }
        if slot.is_checkpoint(self.chain.checkpoint_interval()) {
            let snapshot = Arc::new(self.ledger.snapshot());
            assert_eq!(snapshot.slot, slot, "nothing is executed past a checkpoint before it is fixed");
            self.execution.fixing.insert(slot, snapshot.clone());
            out.task(Task::Snapshot(snapshot));
            self.try_execute(out);
        }
        Ok(())
    }

    fn reply(&self, slot: Slot, listed: &[Listed], results: Vec<Bytes>, out: &mut Outbox) {
        let outcome = |listed: &Listed| match listed.fate {
            Fate::NoOp(reason) => Outcome::NoOp(reason),
            Fate::Executes | Fate::Duplicate => {
                Outcome::Executed(listed.result.expect("executions complete in order, so this one has"))
            }
        };
        let outcomes = listed.iter().map(|listed| (listed.request.id(), outcome(listed))).collect();
        let mut results = results.into_iter();
        let result = |listed: &Listed| if listed.fate == Fate::Executes { results.next() } else { None };
        let results = listed.iter().map(result).collect();
        self.sign_reply(slot, outcomes, results, out);
    }

    /// Answers requests that came again after they executed: whoever sends them has not heard of it (F10). Of a state
    /// that is known to be wrong nobody is to hear (C5).
    pub(super) fn answer_again(&self, outcomes: Vec<(RequestId, Outcome)>, out: &mut Outbox) {
        if !outcomes.is_empty() && !self.execution.diverged {
            let results = vec![None; outcomes.len()];
            self.sign_reply(self.execution.applied, outcomes, results, out);
        }
    }

    fn sign_reply(
        &self,
        slot: Slot,
        outcomes: Vec<(RequestId, Outcome)>,
        results: Vec<Option<Bytes>>,
        out: &mut Outbox,
    ) {
        let outcomes: Arc<[_]> = outcomes.into();
        let body = ReplyStatement { slot, root: outcome_root(&outcomes) };
        let signed = self.sign(body, |body| Statement::Reply(body));
        out.task(Task::Reply(Reply { signed, outcomes, results: results.into() }));
    }
}
