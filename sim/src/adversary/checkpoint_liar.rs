//! Its CHECKPOINTs, and what it shows as proof of stable ones, are wrong.

use super::{Adversary, Stage, whole};
use crate::plan::CheckpointLie;
use cretoai_core::checkpoint::{CheckpointCertificate, CheckpointVote};
use cretoai_core::message::{Message, Signed};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use std::sync::Arc;

/// Lies about checkpoints.
#[derive(Debug)]
pub(super) struct CheckpointLiar {
    lie: CheckpointLie,
}

impl CheckpointLiar {
    pub(super) fn new(lie: CheckpointLie) -> Self {
        Self { lie }
    }
}

fn signed(stage: &Stage<'_>, body: CheckpointVote) -> Signed<CheckpointVote> {
    stage.sign(body, |body| Statement::Checkpoint(body))
}

/// What its own votes alone are to prove.
fn proof(stage: &mut Stage<'_>, honest: CheckpointVote, votes: usize) -> Message {
    let vote = CheckpointVote { slot: honest.slot.plus(stage.chain.checkpoint_interval()), state: stage.some_digest() };
    let votes = vec![signed(stage, vote); votes];
    Message::StableCheckpoint(Arc::new(CheckpointCertificate { vote, votes }))
}

impl Adversary for CheckpointLiar {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let to = whole(envelope.to);
        let honest = match &envelope.message {
            Message::Checkpoint(vote) if vote.signer == stage.id => vote.body,
            _ => return stage.say(to, envelope.message),
        };
        let other = CheckpointVote { state: stage.some_digest(), ..honest };
        match self.lie {
            CheckpointLie::OtherState => {
                let lied = Message::Checkpoint(signed(stage, other));
                stage.say(to, lied);
            }
            CheckpointLie::Two => {
                let half = stage.some_others();
                let lied = Message::Checkpoint(signed(stage, other));
                stage.say(to & half, lied);
                stage.say(to & !half, envelope.message);
            }
            CheckpointLie::Early => {
                let early = CheckpointVote { slot: honest.slot.plus(stage.chain.checkpoint_interval()), ..honest };
                let lied = Message::Checkpoint(signed(stage, early));
                stage.say(to, lied);
            }
            CheckpointLie::ThinProof => {
                let lied = proof(stage, honest, 1);
                stage.say(to, lied);
            }
            CheckpointLie::RepeatedProof => {
                let quorum = usize::from(stage.committee().quorum());
                let lied = proof(stage, honest, quorum);
                stage.say(to, lied);
            }
            CheckpointLie::Withhold => {}
        }
    }
}
