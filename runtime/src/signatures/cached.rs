//! Each signature is verified once: votes come again inside certificates, and certificates from several peers.

use super::context;
use blake3::Hasher;
use cretoai_core::config::Chain;
use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, SigningContext, Statement};
use cretoai_core::types::ReplicaId;
use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a question to a [`Cached`] verifier had been answered before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Known to be right.
    pub hits: u64,
    /// Handed to the verifier behind the cache.
    pub misses: u64,
}

/// A verifier that remembers which signatures were right. Wrong ones are not remembered: whoever makes them up has an
/// endless supply, and would drive the right ones out.
pub struct Cached {
    inner: Arc<dyn SignatureVerifier>,
    context: SigningContext,
    known: Mutex<Generations>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Two generations of hashes. When the young one is full, it becomes the old one, and what was old and not asked for
/// since is forgotten.
struct Generations {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
    /// Hashes in a generation, at the most.
    capacity: usize,
}

impl Cached {
    /// Remembers up to `signatures` of the newest ones, and at least one, in front of the verifier of a chain. One
    /// takes about 40 bytes.
    #[must_use]
    pub fn new(inner: Arc<dyn SignatureVerifier>, chain: &Chain, signatures: usize) -> Self {
        let capacity = (signatures / 2).max(1);
        let known = Mutex::new(Generations { young: HashSet::new(), old: HashSet::new(), capacity });
        Self { inner, context: context(chain), known, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What was known, and what was not.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    fn check(&self, hash: [u8; 32], verify: impl FnOnce() -> bool) -> bool {
        // A set is whole after every call on it, so a panic elsewhere spoils nothing.
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).recall(hash) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let right = verify();
        if right {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).learn(hash);
        }
        right
    }
}

impl Generations {
    fn recall(&mut self, hash: [u8; 32]) -> bool {
        if self.young.contains(&hash) {
            return true;
        }
        let known = self.old.remove(&hash);
        if known {
            self.learn(hash);
        }
        known
    }

    fn learn(&mut self, hash: [u8; 32]) {
        if self.capacity <= self.young.len() {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}

/// Which of the two kinds of questions a hash stands for.
#[derive(Clone, Copy)]
enum Asked {
    Replica = 0,
    Caller = 1,
}

/// Every part stands behind its length, so that no two questions are the same bytes.
fn key(asked: Asked, who: &[u8], what: &[u8], signature: &Signature) -> [u8; 32] {
    let mut hasher = Hasher::new();
    hasher.update(&[asked as u8]);
    for part in [who, what, signature.bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

impl SignatureVerifier for Cached {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let bytes = statement.signing_bytes(self.context, signer);
        let hash = key(Asked::Replica, &signer.0.to_be_bytes(), &bytes, signature);
        self.check(hash, || self.inner.verify(signer, statement, signature))
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        let mut what = vec![caller.scheme as u8];
        what.extend_from_slice(&id.0);
        let hash = key(Asked::Caller, &caller.key.0, &what, signature);
        self.check(hash, || self.inner.verify_caller(caller, id, signature))
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache, {:?}, in front of {:?}", self.stats(), self.inner)
    }
}
