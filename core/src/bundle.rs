//! What a replica shows the world when promises were broken: evidence and certificates, with the genesis that says whose
//! they are (`docs/protocol.md` X16). Anyone can check it, and need trust nobody for that.

use crate::certificate::Certificate;
use crate::config::Genesis;
use crate::evidence::{Accusation, Evidence, forensics};
use crate::hash::Digest;
use crate::message::NewViewMessage;
use crate::record::Record;
use crate::types::{Slot, View};
use crate::wire::{DecodeError, from_versioned, versioned};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// What the records of one replica, or of several, prove.
#[derive(Debug, Default)]
pub struct Findings {
    evidence: BTreeMap<Accusation, Arc<Evidence>>,
    decided: BTreeMap<(Slot, Digest), Arc<Certificate>>,
    new_views: BTreeMap<View, Arc<NewViewMessage>>,
}

impl Findings {
    /// Takes up a record that was verified before it was written.
    pub fn take(&mut self, record: &Record) {
        match record {
            Record::Evidence(evidence) => self.accuse(evidence),
            Record::Committed(certificate) => {
                let claim = certificate.claim;
                self.decided.entry((claim.slot, claim.digest)).or_insert_with(|| Arc::clone(certificate));
            }
            Record::NewViewInstalled(message) => {
                self.new_views.entry(message.signed.body.view).or_insert_with(|| Arc::clone(message));
            }
            _ => {}
        }
    }

    fn accuse(&mut self, evidence: &Arc<Evidence>) {
        self.evidence.entry((evidence.accused(), evidence.key())).or_insert_with(|| Arc::clone(evidence));
    }

    /// The bundle. Where a slot was decided in two ways, what that proves is part of it (`docs/protocol.md` X12).
    #[must_use]
    pub fn bundle(mut self, genesis: Genesis) -> Bundle {
        let decided: Vec<Arc<Certificate>> = self.decided.values().cloned().collect();
        for pair in decided.windows(2).filter(|pair| pair[0].claim.slot == pair[1].claim.slot) {
            let culprits = forensics::decided_twice(&pair[0], &pair[1], self.new_views.values());
            culprits.into_iter().for_each(|evidence| self.accuse(&Arc::new(evidence)));
        }
        Bundle { genesis, evidence: self.evidence.into_values().collect(), decided }
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

    #[test]
    fn two_decisions_of_a_slot_convict_whoever_signed_both() {
        let world = World::new(4);
        let mut findings = Findings::default();
        for batch in [1, 2, 1] {
            findings.take(&Record::Committed(Arc::new(world.certificate(Phase::Commit, claim(3, 0, batch)))));
        }
        let bundle = findings.bundle(world.chain.genesis.clone());
        assert_eq!(bundle.decided.len(), 2);
        assert!(world.chain.committee.weak_quorum() <= u16::try_from(bundle.evidence.len()).expect("a few"));
    }

    // Rule X12.
    #[test]
    fn the_new_view_between_two_decisions_convicts_whoever_hid_the_first() {
        let world = World::new(4);
        let left = [0, 1, 2].map(|id| world.view_change(id, 1, 4, &[]));
        let new_view = Record::NewViewInstalled(Arc::new(world.new_view_message(&left)));
        let decided = [claim(5, 0, 1), claim(5, 1, 2)]
            .map(|claim| Record::Committed(world.certificate(Phase::Commit, claim).into()));
        let convicted = |records: &[&Record]| {
            let mut findings = Findings::default();
            records.iter().for_each(|record| findings.take(record));
            findings.bundle(world.chain.genesis.clone()).evidence.len()
        };
        let [first, second] = &decided;
        assert_eq!(convicted(&[first, &new_view, second]), 3);
        assert_eq!(convicted(&[first, second]), 0);
        let elsewhere = Record::Committed(world.certificate(Phase::Commit, claim(6, 1, 2)).into());
        assert_eq!(convicted(&[first, &new_view, &elsewhere]), 0, "no slot was decided in two ways");
    }

    #[test]
    fn a_file_is_too_long_from_one_byte_beyond_its_limit_on() {
        let length = MAX_BUNDLE + 1;
        let mut bytes = vec![0; length];
        assert_eq!(Bundle::decode(&bytes), Err(DecodeError::TooLong { length, limit: MAX_BUNDLE }));
        bytes.pop();
        assert!(!matches!(Bundle::decode(&bytes), Err(DecodeError::TooLong { .. })));
    }
}
