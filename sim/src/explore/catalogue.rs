//! Everything that may happen to a replica, each under a number. What replicas cannot tell apart has one number.

use cretoai_core::certificate::Claim;
use cretoai_core::committee::Committee;
use cretoai_core::hash::Digest;
use cretoai_core::message::Message;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vote::Phase;
use std::collections::BTreeMap;
use std::fmt;

/// The number of something that may happen to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Event(pub(super) u32);

/// What is the same for whoever receives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    TimeOut,
    Restart,
    PrePrepare { by: ReplicaId, view: View, slot: Slot, digest: Digest },
    Vote { by: ReplicaId, phase: Phase, view: View, slot: Slot, digest: Digest },
    ViewChange { by: ReplicaId, view: View, body: Digest, proof: Proof },
    NewView { by: ReplicaId, view: View, proposals: Vec<(Slot, Digest)>, basis: Basis },
    Certificate { phase: Phase, claim: Claim },
    Batch { digest: Digest },
}

/// What a VIEW-CHANGE carries besides its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// Nothing: it is for others than the new primary.
    Bare,
    /// The certificates of its claims.
    Full,
    /// Certificates that are none.
    Forged,
}

/// What a NEW-VIEW rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Basis {
    /// A quorum of VIEW-CHANGEs from which it follows.
    Quorum,
    /// VIEW-CHANGEs from which something else follows.
    Wrong,
    /// One VIEW-CHANGE too few.
    Short,
    /// A claim without certificate.
    Forged,
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    All,
    Only(ReplicaId),
    AllBut(ReplicaId),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) to: To,
    /// None for what is not a message.
    pub(super) message: Option<Verified<Message>>,
}

impl Entry {
    pub(super) fn is_for(&self, id: ReplicaId) -> bool {
        let is_addressed = match self.to {
            To::All => true,
            To::Only(only) => only == id,
            To::AllBut(but) => but != id,
        };
        is_addressed && self.name.by() != Some(id)
    }
}

/// What counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Any,
    Prepares,
    Commits,
    ViewChanges,
}

impl Kind {
    /// Whether the two may be delivered without a step that shows in between.
    pub(super) fn goes_with(self, other: Self) -> bool {
        self == Self::Any || other == Self::Any || self == other
    }
}

/// Ranks of one view.
pub(super) const RANKS: u64 = 4;
/// The rank of leaving a view.
pub(super) const VIEW_CHANGE: u8 = 3;

impl Name {
    /// What an honest replica says depends on nothing that was said with a higher rank.
    pub(super) fn rank(&self, committee: Committee) -> u64 {
        match self {
            Self::PrePrepare { view, .. } | Self::NewView { view, .. } => view.0 * RANKS,
            Self::Vote { by, phase: Phase::Prepare, view, .. } => {
                view.0 * RANKS + u64::from(committee.primary(*view) != *by)
            }
            Self::Vote { view, .. } => view.0 * RANKS + 2,
            Self::ViewChange { view, .. } => (view.0 - 1) * RANKS + u64::from(VIEW_CHANGE),
            _ => 0,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Vote { phase: Phase::Prepare, .. } => Kind::Prepares,
            Self::Vote { phase: Phase::Commit, .. } | Self::Certificate { phase: Phase::Commit, .. } => Kind::Commits,
            Self::ViewChange { .. } | Self::TimeOut => Kind::ViewChanges,
            _ => Kind::Any,
        }
    }

    pub(super) fn by(&self) -> Option<ReplicaId> {
        match self {
            Self::PrePrepare { by, .. }
            | Self::Vote { by, .. }
            | Self::ViewChange { by, .. }
            | Self::NewView { by, .. } => Some(*by),
            _ => None,
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: Vec<Entry>,
    numbers: BTreeMap<Name, Event>,
}

/// Every timer of a replica is due.
pub(super) const TIME_OUT: Event = Event(0);
/// A replica crashes and comes back from its log.
pub(super) const RESTART: Event = Event(1);

impl Catalogue {
    pub(super) fn new() -> Self {
        let mut catalogue = Self::default();
        for name in [Name::TimeOut, Name::Restart] {
            catalogue.add(name, To::All, || None);
        }
        catalogue
    }

    /// The number of what has this name. The message is made if there is none yet.
    pub(super) fn add(&mut self, name: Name, to: To, make: impl FnOnce() -> Option<Verified<Message>>) -> Event {
        if let Some(known) = self.numbers.get(&name) {
            return *known;
        }
        let event = Event(u32::try_from(self.entries.len()).expect("few enough"));
        self.entries.push(Entry { name: name.clone(), to, message: make() });
        self.numbers.insert(name, event);
        event
    }

    pub(super) fn get(&self, event: Event) -> &Entry {
        &self.entries[event.0 as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeOut => write!(f, "its timers are due"),
            Self::Restart => write!(f, "crashes and restarts"),
            Self::PrePrepare { by, view, slot, digest } => {
                write!(f, "PRE-PREPARE of {by} for {slot} in {view}: {digest:?}")
            }
            Self::Vote { by, phase: Phase::Prepare, view, slot, digest } => {
                write!(f, "PREPARE of {by} for {slot} in {view}: {digest:?}")
            }
            Self::Vote { by, view, slot, digest, .. } => write!(f, "COMMIT of {by} for {slot} in {view}: {digest:?}"),
            Self::ViewChange { by, view, body, proof } => {
                write!(f, "VIEW-CHANGE of {by} for {view}, {body:?}, proof {proof:?}")
            }
            Self::NewView { by, view, proposals, basis } => {
                write!(f, "NEW-VIEW of {by} for {view}, basis {basis:?}:")?;
                proposals.iter().try_for_each(|(slot, digest)| write!(f, " {slot}={digest:?}"))
            }
            Self::Certificate { phase, claim } => {
                write!(f, "certificate of {phase:?} for {} in {}: {:?}", claim.slot, claim.view, claim.digest)
            }
            Self::Batch { digest } => write!(f, "the batch {digest:?}"),
        }
    }
}
