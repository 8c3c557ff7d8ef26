//! ML-DSA-87 (FIPS 204) in Rust: the reference beside the fast implementation, with deterministic signatures.

use super::Suite;
use cretoai_core::config::Scheme;
use cretoai_core::signature::Signature;
use fips204::ml_dsa_87::{KG, PK_LEN, PrivateKey, PublicKey};
use fips204::traits::{KeyGen, SerDes, Signer as _, Verifier};

/// ML-DSA-87 by the crate `fips204`. The same key and bytes always give the same signature.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Suite for Portable {
    const SCHEME: Scheme = Scheme::MlDsa87;
    const PUBLIC_BYTES: usize = PK_LEN;
    type Secret = PrivateKey;
    type Public = PublicKey;

    fn expand(seed: &[u8; 32]) -> PrivateKey {
        KG::keygen_from_seed(seed).1
    }

    fn public_bytes(secret: &PrivateKey) -> Vec<u8> {
        secret.get_public_key().into_bytes().to_vec()
    }

    fn sign(secret: &PrivateKey, bytes: &[u8]) -> Signature {
        // The deterministic variant of FIPS 204: thirty-two zeros in place of randomness.
        let signature = secret.try_sign_with_seed(&[0; 32], bytes, &[]);
        Signature::new(&signature.expect("an empty context string is short enough"))
    }

    fn public(bytes: &[u8]) -> Option<PublicKey> {
        PublicKey::try_from_bytes(bytes.try_into().ok()?).ok()
    }

    fn verify(public: &PublicKey, bytes: &[u8], signature: &[u8]) -> bool {
        signature.try_into().is_ok_and(|signature| public.verify(bytes, &signature, &[]))
    }
}
