//! What clients do.

use serde::{Deserialize, Serialize};

/// The load of a run: a stream of operations, and single ones at chosen moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// The number of clients of the stream.
    pub clients: u32,
    /// The number of operations of the stream, of all clients together.
    pub ops: u64,
    /// How fast they come.
    pub load: Load,
    /// Bytes of an operation; at least 8, for its number.
    pub payload_bytes: u32,
    /// Whom a client connects to.
    pub entry: Entry,
    /// How long after it is made a request expires.
    pub expiry_us: u64,
    /// When a client that hears nothing sends the same request to others, again and again; never when absent.
    pub timeout_us: Option<u64>,
    /// To how many others at a time.
    pub resend_to: u16,
    /// When the stream starts.
    pub start_us: u64,
    /// When it stops, even if operations are left.
    pub stop_us: Option<u64>,
    /// Single operations.
    pub scripted: Vec<Submit>,
}

/// How fast the operations of the stream come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Load {
    /// One after another at this interval, whatever becomes of them.
    Open {
        /// The mean interval.
        interval_us: u64,
        /// Up to this share more or less, at random.
        #[serde(default)]
        jitter_per_mille: u32,
    },
    /// Each client keeps so many unanswered.
    Closed {
        /// How many.
        outstanding: u32,
        /// How long a client waits after an answer.
        #[serde(default)]
        think_us: u64,
    },
}

/// Whom clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Client `i` to replica `i mod n`.
    Spread,
    /// A random replica for each operation.
    Random,
    /// One of these, by the client's number.
    Replicas(Vec<u16>),
    /// Every operation to all of these at once.
    All(Vec<u16>),
}

/// A single operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// What expectations call it. Two submissions with one label are the same request, bit by bit.
    pub op: String,
    /// When.
    pub at_us: u64,
    /// To whom.
    pub to: Vec<u16>,
    /// How long after its first submission it expires; as in the stream when absent.
    pub expiry_us: Option<u64>,
    /// Its size; as in the stream when absent.
    pub payload_bytes: Option<u32>,
    /// Hand it over at once, with no link in between.
    pub direct: bool,
    /// Send it again as the clients of the stream do.
    pub resend: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            clients: 1,
            ops: 0,
            load: Load::Open { interval_us: 10_000, jitter_per_mille: 0 },
            payload_bytes: 16,
            entry: Entry::Spread,
            expiry_us: 25_000_000,
            timeout_us: None,
            resend_to: 1,
            start_us: 0,
            stop_us: None,
            scripted: Vec::new(),
        }
    }
}

impl Workload {
    /// Checks ranges.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), String> {
        if self.ops > 0 && self.clients == 0 {
            return Err("workload.clients: nobody submits the operations".to_owned());
        }
        if self.ops > u64::from(u32::MAX) {
            return Err("workload.ops: more than 2^32".to_owned());
        }
        if self.scripted.iter().any(|submit| submit.to.is_empty()) {
            return Err("workload.scripted: an operation goes to nobody".to_owned());
        }
        if matches!(&self.entry, Entry::Replicas(list) | Entry::All(list) if list.is_empty()) {
            return Err("workload.entry: names no replica".to_owned());
        }
        Ok(())
    }
}
