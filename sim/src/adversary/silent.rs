//! Says nothing: from the start, or from some moment on.

use super::{Adversary, Stage, whole};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;

/// Says nothing from some moment on.
#[derive(Debug)]
pub(super) struct Silent {
    since: u64,
}

impl Silent {
    pub(super) fn from_start() -> Self {
        Self { since: 0 }
    }

    pub(super) fn from(at_us: u64) -> Self {
        Self { since: at_us.saturating_mul(1000) }
    }
}

impl Adversary for Silent {
    fn puppets(&self) -> usize {
        usize::from(self.since > 0)
    }

    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, _message: &Verified<Message>) -> u32 {
        if stage.now < self.since { 1 } else { 0 }
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        if stage.now < self.since {
            stage.say(whole(envelope.to), envelope.message);
        }
    }
}
