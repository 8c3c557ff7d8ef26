//! ML-DSA-87 (FIPS 204), signing deterministically.

use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use cretoai_core::types::ReplicaId;
use fips204::ml_dsa_87::{KG, PrivateKey, PublicKey};
use fips204::traits::{KeyGen, SerDes, Signer as _, Verifier};
use std::fmt;

pub(super) struct Secret {
    public: PublicKey,
    private: PrivateKey,
}

impl Secret {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let (public, private) = KG::keygen_from_seed(&seed);
        Self { public, private }
    }

    pub(super) fn public(&self) -> Vec<u8> {
        self.public.clone().into_bytes().to_vec()
    }

    pub(super) fn verifying(&self) -> PublicKey {
        self.public.clone()
    }

    pub(super) fn pen(&self, context: SigningContext, id: ReplicaId) -> Pen {
        Pen { key: self.private.clone(), context, id }
    }
}

/// Signs as one replica.
pub(super) struct Pen {
    key: PrivateKey,
    context: SigningContext,
    id: ReplicaId,
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key of {}", self.id)
    }
}

impl Signer for Pen {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        super::Pen::sign_with(self, 0, statement)
    }
}

impl super::Pen for Pen {
    fn sign_with(&self, hand: u64, statement: Statement<'_>) -> Signature {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&hand.to_le_bytes());
        let bytes = statement.signing_bytes(self.context, self.id);
        let signature = self.key.try_sign_with_seed(&seed, &bytes, &[]);
        Signature::new(&signature.expect("the context string is short"))
    }
}

/// Checks everybody's signatures, and those of callers.
pub(super) struct Glasses {
    context: SigningContext,
    keys: Vec<PublicKey>,
}

impl fmt::Debug for Glasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys of {} replicas", self.keys.len())
    }
}

impl Glasses {
    pub(super) fn new(context: SigningContext, keys: Vec<PublicKey>) -> Self {
        Self { context, keys }
    }
}

/// A public key from its bytes.
pub(super) fn public(bytes: &[u8]) -> Option<PublicKey> {
    PublicKey::try_from_bytes(bytes.try_into().ok()?).ok()
}

impl SignatureVerifier for Glasses {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let (Some(key), Ok(signature)) = (self.keys.get(signer.index()), signature.bytes().try_into()) else {
            return false;
        };
        key.verify(&statement.signing_bytes(self.context, signer), &signature, &[])
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        super::ed25519::verify_caller(caller, id, signature)
    }
}
