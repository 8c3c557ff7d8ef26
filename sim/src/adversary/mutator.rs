//! Small-scope mutations: one view or slot more or less, or another digest, differently to each receiver and signed
//! anew (after Winter et al., "ByzzFuzz").

use super::{Adversary, Stage, whole};
use crate::meta::Meta;
use crate::plan::Kind;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::committee::singleton;
use cretoai_core::message::{Message, PrePrepare, Status, ViewChange};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use cretoai_core::types::{Slot, View};
use cretoai_core::vote::{Entries, Phase, Vote};
use std::sync::Arc;

/// Changes some of what it sends.
#[derive(Debug)]
pub(super) struct Mutator {
    per_mille: u32,
    left: u32,
    kinds: Vec<Kind>,
}

impl Mutator {
    pub(super) fn new(per_mille: u32, limit: u32, kinds: &[Kind]) -> Self {
        Self { per_mille, left: if limit == 0 { u32::MAX } else { limit }, kinds: kinds.to_vec() }
    }
}

impl Adversary for Mutator {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let to = whole(envelope.to);
        let is_meant = self.kinds.is_empty() || self.kinds.contains(&Meta::of(&envelope.message).kind);
        let mut spared = to;
        for id in stage.committee().members().filter(|id| to & singleton(*id) != 0) {
            if !is_meant || self.left == 0 || !stage.rng.chance(self.per_mille) {
                continue;
            }
            if let Some(mutant) = mutate(stage, &envelope.message) {
                self.left -= 1;
                spared &= !singleton(id);
                stage.say(singleton(id), mutant);
            }
        }
        stage.say(spared, envelope.message);
    }
}

/// One more or one less.
fn step(stage: &mut Stage<'_>, number: u64) -> u64 {
    if stage.rng.chance(500) { number.saturating_add(1) } else { number.saturating_sub(1) }
}

/// A message a little different, if it is one that this replica signed.
pub(super) fn mutate(stage: &mut Stage<'_>, message: &Message) -> Option<Message> {
    match message {
        Message::Vote(vote) if vote.signer == stage.id => {
            let mutant = mutate_vote(stage, &vote.body);
            Some(Message::Vote(stage.signed_vote(mutant)))
        }
        Message::PrePrepare(old) if old.vote.signer == stage.id => Some(mutate_proposal(stage, old)),
        Message::Checkpoint(vote) if vote.signer == stage.id => {
            let interval = stage.chain.checkpoint_interval();
            let body = if stage.rng.chance(500) {
                CheckpointVote { state: stage.some_digest(), ..vote.body }
            } else {
                CheckpointVote { slot: vote.body.slot.plus(interval), ..vote.body }
            };
            Some(Message::Checkpoint(stage.sign(body, |body| Statement::Checkpoint(body))))
        }
        Message::ViewChange(old) if old.signed.signer == stage.id => {
            let body = mutate_view_change(stage, &old.signed.body);
            Some(Message::ViewChange(Arc::new(stage.view_change(body, Some(old)))))
        }
        Message::NewView(old) if old.signed.signer == stage.id => {
            let mut body = old.signed.body.clone();
            match stage.rng.below(3) {
                0 => body.view = View(step(stage, body.view.0)),
                1 => _ = body.proposals.pop(),
                _ => body.stable = Slot(step(stage, body.stable.0)),
            }
            Some(Message::NewView(Arc::new(stage.new_view(body, old))))
        }
        Message::Status(old) if old.signer == stage.id => {
            let mut body: Status = old.body.clone();
            match stage.rng.below(3) {
                0 => body.view = View(step(stage, body.view.0)),
                1 => body.executed = Slot(step(stage, body.executed.0)),
                _ => body.stable = Slot(step(stage, body.stable.0)),
            }
            Some(Message::Status(Arc::new(stage.sign(body, |body| Statement::Status(body)))))
        }
        _ => None,
    }
}

fn mutate_vote(stage: &mut Stage<'_>, vote: &Vote) -> Vote {
    let mut vote = vote.clone();
    let mut entries: Vec<_> = vote.entries.iter().collect();
    match stage.rng.below(4) {
        0 => vote.view = View(step(stage, vote.view.0)),
        1 => entries.iter_mut().for_each(|(slot, _)| *slot = Slot(step(stage, slot.0).max(1))),
        2 => entries.iter_mut().for_each(|(_, digest)| *digest = stage.some_digest()),
        _ => vote.phase = if vote.phase == Phase::Prepare { Phase::Commit } else { Phase::Prepare },
    }
    entries.dedup_by_key(|(slot, _)| *slot);
    vote.entries = Entries::new(&entries);
    vote
}

fn mutate_proposal(stage: &mut Stage<'_>, old: &PrePrepare) -> Message {
    let vote = &old.vote.body;
    let new = match stage.rng.below(3) {
        0 => {
            let vote = Vote { view: View(step(stage, vote.view.0)), ..vote.clone() };
            PrePrepare { vote: stage.signed_vote(vote), batches: old.batches.clone() }
        }
        1 => {
            let mut entries: Vec<_> = vote.entries.iter().collect();
            let up = stage.rng.chance(500);
            entries.iter_mut().for_each(|(slot, _)| *slot = if up { slot.next() } else { Slot(slot.0.max(2) - 1) });
            let vote = Vote { entries: Entries::new(&entries), ..vote.clone() };
            PrePrepare { vote: stage.signed_vote(vote), batches: old.batches.clone() }
        }
        _ => stage.repropose(old, |batch| batch.ts.0 += 1),
    };
    Message::PrePrepare(Arc::new(new))
}

fn mutate_view_change(stage: &mut Stage<'_>, old: &ViewChange) -> ViewChange {
    let mut body = old.clone();
    match stage.rng.below(5) {
        0 => body.view = View(step(stage, body.view.0).max(1)),
        1 => body.prepared.clear(),
        2 => _ = body.voted.pop(),
        3 => {
            if let Some(claim) = body.prepared.last_mut() {
                claim.view = View(step(stage, claim.view.0));
            }
        }
        _ => {
            let digest = stage.some_digest();
            if let Some(claim) = body.prepared.last_mut() {
                claim.digest = digest;
            }
        }
    }
    body
}
