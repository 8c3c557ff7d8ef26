//! Links.

use serde::{Deserialize, Serialize};

/// All links of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Every link between two replicas that nothing below describes.
    pub default: Link,
    /// Where replicas are, and how far regions are apart; replaces the latency of `default`.
    pub regions: Option<Regions>,
    /// Links that differ; a later entry wins.
    pub overrides: Vec<LinkOverride>,
    /// The links of all clients; like `default` when absent.
    pub client: Option<Link>,
    /// Whether events of the same moment come in random order, and not in the order in which they were caused.
    pub shuffle: bool,
}

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// How long a message travels.
    pub latency: Latency,
    /// How many messages are lost.
    pub loss_per_mille: u32,
    /// How many arrive twice.
    pub duplicate_per_mille: u32,
    /// How many are held up on the way, so that later ones overtake them.
    pub reorder_per_mille: u32,
    /// For how long at the most.
    pub reorder_us: u64,
    /// Bytes per second; a message waits for those before it. Unlimited when absent.
    pub bandwidth: Option<u64>,
}

/// How long a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Constant {
        /// How long.
        us: u64,
    },
    /// Any value in a range, all as likely.
    Uniform {
        /// The shortest.
        min_us: u64,
        /// The longest.
        max_us: u64,
    },
    /// A bell curve.
    Normal {
        /// Its middle.
        mean_us: u64,
        /// Its standard deviation.
        sigma_us: u64,
        /// What smaller values are raised to.
        min_us: u64,
    },
    /// A bell curve of the logarithm: a long tail.
    LogNormal {
        /// Half of the messages are faster.
        median_us: u64,
        /// The standard deviation of the natural logarithm, in thousandths.
        sigma_per_mille: u64,
    },
}

/// Replicas in regions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Regions {
    /// The names of the regions, for reports.
    pub names: Vec<String>,
    /// The region of each replica, as an index into `names`.
    pub of: Vec<u16>,
    /// One-way latency from region to region; within one, on the diagonal.
    pub one_way_us: Vec<Vec<u64>>,
    /// Up to this share more, at random.
    pub jitter_per_mille: u64,
}

/// Links that differ from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkOverride {
    /// From these replicas; from all when empty.
    pub from: Vec<u16>,
    /// To these replicas; to all when empty.
    pub to: Vec<u16>,
    /// What they are.
    pub link: Link,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Latency::Constant { us: 10_000 },
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            reorder_per_mille: 0,
            reorder_us: 0,
            bandwidth: None,
        }
    }
}

impl Network {
    /// Checks ranges.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self, n: u16) -> Result<(), String> {
        let overrides = self.overrides.iter().map(|entry| &entry.link);
        for link in overrides.chain([&self.default]).chain(&self.client) {
            if let Latency::Uniform { min_us, max_us } = link.latency
                && max_us < min_us
            {
                return Err(format!("network: uniform latency from {min_us} to {max_us} us is empty"));
            }
            if link.bandwidth == Some(0) {
                return Err("network: a bandwidth of 0 delivers nothing; use loss_per_mille = 1000".to_owned());
            }
        }
        let Some(regions) = &self.regions else { return Ok(()) };
        let size = regions.one_way_us.len();
        if regions.of.len() != usize::from(n) {
            return Err(format!("network.regions.of: {} replicas have a region, and there are {n}", regions.of.len()));
        }
        if regions.of.iter().any(|region| usize::from(*region) >= size) {
            return Err("network.regions.of: a region is not in one_way_us".to_owned());
        }
        if regions.one_way_us.iter().any(|row| row.len() != size) {
            return Err("network.regions.one_way_us: not a square".to_owned());
        }
        Ok(())
    }
}
