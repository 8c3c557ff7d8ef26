//! What others said, said again: later, to anyone, after restarts, and as if it were about another view, slot or phase,
//! or had been said in this chain and epoch and not in others.

use super::craft::later;
use super::{Adversary, Stage};
use crate::plan::Origin;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::committee::singleton;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, NewView, NewViewMessage, Signed, ViewChange, ViewChangeMessage};
use cretoai_core::signature::{Signature, Statement};
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;
use cretoai_core::vote::{Entries, Phase, Vote};
use std::sync::Arc;

/// Says again what it received.
#[derive(Debug)]
pub(super) struct Replayer {
    per_mille: u32,
    delay: u64,
    memory: usize,
    /// Where the words are from that it says elsewhere.
    origins: Vec<Origin>,
    /// Messages of any time, in no order.
    remembered: Vec<Message>,
}

impl Replayer {
    pub(super) fn new(per_mille: u32, delay_us: u64, memory: u32, moved: &[Origin]) -> Self {
        let memory = usize::try_from(memory).expect("not that much");
        let origins = if moved.is_empty() { &ORIGINS } else { moved }.to_vec();
        Self { per_mille, delay: delay_us.saturating_mul(1000), memory, origins, remembered: Vec::new() }
    }

    /// Says something of long ago to somebody, who may have said it himself, and remembers what it just heard.
    fn reminisce(&mut self, stage: &mut Stage<'_>, message: &Message) {
        if self.remembered.len() < self.memory {
            self.remembered.push(message.clone());
            return;
        }
        let to = singleton(ReplicaId(u16::try_from(stage.rng.below(stage.committee().n().into())).expect("below n")));
        let at = stage.rng.index(self.memory);
        let old = std::mem::replace(&mut self.remembered[at], message.clone());
        stage.say(to, old);
    }
}

impl Adversary for Replayer {
    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        let message = message.get();
        if stage.rng.chance(self.per_mille) {
            let (to, delay) = (stage.some_others(), stage.rng.below(self.delay + 1));
            stage.say_later(to, delay, message.clone());
            let origin = *stage.rng.pick(&self.origins);
            if let Some(moved) = moved(stage, message, origin) {
                stage.say(to, moved);
            }
            if self.memory > 0 {
                self.reminisce(stage, message);
            }
        }
        u32::MAX
    }
}

/// All places that words can be from.
const ORIGINS: [Origin; 5] = [Origin::View, Origin::Slot, Origin::Phase, Origin::Chain, Origin::Epoch];

/// The words of one place in another, with the signature that they had where they are from.
fn moved(stage: &mut Stage<'_>, message: &Message, origin: Origin) -> Option<Message> {
    match message {
        Message::Vote(old) => Some(Message::Vote(vote(stage, old, origin))),
        Message::Checkpoint(old) => Some(Message::Checkpoint(checkpoint(stage, old, origin)?)),
        Message::ViewChange(old) if matches!(origin, Origin::View) => {
            let body = ViewChange { view: later(old.signed.body.view), ..old.signed.body.clone() };
            let signed = Arc::new(Signed { body, ..Signed::clone(&old.signed) });
            Some(Message::ViewChange(Arc::new(ViewChangeMessage { signed, ..ViewChangeMessage::clone(old) })))
        }
        Message::NewView(old) if matches!(origin, Origin::View) => {
            let body = NewView { view: later(old.signed.body.view), ..old.signed.body.clone() };
            let signed = Signed { body, ..old.signed.clone() };
            Some(Message::NewView(Arc::new(NewViewMessage { signed, ..NewViewMessage::clone(old) })))
        }
        _ => None,
    }
}

/// What was decided elsewhere.
const ELSEWHERE: Digest = Digest([0xee; 32]);

fn vote(stage: &Stage<'_>, old: &Signed<Vote>, origin: Origin) -> Signed<Vote> {
    let mut body = old.body.clone();
    match origin {
        Origin::View => body.view = later(body.view),
        Origin::Slot => {
            let next: Vec<_> = body.entries.iter().map(|(slot, digest)| (slot.next(), digest)).collect();
            body.entries = Entries::new(&next);
        }
        Origin::Phase => {
            body.phase = if body.phase == Phase::Prepare { Phase::Commit } else { Phase::Prepare };
        }
        Origin::Chain | Origin::Epoch => {
            let other: Vec<_> = body.entries.iter().map(|(slot, _)| (slot, ELSEWHERE)).collect();
            body.entries = Entries::new(&other);
        }
    }
    let signature = signature(stage, old, origin, Statement::Vote(&body));
    Signed { signer: old.signer, body, signature }
}

fn checkpoint(stage: &Stage<'_>, old: &Signed<CheckpointVote>, origin: Origin) -> Option<Signed<CheckpointVote>> {
    let body = match origin {
        Origin::Slot => CheckpointVote { slot: old.body.slot.plus(stage.chain.checkpoint_interval()), ..old.body },
        Origin::Chain | Origin::Epoch => CheckpointVote { state: ELSEWHERE, ..old.body },
        Origin::View | Origin::Phase => return None,
    };
    let signature = signature(stage, old, origin, Statement::Checkpoint(&body));
    Some(Signed { signer: old.signer, body, signature })
}

/// What was signed where the words are from: in this run the old statement, and elsewhere the one that it says here.
fn signature<T>(stage: &Stage<'_>, old: &Signed<T>, origin: Origin, said: Statement<'_>) -> Signature {
    match origin {
        Origin::Chain => stage.elsewhere.in_another_chain(old.signer, said),
        Origin::Epoch => stage.elsewhere.in_the_next_epoch(old.signer, said),
        Origin::View | Origin::Slot | Origin::Phase => old.signature.clone(),
    }
}
