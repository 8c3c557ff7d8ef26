//! Forming, checking and installing a view (`docs/protocol.md` V11 to V22, N12, N16). Read PBFT 4.4 first.
//!
//! - The primary of the target, with VIEW-CHANGEs of a quorum that can be chosen from: record and send NEW-VIEW.
//! - Upon a NEW-VIEW of the primary of a higher view: compute again what it must propose, and compare.
//!   What is provably wrong is evidence; what merely lacks an attachment is asked for again.
//! - Installing it: record it, take over its checkpoint, vote for what it proposes as far as the bodies are held.

use super::{Halt, Replica};
use crate::batch::{HashedBatch, NULL_BATCH};
use crate::certificate::{CertificateSet, Claim};
use crate::checkpoint::CheckpointCertificate;
use crate::choice::{choose, select};
use crate::evidence::{Evidence, follows, forensics};
use crate::fetch::Until;
use crate::hash::Digest;
use crate::input::Ignored;
use crate::message::{FetchItem, Message, NewView, NewViewMessage, Signed, ViewChange};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target};
use crate::record::Record;
use crate::signature::Statement;
use crate::slots::{Proposal, Standing};
use crate::types::{ReplicaId, Slot, View};
use crate::vote::Phase;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Replica {
    /// Forms the new view if this replica is its primary and can.
    pub(super) fn try_new_view(&mut self, out: &mut Outbox) {
        let Some(target) = self.target else { return };
        if self.chain.committee.primary(target) != self.config.id || !self.may_vote() || self.change.own.is_none() {
            return;
        }
        let received = self.change.for_view(target);
        let is_certified = |slot: Slot, state: Digest| {
            self.proof_of(slot, state).is_some() || slot == Slot(0) || Mutant::StableUnproven.is_on()
        };
        let is_proven = |claim: &Claim| self.change.certificates.contains_key(claim) || Mutant::ClaimsUnproven.is_on();
        let is_backed = |claim: &Claim| is_proven(claim) && self.holds_claimed(claim);
        let chosen = choose(self.chain.committee, self.config.id, &received, is_certified, is_backed);
        match chosen {
            Some(chosen) => self.form_new_view(target, chosen, out),
            None if self.chain.committee.quorum() as usize <= received.len() => self.want_proof(&received),
            None => {}
        }
    }

    fn proof_of(&self, slot: Slot, state: Digest) -> Option<&Arc<CheckpointCertificate>> {
        self.proof_at(slot).filter(|proof| proof.vote.state == state)
    }

    /// The proof of a stable checkpoint that is still held: the last two, that of the own VIEW-CHANGE, and at the new
    /// primary those of others'.
    pub(super) fn proof_at(&self, slot: Slot) -> Option<&Arc<CheckpointCertificate>> {
        let frozen = self.change.own.as_ref().and_then(|own| own.stable.as_ref());
        let known = [self.stable.as_ref(), self.previous_stable.as_ref(), frozen, self.change.stables.get(&slot)];
        known.into_iter().flatten().find(|proof| proof.vote.slot == slot)
    }

    /// Whether the batch of a claim and all its vertices are held (V11).
    fn holds_claimed(&self, claim: &Claim) -> bool {
        if claim.digest == NULL_BATCH {
            return true;
        }
        let in_log = self.log.get(claim.slot).and_then(|state| state.batch(claim.digest));
        let batch = in_log.or_else(|| self.change.batches.get(&claim.digest));
        batch.is_some_and(|batch| batch.vertices.iter().all(|id| self.pool.contains(id)))
    }

    /// Asks the claimants for what backs their claims: an honest one has it all.
    fn want_proof(&mut self, received: &[Arc<Signed<ViewChange>>]) {
        let now = self.now;
        // No set that can be chosen has a checkpoint below the own one; which it will have is not known yet.
        let floor = self.change.own.as_ref().map_or(Slot(0), |own| own.signed.body.stable);
        let me = self.config.id;
        for view_change in received.iter().filter(|held| held.signer != me) {
            let claimant = view_change.signer;
            if floor < view_change.body.stable {
                self.fetches.want(FetchItem::StableCheckpoint(view_change.body.stable), claimant, Until::AllAsked, now);
            }
            for claim in view_change.body.prepared.iter().filter(|claim| floor < claim.slot) {
                // Only what is proven is worth its body: else a liar has us fetch whatever it names.
                if self.change.certificates.contains_key(claim) {
                    self.want_claimed(*claim, claimant);
                } else {
                    self.fetches.want(FetchItem::Certificate(Phase::Prepare, *claim), claimant, Until::Found, now);
                }
            }
        }
    }

    fn want_claimed(&mut self, claim: Claim, claimant: ReplicaId) {
        if claim.digest == NULL_BATCH {
            return;
        }
        let in_log = self.log.get(claim.slot).and_then(|state| state.batch(claim.digest));
        let Some(batch) = in_log.or_else(|| self.change.batches.get(&claim.digest)).cloned() else {
            if !self.change.wanted.contains(&claim.digest) {
                self.change.wanted.push(claim.digest);
            }
            self.fetches.want(FetchItem::Batch(claim.slot, claim.digest), claimant, Until::Found, self.now);
            return;
        };
        // The vertices are needed for as long as the claim is, wherever the batch came from.
        self.change.batches.insert(claim.digest, batch.clone());
        for id in batch.vertices.iter().filter(|id| !self.pool.contains(id)) {
            self.fetches.want(FetchItem::Vertex(*id), claimant, Until::Found, self.now);
        }
    }

    fn form_new_view(&mut self, target: View, chosen: Vec<Arc<Signed<ViewChange>>>, out: &mut Outbox) {
        // Two certificates of one view for different batches: more than f replicas are faulty.
        let Ok(selection) = select(chosen.iter().map(|held| &held.body)) else { return };
        // What a mutant lets be chosen without proof has none to attach: others are to notice, not these assertions.
        let certificate = |claim: &Claim| {
            let held = self.change.certificates.get(claim);
            assert!(held.is_some() || Mutant::ClaimsUnproven.is_on(), "the chosen claims are backed");
            held.cloned()
        };
        let certificates = CertificateSet(selection.selected.iter().filter_map(certificate).collect());
        let stable = chosen.iter().find_map(|held| self.proof_of(selection.stable, held.body.state)).cloned();
        let is_certified = stable.is_some() || selection.stable == Slot(0) || Mutant::StableUnproven.is_on();
        assert!(is_certified, "the chosen checkpoint is certified");
        let body = NewView {
            view: target,
            view_changes: chosen.iter().map(|held| held.id()).collect(),
            stable: selection.stable,
            proposals: selection.proposals,
        };
        let signed = self.sign(body, |body| Statement::NewView(body));
        let message = Arc::new(NewViewMessage { signed, view_changes: chosen, stable, certificates });
        self.install(&message, out);
    }

    pub(super) fn on_new_view(&mut self, message: &Arc<NewViewMessage>, out: &mut Outbox) -> Result<(), Ignored> {
        let (signed, view) = (&message.signed, message.signed.body.view);
        if signed.signer != self.chain.committee.primary(view) && !Mutant::AnyonesNewView.is_on() {
            return Err(Ignored::NotPrimary);
        }
        if view == self.view {
            let installed = self.new_view.as_ref().map(|installed| installed.signed.clone());
            let evidence = installed.and_then(|installed| Evidence::from_new_views(&installed, signed));
            let is_other = evidence.is_some();
            self.accuse(evidence, out);
            return Err(if is_other { Ignored::Conflict } else { Ignored::Duplicate });
        }
        let least = self.target.filter(|_| !Mutant::GoesBack.is_on()).unwrap_or(self.view);
        if view < least || self.is_too_far(view) {
            return Err(Ignored::WrongView);
        }
        let guilt = Evidence::from_new_view(&self.chain, signed, &message.view_changes);
        if let Some(evidence) = guilt.filter(|_| !Mutant::NewViewTrusted.is_on()) {
            self.accuse(Some(evidence), out);
            // Only the very view that this replica waits for is lost: else one Byzantine replica would move
            // everybody by signing rubbish for views of its own.
            if self.target == Some(view) {
                self.start_view_change(view.next(), out);
            }
            return Err(Ignored::Conflict);
        }
        if !self.is_proven(message) {
            self.fetches.want(FetchItem::NewView(view), signed.signer, Until::AllAsked, self.now);
            return Err(Ignored::Unproven);
        }
        if !self.may_vote() {
            return Err(Ignored::Stopped);
        }
        self.install(message, out);
        Ok(())
    }

    /// Whether all attachments are there: the VIEW-CHANGEs, the checkpoint's proof and that of each selected claim.
    /// That the body follows from them was checked before.
    fn is_proven(&self, message: &NewViewMessage) -> bool {
        let body = &message.signed.body;
        let Ok(selection) = select(message.view_changes.iter().map(|held| &held.body)) else { return false };
        let stable = message.stable.as_ref().map(|proof| proof.vote);
        let is_stable_proven = body.stable == Slot(0)
            || Mutant::StableUnproven.is_on()
            || stable.is_some_and(|vote| vote.slot == body.stable && selection.claims_state(vote.state));
        let proves = |claim: &Claim| {
            Mutant::ClaimsUnproven.is_on()
                || message.certificates.0.iter().any(|held| held.phase == Phase::Prepare && held.claim == *claim)
        };
        let is_followed =
            |claim: &&Claim| !Mutant::NewViewTrusted.is_on() || body.proposals.contains(&(claim.slot, claim.digest));
        // Verification kept only bodies that the NEW-VIEW names, in its order.
        message.view_changes.len() == body.view_changes.len()
            && (follows(body, &selection) || Mutant::NewViewTrusted.is_on())
            && is_stable_proven
            && selection.selected.iter().filter(is_followed).all(proves)
    }

    fn install(&mut self, message: &Arc<NewViewMessage>, out: &mut Outbox) {
        let body = &message.signed.body;
        if let Some(slot) = self.decided_otherwise(body) {
            let decided = self.log.get(slot).and_then(|state| state.committed.clone()).expect("decided");
            self.accuse_all(forensics::hid_a_commit(&decided, &message.view_changes), out);
            return self.halt(Halt::ContradictingNewView(slot), out);
        }
        let view = body.view;
        assert!(self.view < view, "views only rise: {} then {view}", self.view);
        if let Some(stable) = &message.stable {
            let _ = self.on_stable_checkpoint(stable, out);
        }
        // What the checkpoint set in motion may have ended this replica, or brought it here already (V18).
        if self.halted.is_some() || view <= self.view {
            return;
        }
        out.persist(Record::NewViewInstalled(message.clone()));
        let early_counts = self.target == Some(view);
        self.view = view;
        self.target = None;
        self.new_view = Some(message.clone());
        self.new_view_end = body.proposals.last().map_or(body.stable, |(slot, _)| *slot);
        self.proposed = Slot(0);
        let mut early = Vec::new();
        for state in self.log.all_mut() {
            early.extend(state.enter_view(early_counts).map(|proposal| (state.slot, proposal)));
        }
        early.sort_unstable_by_key(|(slot, _)| *slot);
        self.forget_waiting();
        self.pool.enter_view();
        self.timers.enter_view(self.now);
        self.keep_fetches();
        if self.is_primary() {
            self.send(Target::All, Message::NewView(message.clone()), out);
        }
        let batches = self.change.enter_view(view);
        self.take_proposals(message, &batches, out);
        for (_, (proposal, was_timely)) in early {
            let _ = self.take_pre_prepare(&proposal, |_, _| was_timely, out);
        }
        self.recount_all(out);
        self.try_execute(out);
        self.try_author(out);
        self.try_propose(out);
    }

    /// A slot that an earlier view decided and this NEW-VIEW proposes otherwise, or leaves out (N12).
    fn decided_otherwise(&self, body: &NewView) -> Option<Slot> {
        let proposed = |slot: Slot| body.proposals.iter().find(|(at, _)| *at == slot).map(|(_, digest)| *digest);
        let contradicts = |state: &&crate::slots::SlotState| {
            let committed = state.committed.as_ref().map(|certificate| certificate.claim);
            committed.is_some_and(|claim| {
                claim.view < body.view && body.stable < claim.slot && proposed(claim.slot) != Some(claim.digest)
            })
        };
        self.log.all().find(contradicts).map(|state| state.slot)
    }

    /// Slots that waited for a body of the old view's proposal wait no more; decided ones still do (N6). Else a faulty
    /// primary could fill the table of what is asked for with what does not exist, beyond its view.
    pub(super) fn forget_waiting(&mut self) {
        let (log, exec) = (&self.log, self.ledger.slot());
        let is_due = |slot: &Slot| exec < *slot && log.get(*slot).is_some_and(|state| state.committed.is_some());
        self.waiting.retain(is_due);
    }

    /// The NEW-VIEW counts as a PRE-PREPARE for each slot that it proposes (V13, V19).
    pub(super) fn take_proposals(
        &mut self,
        message: &NewViewMessage,
        batches: &BTreeMap<Digest, Arc<HashedBatch>>,
        out: &mut Outbox,
    ) {
        let low = self.low();
        if Mutant::SlotExecutesAgain.is_on() {
            self.ledger.go_back(low.max(message.signed.body.stable));
        }
        for (slot, digest) in message.signed.body.proposals.iter().filter(|(slot, _)| low < *slot) {
            let Some(state) = self.log.get_mut(*slot) else { continue };
            state.proposal = Some(Proposal { digest: *digest, pre_prepare: None, standing: Standing::Waiting });
            if let Some(batch) = batches.get(digest) {
                state.keep_batch(batch);
            }
            self.note_activity(*slot);
            let _ = self.try_accept(*slot, out);
        }
    }

    /// Votes that came before the view was installed may already form quorums.
    fn recount_all(&mut self, out: &mut Outbox) {
        let committee = self.chain.committee;
        let decided = |state: &crate::slots::SlotState| {
            let undecided = state.committed.is_none();
            state.ballot.commits.quorum(committee).filter(|_| undecided).map(|digest| (state.slot, digest))
        };
        let mut decided: Vec<_> = self.log.all().filter_map(decided).collect();
        decided.sort_unstable();
        for (slot, digest) in decided {
            // The low watermark may move while this goes on.
            if self.low() < slot {
                self.try_commit(slot, digest, out);
            }
        }
    }
}
