//! Its NEW-VIEWs are wrong.

use super::{Adversary, Stage, whole};
use crate::plan::NewViewLie;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::certificate::{Certificate, CertificateSet, Claim};
use cretoai_core::choice::select;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, NewView, NewViewMessage, Signed, ViewChange};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vote::Vote;
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
        NewViewLie::LowestView => {
            let bodies = || old.view_changes.iter().flat_map(|signed| &signed.body.prepared);
            for (slot, digest) in &mut body.proposals {
                let lowest = bodies().filter(|claim| claim.slot == *slot).min_by_key(|claim| claim.view);
                *digest = lowest.map_or(*digest, |claim| claim.digest);
            }
        }
        NewViewLie::WrongStable => {
            body.stable = body.stable.plus(stage.chain.checkpoint_interval());
            let stable = body.stable;
            body.proposals.retain(|(slot, _)| stable < *slot);
        }
        NewViewLie::LowStable if Slot(0) < body.stable => {
            let interval = stage.chain.checkpoint_interval();
            body.stable = body.stable.minus(interval);
            let stable = body.stable;
            let nulls = (1..=interval).map(|distance| (stable.plus(distance), NULL_BATCH));
            body.proposals.splice(0..0, nulls);
        }
        NewViewLie::DuplicateSigner | NewViewLie::OtherView | NewViewLie::NonMember | NewViewLie::OtherChain => {
            return swap_body(stage, old, kind);
        }
        NewViewLie::Unproven => return unproven(stage, old),
        NewViewLie::MixedCertificate => return mix(stage, old),
        NewViewLie::NoCertificate => return NewViewMessage { certificates: CertificateSet::default(), ..old.clone() },
        NewViewLie::ThinCertificate => return thin(old),
        NewViewLie::OmitSlot
        | NewViewLie::ExtraSlot
        | NewViewLie::OtherDigest
        | NewViewLie::Nullify
        | NewViewLie::LowStable
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
            let signature = stage.elsewhere.in_another_chain(stage.id, Statement::ViewChange(&body));
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

/// It claims for itself what nobody can prove: a stable checkpoint, or a prepared batch.
fn unproven(stage: &mut Stage<'_>, old: &NewViewMessage) -> NewViewMessage {
    let mut new = old.clone();
    let own = new.view_changes.iter().position(|signed| signed.signer == stage.id).expect("a primary is in its V");
    let mut body = new.view_changes[own].body.clone();
    if stage.rng.chance(500) {
        body.stable = old.signed.body.stable.plus(stage.chain.checkpoint_interval());
        body.state = stage.some_digest();
        body.prepared.retain(|claim| body.stable < claim.slot);
        body.voted.retain(|claim| body.stable < claim.slot);
    } else {
        let slot = old.signed.body.stable.next();
        let claim = Claim { slot, view: View(body.view.0.saturating_sub(1)), digest: NULL_BATCH };
        for claims in [&mut body.prepared, &mut body.voted] {
            claims.retain(|known| slot < known.slot);
            claims.insert(0, claim);
        }
    }
    new.view_changes[own] = stage.view_change(body, None).signed;
    let Ok(selection) = select(new.view_changes.iter().map(|signed| &signed.body)) else { return new };
    let view_changes = new.view_changes.iter().map(|signed| signed.id()).collect();
    let (stable, proposals) = (selection.stable, selection.proposals);
    stage.new_view(NewView { view_changes, stable, proposals, ..old.signed.body.clone() }, &new)
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
