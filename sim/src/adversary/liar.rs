//! Liars in the view change: VIEW-CHANGEs and NEW-VIEWs that are wrong.

use super::{Adversary, Stage, whole};
use crate::plan::{NewViewLie, ViewChangeLie};
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::certificate::{Certificate, CertificateSet, Claim};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, NewView, NewViewMessage, Signed, ViewChange, ViewChangeMessage};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vote::{Phase, Vote};
use std::sync::Arc;

/// Lies in its NEW-VIEWs.
#[derive(Debug)]
pub(super) struct NewViewLiar {
    lie: NewViewLie,
}

impl NewViewLiar {
    pub(super) fn new(lie: NewViewLie) -> Self {
        Self { lie }
    }
}

impl Adversary for NewViewLiar {
    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        if let Message::NewView(old) = message.get()
            && self.lie == NewViewLie::Usurp
            && old.signed.signer != stage.id
        {
            let usurped = stage.new_view(old.signed.body.clone(), old);
            stage.say(stage.others(), Message::NewView(Arc::new(usurped)));
        }
        u32::MAX
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let to = whole(envelope.to);
        let Message::NewView(old) = &envelope.message else { return stage.say(to, envelope.message) };
        let is_own = old.signed.signer == stage.id;
        match self.lie {
            NewViewLie::Usurp if !is_own => {}
            NewViewLie::Usurp => stage.say(to, envelope.message),
            _ if !is_own => stage.say(to, envelope.message),
            NewViewLie::Withhold => {}
            NewViewLie::Two => {
                let half = stage.some_others();
                let other = lie(stage, old, NewViewLie::ExtraSlot);
                stage.say(to & half, envelope.message);
                stage.say(to & !half, Message::NewView(Arc::new(other)));
            }
            kind => {
                let lied = lie(stage, old, kind);
                stage.say(to, Message::NewView(Arc::new(lied)));
            }
        }
    }
}

fn lie(stage: &mut Stage<'_>, old: &NewViewMessage, kind: NewViewLie) -> NewViewMessage {
    let mut body = old.signed.body.clone();
    match kind {
        NewViewLie::OmitSlot if !body.proposals.is_empty() => _ = body.proposals.pop(),
        NewViewLie::OtherDigest if !body.proposals.is_empty() => body.proposals[0].1 = stage.some_digest(),
        NewViewLie::Nullify if body.proposals.iter().any(|(_, digest)| *digest != NULL_BATCH) => {
            body.proposals.iter_mut().for_each(|(_, digest)| *digest = NULL_BATCH);
        }
        NewViewLie::WrongStable => body.stable = body.stable.plus(stage.chain.checkpoint_interval()),
        NewViewLie::DuplicateSigner | NewViewLie::OtherView | NewViewLie::NonMember | NewViewLie::OtherChain => {
            return swap_body(stage, old, kind);
        }
        NewViewLie::MixedCertificate => return mix(stage, old),
        NewViewLie::NoCertificate => return NewViewMessage { certificates: CertificateSet::default(), ..old.clone() },
        NewViewLie::ThinCertificate => return thin(old),
        NewViewLie::OmitSlot
        | NewViewLie::ExtraSlot
        | NewViewLie::OtherDigest
        | NewViewLie::Nullify
        | NewViewLie::Two
        | NewViewLie::Usurp
        | NewViewLie::Withhold => {
            let last = body.proposals.last().map_or(body.stable, |(slot, _)| *slot);
            body.proposals.push((last.next(), stage.some_digest()));
        }
    }
    stage.new_view(body, old)
}

/// One of the VIEW-CHANGEs is replaced: by a copy of another, or by one that is not of this view, chain or committee.
fn swap_body(stage: &Stage<'_>, old: &NewViewMessage, kind: NewViewLie) -> NewViewMessage {
    let mut new = old.clone();
    let own = new.view_changes.iter().position(|signed| signed.signer == stage.id).expect("a primary is in its V");
    let body = new.view_changes[own].body.clone();
    match kind {
        NewViewLie::DuplicateSigner => {
            new.view_changes.pop();
            new.view_changes.insert(0, Arc::clone(&old.view_changes[0]));
        }
        NewViewLie::NonMember => {
            new.view_changes.pop();
            let signer = ReplicaId(stage.committee().n());
            let stranger = Signed { signer, ..stage.sign(body, |body| Statement::ViewChange(body)) };
            new.view_changes.push(Arc::new(stranger));
        }
        NewViewLie::OtherChain => {
            let signature = stage.abroad.sign(Statement::ViewChange(&body));
            new.view_changes[own] = Arc::new(Signed { signer: stage.id, body, signature });
        }
        _ => {
            let body = ViewChange { view: body.view.next(), ..body };
            new.view_changes[own] = stage.view_change(body, None).signed;
        }
    }
    let ids: Vec<Digest> = new.view_changes.iter().map(|signed| signed.id()).collect();
    stage.new_view(NewView { view_changes: ids, ..old.signed.body.clone() }, &new)
}

/// Every certificate lacks a vote.
fn thin(old: &NewViewMessage) -> NewViewMessage {
    let thinner = |certificate: &Arc<Certificate>| {
        let votes = certificate.votes().iter().skip(1).cloned().collect();
        Arc::new(Certificate::from_votes(certificate.phase, certificate.claim, votes))
    };
    NewViewMessage { certificates: CertificateSet(old.certificates.0.iter().map(thinner).collect()), ..old.clone() }
}

