//! Leaving a view. Read PBFT 4.4 first (`docs/protocol.md` V1 to V10, V23).
//!
//! - Upon `T_req`, `T_vc`, a guilty NEW-VIEW, or VIEW-CHANGEs of a weak quorum for higher views: record and send a
//!   VIEW-CHANGE with what was prepared and voted for. From then on no vote of a lower view leaves this replica.
//! - The VIEW-CHANGE for one target is frozen, and sent again, unchanged, until a NEW-VIEW is installed.
//!
//! **Deviations.** Claims travel without their certificates, which go to the new primary alone; and the body carries
//! every vote, not only what was prepared.

use super::Replica;
use super::essence::ViewChangeEssence;
use crate::batch::HashedBatch;
use crate::certificate::{Certificate, CertificateSet, Claim};
use crate::checkpoint::CheckpointCertificate;
use crate::choice::is_well_formed;
use crate::committee::singleton;
use crate::evidence::Evidence;
use crate::hash::Digest;
use crate::input::Ignored;
use crate::message::{FetchItem, Message, Signed, ViewChange, ViewChangeMessage};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target};
use crate::record::Record;
use crate::signature::Statement;
use crate::time::Instant;
use crate::types::{ReplicaId, Slot, View};
use crate::vertex::VertexId;
use crate::vote::Vote;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What this replica knows of others that leave their views.
#[derive(Debug)]
pub(super) struct ViewChangeState {
    /// By sender, the VIEW-CHANGE for the highest view, and the one for this replica's target if it is another.
    highest: Vec<Option<Arc<Signed<ViewChange>>>>,
    for_target: Vec<Option<Arc<Signed<ViewChange>>>>,
    /// This replica's own for its target, frozen.
    pub(super) own: Option<Arc<ViewChangeMessage>>,
    /// When the own one is sent again.
    pub(super) retransmit_at: Option<Instant>,
    /// By sender, the last message with proof for a view whose primary this replica is.
    proofs: Vec<Option<Arc<ViewChangeMessage>>>,
    /// Proof of the low watermarks that VIEW-CHANGEs for the target name, at its primary: also of those that this
    /// replica's own has passed.
    pub(super) stables: BTreeMap<Slot, Arc<CheckpointCertificate>>,
    /// Proof of claims, at the primary of the target.
    pub(super) certificates: BTreeMap<Claim, Arc<Certificate>>,
    /// Batches of claims: those of the own one, and at the primary of the target everybody's.
    pub(super) batches: BTreeMap<Digest, Arc<HashedBatch>>,
    /// Batches that were asked for.
    pub(super) wanted: Vec<Digest>,
}

/// How far above the installed view a VIEW-CHANGE may reach (V23).
const MAX_VIEW_DISTANCE: u64 = 1 << 32;

impl ViewChangeState {
    pub(super) fn new(n: u16) -> Self {
        let none = || vec![None; usize::from(n)];
        Self {
            highest: none(),
            for_target: none(),
            proofs: vec![None; usize::from(n)],
            own: None,
            retransmit_at: None,
            stables: BTreeMap::new(),
            certificates: BTreeMap::new(),
            batches: BTreeMap::new(),
            wanted: Vec::new(),
        }
    }

    /// The VIEW-CHANGEs for exactly `view`, ascending by signer.
    pub(super) fn for_view(&self, view: View) -> Vec<Arc<Signed<ViewChange>>> {
        let of = |(highest, target): (&Option<Arc<_>>, &Option<Arc<_>>)| {
            let both = [highest, target].into_iter().flatten();
            both.into_iter().find(|held: &&Arc<Signed<ViewChange>>| held.body.view == view).cloned()
        };
        self.highest.iter().zip(&self.for_target).filter_map(of).collect()
    }

    fn of(&self, signer: ReplicaId) -> impl Iterator<Item = &Arc<Signed<ViewChange>>> {
        let at = signer.index();
        [&self.highest[at], &self.for_target[at]].into_iter().flatten()
    }

    /// The one for the highest view held of a sender.
    pub(super) fn newest_of(&self, signer: ReplicaId) -> Option<&Arc<Signed<ViewChange>>> {
        self.highest[signer.index()].as_ref()
    }

