//! The keys of a replica or of a caller.

use super::{AwsLc, Ed25519, Suite};
use cretoai_core::bytes::Bytes;
use cretoai_core::config::{Chain, Scheme};
use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::Signature;
use cretoai_core::types::ReplicaId;
use std::fmt;
use std::io;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A scheme without keys here.
    #[error("genesis.scheme = {0:?}: cannot sign or verify here; must be MlDsa87 or Ed25519, as the suite asks for")]
    Scheme(Scheme),
    /// No public key.
    #[error("genesis.keys[{}]: {length} bytes that are no public key of {}; take what `Keys::public` gives", .replica.0, scheme_name(*.scheme))]
    NoKey {
        /// Whose it should be.
        replica: ReplicaId,
        /// The scheme it should belong to.
        scheme: Scheme,
        /// Its length.
        length: usize,
    },
    /// One key in two places.
    #[error("genesis.keys[{}]: is the key of replica {} too; give every replica a key of its own", .second.0, .first.0)]
    Shared {
        /// The first replica with this key.
        first: ReplicaId,
        /// The second one.
        second: ReplicaId,
    },
    /// The chain does not know the key.
    #[error("key {public}: belongs to no replica of chain {chain}; name the key file of a replica in the genesis")]
    Stranger {
        /// The first bytes of the public key.
        public: String,
        /// The chain's name.
        chain: String,
    },
    /// A key file that cannot be read or written.
    #[error("key file {path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is something already where a key should be written.
    #[error("key file {path}: exists, and a key is never overwritten; name another file, or move this one away")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Others can read the key.
    #[error("key file {path}: mode {mode:03o} lets others read or change it; run `chmod 600 {path}`")]
    Exposed {
        /// Where.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is no key file.
    #[error("key file {path}: {what}; a key file has a line `cretoai-key-v1 SCHEME` and a line of 64 hex digits")]
    Format {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// No randomness for a new key.
    #[error("the operating system gives no random bytes for a new key; try again later")]
    Randomness,
}

/// The name of a scheme in files and messages.
#[must_use]
pub fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Simulated => "simulated",
        Scheme::Ed25519 => "ed25519",
        Scheme::MlDsa87 => "ml-dsa-87",
    }
}

/// A secret key as its seed, with its public key. The seed is zeroized when this is dropped, and is never printed.
pub struct Keys {
    scheme: Scheme,
    seed: Zeroizing<[u8; 32]>,
    public: Vec<u8>,
}

impl Keys {
    /// The keys that belong to a seed of 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::Scheme`] for simulated keys.
    pub fn from_seed(scheme: Scheme, seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let public = match scheme {
            Scheme::MlDsa87 => AwsLc::public_bytes(&AwsLc::expand(&seed)),
            Scheme::Ed25519 => Ed25519::public_bytes(&Ed25519::expand(&seed)),
            Scheme::Simulated => return Err(KeyError::Scheme(scheme)),
        };
        Ok(Self { scheme, seed, public })
    }

    /// New keys, from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] when there is none, [`KeyError::Scheme`] for simulated keys.
    pub fn generate(scheme: Scheme) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *seed).map_err(|_| KeyError::Randomness)?;
        Self::from_seed(scheme, seed)
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The public key, as it stands in a genesis.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The replica of a chain that has this key.
    ///
    /// # Errors
    /// [`KeyError::Stranger`] when none has.
    pub fn replica(&self, chain: &Chain) -> Result<ReplicaId, KeyError> {
        let mut members = chain.committee.members();
        let is_mine = |id: &ReplicaId| chain.genesis.keys[id.index()].0 == self.public;
        if chain.genesis.scheme == self.scheme
            && let Some(id) = members.find(is_mine)
        {
            return Ok(id);
        }
        Err(KeyError::Stranger { public: self.fingerprint(), chain: chain.genesis.name.clone() })
    }

    /// The caller that signs requests with this key.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { scheme: self.scheme, key: Bytes(self.public.clone()) }
    }

    /// The signature of that caller on a request.
    #[must_use]
    pub fn sign_request(&self, id: RequestId) -> Signature {
        if self.scheme == Scheme::Ed25519 {
            return Ed25519::sign(&self.expand::<Ed25519>(), &id.0);
        }
        AwsLc::sign(&self.expand::<AwsLc>(), &id.0)
    }

    /// # Panics
    /// When the suite is for another scheme.
    pub(super) fn expand<S: Suite>(&self) -> S::Secret {
        assert_eq!(self.scheme, S::SCHEME, "the scheme of the keys is that of the suite");
        S::expand(&self.seed)
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    fn fingerprint(&self) -> String {
        self.public.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key {}", scheme_name(self.scheme), self.fingerprint())
    }
}
