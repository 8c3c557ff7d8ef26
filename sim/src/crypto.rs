//! Signature schemes. Secrets never leave this module: whoever holds a [`Signer`] can sign as its owner and as
//! nobody else, so that forging another's signature is impossible here, not just impolite.

mod ed25519;
mod ml_dsa;
mod simulated;
mod witness;

use crate::plan::Crypto;
use crate::rng::{Concern, Rng};
use cretoai_core::config::{ChainId, Genesis, Scheme};
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::ledger::EPOCH;
use cretoai_core::request::{Caller, ClientRequest, Request, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use cretoai_core::types::ReplicaId;
use std::fmt;
use std::sync::Arc;

pub use simulated::{Mix, mix};
pub use witness::Witness;

/// What signs as one replica and has more than one signature for a statement. A liar may use it; honest replicas sign
/// with hand 0, which is what [`Signer`] does.
pub trait Pen: Signer {
    /// The signature on a statement with another hand: other bytes, and valid all the same. A scheme with a single
    /// valid signature for each statement gives that.
    fn sign_with(&self, hand: u64, statement: Statement<'_>) -> Signature;
}

/// The secrets of all replicas, from which everything else is made.
pub struct Keys {
    scheme: Secrets,
    /// The public keys, by replica.
    pub public: Vec<Vec<u8>>,
}

enum Secrets {
    Simulated(Arc<simulated::Secrets>),
    Ed25519(Vec<ed25519::Secret>),
    MlDsa(Vec<ml_dsa::Secret>),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys of {} replicas", self.public.len())
    }
}

/// What the replicas sign elsewhere with the keys that they have here. There they follow the protocol, too: whoever has
/// heard them says here what they may have said there, and of several things that contradict each other only one.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    keys: &'a Keys,
    chain: ChainId,
}

impl Elsewhere<'_> {
    /// A replica's signature in a chain that is none of ours.
    #[must_use]
    pub fn in_another_chain(&self, id: ReplicaId, statement: Statement<'_>) -> Signature {
        self.keys.pen(FOREIGN, id).sign(statement)
    }

    /// A replica's signature in this chain, in the epoch after ours.
    #[must_use]
    pub fn in_the_next_epoch(&self, id: ReplicaId, statement: Statement<'_>) -> Signature {
        let context = SigningContext { chain: self.chain, epoch: EPOCH + 1 };
        self.keys.pen_in(context, id).sign(statement)
    }
}

/// A chain that is none of ours: the hash of no genesis.
const FOREIGN: ChainId = Digest([0; 32]);

fn context(chain: ChainId) -> SigningContext {
    SigningContext { chain, epoch: EPOCH }
}

fn seed32(rng: &mut Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&rng.next_u64().to_le_bytes()));
    seed
}

impl Keys {
    /// The keys of `n` replicas, from a seed.
    #[must_use]
    pub fn new(crypto: Crypto, seed: u64, n: u16) -> Self {
        let mut rng = Rng::new(seed, Concern::Keys);
        match crypto {
            Crypto::Simulated => {
                let secrets = simulated::Secrets::new(&mut rng, n);
                Self { public: secrets.public(), scheme: Secrets::Simulated(Arc::new(secrets)) }
            }
            Crypto::Ed25519 => {
                let secrets: Vec<_> = (0..n).map(|_| ed25519::Secret::new(seed32(&mut rng))).collect();
                Self {
                    public: secrets.iter().map(ed25519::Secret::public).collect(),
                    scheme: Secrets::Ed25519(secrets),
                }
            }
            Crypto::MlDsa87 => {
                let secrets: Vec<_> = (0..n).map(|_| ml_dsa::Secret::new(seed32(&mut rng))).collect();
                Self { public: secrets.iter().map(ml_dsa::Secret::public).collect(), scheme: Secrets::MlDsa(secrets) }
            }
        }
    }

    /// What signs as one replica.
    #[must_use]
    pub fn signer(&self, chain: ChainId, id: ReplicaId) -> Box<dyn Signer> {
        self.pen(chain, id)
    }

    /// The same for one that may sign with other hands.
    #[must_use]
    pub fn pen(&self, chain: ChainId, id: ReplicaId) -> Box<dyn Pen> {
        self.pen_in(context(chain), id)
    }

    fn pen_in(&self, context: SigningContext, id: ReplicaId) -> Box<dyn Pen> {
        match &self.scheme {
            Secrets::Simulated(secrets) => Box::new(simulated::Pen::new(secrets, context, id)),
            Secrets::Ed25519(secrets) => Box::new(secrets[id.index()].pen(context, id)),
            Secrets::MlDsa(secrets) => Box::new(secrets[id.index()].pen(context, id)),
        }
    }

