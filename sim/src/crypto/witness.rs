//! Signing and checking where old messages are said again: what a replica did not sign in this very run it did not
//! sign at all, however right the bytes are.

use cretoai_core::committee::ReplicaSet;
use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, Statement};
use cretoai_core::types::ReplicaId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The signatures that were made in a run.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<BTreeSet<Vec<u8>>>>);

impl Witness {
    /// A signer whose signatures are seen.
    #[must_use]
    pub fn watch(&self, signer: Box<dyn Signer>) -> Box<dyn Signer> {
        Box::new(Watched { signer, witness: self.clone() })
    }

    /// A verifier that accepts what it accepted, but of the replicas in `watched` only what was seen.
    #[must_use]
    pub fn verifier(&self, inner: Arc<dyn SignatureVerifier>, watched: ReplicaSet) -> Arc<dyn SignatureVerifier> {
        Arc::new(Glasses { inner, watched, witness: self.clone() })
    }
}

#[derive(Debug)]
struct Watched {
    signer: Box<dyn Signer>,
    witness: Witness,
}

impl Signer for Watched {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        let signature = self.signer.sign(statement);
        self.witness.0.lock().unwrap_or_else(PoisonError::into_inner).insert(signature.bytes().to_vec());
        signature
    }
}

#[derive(Debug)]
struct Glasses {
    inner: Arc<dyn SignatureVerifier>,
    watched: ReplicaSet,
    witness: Witness,
}

impl SignatureVerifier for Glasses {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let is_watched = signer.0 < 128 && self.watched >> signer.0 & 1 == 1;
        let was_seen = || self.witness.0.lock().unwrap_or_else(PoisonError::into_inner).contains(signature.bytes());
        self.inner.verify(signer, statement, signature) && (!is_watched || was_seen())
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        self.inner.verify_caller(caller, id, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Keys;
    use crate::plan::Crypto;
    use cretoai_core::hash::Digest;

    #[test]
    fn of_a_watched_replica_only_what_it_signed_in_this_run_counts() {
        let keys = Keys::new(Crypto::Simulated, 3, 2);
        let chain = Digest([1; 32]);
        let (witness, statement) = (Witness::default(), Statement::Vertex(Digest([5; 32])));
        let verifier = witness.verifier(keys.verifier(chain), 0b01);
        let earlier = [0, 1].map(|id| keys.signer(chain, ReplicaId(id)).sign(statement));
        let accepts = |id: u16| verifier.verify(ReplicaId(id), statement, &earlier[usize::from(id)]);
        assert_eq!([accepts(0), accepts(1)], [false, true]);
        witness.watch(keys.signer(chain, ReplicaId(0))).sign(statement);
        assert!(accepts(0));
    }
}
