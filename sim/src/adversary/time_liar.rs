//! Its proposals claim another time.

use super::{Adversary, Stage, whole};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::time::Instant;
use std::sync::Arc;

/// Proposes with another time.
#[derive(Debug)]
pub(super) struct TimeLiar {
    offset_ns: Option<i64>,
    always: Option<Instant>,
}

impl TimeLiar {
    pub(super) fn new(offset_us: Option<i64>) -> Self {
        Self { offset_ns: offset_us.map(|us| us.saturating_mul(1000)), always: None }
    }
}

impl Adversary for TimeLiar {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let message = match envelope.message {
            Message::PrePrepare(old) if old.vote.signer == stage.id => {
                let always = *self.always.get_or_insert(stage.time);
                let offset = self.offset_ns;
                let new = stage.repropose(&old, |batch| {
                    batch.ts = offset.map_or(always, |offset| Instant(batch.ts.0.saturating_add_signed(offset)));
                });
                Message::PrePrepare(Arc::new(new))
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
