//! Accepting proposals and counting votes (`docs/protocol.md` N5 to N12, N15). Read PBFT 4.2 first.
//!
//! - Upon a PRE-PREPARE of the primary of the installed view for a slot in the window, for which this replica holds
//!   every body and accepted nothing else in this view: record the bodies and the vote, send PREPARE (N5, N7).
//! - Upon a quorum of PREPAREs for what was accepted: record the certificate, send COMMIT (N8).
//! - Upon a quorum of COMMITs, whether prepared or not: record the certificate; the slot is decided (N11).
//!
//! **Deviations.** The primary's PREPARE is part of its PRE-PREPARE and counts as one, so a certificate is any quorum
//! of PREPAREs. A certificate of COMMITs decides a slot in any view and mode, from whoever it comes.

use super::{Halt, Replica, pick};
use crate::batch::NULL_BATCH;
use crate::certificate::{Certificate, Claim};
use crate::evidence::{Evidence, forensics};
use crate::fetch::Until;
use crate::hash::Digest;
use crate::input::Ignored;
use crate::message::{FetchItem, Message, PrePrepare, Signed};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target};
use crate::record::Record;
use crate::signature::Statement;
use crate::slots::{Counted, Proposal, Standing};
use crate::time::Instant;
use crate::types::{ReplicaId, Slot, View};
use crate::vote::{Entries, Phase, Vote};
use std::sync::Arc;

impl Replica {
    pub(super) fn on_pre_prepare(&mut self, message: &Arc<PrePrepare>, out: &mut Outbox) -> Result<(), Ignored> {
        let view = message.vote.body.view;
        if message.vote.signer != self.chain.committee.primary(view) && !Mutant::AnyoneProposes.is_on() {
            return Err(Ignored::NotPrimary);
        }
        if self.target == Some(view) {
            return self.keep_for_target(message, out);
        }
        if view != self.view {
            return Err(Ignored::WrongView);
        }
        if self.has_left_view() {
            return Err(Ignored::ViewChanging);
        }
        self.take_pre_prepare(message, |replica, ts| replica.is_timely(ts), out)
    }

    /// A pre-prepare of the installed view's primary.
    pub(super) fn take_pre_prepare(
        &mut self,
        message: &Arc<PrePrepare>,
        is_timely: impl Fn(&Self, Instant) -> bool,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let mut done = Err(Ignored::Duplicate);
        for (entry, batch) in message.batches.iter().enumerate() {
            let is_timely = is_timely(self, batch.ts);
            done = best(done, self.on_proposal(message, entry, is_timely, out));
        }
        // The batch may be the one that a decided slot waited for.
        if self.waits_for_itself() {
            self.try_execute(out);
        }
        // The statement alone is the primary's PREPARE, whatever becomes of the proposal (M9).
        match (done, self.on_vote(&message.vote, out)) {
            (Err(Ignored::Duplicate), counted) => counted,
            (proposed, _) => proposed,
        }
    }

    /// A proposal of the view that this replica is about to enter waits for the NEW-VIEW (N9).
    fn keep_for_target(&mut self, message: &Arc<PrePrepare>, out: &mut Outbox) -> Result<(), Ignored> {
        let low = self.low();
        // One of several slots would be kept once for each: its batches are left to STATUS instead.
        if let (&Entries::One(slot, _), [batch]) = (&message.vote.body.entries, &message.batches[..]) {
            let is_timely = self.is_timely(batch.ts);
            if let Some(state) = self.log.get_mut(slot).filter(|state| low < state.slot) {
                state.early_proposal.get_or_insert_with(|| (message.clone(), is_timely));
            }
        }
        // The statement in it counts at once, for each of its slots (M9).
        self.on_vote(&message.vote, out)
    }

