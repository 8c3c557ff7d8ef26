//! Things to store.

use crate::store::{FinalizedSlot, StoredSnapshot};
use cretoai_core::bytes::Bytes;
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::ledger::{CoreSnapshot, Verdict, chunk_hash};
use cretoai_core::message::Signed;
use cretoai_core::record::Record;
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::signature::Signature;
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::vertex::{Link, Payload, Reference, SignedVertex, Vertex};
use std::sync::Arc;

/// A digest that consists of one byte, repeated.
pub(in crate::store) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

/// A record that differs from those of other slots.
pub(in crate::store) fn record(slot: u64) -> Record {
    Record::Voted(View(1), Slot(slot), digest(u8::try_from(slot % 256).expect("a byte")))
}

/// A vertex at a height, whose parents are these. The signature is not one.
pub(in crate::store) fn vertex(author: u16, height: u64, parents: &[&Arc<SignedVertex>]) -> Arc<SignedVertex> {
    signed(author, height, parents, b"set x 1")
}

/// A vertex with one request.
pub(in crate::store) fn signed(
    author: u16,
    height: u64,
    parents: &[&Arc<SignedVertex>],
    op: &[u8],
) -> Arc<SignedVertex> {
    let author = ReplicaId(author);
    let own = parents.iter().find(|parent| parent.author() == author);
    let prev = own.map_or(Link::genesis(digest(0xc0)), |parent| Link { height: parent.body.height, id: parent.id() });
    let others = parents.iter().filter(|parent| parent.author() != author);
    let reference = |parent: &&Arc<SignedVertex>| Reference {
        author: parent.author(),
        height: parent.body.height,
        id: parent.id(),
    };
    let request = Request {
        chain_id: digest(0xc0),
        expires: Instant(1_000_000),
        nonce: [7; 16],
        caller: None,
        op: Bytes(op.to_vec()),
    };
    let body = Hashed::new(Vertex {
        author,
        height: Height(height),
        ts: Instant(5),
        prev,
        refs: others.map(reference).collect(),
        payload: Payload::Requests(vec![Arc::new(ClientRequest::anonymous(request))]),
    });
    Arc::new(Signed { signer: author, body, signature: Signature::new(&[9; 64]) })
}

/// A slot all of whose vertices are final.
pub(in crate::store) fn final_slot(slot: u64, time: u64, vertices: &[&Arc<SignedVertex>]) -> FinalizedSlot {
    let listed = vertices.iter().map(|vertex| (Arc::clone(vertex), Verdict::Final)).collect();
    FinalizedSlot { slot: Slot(slot), time: Instant(time), listed }
}

/// A snapshot with these chunks.
pub(in crate::store) fn snapshot(slot: u64, core: &[&[u8]], app: &[&[u8]]) -> StoredSnapshot {
    let chunks = |bytes: &[&[u8]]| bytes.iter().map(|bytes| Arc::new(Bytes(bytes.to_vec()))).collect();
    let core = CoreSnapshot {
        slot: Slot(slot),
        epoch: 0,
        order: digest(u8::try_from(slot).expect("a small slot")),
        hashes: core.iter().map(|bytes| chunk_hash(bytes)).collect(),
        chunks: chunks(core),
    };
    StoredSnapshot { core: Arc::new(core), app: chunks(app) }
}