    fn insert(&mut self, message: &Arc<Signed<ViewChange>>, target: Option<View>) {
        let at = message.signer.index();
        if Some(message.body.view) == target {
            self.for_target[at] = Some(message.clone());
        }
        if self.highest[at].as_ref().is_none_or(|held| held.body.view < message.body.view) {
            self.highest[at] = Some(message.clone());
        }
    }

    fn retarget(&mut self, target: View) {
        for (held, highest) in self.for_target.iter_mut().zip(&self.highest) {
            *held = highest.clone().filter(|highest| highest.body.view == target);
        }
        self.stables.clear();
        self.certificates.clear();
        self.batches.clear();
        self.wanted.clear();
        self.take_proofs(target);
    }

    /// The proof that came with VIEW-CHANGEs for a view counts from now on.
    fn take_proofs(&mut self, view: View) {
        for kept in &mut self.proofs {
            let Some(message) = kept.take_if(|kept| kept.signed.body.view <= view) else { continue };
            if message.signed.body.view == view {
                let claims = message.certificates.0.iter().map(|certificate| (certificate.claim, certificate.clone()));
                self.certificates.extend(claims);
                self.stables.extend(message.stable.iter().map(|proof| (proof.vote.slot, proof.clone())));
            }
        }
    }

    /// A view was installed: what was for it or for lower ones is done with. Returns the batches of its claims.
    pub(super) fn enter_view(&mut self, view: View) -> BTreeMap<Digest, Arc<HashedBatch>> {
        for held in self.highest.iter_mut().chain(&mut self.for_target) {
            *held = held.take().filter(|held| view < held.body.view);
        }
        for kept in &mut self.proofs {
            *kept = kept.take().filter(|kept| view < kept.signed.body.view);
        }
        self.own = None;
        self.retransmit_at = None;
        self.stables.clear();
        self.certificates.clear();
        self.wanted.clear();
        std::mem::take(&mut self.batches)
    }

    /// Whether a vertex is in a batch that some claim is about.
    pub(super) fn needs_vertex(&self, id: &VertexId) -> bool {
        self.batches.values().any(|batch| batch.vertices.contains(id))
    }

    /// The slot above which the claims of the frozen VIEW-CHANGE need their bodies.
    pub(super) fn oldest_needed_slot(&self) -> Option<Slot> {
        self.own.as_ref().map(|own| own.signed.body.stable)
    }