    fn on_proposal(
        &mut self,
        message: &Arc<PrePrepare>,
        entry: usize,
        is_timely: bool,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let Some((slot, digest)) = message.vote.body.entries.iter().nth(entry) else { return Err(Ignored::Unproven) };
        let batch = &message.batches[entry];
        if slot <= self.low() || self.log.end() < slot {
            return Err(Ignored::OutOfWindow);
        }
        // What the NEW-VIEW proposes is proposed once and for all; what is executed cannot change.
        let executed_otherwise = self.executed_digest(slot).is_some_and(|executed| executed != digest);
        if executed_otherwise
            || (slot <= self.new_view_end && self.log.get(slot).is_some_and(|state| state.proposal.is_none()))
        {
            return Err(Ignored::Settled);
        }
        let state = self.log.get_mut(slot).expect("inside the ring");
        let first = state.proposal.as_mut();
        if let Some(proposal) = first.filter(|first| first.digest == digest || !Mutant::VotesTwice.is_on()) {
            if proposal.digest != digest {
                return Err(Ignored::Conflict); // on_vote finds the evidence
            }
            let is_news = state.batch(digest).is_none() && digest != NULL_BATCH;
            if !is_news {
                return Err(Ignored::Duplicate);
            }
            state.keep_batch(batch);
            return self.try_accept(slot, out);
        }
        self.note_proposal();
        let state = self.log.get_mut(slot).expect("inside the ring");
        // Asked once, when the proposal first arrives; a re-proposal by a NEW-VIEW is never asked (D16).
        let standing = if is_timely { Standing::Waiting } else { Standing::Refused };
        let pre_prepare = (message.batches.len() == 1).then(|| message.clone());
        state.proposal = Some(Proposal { digest, pre_prepare, standing });
        state.keep_batch(batch);
        self.note_activity(slot);
        if !is_timely {
            return Err(Ignored::Untimely);
        }
        self.try_accept(slot, out)
    }

    fn is_timely(&self, ts: Instant) -> bool {
        let timeouts = &self.config.timeouts;
        Mutant::AlwaysTimely.is_on()
            || self.now - self.timers.timeout() - timeouts.precision <= ts
                && ts <= self.now + timeouts.precision + timeouts.message_delay
    }

    /// The digest of an executed slot that is still in the log.
    pub(super) fn executed_digest(&self, slot: Slot) -> Option<Digest> {
        if self.exec() < slot {
            return None;
        }
        self.log.get(slot)?.committed.as_ref().map(|certificate| certificate.claim.digest)
    }

    /// Votes for the proposal of a slot if nothing stands in the way any more; otherwise asks for what is missing.
    pub(super) fn try_accept(&mut self, slot: Slot, out: &mut Outbox) -> Result<(), Ignored> {
        if !self.may_vote() {
            return Err(Ignored::Stopped);
        }
        if self.has_left_view() {
            return Err(Ignored::ViewChanging);
        }
        if slot <= self.low() || self.log.high() < slot && !Mutant::NoHighWatermark.is_on() {
            return Err(Ignored::OutOfWindow);
        }
        let executed = self.executed_digest(slot);
        let (view, primary) = (self.view, self.chain.committee.primary(self.view));
        let state = self.log.get(slot).expect("inside the ring");
        let digest = match &state.proposal {
            Some(proposal) if proposal.standing == Standing::Waiting => proposal.digest,
            _ => return Err(Ignored::Duplicate),
        };
        let voted_otherwise = state.voted.is_some_and(|(at, said)| at == view && said != digest);
        if voted_otherwise && !Mutant::VotesTwice.is_on() || executed.is_some_and(|executed| executed != digest) {
            return Err(Ignored::Settled);
        }
        if !self.require_bodies(slot, digest, primary) && !Mutant::VotesBlind.is_on() {
            return Err(Ignored::Waiting);
        }
        let time = || self.log.get(slot).and_then(|state| state.batch(digest)).map(|batch| batch.ts);
        if Mutant::TimelyAgain.is_on() && time().is_some_and(|ts| !self.is_timely(ts)) {
            return Err(Ignored::Untimely);
        }
        self.record_bodies(slot, digest, out);
        let message = self.vote_for(slot, digest, out);
        self.send(Target::All, Message::Vote(message.clone()), out);
        self.count(slot, digest, &message, out)
    }

