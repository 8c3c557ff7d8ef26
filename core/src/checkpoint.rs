//! CHECKPOINT and its certificate (`docs/protocol.md` C1, C2).

use crate::hash::{Digest, Domain, hash};
use crate::message::Signed;
use crate::types::Slot;
use serde::{Deserialize, Serialize};

/// A statement that the state after a slot has a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointVote {
    /// A multiple of the checkpoint interval.
    pub slot: Slot,
    /// The digest `D` of the state after it.
    pub state: Digest,
}

/// A quorum of CHECKPOINTs for one state: proof of a stable checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCertificate {
    /// What all of them say.
    pub vote: CheckpointVote,
    /// The votes, ascending by signer.
    pub votes: Vec<Signed<CheckpointVote>>,
}

/// The roots of a replica's state after a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRoots {
    /// Of the application's snapshot.
    pub app: Digest,
    /// Of the replicated state of the protocol itself.
    pub core: Digest,
    /// Of the finalized order.
    pub order: Digest,
}

impl StateRoots {
    /// The checkpoint digest `D` (`docs/protocol.md` F13).
    #[must_use]
    pub fn digest(&self, slot: Slot, epoch: u64) -> Digest {
        let mut bytes = [0; 112];
        bytes[..96].copy_from_slice([self.app.0, self.core.0, self.order.0].as_flattened());
        bytes[96..104].copy_from_slice(&slot.0.to_be_bytes());
        bytes[104..].copy_from_slice(&epoch.to_be_bytes());
        hash(Domain::State, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::digest;

    #[test]
    fn the_digest_of_a_state_is_the_hash_of_its_roots_its_slot_and_its_epoch() {
        // Rule F13, in its order.
        let roots = StateRoots { app: digest(1), core: digest(2), order: digest(3) };
        let numbers = [[0, 0, 0, 0, 0, 0, 0, 8], [0, 0, 0, 0, 0, 0, 1, 0]].concat();
        let bytes = [&[1; 32][..], &[2; 32], &[3; 32], &numbers].concat();
        assert_eq!(roots.digest(Slot(8), 256), hash(Domain::State, &bytes));
    }
}