    /// What is held, with the claims of those VIEW-CHANGEs that this replica may have to choose from.
    pub(super) fn essence(&self, is_primary: impl Fn(View) -> bool) -> ViewChangeEssence {
        let heard = |signed: &Signed<ViewChange>| {
            let body = &signed.body;
            (body.view, is_primary(body.view).then(|| (body.stable, body.prepared.clone())))
        };
        let of = |held: &Option<Arc<Signed<ViewChange>>>| held.as_deref().map(heard);
        let proof = |kept: &Arc<ViewChangeMessage>| {
            let claims = kept.certificates.0.iter().map(|certificate| certificate.claim);
            (kept.signed.signer, kept.signed.body.view, claims.collect())
        };
        ViewChangeEssence {
            heard: self
                .highest
                .iter()
                .zip(&self.for_target)
                .map(|(highest, target)| [of(highest), of(target)])
                .collect(),
            own: self.own.as_ref().map(|own| heard(&own.signed)),
            proofs: self.proofs.iter().flatten().map(proof).collect(),
            certificates: self.certificates.keys().copied().collect(),
            stables: self.stables.keys().copied().collect(),
            batches: self.batches.keys().copied().collect(),
            wanted: self.wanted.clone(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.highest.iter().chain(&self.for_target).flatten().count()
    }
}

impl Replica {
    /// Leaves the installed view, or the target that did not come about, for a higher one.
    pub(super) fn start_view_change(&mut self, target: View, out: &mut Outbox) {
        if self.may_vote() {
            if !Mutant::NeverDoubles.is_on() {
                self.timers.double();
            }
            self.leave_for(self.next_unbanned(target), out);
        }
    }

    /// Leaves for a view that this replica has not been in yet.
    pub(super) fn leave_for(&mut self, target: View, out: &mut Outbox) {
        assert!(self.view.max(self.target.unwrap_or_default()) < target, "a target only rises: {target}");
        self.target = Some(target);
        self.timers.leave_view();
        self.change.retarget(target);
        for state in self.log.all_mut() {
            state.early = None;
            state.early_proposal = None;
        }
        let message = Arc::new(self.view_change_for(target));
        self.freeze(&message);
        self.forget_waiting();
        self.fetches.retain(|item| !matches!(item, FetchItem::Certificate(..) | FetchItem::StableCheckpoint(_)));
        self.keep_fetches();
        out.persist(Record::ViewChangeSent(message.clone()));
        self.change.retransmit_at =
            Some(self.now + self.config.timeouts.retransmit).filter(|_| !Mutant::SentOnce.is_on());
        let primary = self.chain.committee.primary(target);
        if primary != self.config.id {
            self.send(Target::One(primary), Message::ViewChange(message.clone()), out);
        }
        self.send_own_view_change(out);
        self.change.insert(&message.signed, self.target);
        self.check_view_changes(out);
    }

    /// The claims of this replica (V2, V3).
    pub(super) fn view_change_for(&self, target: View) -> ViewChangeMessage {
        let is_claimed = |held: &Arc<Certificate>| {
            !Mutant::PreparedHidden.is_on() && (held.claim.view == self.view || !Mutant::LastViewOnly.is_on())
        };
        let certificates: Vec<_> =
            self.log.window().filter_map(|state| state.prepared.clone().filter(is_claimed)).collect();
        let voted = self
            .log
            .window()
            .filter(|state| state.prepared.is_some() || !Mutant::VotesHidden.is_on())
            .filter_map(|state| state.voted.map(|(view, digest)| Claim { slot: state.slot, view, digest }));
        let body = ViewChange {
            view: target,
            stable: self.low(),
            state: self.low_state(),
            prepared: certificates.iter().map(|certificate| certificate.claim).collect(),
            voted: voted.collect(),
        };
        assert!(is_well_formed(&body, &self.chain), "an honest replica's claims are well-formed: {body:?}");
        let signed = Arc::new(self.sign(body, |body| Statement::ViewChange(body)));
        ViewChangeMessage { signed, stable: self.stable.clone(), certificates: CertificateSet(certificates) }
    }

    /// Keeps the own VIEW-CHANGE, and what it claims, until a view is installed (V5, C7).
    pub(super) fn freeze(&mut self, message: &Arc<ViewChangeMessage>) {
        for certificate in &message.certificates.0 {
            let claim = certificate.claim;
            self.change.certificates.insert(claim, certificate.clone());
            if let Some(batch) = self.log.get(claim.slot).and_then(|state| state.batch(claim.digest)) {
                self.change.batches.insert(claim.digest, batch.clone());
            }
        }
        self.change.own = Some(message.clone());
    }

    /// The signed body alone, to all; its certificates went to the new primary, others ask for them.
    pub(super) fn send_own_view_change(&self, out: &mut Outbox) {
        if let Some(own) = self.own_view_change() {
            self.send(Target::All, Message::ViewChange(own), out);
        }
    }

    /// The own VIEW-CHANGE without its attachments, while this replica is changing views.
    pub(super) fn own_view_change(&self) -> Option<Arc<ViewChangeMessage>> {
        self.change.own.as_deref().map(bare)
    }

    /// After a restart the own VIEW-CHANGE counts among those held, as it did before.
    pub(super) fn restore_own_view_change(&mut self, out: &mut Outbox) {
        if let Some(own) = self.change.own.clone() {
            self.change.insert(&own.signed, self.target);
            self.check_view_changes(out);
        }
    }

    pub(super) fn on_view_change(&mut self, message: &Arc<ViewChangeMessage>, out: &mut Outbox) -> Result<(), Ignored> {
        let signed = &message.signed;
        if let Some(stable) = &message.stable {
            let _ = self.on_stable_checkpoint(stable, out);
        }
        let view = signed.body.view;
        if view <= self.view || self.is_too_far(view) {
            return Err(Ignored::WrongView);
        }
        if !is_well_formed(&signed.body, &self.chain) && !Mutant::IllFormed.is_on() {
            self.accuse(Evidence::from_view_change(&self.chain, signed), out);
            return Err(Ignored::Unproven);
        }
        let first = self.change.of(signed.signer).find(|held| held.body.view == view).cloned();
        let rival = first.as_ref().filter(|first| first.body != signed.body);
        if let Some(first) = rival {
            self.accuse(Evidence::from_view_changes(first, signed), out);
            return Err(Ignored::Conflict);
        }
        self.keep_proof(message);
        if first.is_none() {
            self.change.insert(signed, self.target);
            self.check_votes_left_out(signed, out);
        }
        self.check_view_changes(out);
        if first.is_some() { Err(Ignored::Duplicate) } else { Ok(()) }
    }

    /// Whether a view is too far above the installed one (V23).
    pub(super) fn is_too_far(&self, view: View) -> bool {
        self.view.0.saturating_add(MAX_VIEW_DISTANCE) < view.0 && !Mutant::NoViewBound.is_on()
    }

    /// The primary of a view collects the proof of everybody's claims, also before it wants that view itself.
    fn keep_proof(&mut self, message: &Arc<ViewChangeMessage>) {
        let (view, sender) = (message.signed.body.view, message.signed.signer);
        if message.certificates.0.is_empty() && message.stable.is_none()
            || self.chain.committee.primary(view) != self.config.id
        {
            return;
        }
        let kept = &mut self.change.proofs[sender.index()];
        if kept.as_ref().is_none_or(|kept| kept.signed.body.view < view) {
            *kept = Some(message.clone());
        }
        if self.target == Some(view) {
            self.change.take_proofs(view);
        }
    }

    /// What the VIEW-CHANGEs held allow: to join (V8), to start `T_vc` (T8), to form the new view (V11).
    fn check_view_changes(&mut self, out: &mut Outbox) {
        let own_target = self.target.unwrap_or(self.view);
        let others = self.change.highest.iter().flatten().filter(|held| held.signer != self.config.id);
        let mut higher: Vec<View> = others.map(|held| held.body.view).filter(|view| own_target < *view).collect();
        higher.sort_unstable_by(|a, b| b.cmp(a));
        let weak = usize::from(self.chain.committee.weak_quorum());
        let needed = if Mutant::JoinsAnybody.is_on() { 1 } else { weak };
        let join = higher.get(needed - 1).filter(|_| !Mutant::NeverJoins.is_on());
        if let Some(join) = if Mutant::JoinsHighest.is_on() { join.and(higher.first()) } else { join } {
            // The weak quorum's lowest view: at least one honest replica wants to be there or higher.
            return self.start_view_change(*join, out);
        }
        let Some(target) = self.target else { return };
        let supporters = self.change.highest.iter().flatten().filter(|held| target <= held.body.view);
        let supporters = supporters.fold(0, |set, held| set | singleton(held.signer));
        if self.chain.committee.is_quorum(supporters) {
            self.timers.start_view_change(self.now);
        }
        self.try_new_view(out);
    }

    /// A vote counted now may be one that its signer's VIEW-CHANGE leaves out (kinds E4, E5).
    pub(super) fn check_left_out(&mut self, vote: &Signed<Vote>, out: &mut Outbox) {
        if self.change.highest[vote.signer.index()].is_none() {
            return;
        }
        let held: Vec<_> = self.change.of(vote.signer).cloned().collect();
        for view_change in held {
            self.accuse(Evidence::from_left_out(vote, &view_change), out);
        }
    }

    /// Votes counted before may be left out by this VIEW-CHANGE.
    fn check_votes_left_out(&mut self, view_change: &Arc<Signed<ViewChange>>, out: &mut Outbox) {
        let signer = view_change.signer;
        let votes = |state: &crate::slots::SlotState| {
            [state.ballot.prepares.vote_of(signer).cloned(), state.ballot.commits.vote_of(signer).cloned()]
        };
        let votes: Vec<_> = self.log.window().flat_map(votes).flatten().collect();
        for vote in votes {
            self.accuse(Evidence::from_left_out(&vote, view_change), out);
        }
    }
}

/// The message without its attachments.
fn bare(message: &ViewChangeMessage) -> Arc<ViewChangeMessage> {
    let certificates = CertificateSet::default();
    Arc::new(ViewChangeMessage { signed: message.signed.clone(), stable: None, certificates })
}