/// In every certificate its own vote, or else the last one, is replaced by its vote of the view after.
fn mix(stage: &Stage<'_>, old: &NewViewMessage) -> NewViewMessage {
    let mixed = |certificate: &Arc<Certificate>| {
        let claim = certificate.claim;
        let other = stage.signed_vote(Vote::one(certificate.phase, claim.view.next(), claim.slot, claim.digest));
        let mut votes = certificate.votes().to_vec();
        let at = votes.iter().position(|vote| vote.signer == stage.id).unwrap_or(votes.len() - 1);
        votes[at] = other;
        Arc::new(Certificate::from_votes(certificate.phase, claim, votes))
    };
    NewViewMessage { certificates: CertificateSet(old.certificates.0.iter().map(mixed).collect()), ..old.clone() }
}

/// Lies in its VIEW-CHANGEs. It says the same for as long as it wants the same view, as everybody must.
#[derive(Debug)]
pub(super) struct ViewChangeLiar {
    lie: ViewChangeLie,
    said: Option<(View, ReplicaSet, [Arc<ViewChangeMessage>; 2])>,
}

impl ViewChangeLiar {
    pub(super) fn new(lie: ViewChangeLie) -> Self {
        Self { lie, said: None }
    }
}

impl Adversary for ViewChangeLiar {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let to = whole(envelope.to);
        let Message::ViewChange(old) = &envelope.message else { return stage.say(to, envelope.message) };
        if old.signed.signer != stage.id {
            return stage.say(to, envelope.message);
        }
        let view = old.signed.body.view;
        if self.said.as_ref().is_none_or(|(said, ..)| *said != view) {
            let lied = Arc::new(self.lie(stage, old));
            let other = if self.lie == ViewChangeLie::Two { Arc::clone(old) } else { Arc::clone(&lied) };
            self.said = Some((view, stage.some_others(), [lied, other]));
        }
        let Some((_, half, [one, other])) = &self.said else { return };
        stage.say(to & half, Message::ViewChange(Arc::clone(one)));
        stage.say(to & !half, Message::ViewChange(Arc::clone(other)));
    }
}

impl ViewChangeLiar {
    /// What is to prove a claim that it invented.
    fn invented_votes(&self, stage: &Stage<'_>, claim: Claim) -> Option<Vec<Signed<Vote>>> {
        let own = stage.signed_vote(Vote::one(Phase::Prepare, claim.view, claim.slot, claim.digest));
        let quorum = usize::from(stage.committee().quorum());
        match self.lie {
            ViewChangeLie::InventThin => Some(vec![own]),
            ViewChangeLie::InventRepeated => Some(vec![own; quorum]),
            ViewChangeLie::InventForged => {
                let members = stage.committee().members().take(quorum);
                Some(members.map(|signer| Signed { signer, ..own.clone() }).collect())
            }
            _ => None,
        }
    }

    fn lie(&self, stage: &mut Stage<'_>, old: &ViewChangeMessage) -> ViewChangeMessage {
        let mut body = old.signed.body.clone();
        let interval = stage.chain.checkpoint_interval();
        let below = View(body.view.0.saturating_sub(1));
        match self.lie {
            ViewChangeLie::Invent
            | ViewChangeLie::InventThin
            | ViewChangeLie::InventRepeated
            | ViewChangeLie::InventForged
            | ViewChangeLie::Two => {
                let claim = Claim { slot: body.stable.next(), view: below, digest: stage.some_digest() };
                insert(&mut body, claim);
                let mut new = stage.view_change(body, Some(old));
                if let Some(votes) = self.invented_votes(stage, claim) {
                    new.certificates.0.push(Arc::new(Certificate::from_votes(Phase::Prepare, claim, votes)));
                }
                return new;
            }
            ViewChangeLie::Forget => {
                body.prepared.clear();
                body.voted.clear();
            }
            ViewChangeLie::OutOfWindow => {
                let slot = body.stable.plus(stage.chain.window() + 1);
                let claim = Claim { slot, view: below, digest: stage.some_digest() };
                insert(&mut body, claim);
            }
            ViewChangeLie::FutureView => {
                let claim = Claim { slot: body.stable.next(), view: body.view, digest: stage.some_digest() };
                insert(&mut body, claim);
            }
            ViewChangeLie::OldStable => {
                body.stable = Slot(body.stable.0.saturating_sub(interval));
                if body.stable == Slot(0) {
                    body.state = stage.chain.id;
                }
                let end = body.stable.plus(stage.chain.window());
                body.prepared.retain(|claim| claim.slot <= end);
                body.voted.retain(|claim| claim.slot <= end);
            }
            ViewChangeLie::FutureStable => {
                body.stable = body.stable.plus(interval);
                body.state = stage.some_digest();
                let stable = body.stable;
                body.prepared.retain(|claim| stable < claim.slot);
                body.voted.retain(|claim| stable < claim.slot);
            }
        }
        stage.view_change(body, Some(old))
    }
}

/// Adds a claim to both lists, in its place.
fn insert(body: &mut ViewChange, claim: Claim) {
    for claims in [&mut body.prepared, &mut body.voted] {
        claims.retain(|known| known.slot != claim.slot);
        claims.push(claim);
        claims.sort_by_key(|claim| claim.slot);
    }
}
