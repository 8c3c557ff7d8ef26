//! What a replica shows the world when promises were broken: evidence and certificates, with the genesis that says whose
//! they are (`docs/protocol.md` X16). Anyone can check it, and need trust nobody for that.

use crate::certificate::Certificate;
use crate::config::Genesis;
use crate::evidence::Evidence;
use crate::wire::{DecodeError, from_versioned, versioned};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of a bundle, at the most: far more than [`MAX_PIECES`](crate::evidence::MAX_PIECES) against each of 128
/// replicas have in practice.
pub const MAX_BUNDLE: usize = 256 << 20;

/// Proof that leaves the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The chain that it is about.
    pub genesis: Genesis,
    /// What convicts replicas.
    pub evidence: Vec<Arc<Evidence>>,
    /// What proves which batches were decided.
    pub decided: Vec<Arc<Certificate>>,
}

impl Bundle {
    /// The bytes of a file with it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        versioned(self)
    }

    /// What such a file holds. Nothing in it is checked here.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not exactly those of a bundle.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if MAX_BUNDLE < bytes.len() {
            return Err(DecodeError::TooLong { length: bytes.len(), limit: MAX_BUNDLE });
        }
        from_versioned(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{World, claim};
    use crate::vote::Phase;

    #[test]
    fn a_bundle_comes_back_as_it_was_and_nothing_else_is_one() {
        let world = World::new(4);
        let votes = [1, 2].map(|batch| world.vote(2, Phase::Prepare, 0, &[(3, batch)]));
        let evidence = Evidence::from_votes(&votes[0], &votes[1]).expect("two batches");
        let bundle = Bundle {
            genesis: world.chain.genesis.clone(),
            evidence: vec![Arc::new(evidence)],
            decided: vec![Arc::new(world.certificate(Phase::Commit, claim(3, 0, 1)))],
        };
        let bytes = bundle.encode();
        assert_eq!(Bundle::decode(&bytes), Ok(bundle));
        assert!(Bundle::decode(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(Bundle::decode(&[bytes, vec![0]].concat()), Err(DecodeError::Trailing(1)));
    }
}
