//! Rules for single messages.

use serde::{Deserialize, Serialize};

/// The kind of a message, as `docs/protocol.md` M5 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// VERTEX.
    Vertex,
    /// PRE-PREPARE.
    PrePrepare,
    /// PREPARE.
    Prepare,
    /// COMMIT.
    Commit,
    /// CHECKPOINT.
    Checkpoint,
    /// VIEW-CHANGE.
    ViewChange,
    /// NEW-VIEW.
    NewView,
    /// STATUS.
    Status,
    /// Certificates.
    Certificates,
    /// The proof of a stable checkpoint.
    StableCheckpoint,
    /// FETCH.
    Fetch,
    /// DATA.
    Data,
    /// REQUEST of a client.
    Request,
    /// REPLY to a client.
    Reply,
    /// What a replica holds of another one's statements, for one that distrusts its log.
    Recollection,
}

/// The number of kinds.
pub const KINDS: usize = 15;

/// What happens to messages that match. An empty list matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageRule {
    /// What triggers call it.
    pub name: String,
    /// Whether it is in force at the start; triggers switch rules on and off.
    pub enabled: bool,
    /// Of these kinds.
    pub kinds: Vec<Kind>,
    /// From these replicas (over the link: a relay counts as its relayer's).
    pub from: Vec<u16>,
    /// To these replicas.
    pub to: Vec<u16>,
    /// Of views in this range, both ends included; messages without a view do not match.
    pub views: Option<[u64; 2]>,
    /// About some slot in this range, both ends included; messages without a slot do not match.
    pub slots: Option<[u64; 2]>,
    /// Sent at or after this time.
    pub from_us: u64,
    /// Sent before this time.
    pub until_us: Option<u64>,
    /// So many copies at the most, one for each receiver; then the rule is used up.
    pub limit: Option<u64>,
    /// How likely a message that matches is affected.
    pub per_mille: u32,
    /// What happens to it.
    pub action: RuleAction,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RuleAction {
    /// It is lost.
    Drop,
    /// It travels as usual: an exception from the rules below.
    Pass,
    /// It takes exactly this long, whatever the link.
    Delay {
        /// How long.
        us: u64,
    },
    /// It takes this much longer.
    Add {
        /// How much.
        us: u64,
    },
    /// It arrives at this time, or as usual if that is later.
    HoldUntil {
        /// When.
        at_us: u64,
    },
    /// It arrives so many times more, each up to this much later.
    Duplicate {
        /// Further copies.
        copies: u32,
        /// How much later at the most.
        spread_us: u64,
    },
    /// It takes up to this much longer, at random.
    Reorder {
        /// How much at the most.
        us: u64,
    },
}

impl Default for MessageRule {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            kinds: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            views: None,
            slots: None,
            from_us: 0,
            until_us: None,
            limit: None,
            per_mille: 1000,
            action: RuleAction::Drop,
        }
    }
}
