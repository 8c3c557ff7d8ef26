//! It votes in both phases for everything that it hears of, and tells everybody what they want to hear.

use super::{Adversary, Stage, whole};
use cretoai_core::committee::singleton;
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeSet;

/// Gives everybody the votes that go with their own. To others it would say the opposite first, and first votes count.
#[derive(Debug, Default)]
pub(super) struct DoubleVoter {
    said: BTreeSet<(Slot, View, u64, ReplicaId)>,
}

/// What it remembers of what it said, at the most.
const REMEMBERED: usize = 4096;

impl DoubleVoter {
    fn echo(&mut self, stage: &mut Stage<'_>, to: ReplicaId, vote: &Vote) {
        for (slot, digest) in vote.entries.iter() {
            if to == stage.id || !self.said.insert((slot, vote.view, digest.short(), to)) {
                continue;
            }
            for phase in [Phase::Prepare, Phase::Commit] {
                let said = stage.vote(phase, vote.view, slot, digest);
                stage.say(singleton(to), said);
            }
        }
        while self.said.len() > REMEMBERED {
            self.said.pop_first();
        }
    }
}

impl Adversary for DoubleVoter {
    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        match message.get() {
            Message::Vote(vote) => self.echo(stage, vote.signer, &vote.body),
            Message::PrePrepare(message) => self.echo(stage, message.vote.signer, &message.vote.body),
            _ => {}
        }
        u32::MAX
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        if !matches!(envelope.message, Message::Vote(_)) {
            stage.say(whole(envelope.to), envelope.message);
        }
    }
}
