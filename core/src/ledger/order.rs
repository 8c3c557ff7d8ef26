//! The root of the finalized order (`docs/protocol.md` F11).

use super::Verdict;
use crate::hash::{Digest, Domain, hash, hash_pair, merkle_root};
use crate::types::Slot;
use crate::vertex::VertexId;

/// One listed vertex with its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEntry {
    /// The slot that lists it.
    pub slot: Slot,
    /// Its place in the slot's batch.
    pub position: u32,
    /// The vertex.
    pub id: VertexId,
    /// What became of it there.
    pub verdict: Verdict,
}

impl OrderEntry {
    /// The leaf in the Merkle tree of its segment.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        let mut bytes = [0; 45];
        bytes[..8].copy_from_slice(&self.slot.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.position.to_be_bytes());
        bytes[12..44].copy_from_slice(&self.id.0);
        bytes[44] = self.verdict as u8;
        hash(Domain::Listed, &bytes)
    }
}

/// A hash chain with one link for each checkpoint interval: the Merkle root of that interval's entries.
#[derive(Clone, Debug)]
pub struct OrderRoot {
    root: Digest,
    leaves: Vec<Digest>,
}

impl OrderRoot {
    pub(super) fn new() -> Self {
        Self::restored(hash(Domain::Order, &[]))
    }

    pub(super) fn restored(root: Digest) -> Self {
        Self { root, leaves: Vec::new() }
    }

    /// The root at the last checkpoint.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.root
    }

    pub(super) fn append(&mut self, entry: &OrderEntry) {
        self.leaves.push(entry.leaf());
    }

    /// Ends a checkpoint interval.
    pub(super) fn roll(&mut self) {
        self.root = hash_pair(Domain::Order, self.root, merkle_root(&self.leaves));
        self.leaves.clear();
    }
}
