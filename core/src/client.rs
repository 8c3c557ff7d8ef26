//! The client's side of a reply: what to believe (`docs/protocol.md` F9, F10).

#[cfg(test)]
mod tests;

use crate::committee::Committee;
use crate::hash::{Digest, merkle_climb};
use crate::message::Signed;
use crate::reply::{NoOp, Outcome, ReplyStatement, outcome_leaf, outcome_root, result_hash};
use crate::request::RequestId;
use crate::types::{ReplicaId, Slot};
use crate::verify::Verified;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps of a path, at the most. A slot has far fewer requests than `2^32`.
pub const MAX_PATH: usize = 32;

/// What leads from a signed root to the outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inclusion {
    /// The outcome, its position under the root, and the siblings on the way up.
    Path {
        /// What became of the request.
        outcome: Outcome,
        /// Its position among the slot's requests.
        index: usize,
        /// The siblings, lowest first; `None` where there is none.
        path: Vec<Option<Digest>>,
    },
    /// All outcomes of the slot, in order.
    List(Arc<[(RequestId, Outcome)]>),
}

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The signer is no member.
    #[error("{0} is not a member")]
    NotAMember(ReplicaId),
    /// The request is not among the outcomes.
    #[error("the answer is to other requests")]
    OtherRequest,
    /// The outcomes do not lead to the signed root.
    #[error("the outcomes are not those under the signed root")]
    Root,
}

/// What a client may believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The request executed, once, with a result of this hash.
    Executed(Digest),
    /// The request did nothing **in this slot**. It may have executed before, or may yet when sent again; it will
    /// not later if the reason is [`NoOp::Expired`].
    NoOp(Slot, NoOp),
}

impl Accepted {
    /// Whether these bytes, whoever sent them, are the result of the request.
    #[must_use]
    pub fn is_result(self, bytes: &[u8]) -> bool {
        self == Self::Executed(result_hash(bytes))
    }
}

/// Collects replicas' answers to one request until one of them is true for sure: `f + 1` replicas that say the same
/// include an honest one. Holds two answers of each replica at the most.
#[derive(Clone, Debug)]
pub struct ReplyCollector {
    committee: Committee,
    request: RequestId,
    answers: BTreeMap<ReplicaId, Answers>,
}

/// What one replica said last. An honest one reports one result only, whatever the slot, but possibly several no-ops.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    executed: Option<Digest>,
    no_op: Option<(Slot, NoOp)>,
}

impl ReplyCollector {
    /// Waits for the outcome of a request.
    #[must_use]
    pub fn new(committee: Committee, request: RequestId) -> Self {
        Self { committee, request, answers: BTreeMap::new() }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// Counts an answer. `Some` if, with it, `f + 1` distinct replicas say the same.
    ///
    /// # Errors
    /// [`ReplyError`] if the answer says nothing about the request.
    pub fn offer(
        &mut self,
        reply: &Verified<Signed<ReplyStatement>>,
        inclusion: &Inclusion,
    ) -> Result<Option<Accepted>, ReplyError> {
        if !self.committee.contains(reply.signer) {
            return Err(ReplyError::NotAMember(reply.signer));
        }
        let statement = reply.body;
        let outcome = self.outcome_under(statement.root, inclusion)?;
        let answers = self.answers.entry(reply.signer).or_default();
        let accepted = match outcome {
            Outcome::Executed(result) => {
                // The first one counts: an honest replica has no other.
                Accepted::Executed(*answers.executed.get_or_insert(result))
            }
            Outcome::NoOp(reason) => {
                let said = (statement.slot, reason);
                let (slot, reason) = answers.no_op.map_or(said, |before| before.max(said));
                answers.no_op = Some((slot, reason));
                Accepted::NoOp(slot, reason)
            }
        };
        Ok(self.is_vouched(accepted).then_some(accepted))
    }

    fn outcome_under(&self, root: Digest, inclusion: &Inclusion) -> Result<Outcome, ReplyError> {
        let (outcome, reached) = match inclusion {
            Inclusion::Path { outcome, index, path } if path.len() <= MAX_PATH => {
                (*outcome, merkle_climb(outcome_leaf(self.request, *outcome), *index, path))
            }
            Inclusion::Path { .. } => return Err(ReplyError::Root),
            Inclusion::List(outcomes) => {
                let own = outcomes.iter().find(|(id, _)| *id == self.request);
                (own.ok_or(ReplyError::OtherRequest)?.1, outcome_root(outcomes))
            }
        };
        if reached == root { Ok(outcome) } else { Err(ReplyError::Root) }
    }

    fn is_vouched(&self, accepted: Accepted) -> bool {
        let says = |answers: &&Answers| match accepted {
            Accepted::Executed(result) => answers.executed == Some(result),
            Accepted::NoOp(slot, reason) => answers.no_op == Some((slot, reason)),
        };
        self.answers.values().filter(says).count() >= usize::from(self.committee.weak_quorum())
    }
}