    /// Records this replica's PREPARE and takes the proposal as accepted.
    pub(super) fn vote_for(&mut self, slot: Slot, digest: Digest, out: &mut Outbox) -> Signed<Vote> {
        let view = self.view;
        let state = self.log.get_mut(slot).expect("inside the ring");
        assert!(
            state.voted.is_none_or(|(at, said)| at < view || (at == view && said == digest))
                || Mutant::VotesTwice.is_on(),
            "a second vote in {view} {slot}: {:?} then {digest:?}",
            state.voted
        );
        state.voted = Some((view, digest));
        state.proposal.as_mut().expect("only proposals are voted for").standing = Standing::Accepted;
        out.persist(Record::Voted(view, slot, digest));
        self.sign(Vote::one(Phase::Prepare, view, slot, digest), |vote| Statement::Vote(vote))
    }

    /// Whether the batch and all its vertices are held. Asks `source` for what is not, and then others (N6).
    pub(super) fn require_bodies(&mut self, slot: Slot, digest: Digest, source: ReplicaId) -> bool {
        if digest == NULL_BATCH {
            return true;
        }
        let now = self.now;
        let Some(state) = self.log.get_mut(slot) else { return false };
        let Some(batch) = state.batch(digest).cloned() else {
            state.want_batch(digest);
            self.waiting.insert(slot);
            self.fetches.want(FetchItem::Batch(slot, digest), source, Until::Found, now);
            return false;
        };
        self.fetches.take(&FetchItem::Batch(slot, digest));
        let mut complete = true;
        for id in &batch.vertices {
            if self.pool.contains(id) {
                self.pool.list(id, slot);
            } else {
                self.fetches.want(FetchItem::Vertex(*id), source, Until::Found, now);
                complete = false;
            }
        }
        if complete {
            self.waiting.remove(&slot);
        } else {
            self.waiting.insert(slot);
        }
        complete
    }

    /// Appends the records of a batch and its vertices, which are held, if they were not before.
    pub(super) fn record_bodies(&mut self, slot: Slot, digest: Digest, out: &mut Outbox) {
        if digest == NULL_BATCH || Mutant::VotesBlind.is_on() && self.waiting.contains(&slot) {
            return;
        }
        let is_open = self.exec() < slot;
        let state = self.log.get_mut(slot).expect("inside the ring");
        let batch = state.batch(digest).expect("held").clone();
        for id in &batch.vertices {
            if is_open {
                self.pool.set_open(id, Some(slot));
            }
            let held = self.pool.get_mut(id).expect("held");
            if !std::mem::replace(&mut held.recorded, true) {
                out.persist(Record::Vertex(held.vertex.clone()));
            }
        }
        if !state.recorded.contains(&digest) {
            state.recorded.push(digest);
            out.persist(Record::Batch(slot, batch));
        }
    }

    pub(super) fn on_vote(&mut self, vote: &Signed<Vote>, out: &mut Outbox) -> Result<(), Ignored> {
        let view = vote.body.view;
        let early = self.target == Some(view);
        if view != self.view && !early && !Mutant::VotesOfAnyView.is_on() {
            return Err(Ignored::WrongView);
        }
        // A replica that left its view can no longer become prepared in it; the slot may still be decided (N2).
        if self.has_left_view() && !early && vote.body.phase == Phase::Prepare {
            return Err(Ignored::ViewChanging);
        }
        if let Entries::One(slot, digest) = vote.body.entries {
            return self.on_vote_entry(slot, digest, vote, early, out);
        }
        let mut done = Err(Ignored::Duplicate);
        for (slot, digest) in vote.body.entries.iter() {
            done = best(done, self.on_vote_entry(slot, digest, vote, early, out));
        }
        done
    }

