//! BLAKE3 with a key of its own for each use (`docs/protocol.md` M2), and Merkle roots.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;

/// A 32-byte BLAKE3 hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

// The order of the bytes, as a derived one would have it. Two different digests nearly always differ in the first
// eight, which are compared as one number.
impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.short().cmp(&other.short()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Digest {
    /// The first eight bytes, for traces and fast comparisons that need not be collision resistant.
    #[must_use]
    #[inline]
    pub fn short(&self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(head)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.short() >> 32)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

// As bytes and not as a tuple of 32 numbers: one copy instead of 32 calls.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(FixedBytes::<32>).map(Self)
    }
}

/// Reads exactly `N` bytes.
#[derive(Debug)]
pub(crate) struct FixedBytes<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for FixedBytes<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

/// What a hash is for. Two uses never share a key, so a hash made for one cannot stand for another
/// (`docs/protocol.md` M2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The genesis parameters: the chain id.
    Genesis,
    /// A client's request.
    Request,
    /// A vertex without its signature.
    Vertex,
    /// A batch of vertices; also the NULL batch, whose content is empty.
    Batch,
    /// A VIEW-CHANGE with its signer.
    ViewChange,
    /// The result of a request.
    Outcome,
    /// The leaf of a request that executed: its id and the hash of its result.
    Executed,
    /// The leaf of a request that did nothing: its id and the reason.
    NoOp,
    /// The leaf of a listed vertex.
    Listed,
    /// An inner node of a Merkle tree.
    Node,
    /// A link of the order root's chain.
    Order,
    /// A list of chunk hashes.
    Chunks,
    /// A checkpoint's state digest `D`.
    State,
    /// A chunk of a snapshot.
    Chunk,
    /// The requests of a vertex.
    Requests,
    /// A piece of evidence.
    Evidence,
}

impl Domain {
    /// The key of BLAKE3's keyed mode. It is no secret, it only separates the uses. A label within the input would do
    /// the same, but would push a pair of hashes, which fills a block of BLAKE3 exactly, into a second one.
    const fn key(self) -> [u8; 32] {
        let mut key = *b"CretoAI, version 1, hash domain ";
        key[31] = self as u8;
        key
    }
}

/// A hasher for input that comes in pieces.
#[derive(Clone, Debug)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// A hasher for one use.
    #[must_use]
    pub fn new(domain: Domain) -> Self {
        Self(blake3::Hasher::new_keyed(&domain.key()))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Adds a number in big-endian order.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.update(&number.to_be_bytes())
    }

    /// The hash of everything added so far. More may be added afterwards.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// The hash of `bytes` for one use.
#[must_use]
pub fn hash(domain: Domain, bytes: &[u8]) -> Digest {
    Digest(*blake3::keyed_hash(&domain.key(), bytes).as_bytes())
}

/// The hash of a pair of hashes.
#[must_use]
pub fn hash_pair(domain: Domain, left: Digest, right: Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left.0);
    both[32..].copy_from_slice(&right.0);
    hash(domain, &both)
}

/// The root of a Merkle tree over `leaves` (already hashed, each in the domain of its kind). An odd node moves up
/// unchanged; the empty tree has the all-zero root.
#[must_use]
pub fn merkle_root(leaves: &[Digest]) -> Digest {
    let mut level = match leaves {
        [] => return Digest::default(),
        [only] => return *only,
        many => many.to_vec(),
    };
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match *pair {
                [left, right] => hash_pair(Domain::Node, left, right),
                [odd] => odd,
                _ => unreachable!("chunks of two"),
            })
            .collect();
    }
    level[0]
}

/// The siblings from leaf `index` to the root, lowest first; `None` where a node had no sibling.
#[must_use]
pub fn merkle_path(leaves: &[Digest], mut index: usize) -> Vec<Option<Digest>> {
    assert!(index < leaves.len(), "leaf {index} of {}", leaves.len());
    let mut path = Vec::new();
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        path.push(level.get(index ^ 1).copied());
        level = level
            .chunks(2)
            .map(|pair| if let [left, right] = *pair { hash_pair(Domain::Node, left, right) } else { pair[0] })
            .collect();
        index /= 2;
    }
    path
}

/// The root that `leaf` at `index` leads to along `path`: equal to the tree's root iff the leaf is in it there.
#[must_use]
pub fn merkle_climb(leaf: Digest, mut index: usize, path: &[Option<Digest>]) -> Digest {
    path.iter().fold(leaf, |node, sibling| {
        let parent = match sibling {
            Some(sibling) if index.is_multiple_of(2) => hash_pair(Domain::Node, node, *sibling),
            Some(sibling) => hash_pair(Domain::Node, *sibling, node),
            None => node,
        };
        index /= 2;
        parent
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|leaf| hash(Domain::Executed, &leaf.to_be_bytes())).collect()
    }

    /// The definition: an odd node moves up unchanged.
    fn root(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::default(),
            [only] => *only,
            _ => {
                let half = leaves.len().next_power_of_two() / 2;
                hash_pair(Domain::Node, root(&leaves[..half]), root(&leaves[half..]))
            }
        }
    }

    #[test]
    fn a_leaf_leads_to_the_root_from_its_own_place_and_from_no_other() {
        for count in 0..20 {
            let leaves = leaves(count);
            assert_eq!(merkle_root(&leaves), root(&leaves), "{count} leaves");
            for at in 0..count {
                let path = merkle_path(&leaves, at);
                assert_eq!(merkle_climb(leaves[at], at, &path), root(&leaves), "leaf {at} of {count}");
                if count > 1 {
                    assert_ne!(merkle_climb(leaves[(at + 1) % count], at, &path), root(&leaves));
                }
                if at ^ 1 < count {
                    assert_ne!(merkle_climb(leaves[at], at ^ 1, &path), root(&leaves));
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "leaf 3 of 3")]
    fn there_is_no_path_from_a_leaf_that_is_not_there() {
        let _ = merkle_path(&leaves(3), 3);
    }

    // Rule M2.
    #[test]
    fn each_use_has_hashes_of_its_own_and_pieces_make_no_difference() {
        let numbers = [1_u64.to_be_bytes(), 2_u64.to_be_bytes()].concat();
        let mut hasher = Hasher::new(Domain::Order);
        hasher.number(1).update(&numbers[8..]);
        assert_eq!(hasher.digest(), hash(Domain::Order, &numbers));
        assert_ne!(hasher.digest(), hash(Domain::State, &numbers));
        let [left, right] = [Digest([1; 32]), Digest([2; 32])];
        assert_eq!(hash_pair(Domain::Node, left, right), hash(Domain::Node, &[left.0, right.0].concat()));
    }

    #[test]
    fn digests_are_ordered_by_their_bytes() {
        let mut all = leaves(20);
        for at in [0, 7, 8, 31] {
            let mut close = Digest([0x7f; 32]);
            close.0[at] = 0x80;
            all.push(close);
        }
        for one in &all {
            for other in &all {
                assert_eq!(one.cmp(other), one.0.cmp(&other.0));
                assert_eq!(one.partial_cmp(other), one.0.partial_cmp(&other.0));
            }
        }
        assert_eq!(Digest([1; 32]).short(), 0x0101_0101_0101_0101);
    }
}
