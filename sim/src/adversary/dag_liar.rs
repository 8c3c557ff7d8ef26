//! An author that makes two vertices of one height, hides some, names parents that do not exist, and says what is not
//! valid.

use super::{Adversary, Stage, whole};
use cretoai_core::bytes::Bytes;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::request::{Caller, ClientRequest, Request};
use cretoai_core::signature::Signature;
use cretoai_core::time::Duration;
use cretoai_core::types::{Height, ReplicaId};
use cretoai_core::vertex::{Payload, Reference, SignedVertex, Vertex};
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
        match stage.rng.below(6) {
            // Two of one height, one to each half.
            0 => {
                let vertex = Vertex { ts: old.body.ts + Duration(1), ..Vertex::clone(&old.body) };
                let other = Message::Vertex(stage.vertex(vertex));
                stage.say(half, honest);
                stage.say(!half, other);
            }
            // Hidden from half of them.
            1 => stage.say(half, honest),
            // What is not valid, to all.
            2 => {
                let height = old.body.prev.height;
                let other = Message::Vertex(stage.vertex(Vertex { height, ..Vertex::clone(&old.body) }));
                stage.say(ReplicaSet::MAX, other);
            }
            3 | 4 if !old.body.requests().is_empty() => {
                let request = Arc::new(Self::wrong_request(stage, &old.body.requests()[0]));
                let payload = Payload::Requests(vec![request]);
                let other = Message::Vertex(stage.vertex(Vertex { payload, ..Vertex::clone(&old.body) }));
                stage.say(ReplicaSet::MAX, other);
            }
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

    /// Of a caller who did not sign it, or with an expiry too far away.
    fn wrong_request(stage: &mut Stage<'_>, old: &ClientRequest) -> ClientRequest {
        let mut request = Request::clone(&old.request);
        if stage.rng.chance(500) {
            let Duration(lifetime) = stage.chain.genesis.limits.lifetime;
            request.expires = stage.time + Duration(lifetime).times(3);
            return ClientRequest::anonymous(request);
        }
        let scheme = stage.chain.genesis.scheme;
        request.caller = Some(Caller { scheme, key: Bytes(vec![1; 8]) });
        ClientRequest { signature: Some(Signature::new(&[1; 16])), ..ClientRequest::anonymous(request) }
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
