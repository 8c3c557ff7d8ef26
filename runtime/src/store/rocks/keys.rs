//! The layout of keys and values. Numbers are big-endian, so that the order of the bytes is that of the numbers.
//!
//! | Column family | Key | Value |
//! |---|---|---|
//! | `consensus` | LSN | the encoded record |
//! | `snapshots` | `m`, slot | the encoded manifest |
//! | `snapshots` | `c`, hash | the chunk |
//! | `vertices` | id | place, time, the vertex, encoded as a record |
//! | `edges` | id of the parent, place of the child | id of the child |
//! | `finalized` | place | id |
//! | `index_height` | height, place | id |
//! | `index_timestamp` | effective time, place | id |
//! | `metadata` | a word; `tip` is followed by the author | a number; the owner; a tip's place and id |
//!
//! A place is a slot and a position in it.

use crate::store::{FinalizedVertex, Place};
use cretoai_core::hash::Digest;
use cretoai_core::ledger::Manifest;
use cretoai_core::message::{Data, Message};
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_core::vertex::{SignedVertex, VertexId};
use cretoai_core::wire;
use std::sync::Arc;

/// The version of this layout.
pub(super) const SCHEMA: u32 = 1;

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Consensus,
    Snapshots,
    Vertices,
    Edges,
    Finalized,
    Heights,
    Times,
    Metadata,
}

pub(super) const FAMILIES: [Family; 8] = [
    Family::Consensus,
    Family::Snapshots,
    Family::Vertices,
    Family::Edges,
    Family::Finalized,
    Family::Heights,
    Family::Times,
    Family::Metadata,
];

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Snapshots => "snapshots",
            Self::Vertices => "vertices",
            Self::Edges => "edges",
            Self::Finalized => "finalized",
            Self::Heights => "index_height",
            Self::Times => "index_timestamp",
            Self::Metadata => "metadata",
        }
    }
}

// Keys of the metadata.

/// The version of the layout: four bytes, so that any later program can read it.
pub(super) const SCHEMA_KEY: &[u8] = b"schema";
/// Whose store it is.
pub(super) const OWNER_KEY: &[u8] = b"owner";
/// The position of the last record ever appended.
pub(super) const END_KEY: &[u8] = b"end";
/// There once others told what they hold of this replica's, until the end of the log is cut off.
pub(super) const TRUST_KEY: &[u8] = b"trust";
/// The last slot finalized.
pub(super) const LAST_KEY: &[u8] = b"last";
/// There while chunks are being written that no manifest names yet.
pub(super) const SWEEP_KEY: &[u8] = b"sweep";
/// In front of an author.
pub(super) const TIP_KEY: &[u8] = b"tip";

pub(super) fn tip_key(author: ReplicaId) -> Vec<u8> {
    [TIP_KEY, &author.0.to_be_bytes()].concat()
}

pub(super) fn tip_author(key: &[u8]) -> Option<ReplicaId> {
    let author = key.strip_prefix(TIP_KEY)?.try_into().ok()?;
    Some(ReplicaId(u16::from_be_bytes(author)))
}

pub(super) const MANIFESTS: &[u8] = b"m";
pub(super) const CHUNKS: &[u8] = b"c";

pub(super) fn manifest_key(slot: Slot) -> Vec<u8> {
    [MANIFESTS, &slot.0.to_be_bytes()].concat()
}

pub(super) fn chunk_key(hash: Digest) -> Vec<u8> {
    [CHUNKS, &hash.0].concat()
}

/// A manifest is on disk what it is between replicas.
pub(super) fn manifest_value(manifest: Manifest) -> Vec<u8> {
    wire::encode(&Message::Data(Arc::new(Data::Manifest(Arc::new(manifest)))))
}

pub(super) fn manifest_from(value: &[u8]) -> Option<Arc<Manifest>> {
    let Message::Data(data) = wire::decode(value, value.len()).ok()? else { return None };
    let Data::Manifest(manifest) = data.as_ref() else { return None };
    Some(Arc::clone(manifest))
}

pub(super) fn place_bytes(place: Place) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&place.slot.0.to_be_bytes());
    bytes[8..].copy_from_slice(&place.position.to_be_bytes());
    bytes
}

fn split_place(bytes: &[u8]) -> Option<(Place, &[u8])> {
    let (slot, rest) = bytes.split_first_chunk()?;
    let (position, rest) = rest.split_first_chunk()?;
    Some((Place { slot: Slot(u64::from_be_bytes(*slot)), position: u32::from_be_bytes(*position) }, rest))
}

/// The key of an index: what it goes by, then the place, so that equal ones are in order and none hides another.
pub(super) fn index_key(by: &[u8], place: Place) -> Vec<u8> {
    [by, &place_bytes(place)].concat()
}

pub(super) fn tip_value(place: Place, id: VertexId) -> Vec<u8> {
    [&place_bytes(place)[..], &id.0].concat()
}

pub(super) fn tip_from(value: &[u8]) -> Option<(Place, VertexId)> {
    let (place, id) = split_place(value)?;
    Some((place, id_from(id)?))
}

pub(super) fn id_from(value: &[u8]) -> Option<VertexId> {
    value.try_into().ok().map(Digest)
}

pub(super) fn number_from(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn vertex_value(place: Place, time: Instant, vertex: &Arc<SignedVertex>) -> Vec<u8> {
    let vertex = wire::encode_record(&Record::Vertex(Arc::clone(vertex)));
    [&place_bytes(place)[..], &time.0.to_be_bytes(), &vertex].concat()
}

/// The vertex in a value, if it is the one with this id.
pub(super) fn vertex_from(id: VertexId, value: &[u8]) -> Option<FinalizedVertex> {
    let (Place { slot, position }, rest) = split_place(value)?;
    let (time, rest) = rest.split_first_chunk()?;
    let Record::Vertex(vertex) = wire::decode_record(rest).ok()? else { return None };
    (vertex.id() == id).then_some(FinalizedVertex { slot, position, time: Instant(u64::from_be_bytes(*time)), vertex })
}

/// The first key behind all that begin with a prefix; `None` if nothing is behind them.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut key = prefix[..=kept].to_vec();
    key[kept] += 1;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_prefix_comes_the_next_number() {
        assert_eq!(behind(&7_u64.to_be_bytes()).as_deref(), Some(&8_u64.to_be_bytes()[..]));
        assert_eq!(behind(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(behind(&u64::MAX.to_be_bytes()), None);
        assert_eq!(behind(&[]), None);
    }
}
