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

/// BLAKE3 of the label [`Domain::Batch`] alone.
const NULL_BYTES: [u8; 32] = [
    0xe1, 0xe0, 0xe8, 0x1d, 0x6e, 0xa3, 0x9b, 0x0c, 0xf8, 0xb8, 0x6f, 0xfd, 0x44, 0x09, 0x21, 0x01, 0x1f, 0x57, 0x40,
    0x0c, 0xbc, 0x3f, 0x76, 0xa8, 0xa1, 0x71, 0x90, 0x6a, 0x9b, 0x8d, 0x75, 0x05,
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
