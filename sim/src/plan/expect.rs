//! What must hold at the end of a run, besides the oracles.

use super::rule::Kind;
use serde::{Deserialize, Serialize};

/// One thing that must hold at the end of a run. `replicas` is every honest replica that is up when empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expectation {
    /// They executed the slot.
    Executed {
        /// Which.
        slot: u64,
        /// By when.
        #[serde(default)]
        by_us: Option<u64>,
        /// Who.
        #[serde(default)]
        replicas: Vec<u16>,
    },
    /// They executed no slot beyond this one.
    ExecutedAtMost {
        /// Which.
        slot: u64,
        /// Who.
        #[serde(default)]
        replicas: Vec<u16>,
    },
    /// What was executed in a slot, by whoever executed it.
    Slot {
        /// Which.
        slot: u64,
        /// What.
        is: SlotContent,
    },
    /// An operation was executed in exactly one slot, and by all of these.
    Once {
        /// Its label; operation `i` of the stream is `#i`.
        op: String,
        /// By when.
        #[serde(default)]
        by_us: Option<u64>,
        /// Who.
        #[serde(default)]
        replicas: Vec<u16>,
    },
    /// An operation was executed by nobody.
    Never {
        /// Its label.
        op: String,
    },
    /// Operations were executed, in this order.
    Order {
        /// Their labels.
        ops: Vec<String>,
    },
    /// Every operation that was submitted was executed.
    AllOps {
        /// By when.
        #[serde(default)]
        by_us: Option<u64>,
    },
    /// The clients got their answers to all operations.
    AllAnswered {
        /// By when.
        #[serde(default)]
        by_us: Option<u64>,
    },
    /// The last view they installed.
    View {
        /// At least.
        at_least: u64,
        /// At most.
        at_most: u64,
        /// Who.
        #[serde(default)]
        replicas: Vec<u16>,
    },
    /// No honest replica ever left a view.
    NoViewChange,
    /// Copies sent, one for each receiver. `at_most = 0` says that none was.
    Sent {
        /// By whom.
        #[serde(default)]
        replicas: Vec<u16>,
        /// Of which kind.
        kind: Kind,
        /// Of which views, both ends included; of any when absent.
        #[serde(default)]
        views: Option<[u64; 2]>,
        /// About which slots, both ends included; about any when absent.
        #[serde(default)]
        slots: Option<[u64; 2]>,
        /// Since when.
        #[serde(default)]
        from_us: u64,
        /// Only what the sender signed itself, and not what it passed on.
        #[serde(default)]
        own: bool,
        /// At least so many.
        #[serde(default)]
        at_least: u64,
        /// At most so many; no limit when absent.
        #[serde(default)]
        at_most: Option<u64>,
    },
    /// In every slot of a range exactly `(n-1) + (n-1)^2 + n(n-1)` PRE-PREPAREs, PREPAREs and COMMITs were sent.
    MessagesPerSlot {
        /// From this slot.
        first: u64,
        /// To this one.
        last: u64,
    },
    /// Honest replicas stored evidence.
    Evidence {
        /// Against whom.
        against: u16,
        /// Of which kind, such as `E1`; of any when absent.
        #[serde(default)]
        kind: Option<String>,
        /// So many of them, at least.
        by_at_least: u16,
    },
    /// No honest replica stored any evidence.
    NoEvidence,
    /// What a replica's standing is, in thousandths, as they have executed it.
    Standing {
        /// Whose.
        of: u16,
        /// How much.
        thousandths: u16,
        /// By whom.
        #[serde(default)]
        replicas: Vec<u16>,
    },
    /// From proposal to execution every slot in a range took exactly so many one-way delays at every replica.
    FinalityDelays {
        /// From this slot.
        first: u64,
        /// To this one.
        last: u64,
        /// How many.
        delays: u64,
        /// How long one is.
        delay_us: u64,
    },
    /// An operation was answered after exactly this time.
    AnsweredAfter {
        /// Its label.
        op: String,
        /// From its submission to the answer that convinced the client.
        us: u64,
    },
    /// They installed a state that was sent to them.
    Transferred {
        /// Who.
        replicas: Vec<u16>,
    },
    /// They refused to start, or stopped for good. Never holds of a Byzantine replica.
    Stopped {
        /// Who.
        replicas: Vec<u16>,
    },
    /// Something was counted.
    Metric {
        /// What.
        metric: Metric,
        /// At least.
        #[serde(default)]
        at_least: u64,
        /// At most; no limit when absent.
        #[serde(default)]
        at_most: Option<u64>,
    },
    /// A rare situation was reached.
    Probe {
        /// Its name.
        name: String,
        /// So often, at least.
        at_least: u64,
    },
}

/// What a slot contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotContent {
    /// The NULL batch.
    Null,
    /// Another batch.
    Some,
    /// Whatever it is, it is there and the same everywhere.
    Same,
    /// A batch in which exactly these operations execute, in this order.
    Ops(Vec<String>),
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Messages handed to replicas.
    Deliveries,
    /// Virtual time from start to end.
    EndUs,
    /// Operations executed (each once, however many replicas).
    OpsExecuted,
    /// Slots executed by the replica that got furthest.
    Slots,
    /// The highest view that an honest replica installed.
    HighestView,
    /// View changes begun by honest replicas, all together.
    ViewChanges,
    /// The longest that an operation waited for its answer.
    LongestAnswerUs,
    /// The longest from proposal to execution at a replica.
    LongestFinalityUs,
    /// Crashes.
    Crashes,
    /// State transfers completed.
    Transfers,
    /// Evidence stored by honest replicas, all together.
    Evidence,
    /// Messages that nobody accepts, whatever their receivers know. To find that out takes `verify_ns`, and nothing else
    /// comes of them.
    Forged,
    /// Messages that their receivers dropped because too many of the same sender were waiting.
    Throttled,
    /// The most slots, votes, view changes and vertices that an honest replica ever held, added up.
    PeakFootprint,
    /// Proposals that came to honest replicas when half of the time was over after which they would have suspected the
    /// primary, all together.
    SlowProposals,
}
