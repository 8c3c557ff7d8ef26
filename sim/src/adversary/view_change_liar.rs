//! Its VIEW-CHANGEs are wrong.

use super::{Adversary, Stage, whole};
use crate::plan::ViewChangeLie;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::certificate::{Certificate, Claim};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, Signed, ViewChange, ViewChangeMessage};
use cretoai_core::outbox::Envelope;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lies in its VIEW-CHANGEs. It says the same for as long as it wants the same view, as everybody must.
#[derive(Debug)]
pub(super) struct ViewChangeLiar {
    lie: ViewChangeLie,
    /// Whether it invents claims about NULL only.
    null: bool,
    said: Option<(View, ReplicaSet, [Arc<ViewChangeMessage>; 2])>,
    /// The PREPAREs that it heard, by what they are for: who has a quorum of them has a certificate.
    prepares: BTreeMap<(Slot, View, Digest), BTreeMap<ReplicaId, Signed<Vote>>>,
}

/// Batches whose PREPAREs it remembers, at the most.
const REMEMBERED: usize = 1024;

impl ViewChangeLiar {
    pub(super) fn new(lie: ViewChangeLie, null: bool) -> Self {
        Self { lie, null, said: None, prepares: BTreeMap::new() }
    }
}

impl Adversary for ViewChangeLiar {
    fn receives(&mut self, _stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        self.hear(message.get());
        u32::MAX
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        self.hear(&envelope.message);
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
    fn hear(&mut self, message: &Message) {
        let vote = match message {
            Message::Vote(vote) if vote.body.phase == Phase::Prepare => vote,
            Message::PrePrepare(message) => &message.vote,
            _ => return,
        };
        if self.lie != ViewChangeLie::BackDate {
            return;
        }
        for (slot, digest) in vote.body.entries.iter() {
            let heard = self.prepares.entry((slot, vote.body.view, digest)).or_default();
            heard.entry(vote.signer).or_insert_with(|| vote.clone());
        }
        while self.prepares.len() > REMEMBERED {
            self.prepares.pop_first();
        }
    }

    /// Every claim is replaced by the oldest one of its slot that can be proved.
    fn back_date(&self, stage: &Stage<'_>, mut body: ViewChange, old: &ViewChangeMessage) -> ViewChangeMessage {
        let quorum = usize::from(stage.committee().quorum());
        let mut certificates = old.certificates.clone();
        for claim in &mut body.prepared {
            let of_slot = self.prepares.range((claim.slot, View(0), Digest([0; 32]))..);
            let mut of_slot = of_slot.take_while(|((slot, ..), _)| *slot == claim.slot);
            let Some(((_, view, digest), votes)) = of_slot.find(|(_, votes)| quorum <= votes.len()) else {
                continue;
            };
            if *view < claim.view {
                *claim = Claim { slot: claim.slot, view: *view, digest: *digest };
                let votes = votes.values().take(quorum).cloned().collect();
                certificates.0.push(Arc::new(Certificate::from_votes(Phase::Prepare, *claim, votes)));
            }
        }
        let mut new = stage.view_change(body, Some(old));
        new.certificates = certificates;
        new
    }

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
                // NULL is the one batch that everybody holds.
                let digest = if self.null || stage.rng.chance(500) { NULL_BATCH } else { stage.some_digest() };
                let claim = Claim { slot: body.stable.next(), view: below, digest };
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
            ViewChangeLie::OmitSlot => {
                if let Some(claim) = body.prepared.pop() {
                    body.voted.retain(|voted| voted.slot != claim.slot);
                }
            }
            ViewChangeLie::BackDate => return self.back_date(stage, body, old),
            ViewChangeLie::OutOfWindow => {
                let slot = body.stable.plus(stage.chain.window() + 1);
                let claim = Claim { slot, view: below, digest: stage.some_digest() };
                // Of a vote nobody needs proof, so the form alone speaks against this one.
                if stage.rng.chance(500) {
                    body.voted.push(claim);
                } else {
                    insert(&mut body, claim);
                }
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
