//! A second opinion on evidence and certificates, for anyone who has them and the genesis, and trusts no replica.
//!
//! It shares the words with `core`: the types, their canonical bytes, and what a signature covers. It shares none of the
//! judgements: neither the predicates nor verification nor the arithmetic of quorums. An error in those would blind a
//! judge that used them. The oracles use it (`docs/protocol.md` O9, O11, O15–O17), and so does `cretoai-sim verify`.

mod certificates;
mod evidence;
mod new_view;
#[cfg(test)]
mod tests;

pub use evidence::{Guilt, Offence, well_formed};
pub use new_view::follows;

use cretoai_core::config::Chain;
use cretoai_core::message::Signed;
use cretoai_core::signature::{SignatureVerifier, Statement};
use cretoai_core::types::ReplicaId;
use std::sync::Arc;

/// What is wrong with it, in words.
pub type Objection = String;

/// The judge of one chain.
#[derive(Clone, Debug)]
pub struct Auditor {
    chain: Arc<Chain>,
    signatures: Arc<dyn SignatureVerifier>,
}

impl Auditor {
    /// A judge of one chain, whose replicas' signatures `signatures` checks.
    #[must_use]
    pub fn new(chain: Arc<Chain>, signatures: Arc<dyn SignatureVerifier>) -> Self {
        Self { chain, signatures }
    }

    /// Members are numbered from 0 on.
    fn is_member(&self, id: ReplicaId) -> bool {
        usize::from(id.0) < self.chain.genesis.keys.len()
    }

    /// How many replicas may be faulty.
    #[must_use]
    pub fn bearable(&self) -> usize {
        (self.chain.genesis.keys.len() - 1) / 3
    }

    /// Whether so many different members are a quorum: more than half of all and of those that may be faulty together.
    pub(crate) fn is_quorum(&self, count: usize) -> bool {
        2 * count > self.chain.genesis.keys.len() + self.bearable()
    }

    pub(crate) fn signed<T>(&self, signed: &Signed<T>, statement: Statement<'_>) -> Result<(), Objection> {
        if !self.is_member(signed.signer) {
            return Err(format!("{} is not a member", signed.signer));
        }
        let is_right = self.signatures.verify(signed.signer, statement, &signed.signature);
        if is_right { Ok(()) } else { Err(format!("the signature of {} is wrong", signed.signer)) }
    }
}
