//! `genesis.toml`: what all replicas of a chain agree on.

use crate::config::{FileText, read};
use crate::error::ConfigError;
use crate::hex;
use cretoai_core::config::{Chain, Genesis, Limits, Scheme};
use cretoai_core::time::Duration;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::SystemTime;

/// Whether a committee may be too small to tolerate a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// At least four replicas.
    Required,
    /// Any number, for experiments.
    Waived,
}

/// The signature schemes of real chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// ML-DSA-87 (FIPS 204).
    #[value(name = "ml-dsa-87")]
    #[serde(rename = "ml-dsa-87")]
    MlDsa87,
    /// Ed25519 (RFC 8032).
    #[value(name = "ed25519")]
    #[serde(rename = "ed25519")]
    Ed25519,
}

impl From<SchemeName> for Scheme {
    fn from(name: SchemeName) -> Self {
        match name {
            SchemeName::MlDsa87 => Self::MlDsa87,
            SchemeName::Ed25519 => Self::Ed25519,
        }
    }
}

/// The file as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// A name, to tell chains apart.
    pub name: String,
    /// How replicas sign.
    pub scheme: SchemeName,
    /// When the chain's clock shows zero, in milliseconds since 1970. Part of the chain's identity.
    pub genesis_time_ms: u64,
    /// Slots between checkpoints, `K`.
    pub checkpoint_interval: u64,
    /// Slots between the watermarks, `L`.
    pub window: u64,
    /// Whether every request must be signed by its caller.
    #[serde(default)]
    pub signed_requests: bool,
    /// Whether fewer than four replicas are allowed: they tolerate no fault.
    #[serde(default)]
    pub allow_intolerant: bool,
    /// The public keys in hexadecimal digits, in the order of the replicas' ids.
    pub keys: Vec<String>,
    /// Bounds for all.
    pub limits: LimitsFile,
}

/// The bounds as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Vertices of one author that may be unfinalized at once.
    pub open_vertices: u64,
    /// Bytes of a vertex.
    pub vertex_bytes: u64,
    /// How far ahead a request may expire.
    pub lifetime_ms: u64,
    /// Requests remembered for exactly-once execution.
    pub seen_requests: u64,
}

impl GenesisFile {
    /// The defaults for a chain with these public keys.
    #[must_use]
    pub fn new(name: &str, scheme: SchemeName, keys: &[Vec<u8>], genesis_time: SystemTime) -> Self {
        let Genesis { checkpoint_interval, window, limits, .. } = Genesis::new(name, scheme.into(), keys.to_vec());
        let since = genesis_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            name: name.to_owned(),
            scheme,
            genesis_time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            checkpoint_interval,
            window,
            signed_requests: false,
            allow_intolerant: keys.len() < usize::from(cretoai_core::committee::MIN_FAULT_TOLERANT),
            keys: keys.iter().map(|key| hex::encode(key)).collect(),
            limits: LimitsFile {
                open_vertices: limits.open_vertices,
                vertex_bytes: limits.vertex_bytes,
                lifetime_ms: limits.lifetime.0 / 1_000_000,
                seen_requests: limits.seen_requests,
            },
        }
    }

    /// Reads and validates a file.
    ///
    /// # Errors
    /// [`ConfigError`] names the first key that is wrong.
    pub fn load(path: &Path) -> Result<(Self, Chain), ConfigError> {
        let text = read(path)?;
        let file: Self = text.parse()?;
        let chain = file.chain(&text)?;
        Ok((file, chain))
    }

    fn chain(&self, text: &FileText) -> Result<Chain, ConfigError> {
        let mut keys = Vec::with_capacity(self.keys.len());
        for (index, key) in self.keys.iter().enumerate() {
            let bytes = hex::decode(key).ok_or_else(|| {
                let limit = "must be hexadecimal digits, two a byte";
                text.wrong(&format!("keys[{index}]"), limit, "copy what `cretoai-node keygen` prints")
            })?;
            keys.push(cretoai_core::bytes::Bytes(bytes));
        }
        let Some(lifetime) = self.limits.lifetime_ms.checked_mul(1_000_000) else {
            return Err(text.wrong("limits.lifetime_ms", "must fit 64 bits in nanoseconds", "set 30000"));
        };
        let genesis = Genesis {
            // The time is part of the chain's identity: replicas whose clocks start apart would never agree on one.
            name: format!("{}@{}", self.name, self.genesis_time_ms),
            scheme: self.scheme.into(),
            keys,
            checkpoint_interval: self.checkpoint_interval,
            window: self.window,
            limits: Limits {
                open_vertices: self.limits.open_vertices,
                vertex_bytes: self.limits.vertex_bytes,
                lifetime: Duration(lifetime),
                seen_requests: self.limits.seen_requests,
            },
            signed_requests: self.signed_requests,
        };
        Chain::new(genesis, self.allow_intolerant).map_err(|error| text.refused(&error))
    }

    /// The moment at which the chain's clock shows zero.
    #[must_use]
    pub fn genesis_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(self.genesis_time_ms)
    }
}
