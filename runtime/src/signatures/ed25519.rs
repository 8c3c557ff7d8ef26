//! Ed25519 (RFC 8032).

use super::Suite;
use cretoai_core::config::Scheme;
use cretoai_core::signature::Signature;
use ed25519_dalek::{PUBLIC_KEY_LENGTH, Signer as _, SigningKey, VerifyingKey};

/// Ed25519, verified strictly: points of small order and numbers that are not reduced are refused, so that all replicas
/// judge a signature alike.
#[derive(Clone, Copy, Debug)]
pub struct Ed25519;

impl Suite for Ed25519 {
    const SCHEME: Scheme = Scheme::Ed25519;
    const PUBLIC_BYTES: usize = PUBLIC_KEY_LENGTH;
    type Secret = SigningKey;
    type Public = VerifyingKey;

    fn expand(seed: &[u8; 32]) -> SigningKey {
        SigningKey::from_bytes(seed)
    }

    fn public_bytes(secret: &SigningKey) -> Vec<u8> {
        secret.verifying_key().to_bytes().to_vec()
    }

    fn sign(secret: &SigningKey, bytes: &[u8]) -> Signature {
        Signature::new(&secret.sign(bytes).to_bytes())
    }

    fn public(bytes: &[u8]) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(bytes.try_into().ok()?).ok().filter(|key| !key.is_weak())
    }

    fn verify(public: &VerifyingKey, bytes: &[u8], signature: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_slice(signature);
        signature.is_ok_and(|signature| public.verify_strict(bytes, &signature).is_ok())
    }
}
