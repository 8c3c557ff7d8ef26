//! Its proposals claim another time.

use super::{Adversary, Stage, whole};
use cretoai_core::batch::HashedBatch;
use cretoai_core::message::{Data, FetchItem, Message, PrePrepare};
use cretoai_core::outbox::Envelope;
use cretoai_core::time::Instant;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;
use std::collections::VecDeque;
use std::sync::Arc;

/// Proposes with another time.
#[derive(Debug)]
pub(super) struct TimeLiar {
    offset_ns: Option<i64>,
    always: Option<Instant>,
    hidden: bool,
    /// The last batches that it voted for and did not show.
    kept: VecDeque<Arc<HashedBatch>>,
}

/// How many batches it keeps for those who ask.
const KEPT: usize = 64;

impl TimeLiar {
    pub(super) fn new(offset_us: Option<i64>, hidden: bool) -> Self {
        Self { offset_ns: offset_us.map(|us| us.saturating_mul(1000)), always: None, hidden, kept: VecDeque::new() }
    }

    fn propose(&mut self, stage: &Stage<'_>, old: &PrePrepare) -> PrePrepare {
        let always = *self.always.get_or_insert(stage.time);
        let offset = self.offset_ns;
        let new = stage.repropose(old, |batch| {
            batch.ts = offset.map_or(always, |offset| Instant(batch.ts.0.saturating_add_signed(offset)));
        });
        if !self.hidden {
            return new;
        }
        self.kept.extend(new.batches);
        self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        PrePrepare { vote: new.vote, batches: old.batches.clone() }
    }
}

impl Adversary for TimeLiar {
    fn receives(&mut self, stage: &mut Stage<'_>, from: ReplicaId, message: &Verified<Message>) -> u32 {
        if let Message::Fetch(items) = message.get() {
            for batch in &self.kept {
                let is_wanted =
                    |item: &FetchItem| matches!(item, FetchItem::Batch(_, digest) if *digest == batch.digest());
                if items.iter().any(is_wanted) {
                    stage.say(1 << from.0, Message::Data(Arc::new(Data::Batch(Arc::clone(batch)))));
                }
            }
        }
        u32::MAX
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let message = match envelope.message {
            Message::PrePrepare(old) if old.vote.signer == stage.id => {
                Message::PrePrepare(Arc::new(self.propose(stage, &old)))
            }
            // Its own votes would be for what it did not propose: evidence against itself.
            Message::Vote(vote) if vote.signer == stage.id && stage.committee().primary(vote.body.view) == stage.id => {
                return;
            }
            other => other,
        };
        stage.say(whole(envelope.to), message);
    }
}
