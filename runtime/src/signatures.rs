//! The signature schemes of real chains: ML-DSA-87, twice, and Ed25519 (`docs/protocol.md` M3).
//!
//! A scheme is a [`Suite`]: five functions on bytes. What is signed, by whom, for which chain, is the same for all of
//! them and stands here once. ML-DSA-87 has two suites that know nothing of each other, [`AwsLc`] and [`Portable`]:
//! the first is three times as fast, the second signs the same bytes the same way each time. The tests let each check
//! the other.

mod aws_lc;
mod cached;
mod ed25519;
mod key_file;
mod keys;
mod portable;
#[cfg(test)]
mod tests;

pub use aws_lc::AwsLc;
pub use cached::{CacheStats, Cached};
pub use ed25519::Ed25519;
pub use keys::{KeyError, Keys, scheme_name};
pub use portable::Portable;

use cretoai_core::bytes::Bytes;
use cretoai_core::config::{Chain, Scheme};
use cretoai_core::ledger::EPOCH;
use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use cretoai_core::types::ReplicaId;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// One implementation of one scheme. Keys are expanded once and kept: to decode one costs as much as to verify with it.
pub trait Suite: Send + Sync + 'static {
    /// The scheme.
    const SCHEME: Scheme;
    /// Bytes of a public key.
    const PUBLIC_BYTES: usize;
    /// An expanded secret key. It is zeroized when it is dropped.
    type Secret: Send + Sync;
    /// An expanded public key.
    type Public: Send + Sync;

    /// The secret key that belongs to a seed.
    fn expand(seed: &[u8; 32]) -> Self::Secret;

    /// The bytes of its public key.
    fn public_bytes(secret: &Self::Secret) -> Vec<u8>;

    /// A signature on `bytes`, under the empty context string where the scheme has one.
    fn sign(secret: &Self::Secret, bytes: &[u8]) -> Signature;

    /// The public key with these bytes, if there is one.
    fn public(bytes: &[u8]) -> Option<Self::Public>;

    /// Whether a signature on `bytes` is right.
    fn verify(public: &Self::Public, bytes: &[u8], signature: &[u8]) -> bool;
}

/// What signs as one replica, with the default suite of its keys' scheme.
#[must_use]
pub fn signer(keys: &Keys, context: SigningContext, id: ReplicaId) -> Box<dyn Signer> {
    if keys.scheme() == Scheme::Ed25519 {
        return signer_by::<Ed25519>(keys, context, id);
    }
    signer_by::<AwsLc>(keys, context, id)
}

/// What signs as one replica, with a suite of choice.
///
/// # Panics
/// When the suite is for another scheme than the keys.
#[must_use]
pub fn signer_by<S: Suite>(keys: &Keys, context: SigningContext, id: ReplicaId) -> Box<dyn Signer> {
    Box::new(ReplicaSigner::<S> { secret: keys.expand::<S>(), context, id })
}

/// What checks the signatures of a chain's replicas and of all callers, with the default suite of the chain's scheme.
///
/// # Errors
/// [`KeyError`] names the first key in the genesis that is none, or that two replicas share.
pub fn verifier(chain: &Chain) -> Result<Arc<dyn SignatureVerifier>, KeyError> {
    match chain.genesis.scheme {
        Scheme::MlDsa87 => verifier_by::<AwsLc>(chain),
        Scheme::Ed25519 => verifier_by::<Ed25519>(chain),
        Scheme::Simulated => Err(KeyError::Scheme(Scheme::Simulated)),
    }
}

/// What checks the signatures of a chain's replicas and of all callers, with a suite of choice for the replicas.
///
/// # Errors
/// As [`verifier`], and when the chain has another scheme than the suite.
pub fn verifier_by<S: Suite>(chain: &Chain) -> Result<Arc<dyn SignatureVerifier>, KeyError> {
    if chain.genesis.scheme != S::SCHEME {
        return Err(KeyError::Scheme(chain.genesis.scheme));
    }
    Ok(Arc::new(CommitteeVerifier::<S> { keys: public_keys::<S>(&chain.genesis.keys)?, context: context(chain) }))
}

/// Where the statements of a chain's replicas are valid.
#[must_use]
pub fn context(chain: &Chain) -> SigningContext {
    SigningContext { chain: chain.id, epoch: EPOCH }
}

/// The replicas' keys, expanded. Two replicas with one key would be one replica with two votes.
fn public_keys<S: Suite>(all: &[Bytes]) -> Result<Vec<S::Public>, KeyError> {
    let mut owners = HashMap::new();
    let mut keys = Vec::with_capacity(all.len());
    for (Bytes(bytes), replica) in all.iter().zip((0..).map(ReplicaId)) {
        if let Some(first) = owners.insert(bytes, replica) {
            return Err(KeyError::Shared { first, second: replica });
        }
        let key = public::<S>(bytes);
        keys.push(key.ok_or(KeyError::NoKey { replica, scheme: S::SCHEME, length: bytes.len() })?);
    }
    Ok(keys)
}

/// The length is checked here, for some libraries take other encodings of a key too, and an id must have only one key.
fn public<S: Suite>(bytes: &[u8]) -> Option<S::Public> {
    if bytes.len() == S::PUBLIC_BYTES { S::public(bytes) } else { None }
}

/// Signs as one replica.
struct ReplicaSigner<S: Suite> {
    secret: S::Secret,
    context: SigningContext,
    id: ReplicaId,
}

impl<S: Suite> fmt::Debug for ReplicaSigner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} signer of {}", S::SCHEME, self.id)
    }
}

impl<S: Suite> Signer for ReplicaSigner<S> {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        S::sign(&self.secret, &statement.signing_bytes(self.context, self.id))
    }
}

/// Checks the signatures of a committee, and of callers.
struct CommitteeVerifier<S: Suite> {
    keys: Vec<S::Public>,
    context: SigningContext,
}

impl<S: Suite> fmt::Debug for CommitteeVerifier<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} keys of {} replicas", S::SCHEME, self.keys.len())
    }
}

impl<S: Suite> SignatureVerifier for CommitteeVerifier<S> {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let Some(key) = self.keys.get(signer.index()) else { return false };
        S::verify(key, &statement.signing_bytes(self.context, signer), signature.bytes())
    }

    // Always by the same suites, whatever checks the replicas: a request that one replica takes and another refuses
    // would stop the chain.
    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        match caller.scheme {
            Scheme::Ed25519 => verify_caller::<Ed25519>(caller, id, signature),
            Scheme::MlDsa87 => verify_caller::<AwsLc>(caller, id, signature),
            Scheme::Simulated => false,
        }
    }
}

fn verify_caller<S: Suite>(caller: &Caller, id: RequestId, signature: &Signature) -> bool {
    public::<S>(&caller.key.0).is_some_and(|key| S::verify(&key, &id.0, signature.bytes()))
}
