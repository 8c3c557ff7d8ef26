//! An author that makes two vertices of one height, hides some, and names parents that do not exist.

use super::{Adversary, Stage, whole};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::time::Duration;
use cretoai_core::types::{Height, ReplicaId};
use cretoai_core::vertex::{Reference, SignedVertex, Vertex};
use std::sync::Arc;

/// Lies as an author.
#[derive(Debug)]
pub(super) struct DagLiar {
    per_mille: u32,
}

impl DagLiar {
    pub(super) fn new(per_mille: u32) -> Self {
        Self { per_mille }
    }

    fn lie(stage: &mut Stage<'_>, old: &Arc<SignedVertex>) {
        let half = stage.some_others();
        let honest = Message::Vertex(Arc::clone(old));
        match stage.rng.below(3) {
            // Two of one height, one to each half.
            0 => {
                let vertex = Vertex { ts: old.body.ts + Duration(1), ..Vertex::clone(&old.body) };
                let other = Message::Vertex(stage.vertex(vertex));
                stage.say(half, honest);
                stage.say(!half, other);
            }
            // Hidden from half of them.
            1 => stage.say(half, honest),
            // A parent that does not exist.
            _ => {
                let author = ReplicaId((stage.id.0 + 1) % stage.committee().n());
                let parent = Reference { author, height: old.body.height, id: stage.some_digest() };
                let vertex =
                    Vertex { refs: vec![parent], height: Height(old.body.height.0 + 1), ..Vertex::clone(&old.body) };
                let other = Message::Vertex(stage.vertex(vertex));
                stage.say(half, other);
                stage.say(!half, honest);
            }
        }
    }
}

impl Adversary for DagLiar {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        match &envelope.message {
            Message::Vertex(vertex) if vertex.signer == stage.id && stage.rng.chance(self.per_mille) => {
                Self::lie(stage, vertex);
            }
            _ => stage.say(whole(envelope.to), envelope.message),
        }
    }
}
