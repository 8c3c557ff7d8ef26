//! ML-DSA-87 (FIPS 204) by AWS-LC: fast, and with randomized signatures.

use super::Suite;
use aws_lc_rs::signature::{KeyPair, ML_DSA_87, ML_DSA_87_SIGNING, ParsedPublicKey, PqdsaKeyPair};
use cretoai_core::config::Scheme;
use cretoai_core::signature::Signature;

/// ML-DSA-87 by AWS-LC. Two signatures on the same bytes differ.
#[derive(Clone, Copy, Debug)]
pub struct AwsLc;

impl Suite for AwsLc {
    const SCHEME: Scheme = Scheme::MlDsa87;
    const PUBLIC_BYTES: usize = 2592;
    // AWS-LC cleanses keys when it frees them.
    type Secret = PqdsaKeyPair;
    type Public = ParsedPublicKey;

    fn expand(seed: &[u8; 32]) -> PqdsaKeyPair {
        PqdsaKeyPair::from_seed(&ML_DSA_87_SIGNING, seed).expect("every 32 bytes are a seed of ML-DSA-87")
    }

    fn public_bytes(secret: &PqdsaKeyPair) -> Vec<u8> {
        secret.public_key().as_ref().to_vec()
    }

    fn sign(secret: &PqdsaKeyPair, bytes: &[u8]) -> Signature {
        let mut signature = vec![0; Scheme::MlDsa87.signature_bytes()];
        let length = secret.sign(bytes, &mut signature).expect("AWS-LC has memory and randomness to sign with");
        assert_eq!(length, signature.len(), "bytes of an ML-DSA-87 signature");
        Signature::new(&signature)
    }

    fn public(bytes: &[u8]) -> Option<ParsedPublicKey> {
        ParsedPublicKey::new(&ML_DSA_87, bytes).ok()
    }

    fn verify(public: &ParsedPublicKey, bytes: &[u8], signature: &[u8]) -> bool {
        public.verify_sig(bytes, signature).is_ok()
    }
}
