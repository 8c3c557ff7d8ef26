//! It says in the names of others what only they may say, and in its own what only a primary may.

use super::{Adversary, Stage};
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::committee::singleton;
use cretoai_core::hashed::Hashed;
use cretoai_core::message::{Message, NewViewMessage, PrePrepare, Signed, ViewChange, ViewChangeMessage};
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::signature::{Signature, Statement};
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;
use cretoai_core::vertex::{Link, Payload, SignedVertex, Vertex};
use std::sync::Arc;

/// It says in the names of others what only they may say, and in its own what only a primary may.
#[derive(Debug)]
pub(super) struct Impostor {
    per_mille: u32,
}

impl Impostor {
    pub(super) fn new(per_mille: u32) -> Self {
        Self { per_mille }
    }
}

impl Adversary for Impostor {
    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        let author = match message.get() {
            Message::Vertex(vertex) => Some(vertex.author()),
            _ => None,
        };
        if let Some(speaker) = message.get().speaker().or(author)
            && speaker != stage.id
            && stage.rng.chance(self.per_mille)
            && let Some(forged) = forged(stage, message.get())
        {
            stage.say(stage.others() & !singleton(speaker), forged);
        }
        u32::MAX
    }
}

/// Something else of the same kind. Whoever said the first would have contradicted itself with it.
fn forged(stage: &mut Stage<'_>, message: &Message) -> Option<Message> {
    match message {
        // In its own name: a proposal of somebody who is not the primary.
        Message::PrePrepare(old) => {
            let PrePrepare { vote, batches } = stage.repropose(old, |batch| batch.ts.0 += 1);
            Some(Message::PrePrepare(Arc::new(PrePrepare { vote, batches })))
        }
        Message::Vertex(old) => Some(Message::Vertex(Arc::new(vertex(stage, old)))),
        Message::Checkpoint(old) => {
            let body = CheckpointVote { state: stage.some_digest(), ..old.body };
            let signature = own_signature(stage, Statement::Checkpoint(&body));
            Some(Message::Checkpoint(Signed { signer: old.signer, body, signature }))
        }
        Message::ViewChange(old) => {
            let state = stage.some_digest();
            let body = ViewChange { state, prepared: vec![], voted: vec![], ..old.signed.body.clone() };
            let signature = own_signature(stage, Statement::ViewChange(&body));
            let signed = Arc::new(Signed { signer: old.signed.signer, body, signature });
            Some(Message::ViewChange(Arc::new(ViewChangeMessage { signed, ..ViewChangeMessage::clone(old) })))
        }
        Message::NewView(old) => {
            let mut body = old.signed.body.clone();
            let last = body.proposals.last().map_or(body.stable, |(slot, _)| *slot);
            body.proposals.push((last.next(), stage.some_digest()));
            let signature = own_signature(stage, Statement::NewView(&body));
            let signed = Signed { signer: old.signed.signer, body, signature };
            Some(Message::NewView(Arc::new(NewViewMessage { signed, ..NewViewMessage::clone(old) })))
        }
        _ => None,
    }
}

/// Another vertex of the same author and height in the author's name, or a successor in its own.
fn vertex(stage: &mut Stage<'_>, old: &SignedVertex) -> SignedVertex {
    let mut vertex = Vertex::clone(&old.body);
    vertex.ts.0 += 1;
    let mut signer = old.signer;
    if let Some(request) = old.body.requests().first()
        && stage.rng.chance(500)
    {
        let nonce = *stage.some_digest().0.first_chunk().expect("a digest is longer");
        let request = ClientRequest::anonymous(Request { nonce, ..Request::clone(&request.request) });
        vertex.prev = Link { height: old.body.height, id: old.id() };
        vertex.height = vertex.due_height();
        vertex.payload = Payload::Requests(vec![Arc::new(request)]);
        signer = stage.id;
    }
    let body = Hashed::new(vertex);
    let signature = own_signature(stage, Statement::Vertex(body.digest()));
    Signed { signer, body, signature }
}

fn own_signature(stage: &Stage<'_>, statement: Statement<'_>) -> Signature {
    stage.signer.sign(statement)
}
