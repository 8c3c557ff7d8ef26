//! Batches: what a slot orders (`docs/protocol.md` M10).

use crate::hash::{Digest, Domain};
use crate::hashed::{Content, Hashed};
use crate::time::Instant;
use crate::vertex::VertexId;
use serde::{Deserialize, Serialize};

/// The vertices of one slot, in the order in which they are to be finalized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The primary's clock when it proposed the batch.
    pub ts: Instant,
    /// Different ids, at least one.
    pub vertices: Vec<VertexId>,
}

impl Content for Batch {
    const DOMAIN: Domain = Domain::Batch;
}

/// A batch with its digest.
pub type HashedBatch = Hashed<Batch>;

/// The digest of the NULL batch, which a new primary puts into slots for which nothing is claimed. It has no
/// body: no batch encodes to zero bytes.
pub const NULL_BATCH: Digest = Digest(NULL_BYTES);

/// BLAKE3 of nothing, for the use [`Domain::Batch`].
const NULL_BYTES: [u8; 32] = [
    0xc9, 0xca, 0x0e, 0x6a, 0xe6, 0x52, 0xcc, 0xb0, 0x59, 0x04, 0xeb, 0xd0, 0xbb, 0x64, 0x59, 0x31, 0x9e, 0x73, 0xfc,
    0x6d, 0x39, 0xca, 0x80, 0x6a, 0xfb, 0x8c, 0x16, 0xbd, 0xbb, 0x10, 0x73, 0x73,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    #[test]
    fn the_null_batch_is_the_hash_of_no_content() {
        assert_eq!(NULL_BATCH, hash(Domain::Batch, &[]));
    }
}
