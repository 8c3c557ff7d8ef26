//! Adversaries that only stand in the way of what an honest replica sends and receives: the delayer, the withholder
//! and the censor, and the replica that forgets.

use super::{Adversary, Stage, whole};
use crate::meta::Meta;
use crate::plan::Kind;
use crate::rules::set_or_all;
use cretoai_core::committee::{ReplicaSet, singleton};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::request::ClientRequest;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;
use std::sync::Arc;

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

/// It takes no notice of some authors' vertices, and of vertices with some clients' requests.
#[derive(Debug)]
pub(super) struct Censor {
    authors: ReplicaSet,
    clients: Vec<u32>,
}

impl Censor {
    pub(super) fn new(authors: &[u16], clients: &[u32]) -> Self {
        Self { authors: authors.iter().fold(0, |set, id| set | 1 << id), clients: clients.to_vec() }
    }
}

impl Adversary for Censor {
    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        let Message::Vertex(vertex) = message.get() else { return u32::MAX };
        let client = |request: &Arc<ClientRequest>| stage.clients.client_of(&request.id());
        let has_unwanted =
            vertex.body.requests().iter().filter_map(client).any(|client| self.clients.contains(&client));
        if has_unwanted || self.authors & singleton(vertex.author()) != 0 { 0 } else { u32::MAX }
    }

    fn requested(&mut self, _stage: &mut Stage<'_>, client: u32, _request: &ClientRequest) -> u32 {
        if self.clients.contains(&client) { 0 } else { u32::MAX }
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
