//! Faults, and when they happen.

use super::rule::Kind;
use serde::{Deserialize, Serialize};

/// A fault at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// When.
    pub at_us: u64,
    /// What.
    pub fault: Fault,
}

/// Something that happens to replicas or links. Also the end of such a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Only replicas of the same group are connected; one in no group is alone. Replaces earlier cuts.
    Partition {
        /// The groups.
        groups: Vec<Vec<u16>>,
    },
    /// Nothing gets from some replicas to some others any more. Adds to earlier cuts.
    Cut {
        /// From these; from all when empty.
        from: Vec<u16>,
        /// To these; to all when empty.
        to: Vec<u16>,
    },
    /// The opposite of `cut`.
    Connect {
        /// From these; from all when empty.
        from: Vec<u16>,
        /// To these; to all when empty.
        to: Vec<u16>,
    },
    /// Cuts every link to and from one replica.
    Isolate {
        /// The replica.
        replica: u16,
    },
    /// Every link works again.
    Heal,
    /// A replica stops, and loses its memory and what is not durable.
    Crash {
        /// The replica.
        replica: u16,
    },
    /// It comes back from what is on its disk.
    Restart {
        /// The replica.
        replica: u16,
    },
    /// A replica does nothing for a while; what arrives meanwhile waits.
    Pause {
        /// The replica.
        replica: u16,
    },
    /// It goes on.
    Resume {
        /// The replica.
        replica: u16,
    },
    /// All replicas crash at once, and come back.
    PowerLoss {
        /// After so long.
        restart_after_us: u64,
    },
    /// A replica's disk is emptied; it comes back with its old key. That makes it Byzantine.
    Wipe {
        /// The replica.
        replica: u16,
    },
    /// A frame in the middle of a replica's log goes bad. It must refuse to start after its next crash.
    Rot {
        /// The replica.
        replica: u16,
    },
    /// The last frame of a replica's log goes bad after it was durable. That makes it Byzantine, though it should
    /// find out in time and keep silent for good (`docs/protocol.md` G12).
    RotEnd {
        /// The replica.
        replica: u16,
    },
    /// The next fsync of a replica fails.
    FailSync {
        /// The replica.
        replica: u16,
    },
    /// A replica's disk takes no more records.
    FillDisk {
        /// The replica.
        replica: u16,
    },
    /// A bit of a replica's application state flips. Until it has replaced its state, its results are worthless.
    FlipState {
        /// The replica.
        replica: u16,
    },
    /// A replica's clock jumps. To its protocol it stands still rather than go back.
    SetClock {
        /// The replica.
        replica: u16,
        /// How far it is ahead from now on.
        skew_us: i64,
    },
    /// Every disk takes this long from now on.
    SlowDisks {
        /// From writing to durable.
        sync_us: u64,
    },
    /// A message rule comes into force.
    EnableRule {
        /// Which.
        name: String,
    },
    /// A message rule ends.
    DisableRule {
        /// Which.
        name: String,
    },
}

impl Fault {
    /// Whether the fault needs logs that are bytes.
    #[must_use]
    pub fn needs_bytes(&self) -> bool {
        matches!(self, Self::Rot { .. } | Self::RotEnd { .. })
    }
}

/// Faults that happen when something else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// When this happens.
    pub when: Condition,
    /// And after this long.
    #[serde(default)]
    pub after_us: u64,
    /// These happen.
    pub then: Vec<Fault>,
    /// Every time, and not only the first.
    #[serde(default)]
    pub repeat: bool,
}

/// Something a replica did. `replica` is any replica when absent; so are slots and views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// It is prepared for a slot, durably.
    Prepared {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Which slot.
        slot: u64,
    },
    /// It holds a slot's commit certificate, durably.
    Committed {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Which slot.
        slot: u64,
    },
    /// It executed a slot.
    Executed {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Which slot, or a later one.
        slot: u64,
    },
    /// Its low watermark reached a slot.
    Stable {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Which slot, or a later one.
        slot: u64,
    },
    /// It installed a view.
    Installed {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Which view, or a later one.
        view: u64,
    },
    /// It wants a view.
    Targets {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Which view, or a later one.
        view: u64,
    },
    /// It sends a message (counted once, however many receive it).
    Sends {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Of which kind.
        kind: Kind,
        /// About which slot.
        #[serde(default)]
        slot: Option<u64>,
        /// Of which view.
        #[serde(default)]
        view: Option<u64>,
    },
    /// It is about to process a message.
    Receives {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Of which kind.
        kind: Kind,
        /// About which slot.
        #[serde(default)]
        slot: Option<u64>,
        /// Of which view.
        #[serde(default)]
        view: Option<u64>,
    },
    /// It stored evidence.
    Accuses {
        /// Who.
        #[serde(default)]
        replica: Option<u16>,
        /// Whom.
        accused: u16,
    },
}

/// A crash between one effect of a replica and the next: for going through all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashPoint {
    /// Who crashes.
    pub replica: u16,
    /// At which effect.
    pub at: Boundary,
    /// At which of them, from 1 on, counted over the whole run.
    pub nth: u64,
    /// When it comes back; never when absent.
    pub restart_after_us: Option<u64>,
}

/// An effect of a replica and a side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boundary {
    /// The record is lost, and what waits for it.
    BeforeRecord,
    /// The record is durable, but nothing that waits for it left.
    AfterRecord,
    /// The message does not leave.
    BeforeSend,
    /// The message leaves, but none after it.
    AfterSend,
}