    fn on_vote_entry(
        &mut self,
        slot: Slot,
        digest: Digest,
        vote: &Signed<Vote>,
        early: bool,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        if slot <= self.low() || self.log.end() < slot {
            return Err(Ignored::OutOfWindow);
        }
        if early && Mutant::EarlyDropped.is_on() {
            return Err(Ignored::WrongView);
        }
        if early {
            let n = self.chain.committee.n();
            let state = self.log.get_mut(slot).expect("inside the ring");
            let votes = state.early.get_or_insert_default().phase_mut(vote.body.phase);
            return match votes.add(n, digest, vote) {
                Counted::New(_) => Ok(()),
                Counted::Duplicate => Err(Ignored::Duplicate),
                Counted::Conflict => {
                    let first = votes.vote_of(vote.signer).expect("counted before").clone();
                    self.accuse(Evidence::from_votes(&first, vote), out);
                    Err(Ignored::Conflict)
                }
            };
        }
        self.count(slot, digest, vote, out)
    }

    /// Counts a vote of the installed view, this replica's own or another's.
    pub(super) fn count(
        &mut self,
        slot: Slot,
        digest: Digest,
        vote: &Signed<Vote>,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        if Mutant::BannedUnheard.is_on() && self.ledger.standings().is_banned(vote.signer) {
            return Err(Ignored::Moot);
        }
        let (n, phase) = (self.chain.committee.n(), vote.body.phase);
        let state = self.log.get_mut(slot).expect("inside the ring");
        let certificate = match phase {
            Phase::Prepare => state.prepared.as_ref().filter(|prepared| prepared.claim.view == vote.body.view),
            Phase::Commit => state.committed.as_ref(),
        };
        if certificate.is_some_and(|certificate| certificate.claim.digest == digest) {
            return Err(Ignored::Duplicate); // late: the certificate holds without it
        }
        let ballot = state.ballot.phase_mut(phase);
        match ballot.add(n, digest, vote) {
            Counted::Duplicate => Err(Ignored::Duplicate),
            Counted::Conflict => {
                let first = ballot.vote_of(vote.signer).expect("counted before").clone();
                self.accuse(Evidence::from_votes(&first, vote), out);
                Err(Ignored::Conflict)
            }
            Counted::New(supporters) => {
                let is_quorum = self.chain.committee.is_quorum(supporters);
                self.note_activity(slot);
                self.check_left_out(vote, out);
                match phase {
                    Phase::Prepare if is_quorum || Mutant::PreparedByTooFew.is_on() => self.try_prepare(slot, out),
                    Phase::Commit if is_quorum || Mutant::DecidedByTooFew.is_on() => self.try_commit(slot, digest, out),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// Prepared: this replica voted for what a quorum prepares (N8).
    fn try_prepare(&mut self, slot: Slot, out: &mut Outbox) {
        let (view, committee) = (self.view, self.chain.committee);
        let is_active = self.is_active();
        let state = self.log.get(slot).expect("inside the ring");
        let Some(proposal) = state.proposal.as_ref().filter(|proposal| proposal.standing == Standing::Accepted) else {
            return;
        };
        let digest = proposal.digest;
        let already = state.prepared.as_ref().is_some_and(|prepared| prepared.claim.view == view);
        if already || !is_active || slot <= self.low() {
            return;
        }
        let claim = Claim { slot, view, digest };
        if let Some(certificate) = state.ballot.prepares.certificate(committee, Phase::Prepare, claim) {
            self.become_prepared(&Arc::new(certificate), out);
        }
    }

    /// A certificate from elsewhere counts as a whole, even if a signer's first vote counted here was another (M12).
    pub(super) fn try_prepare_with(&mut self, certificate: &Arc<Certificate>, out: &mut Outbox) -> bool {
        let Claim { slot, view, digest } = certificate.claim;
        let is_active = self.is_active() && view == self.view && self.low() < slot;
        let Some(state) = self.log.get(slot).filter(|_| is_active) else { return false };
        let is_accepted = state
            .proposal
            .as_ref()
            .is_some_and(|proposal| proposal.standing == Standing::Accepted && proposal.digest == digest);
        let already = state.prepared.as_ref().is_some_and(|prepared| prepared.claim.view == view);
        if is_accepted && !already {
            self.become_prepared(certificate, out);
        }
        is_accepted
    }

    fn become_prepared(&mut self, certificate: &Arc<Certificate>, out: &mut Outbox) {
        let Claim { slot, view, digest } = certificate.claim;
        let state = self.log.get_mut(slot).expect("inside the ring");
        assert_eq!(state.voted, Some((view, digest)), "an accepted proposal was voted for");
        state.prepared = Some(certificate.clone());
        out.persist(Record::Prepared(certificate.clone()));
        let vote = self.sign(Vote::one(Phase::Commit, view, slot, digest), |vote| Statement::Vote(vote));
        self.send(Target::All, Message::Vote(vote.clone()), out);
        let _ = self.count(slot, digest, &vote, out);
    }

    pub(super) fn try_commit(&mut self, slot: Slot, digest: Digest, out: &mut Outbox) {
        let claim = Claim { slot, view: self.view, digest };
        let state = self.log.get(slot).expect("inside the ring");
        if let Some(certificate) = state.ballot.commits.certificate(self.chain.committee, Phase::Commit, claim) {
            let _ = self.decide(&Arc::new(certificate), out);
        }
    }

    /// A slot is decided: by the votes counted here, or by a certificate from anyone, of any view (N11).
    pub(super) fn decide(&mut self, certificate: &Arc<Certificate>, out: &mut Outbox) -> Result<(), Ignored> {
        let Claim { slot, view, digest } = certificate.claim;
        if self.left_out_by_new_view(slot, view, digest) {
            let bodies = self.new_view.as_ref().map_or(Vec::new(), |new_view| new_view.view_changes.clone());
            self.accuse_all(forensics::hid_a_commit(certificate, &bodies), out);
            out.persist(Record::Committed(certificate.clone()));
            self.halt(Halt::ContradictingNewView(slot), out);
            return Err(Ignored::Stopped);
        }
        let Some(state) = self.log.get_mut(slot) else { return Err(Ignored::OutOfWindow) };
        if let Some(known) = &state.committed {
            if known.claim.digest == digest {
                return Err(Ignored::Duplicate);
            }
            let culprits = forensics::decided_twice(known, certificate, &self.new_view);
            self.accuse_all(culprits, out);
            out.persist(Record::Committed(certificate.clone()));
            self.halt(Halt::ContradictingCommits(slot), out);
            return Err(Ignored::Stopped);
        }
        state.committed = Some(certificate.clone());
        out.persist(Record::Committed(certificate.clone()));
        self.note_activity(slot);
        if self.exec().next() < slot {
            // Bodies of later slots are asked for at once and not slot by slot.
            self.require_bodies(slot, digest, pick(certificate.votes(), slot).signer);
        }
        self.try_execute(out);
        Ok(())
    }

    /// Whether the NEW-VIEW of the installed view contradicts a decision of an earlier view. It may contradict one
    /// of its own or a later view: then it is late, or its primary signed two (N12, V22).
    fn left_out_by_new_view(&self, slot: Slot, view: View, digest: Digest) -> bool {
        let Some(new_view) = &self.new_view else { return false };
        let body = &new_view.signed.body;
        if body.view <= view || slot <= body.stable {
            return false;
        }
        body.proposals.iter().find(|(at, _)| *at == slot).is_none_or(|(_, proposed)| *proposed != digest)
    }
}

/// Of two outcomes the one that says more: that something changed, or else a reason other than repetition.
pub(super) fn best(a: Result<(), Ignored>, b: Result<(), Ignored>) -> Result<(), Ignored> {
    match (a, b) {
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        (Err(Ignored::Duplicate), reason) => reason,
        (reason, _) => reason,
    }
}
