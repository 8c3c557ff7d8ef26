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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::digest;

    const ENTRY: OrderEntry = OrderEntry { slot: Slot(1), position: 2, id: Digest([3; 32]), verdict: Verdict::Final };

    #[test]
    fn a_leaf_covers_the_slot_the_position_the_vertex_and_the_verdict() {
        let mut bytes = [[0; 7].as_slice(), &[1, 0, 0, 0, 2], &[3; 32], &[0]].concat();
        assert_eq!(ENTRY.leaf(), hash(Domain::Listed, &bytes));
        let verdicts = [Verdict::Final, Verdict::Duplicate, Verdict::Missing, Verdict::Dead, Verdict::Banned];
        for (number, verdict) in (0..).zip(verdicts) {
            bytes[44] = number;
            assert_eq!(OrderEntry { verdict, ..ENTRY }.leaf(), hash(Domain::Listed, &bytes), "{verdict:?}");
        }
    }

    #[test]
    fn a_root_chains_the_trees_of_all_intervals() {
        // Rule F11, with an interval of two entries, one of none, and one of a single entry.
        let mut order = OrderRoot::new();
        let mut root = hash(Domain::Order, &[]);
        assert_eq!(order.root(), root);
        for ids in [&[1, 2][..], &[], &[3]] {
            let entries: Vec<_> = ids.iter().map(|byte| OrderEntry { id: digest(*byte), ..ENTRY }).collect();
            entries.iter().for_each(|entry| order.append(entry));
            assert_eq!(order.root(), root, "it moves at checkpoints only");
            order.roll();
            let leaves: Vec<_> = entries.iter().map(OrderEntry::leaf).collect();
            root = hash_pair(Domain::Order, root, merkle_root(&leaves));
            assert_eq!(order.root(), root);
        }
        assert_eq!(OrderRoot::restored(root).root(), root);
    }
}
