//! It votes in both phases for everything that it hears of.

use super::{Adversary, Stage};
use cretoai_core::message::Message;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeSet;

/// Votes for everything.
#[derive(Debug, Default)]
pub(super) struct DoubleVoter {
    said: BTreeSet<(Slot, View, u64)>,
}

/// What it remembers of what it said, at the most.
const REMEMBERED: usize = 1024;

impl DoubleVoter {
    fn echo(&mut self, stage: &mut Stage<'_>, vote: &Vote) {
        for (slot, digest) in vote.entries.iter() {
            if !self.said.insert((slot, vote.view, digest.short())) {
                continue;
            }
            for phase in [Phase::Prepare, Phase::Commit] {
                let said = stage.vote(phase, vote.view, slot, digest);
                stage.say(stage.others(), said);
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
            Message::Vote(vote) => self.echo(stage, &vote.body),
            Message::PrePrepare(message) => self.echo(stage, &message.vote.body),
            _ => {}
        }
        u32::MAX
    }
}
