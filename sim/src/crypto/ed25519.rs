//! Ed25519 (RFC 8032).

use cretoai_core::config::Scheme;
use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use cretoai_core::types::ReplicaId;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

pub(super) struct Secret(SigningKey);

impl Secret {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    pub(super) fn public(&self) -> Vec<u8> {
        self.0.verifying_key().to_bytes().to_vec()
    }

    pub(super) fn verifying(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    pub(super) fn pen(&self, context: SigningContext, id: ReplicaId) -> Pen {
        Pen { key: self.0.clone(), context, id }
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Signature {
        Signature::new(&self.0.sign(bytes).to_bytes())
    }
}

/// Signs as one replica.
#[derive(Debug)]
pub(super) struct Pen {
    key: SigningKey,
    context: SigningContext,
    id: ReplicaId,
}

impl Signer for Pen {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        let bytes = statement.signing_bytes(self.context, self.id);
        Signature::new(&self.key.sign(&bytes).to_bytes())
    }
}

impl super::Pen for Pen {
    fn sign_with(&self, _hand: u64, statement: Statement<'_>) -> Signature {
        self.sign(statement)
    }
}

/// Checks everybody's signatures, and those of callers.
#[derive(Debug)]
pub(super) struct Glasses {
    context: SigningContext,
    keys: Vec<VerifyingKey>,
}

impl Glasses {
    pub(super) fn new(context: SigningContext, keys: Vec<VerifyingKey>) -> Self {
        Self { context, keys }
    }
}

fn is_right(key: &VerifyingKey, bytes: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_slice(signature.bytes());
    signature.is_ok_and(|signature| key.verify_strict(bytes, &signature).is_ok())
}

impl SignatureVerifier for Glasses {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let Some(key) = self.keys.get(signer.index()) else { return false };
        is_right(key, &statement.signing_bytes(self.context, signer), signature)
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        verify_caller(caller, id, signature)
    }
}

/// A public key from its bytes.
pub(super) fn public(bytes: &[u8]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()
}

/// Whether an Ed25519 caller signed a request. Callers use it beside every scheme of replicas that is real.
pub(super) fn verify_caller(caller: &Caller, id: RequestId, signature: &Signature) -> bool {
    let key = public(&caller.key.0);
    caller.scheme == Scheme::Ed25519 && key.is_some_and(|key| is_right(&key, &id.0, signature))
}
