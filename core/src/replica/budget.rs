//! How much one peer may have in half a status period (`docs/protocol.md` T13, T14).
//!
//! Sizes are estimated from the parts that are large, signatures above all: encoding a message twice to know its size
//! would cost more than what the bound saves.

#[cfg(test)]
mod tests;

use crate::message::{Data, Message};
use crate::vertex::Payload;
use crate::wire::encoded_size;

/// Bytes of one answer to a STATUS. The first message is always sent.
pub(super) const ANSWER_BYTES: usize = 4 << 20;

/// Bytes that one peer may fetch.
pub(super) const FETCH_BYTES: usize = 16 << 20;

/// What an item costs that is not held: looking for it is not free either.
pub(super) const MISS_BYTES: usize = 256;

/// Bytes of a slot with a digest and what goes with them, in any statement.
const ENTRY: usize = 64;

/// About how many bytes a message has, with signatures of so many.
pub(super) fn size(message: &Message, signature: usize) -> usize {
    let signed = ENTRY + signature;
    match message {
        Message::Vertex(vertex) => {
            let payload = match &vertex.body.payload {
                Payload::Requests(requests) => {
                    requests.iter().map(|request| 2 * ENTRY + request.request.op.0.len()).sum()
                }
                Payload::Evidence(evidence) => encoded_size(evidence),
            };
            signed + ENTRY * vertex.body.refs.len() + payload
        }
        Message::PrePrepare(message) => {
            let ids: usize = message.batches.iter().map(|batch| batch.vertices.len()).sum();
            signed + ENTRY * (message.batches.len() + ids)
        }
        Message::Vote(vote) => signed + ENTRY * vote.body.entries.len(),
        Message::Checkpoint(_) => signed,
        Message::ViewChange(message) => {
            let certificates = message.certificates.0.iter().map(|certificate| certificate.votes().len());
            signed + claims(&message.signed.body) + signed * certificates.sum::<usize>()
        }
        Message::NewView(message) => {
            let certificates = message.certificates.0.iter().map(|certificate| certificate.votes().len());
            let view_changes = message.view_changes.iter().map(|held| signed + claims(&held.body));
            let proposals = ENTRY * message.signed.body.proposals.len();
            signed + proposals + signed * certificates.sum::<usize>() + view_changes.sum::<usize>()
        }
        Message::Certificates(set) => signed * set.0.iter().map(|certificate| certificate.votes().len()).sum::<usize>(),
        Message::StableCheckpoint(certificate) => signed * certificate.votes.len(),
        Message::Status(_) | Message::Fetch(_) => signed + ENTRY * ENTRY,
        Message::Data(data) => match &**data {
            Data::Batch(batch) => ENTRY * (1 + batch.vertices.len()),
            Data::Manifest(manifest) => ENTRY * (manifest.core.len() + manifest.app.len()),
            Data::Chunk(chunk) => chunk.0.len(),
        },
        Message::Recollection(held) => signed * (4 + held.votes.len()),
    }
}

fn claims(body: &crate::message::ViewChange) -> usize {
    ENTRY * (1 + body.prepared.len() + body.voted.len())
}
