//! What all replicas of a chain agree on ([`Genesis`]), and what each chooses for itself ([`Config`]); see
//! `docs/protocol.md` A10, T16 and its table of constants.

use crate::bytes::Bytes;
use crate::committee::{Committee, CommitteeError};
use crate::hash::{Digest, Domain, hash};
use crate::time::Duration;
use crate::types::ReplicaId;
use serde::{Deserialize, Serialize};

/// The parameters of a chain. Their hash is the chain id, so replicas that differ in any of them
/// speak about different chains (`docs/protocol.md` A10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// A name, to tell chains with equal parameters and keys apart.
    pub name: String,
    /// The signature scheme of replicas' keys.
    pub scheme: Scheme,
    /// The public key of each replica, in the order of their ids.
    pub keys: Vec<Bytes>,
    /// Slots between checkpoints, `K`.
    pub checkpoint_interval: u64,
    /// Slots between the low and the high watermark, `L`; a multiple of `K`, at least `2K`, at most 64.
    pub window: u64,
    /// Limits on what authors and clients may send.
    pub limits: Limits,
    /// Whether every request must carry its caller's signature.
    pub signed_requests: bool,
}

/// A signature scheme for replicas' keys. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Tags that only a simulation can make and check; worthless outside it.
    Simulated,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ML-DSA-87 (FIPS 204), with an empty context string.
    MlDsa87,
}

impl Scheme {
    /// Bytes of a signature.
    #[must_use]
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::Simulated => 16,
            Self::Ed25519 => 64,
            Self::MlDsa87 => 4627,
        }
    }
}

/// Bounds that all replicas of a chain share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Vertices of one author that may be unfinalized at once, `A_max`; also its share of a batch.
    pub open_vertices: u64,
    /// Encoded bytes of a vertex.
    pub vertex_bytes: u64,
    /// How far ahead of the effective time a request may expire.
    pub lifetime: Duration,
    /// Requests remembered for exactly-once execution, `SEEN_MAX`.
    pub seen_requests: u64,
}

/// Vertices in one batch at the most, whatever the size of the committee (`docs/protocol.md` M10).
pub const MAX_BATCH: usize = 1024;

/// Slots one vote may cover (`docs/protocol.md` M7).
pub const MAX_VOTE_ENTRIES: usize = 64;

/// The identity of a chain: the hash of its genesis.
pub type ChainId = Digest;

/// Why a genesis or configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The number of keys forms no committee.
    #[error("genesis.keys: {0}")]
    Committee(#[from] CommitteeError),
    /// A field is out of its range.
    #[error("{field} = {value}: must be {limit}")]
    OutOfRange {
        /// The field's path.
        field: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        limit: &'static str,
    },
}

impl Genesis {
    /// A genesis with the default limits and intervals for a committee with these keys.
    #[must_use]
    pub fn new(name: &str, scheme: Scheme, keys: Vec<Vec<u8>>) -> Self {
        let small = keys.len() <= 31;
        Self {
            name: name.to_owned(),
            scheme,
            keys: keys.into_iter().map(Bytes).collect(),
            checkpoint_interval: if small { 32 } else { 16 },
            window: if small { 64 } else { 32 },
            limits: Limits {
                open_vertices: 8,
                vertex_bytes: 64 * 1024,
                lifetime: Duration::from_secs(30),
                seen_requests: 1 << 21,
            },
            signed_requests: false,
        }
    }

    /// The chain id.
    ///
    /// # Panics
    /// Never: a genesis always encodes.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        hash(Domain::Genesis, &postcard::to_stdvec(self).expect("a genesis encodes"))
    }
}

/// A validated genesis with what follows from it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The chain's identity.
    pub id: ChainId,
    /// The committee of epoch 0, the only one in this version.
    pub committee: Committee,
    /// The parameters.
    pub genesis: Genesis,
}

