//! Answers to clients (`docs/protocol.md` F9, F10).

use crate::bytes::Bytes;
use crate::hash::{Digest, Domain, hash, hash_pair, merkle_root};
use crate::message::Signed;
use crate::request::RequestId;
use crate::types::Slot;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Why a listed request did not execute in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoOp {
    /// The slot's effective time had reached the request's expiry.
    Expired,
    /// The request expires later than the chain's lifetime allows.
    TooEarly,
    /// The share of the author whose vertex brought it was full.
    Full,
}

/// What became of a request in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It executed here, or had executed before: the hash of the result of the one execution.
    Executed(Digest),
    /// It did nothing.
    NoOp(NoOp),
}

/// What a replica signs once for an executed slot, and once for requests that come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyStatement {
    /// The slot; of requests that come again, the last one applied.
    pub slot: Slot,
    /// The Merkle root of the outcomes of its requests, in order; or of the requests that came again.
    pub root: Digest,
}

/// Answers under one signature, for the driver to pass on to the clients that wait for them.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The signed root.
    pub signed: Signed<ReplyStatement>,
    /// The outcomes under the root, in order.
    pub outcomes: Arc<[(RequestId, Outcome)]>,
    /// For each outcome, the result if the request executed in this slot: copies and no-ops have none.
    pub results: Arc<[Option<Bytes>]>,
}

/// The hash of a result.
#[must_use]
pub fn result_hash(result: &[u8]) -> Digest {
    hash(Domain::Outcome, result)
}

/// The leaf of a request's outcome.
#[must_use]
pub fn outcome_leaf(id: RequestId, outcome: Outcome) -> Digest {
    match outcome {
        Outcome::Executed(result) => hash_pair(Domain::Executed, id, result),
        Outcome::NoOp(reason) => {
            let mut bytes = [0; 33];
            bytes[..32].copy_from_slice(&id.0);
            bytes[32] = reason as u8;
            hash(Domain::NoOp, &bytes)
        }
    }
}

/// The root that a reply signs.
#[must_use]
pub fn outcome_root(outcomes: &[(RequestId, Outcome)]) -> Digest {
    if let [(id, outcome)] = *outcomes {
        return outcome_leaf(id, outcome);
    }
    let leaves: Vec<Digest> = outcomes.iter().map(|(id, outcome)| outcome_leaf(*id, *outcome)).collect();
    merkle_root(&leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::digest;

    #[test]
    fn a_leaf_covers_the_request_and_what_became_of_it() {
        // Rule F9.
        let [executed, other] = [1, 2].map(|byte| Outcome::Executed(digest(byte)));
        let no_op = Outcome::NoOp;
        let outcomes = [executed, other, no_op(NoOp::Expired), no_op(NoOp::TooEarly), no_op(NoOp::Full)];
        let leaves = [3, 4].map(|request| outcomes.map(|outcome| outcome_leaf(digest(request), outcome))).concat();
        for (at, leaf) in leaves.iter().enumerate() {
            assert!(!leaves[..at].contains(leaf), "leaf {at} is that of another outcome");
        }
    }
}
