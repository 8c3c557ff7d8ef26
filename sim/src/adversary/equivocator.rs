//! As primary it proposes two batches for a slot, one to each half of the others, and votes for both.

use super::{Adversary, Stage, whole};
use crate::rules::set_or_all;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::message::{Message, PrePrepare};
use cretoai_core::outbox::{Envelope, Target};
use cretoai_core::time::Instant;
use cretoai_core::vote::Phase;
use std::sync::Arc;

/// Proposes two batches for some of its slots.
#[derive(Debug)]
pub(super) struct Equivocator {
    per_mille: u32,
    half: Option<ReplicaSet>,
}

impl Equivocator {
    pub(super) fn new(per_mille: u32, half: &[u16]) -> Self {
        Self { per_mille, half: (!half.is_empty()).then(|| set_or_all(half)) }
    }

    fn propose_both(&self, stage: &mut Stage<'_>, first: &Arc<PrePrepare>) {
        let second = Arc::new(stage.repropose(first, |batch| {
            batch.vertices.reverse();
            batch.ts = Instant(batch.ts.0 + 1);
        }));
        // Nobody takes a batch that lists a vertex twice (docs/protocol.md M10). Who does has it from here before others.
        if stage.rng.chance(125) {
            let repeats = stage.repropose(first, |batch| batch.vertices.extend(batch.vertices.first().copied()));
            stage.say(ReplicaSet::MAX, Message::PrePrepare(Arc::new(repeats)));
        }
        let half = self.half.unwrap_or_else(|| stage.some_others());
        for (to, proposal) in [(half, first), (!half, &second)] {
            stage.say(to, Message::PrePrepare(Arc::clone(proposal)));
            for (slot, digest) in proposal.vote.body.entries.iter() {
                let commit = stage.vote(Phase::Commit, proposal.vote.body.view, slot, digest);
                stage.say(to, commit);
            }
        }
    }
}

impl Adversary for Equivocator {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        match &envelope.message {
            Message::PrePrepare(first)
                if envelope.to == Target::All && first.vote.signer == stage.id && stage.rng.chance(self.per_mille) =>
            {
                self.propose_both(stage, first);
            }
            _ => stage.say(whole(envelope.to), envelope.message),
        }
    }
}
