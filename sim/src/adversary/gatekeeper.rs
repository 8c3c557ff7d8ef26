//! Adversaries that only stand in the way of what an honest replica sends and receives: the delayer, the withholder
//! and the censor, and the replica that forgets.

use super::{Adversary, Stage, whole};
use crate::meta::Meta;
use crate::plan::Kind;
use crate::rules::set_or_all;
use cretoai_core::committee::{ReplicaSet, singleton};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;

fn is_one_of(kinds: &[Kind], message: &Message) -> bool {
    kinds.is_empty() || kinds.contains(&Meta::of(message).kind)
}

/// What it sends leaves late.
#[derive(Debug)]
pub(super) struct Delayer {
    kinds: Vec<Kind>,
    delay: u64,
    jitter: u64,
}

impl Delayer {
    pub(super) fn new(kinds: &[Kind], delay_us: u64, jitter_us: u64) -> Self {
        Self { kinds: kinds.to_vec(), delay: delay_us * 1000, jitter: jitter_us * 1000 }
    }
}

impl Adversary for Delayer {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let late = is_one_of(&self.kinds, &envelope.message);
        let delay = if late { self.delay + stage.rng.below(self.jitter + 1) } else { 0 };
        stage.say_later(whole(envelope.to), delay, envelope.message);
    }
}

/// It keeps messages from some replicas.
#[derive(Debug)]
pub(super) struct Withholder {
    kinds: Vec<Kind>,
    from: ReplicaSet,
}

impl Withholder {
    pub(super) fn new(kinds: &[Kind], from: &[u16]) -> Self {
        Self { kinds: kinds.to_vec(), from: set_or_all(from) }
    }
}

impl Adversary for Withholder {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let kept = if is_one_of(&self.kinds, &envelope.message) { self.from } else { 0 };
        stage.say(whole(envelope.to) & !kept, envelope.message);
    }
}

/// It takes no notice of some authors' vertices.
#[derive(Debug)]
pub(super) struct Censor {
    authors: ReplicaSet,
}

impl Censor {
    pub(super) fn new(authors: &[u16]) -> Self {
        Self { authors: set_or_all(authors) }
    }
}

impl Adversary for Censor {
    fn receives(&mut self, _stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        let is_unwanted = |author| self.authors & singleton(author) != 0;
        match message.get() {
            Message::Vertex(vertex) if is_unwanted(vertex.author()) => 0,
            _ => u32::MAX,
        }
    }
}

/// It loses memory and disk at some moments, and goes on with its old key.
#[derive(Debug)]
pub(super) struct Amnesiac {
    at: Vec<u64>,
}

impl Amnesiac {
    pub(super) fn new(at_us: &[u64]) -> Self {
        Self { at: at_us.iter().map(|us| us.saturating_mul(1000)).collect() }
    }
}

impl Adversary for Amnesiac {
    fn start(&mut self, stage: &mut Stage<'_>) {
        stage.wakes.extend(&self.at);
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        stage.forgets = true;
    }
}
