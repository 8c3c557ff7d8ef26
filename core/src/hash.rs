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