impl Chain {
    /// Validates a genesis.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range. Fewer than four replicas are refused
    /// unless `allow_intolerant`.
    pub fn new(genesis: Genesis, allow_intolerant: bool) -> Result<Self, ConfigError> {
        let n = u16::try_from(genesis.keys.len()).unwrap_or(u16::MAX);
        let committee = if allow_intolerant { Committee::intolerant(n)? } else { Committee::new(n)? };
        let (k, l) = (genesis.checkpoint_interval, genesis.window);
        let check = |fine: bool, field, value, limit| {
            if fine { Ok(()) } else { Err(ConfigError::OutOfRange { field, value, limit }) }
        };
        check(1 <= k && k <= 32, "genesis.checkpoint_interval", k, "between 1 and 32")?;
        check(
            2 * k <= l && l <= 64 && l.is_multiple_of(k),
            "genesis.window",
            l,
            "a multiple of the checkpoint interval, at least twice it, at most 64",
        )?;
        let limits = &genesis.limits;
        check(
            1 <= limits.open_vertices && limits.open_vertices <= 64,
            "genesis.limits.open_vertices",
            limits.open_vertices,
            "between 1 and 64",
        )?;
        // Room for the references to every other author and one small request.
        let least = 1024 + 64 * u64::from(n);
        check(
            least <= limits.vertex_bytes && limits.vertex_bytes <= 1 << 21,
            "genesis.limits.vertex_bytes",
            limits.vertex_bytes,
            "between 1024 + 64 n and 2097152",
        )?;
        check(
            u64::from(n) <= limits.seen_requests,
            "genesis.limits.seen_requests",
            limits.seen_requests,
            "at least the number of replicas",
        )?;
        check(0 < limits.lifetime.0, "genesis.limits.lifetime", limits.lifetime.0, "more than 0")?;
        Ok(Self { id: genesis.chain_id(), committee, genesis })
    }

    /// `K`.
    #[must_use]
    pub fn checkpoint_interval(&self) -> u64 {
        self.genesis.checkpoint_interval
    }

    /// `L`.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.genesis.window
    }

    /// Vertices a batch may list: `min(n * A_max, 1024)`.
    #[must_use]
    pub fn max_batch(&self) -> usize {
        let most = u64::from(self.committee.n()) * self.genesis.limits.open_vertices;
        usize::try_from(most).unwrap_or(MAX_BATCH).min(MAX_BATCH)
    }
}

/// What one replica chooses for itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which replica this is.
    pub id: ReplicaId,
    /// Open slots a primary keeps beyond its last executed one, `P`.
    pub pipeline: u64,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Requests waiting to be put into a vertex, at the most.
    pub queued_requests: usize,
}

/// The local timeouts (`docs/protocol.md` T2, T16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// `T0`: the first wait for a request to be executed, and for a view change.
    pub base: Duration,
    /// `T_max`: what doubling stops at.
    pub max: Duration,
    /// `T_st`: the period of STATUS.
    pub status: Duration,
    /// `T_rs`: the period at which a VIEW-CHANGE is sent again.
    pub retransmit: Duration,
    /// How far the clocks of honest replicas are apart, at the most.
    pub precision: Duration,
    /// The longest one-way delay a proposal's timestamp allows for.
    pub message_delay: Duration,
}

impl Timeouts {
    /// The defaults for a base timeout: `T_max = 64 T0`, `T_st = T_rs = T0 / 4`, precision `T0 / 4`,
    /// message delay `T0 / 2`.
    #[must_use]
    pub const fn from_base(base: Duration) -> Self {
        Self {
            base,
            max: base.times(64),
            status: base.over(4),
            retransmit: base.over(4),
            precision: base.over(4),
            message_delay: base.over(2),
        }
    }
}

impl Config {
    /// The defaults for a replica of `chain`.
    #[must_use]
    pub fn new(id: ReplicaId, chain: &Chain, timeouts: Timeouts) -> Self {
        Self { id, pipeline: chain.checkpoint_interval(), timeouts, queued_requests: 16 * 1024 }
    }