    /// What these keys sign where it does not count here.
    #[must_use]
    pub fn elsewhere(&self, chain: ChainId) -> Elsewhere<'_> {
        Elsewhere { keys: self, chain }
    }

    /// What checks everybody's signatures.
    #[must_use]
    pub fn verifier(&self, chain: ChainId) -> Arc<dyn SignatureVerifier> {
        let context = context(chain);
        match &self.scheme {
            Secrets::Simulated(secrets) => Arc::new(simulated::Glasses::new(Arc::clone(secrets), context)),
            Secrets::Ed25519(secrets) => {
                Arc::new(ed25519::Glasses::new(context, secrets.iter().map(ed25519::Secret::verifying).collect()))
            }
            Secrets::MlDsa(secrets) => {
                Arc::new(ml_dsa::Glasses::new(context, secrets.iter().map(ml_dsa::Secret::verifying).collect()))
            }
        }
    }

    /// What checks the signatures of a chain's replicas for somebody who has only its genesis. Simulated ones can be
    /// checked by nobody but who knows the seed of their run.
    ///
    /// # Errors
    /// Why these keys check nothing.
    pub fn verifier_of(genesis: &Genesis, seed: Option<u64>) -> Result<Arc<dyn SignatureVerifier>, String> {
        let chain = genesis.chain_id();
        let keys = genesis.keys.iter().map(|key| key.0.as_slice());
        let malformed = |id| format!("the key of r{id} is none of the scheme {:?}", genesis.scheme);
        match genesis.scheme {
            Scheme::Simulated => {
                let seed =
                    seed.ok_or("simulated signatures cannot be checked without the seed of their run: add --seed")?;
                let n = u16::try_from(genesis.keys.len()).map_err(|_| "too many keys")?;
                let made = Self::new(Crypto::Simulated, seed, n);
                let is_same = made.public.iter().map(Vec::as_slice).eq(keys);
                if is_same { Ok(made.verifier(chain)) } else { Err(format!("seed {seed} is of another run")) }
            }
            Scheme::Ed25519 => {
                let keys = (0..).zip(keys).map(|(id, key)| ed25519::public(key).ok_or_else(|| malformed(id)));
                Ok(Arc::new(ed25519::Glasses::new(context(chain), keys.collect::<Result<_, _>>()?)))
            }
            Scheme::MlDsa87 => {
                let keys = (0..).zip(keys).map(|(id, key)| ml_dsa::public(key).ok_or_else(|| malformed(id)));
                Ok(Arc::new(ml_dsa::Glasses::new(context(chain), keys.collect::<Result<_, _>>()?)))
            }
        }
    }

    /// A request that a client signs with a key of its own.
    #[must_use]
    pub fn sign_request(&self, client: u32, mut request: Request) -> ClientRequest {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&client.to_le_bytes());
        let (scheme, public, sign): (_, _, Box<dyn Fn(RequestId) -> Signature>) = match &self.scheme {
            Secrets::Simulated(secrets) => {
                let secrets = Arc::clone(secrets);
                let public = key.to_vec();
                (Scheme::Simulated, key.to_vec(), Box::new(move |id| secrets.caller(&public, id)))
            }
            Secrets::Ed25519(_) | Secrets::MlDsa(_) => {
                let secret = ed25519::Secret::new(key);
                (Scheme::Ed25519, secret.public(), Box::new(move |id| secret.sign(&id.0)))
            }
        };
        request.caller = Some(Caller { scheme, key: cretoai_core::bytes::Bytes(public) });
        let request = Hashed::new(request);
        let signature = Some(sign(request.digest()));
        ClientRequest { request, signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::types::{Slot, View};
    use cretoai_core::vote::{Phase, Vote};

    fn vote(slot: u64) -> Vote {
        Vote::one(Phase::Prepare, View(0), Slot(slot), Digest([7; 32]))
    }

    #[test]
    fn every_scheme_accepts_its_own_and_refuses_everything_else() {
        for crypto in [Crypto::Simulated, Crypto::Ed25519, Crypto::MlDsa87] {
            let keys = Keys::new(crypto, 3, 2);
            let chain = Digest([1; 32]);
            let (signer, verifier) = (keys.signer(chain, ReplicaId(1)), keys.verifier(chain));
            let signature = signer.sign(Statement::Vote(&vote(5)));
            assert_eq!(signature, signer.sign(Statement::Vote(&vote(5))), "{crypto:?} signs deterministically");
            let check = |id, slot, signature: &Signature| {
                verifier.verify(ReplicaId(id), Statement::Vote(&vote(slot)), signature)
            };
            assert!(check(1, 5, &signature), "{crypto:?}");
            assert!(!check(0, 5, &signature), "{crypto:?}: another signer");
            assert!(!check(1, 6, &signature), "{crypto:?}: another statement");
            assert!(!check(9, 5, &signature), "{crypto:?}: no such signer");
            assert!(!check(1, 5, &Signature::new(&[0; 16])), "{crypto:?}: rubbish");
            let other = keys.verifier(Digest([2; 32]));
            assert!(!other.verify(ReplicaId(1), Statement::Vote(&vote(5)), &signature), "{crypto:?}: other chain");
            let elsewhere = keys.elsewhere(chain);
            let foreign = elsewhere.in_another_chain(ReplicaId(1), Statement::Vote(&vote(5)));
            let later = elsewhere.in_the_next_epoch(ReplicaId(1), Statement::Vote(&vote(5)));
            assert!(!check(1, 5, &foreign) && !check(1, 5, &later), "{crypto:?}: signed elsewhere");
            let abroad = keys.verifier(FOREIGN);
            assert!(abroad.verify(ReplicaId(1), Statement::Vote(&vote(5)), &foreign), "{crypto:?}: it counts there");
        }
    }

    #[test]
    fn a_statement_has_many_valid_signatures_where_the_scheme_allows_it() {
        for (crypto, distinct) in [(Crypto::Simulated, 3), (Crypto::Ed25519, 1), (Crypto::MlDsa87, 3)] {
            let keys = Keys::new(crypto, 3, 2);
            let chain = Digest([1; 32]);
            let (pen, verifier) = (keys.pen(chain, ReplicaId(1)), keys.verifier(chain));
            let (due, other) = (vote(5), vote(6));
            let signatures: Vec<_> = (0..3).map(|hand| pen.sign_with(hand, Statement::Vote(&due))).collect();
            assert_eq!(signatures[0], pen.sign(Statement::Vote(&due)), "{crypto:?}: hand 0 is the usual one");
            let bytes: std::collections::BTreeSet<_> = signatures.iter().map(Signature::bytes).collect();
            assert_eq!(bytes.len(), distinct, "{crypto:?}");
            for signature in &signatures {
                assert!(verifier.verify(ReplicaId(1), Statement::Vote(&due), signature), "{crypto:?}");
                assert!(!verifier.verify(ReplicaId(1), Statement::Vote(&other), signature), "{crypto:?}");
                assert!(!verifier.verify(ReplicaId(0), Statement::Vote(&due), signature), "{crypto:?}");
            }
        }
    }

    #[test]
    fn a_genesis_is_enough_to_check_signatures_and_for_simulated_ones_the_seed() {
        for crypto in [Crypto::Simulated, Crypto::Ed25519, Crypto::MlDsa87] {
            let plan = crate::plan::Plan { crypto, seed: 3, ..Default::default() };
            let keys = Keys::new(crypto, 3, plan.n);
            let genesis = plan.genesis(keys.public.clone());
            let signature = keys.signer(genesis.chain_id(), ReplicaId(1)).sign(Statement::Vote(&vote(5)));
            let verifier = Keys::verifier_of(&genesis, Some(3)).expect("the keys are right");
            assert!(verifier.verify(ReplicaId(1), Statement::Vote(&vote(5)), &signature), "{crypto:?}");
            assert!(!verifier.verify(ReplicaId(2), Statement::Vote(&vote(5)), &signature), "{crypto:?}");
            let is_simulated = crypto == Crypto::Simulated;
            assert_eq!(Keys::verifier_of(&genesis, None).is_err(), is_simulated, "{crypto:?}");
            assert_eq!(Keys::verifier_of(&genesis, Some(4)).is_err(), is_simulated, "{crypto:?}");
        }
        let scheme = Scheme::MlDsa87;
        let genesis = Genesis { scheme, ..Genesis::new("", scheme, vec![vec![0; 7]; 4]) };
        let error = Keys::verifier_of(&genesis, None).expect_err("seven bytes are no key");
        assert_eq!(error, "the key of r0 is none of the scheme MlDsa87");
    }

    #[test]
    fn callers_sign_their_requests() {
        for crypto in [Crypto::Simulated, Crypto::Ed25519, Crypto::MlDsa87] {
            let keys = Keys::new(crypto, 3, 2);
            let chain = Digest([1; 32]);
            let request = Request {
                chain_id: chain,
                expires: cretoai_core::time::Instant(9),
                nonce: [0; 16],
                caller: None,
                op: cretoai_core::bytes::Bytes(vec![1]),
            };
            let signed = keys.sign_request(4, request);
            let caller = signed.request.caller.as_ref().expect("the caller is named");
            let signature = signed.signature.as_ref().expect("it signed");
            let verifier = keys.verifier(chain);
            assert!(verifier.verify_caller(caller, signed.id(), signature), "{crypto:?}");
            assert!(!verifier.verify_caller(caller, Digest([5; 32]), signature), "{crypto:?}");
        }
    }
}
