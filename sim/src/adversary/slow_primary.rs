//! As primary it proposes as rarely as it can, to slow everybody down without ever being wrong.

use super::{Adversary, Stage, whole};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;

/// Lets time pass between its proposals.
#[derive(Debug)]
pub(super) struct SlowPrimary {
    pause: u64,
    /// When the next proposal may leave.
    free_at: u64,
}

impl SlowPrimary {
    pub(super) fn new(pause_us: u64) -> Self {
        Self { pause: pause_us.saturating_mul(1000), free_at: 0 }
    }
}

impl Adversary for SlowPrimary {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let is_proposal = matches!(&envelope.message, Message::PrePrepare(it) if it.vote.signer == stage.id);
        let leaves = if is_proposal { self.free_at.max(stage.now) } else { stage.now };
        if is_proposal {
            self.free_at = leaves + self.pause;
        }
        stage.say_later(whole(envelope.to), leaves - stage.now, envelope.message);
    }
}