    /// Checks the configuration against its chain.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn validate(&self, chain: &Chain) -> Result<(), ConfigError> {
        let check = |fine: bool, field, value, limit| {
            if fine { Ok(()) } else { Err(ConfigError::OutOfRange { field, value, limit }) }
        };
        check(chain.committee.contains(self.id), "id", u64::from(self.id.0), "below the number of replicas")?;
        check(
            1 <= self.pipeline && self.pipeline <= chain.window(),
            "pipeline",
            self.pipeline,
            "between 1 and the window",
        )?;
        let t = &self.timeouts;
        check(0 < t.base.0, "timeouts.base", t.base.0, "more than 0")?;
        check(t.base <= t.max, "timeouts.max", t.max.0, "at least timeouts.base")?;
        check(
            0 < t.status.0 && t.status < t.base,
            "timeouts.status",
            t.status.0,
            "more than 0 and less than timeouts.base",
        )?;
        check(0 < t.retransmit.0, "timeouts.retransmit", t.retransmit.0, "more than 0")?;
        check(1 <= self.queued_requests, "queued_requests", self.queued_requests as u64, "at least 1")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field, how to set it, values within its limits and values outside of them.
    type Field<T> = (&'static str, fn(&mut T, u64), &'static [u64], &'static [u64]);

    fn genesis(n: usize) -> Genesis {
        Genesis::new("test", Scheme::Ed25519, vec![vec![1]; n])
    }

    /// The field that a genesis with a change is refused for, if it is.
    fn refused(change: impl Fn(&mut Genesis)) -> Option<&'static str> {
        let mut genesis = genesis(4);
        change(&mut genesis);
        match Chain::new(genesis, false) {
            Ok(_) => None,
            Err(ConfigError::OutOfRange { field, .. }) => Some(field),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_genesis_is_refused_exactly_outside_its_limits() {
        let window = |k, l| {
            refused(move |genesis| (genesis.checkpoint_interval, genesis.window) = (k, l))
                .map(|field| field.trim_start_matches("genesis."))
        };
        let (interval, wide) = (Some("checkpoint_interval"), Some("window"));
        assert_eq!([window(0, 64), window(1, 2), window(32, 64), window(33, 66)], [interval, None, None, interval]);
        assert_eq!(
            [window(8, 8), window(8, 16), window(8, 20), window(8, 64), window(8, 72)],
            [wide, None, wide, None, wide]
        );
        let limits: [Field<Limits>; 4] = [
            ("genesis.limits.open_vertices", |limits, value| limits.open_vertices = value, &[1, 64], &[0, 65]),
            (
                "genesis.limits.vertex_bytes",
                |limits, value| limits.vertex_bytes = value,
                &[1024 + 64 * 4, 1 << 21],
                &[1024 + 64 * 4 - 1, (1 << 21) + 1],
            ),
            ("genesis.limits.seen_requests", |limits, value| limits.seen_requests = value, &[4], &[3]),
            ("genesis.limits.lifetime", |limits, value| limits.lifetime = Duration(value), &[1], &[0]),
        ];
        for (field, set, fine, wrong) in limits {
            let refused = |value: &u64| refused(|genesis| set(&mut genesis.limits, *value));
            assert!(fine.iter().all(|value| refused(value).is_none()), "{field}");
            assert!(wrong.iter().all(|value| refused(value) == Some(field)), "{field}");
        }
    }

    #[test]
    fn every_default_is_valid_and_large_committees_have_the_smaller_window() {
        for n in [4, 31, 32, 128] {
            let chain = Chain::new(genesis(n), false).unwrap();
            let (interval, window) = if n <= 31 { (32, 64) } else { (16, 32) };
            assert_eq!((chain.checkpoint_interval(), chain.window()), (interval, window), "n = {n}");
            assert_eq!(chain.max_batch(), (8 * n).min(1024));
        }
        assert_eq!(
            Chain::new(genesis(3), false).unwrap_err(),
            ConfigError::Committee(CommitteeError::NotFaultTolerant(3))
        );
        assert_eq!(Chain::new(genesis(3), true).unwrap().committee.n(), 3);
        let all = [Scheme::Simulated, Scheme::Ed25519, Scheme::MlDsa87].map(Scheme::signature_bytes);
        assert_eq!(all, [16, 64, 4627]);
    }

    #[test]
    fn a_configuration_is_refused_exactly_outside_its_limits() {
        let chain = Chain::new(genesis(4), false).unwrap();
        let fields: [Field<Config>; 7] = [
            ("id", |config, value| config.id = ReplicaId(u16::try_from(value).unwrap()), &[0, 3], &[4]),
            ("pipeline", |config, value| config.pipeline = value, &[1, 64], &[0, 65]),
            ("timeouts.base", |config, value| config.timeouts.base = Duration(value), &[251, 6400], &[0]),
            ("timeouts.max", |config, value| config.timeouts.max = Duration(value), &[1000, 1001], &[999]),
            ("timeouts.status", |config, value| config.timeouts.status = Duration(value), &[1, 999], &[0, 1000]),
            ("timeouts.retransmit", |config, value| config.timeouts.retransmit = Duration(value), &[1], &[0]),
            ("queued_requests", |config, value| config.queued_requests = usize::try_from(value).unwrap(), &[1], &[0]),
        ];
        for (name, set, fine, wrong) in fields {
            let refused = |value: &u64| {
                let mut config = Config::new(ReplicaId(1), &chain, Timeouts::from_base(Duration(1000)));
                config.timeouts.max = Duration(6400);
                set(&mut config, *value);
                match config.validate(&chain) {
                    Err(ConfigError::OutOfRange { field, .. }) => Some(field),
                    Err(error) => panic!("{error}"),
                    Ok(()) => None,
                }
            };
            assert!(fine.iter().all(|value| refused(value).is_none()), "{name}");
            assert!(wrong.iter().all(|value| refused(value) == Some(name)), "{name}");
        }
    }

    // Rule T16.
    #[test]
    fn timeouts_follow_from_the_base() {
        let timeouts = Timeouts::from_base(Duration(80));
        let quarter = Duration(20);
        assert_eq!((timeouts.max, timeouts.message_delay), (Duration(5120), Duration(40)));
        assert_eq!((timeouts.status, timeouts.retransmit, timeouts.precision), (quarter, quarter, quarter));
    }
}
