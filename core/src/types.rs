//! The ordinals of the protocol: each number has a type of its own (`docs/protocol.md` A8).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ordinal {
    ($($(#[$doc:meta])* $name:ident($int:ty) $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!($prefix, "{}"), self.0) }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(self, f) }
        }
    )*}
}

ordinal! {
    /// A view: the period in which one primary orders batches (PBFT 4.2). View 0 is the first.
    View(u64) "v";
    /// The sequence number of a batch (PBFT's `n`). Slot 0 is the genesis; the first batch is in slot 1.
    Slot(u64) "s";
    /// A replica of the committee, `0..n`.
    ReplicaId(u16) "r";
    /// The height of a vertex in the DAG; 0 is each author's implicit first vertex.
    Height(u64) "h";
    /// A position in a replica's own log of records. Monotone; never sent to a peer.
    Lsn(u64) "l";
}

impl Slot {
    /// The slot after this one. Slots are bounded by the watermarks, so this cannot overflow in practice;
    /// the saturation keeps a peer's `u64::MAX` harmless.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// `self + distance`, saturating.
    #[must_use]
    pub fn plus(self, distance: u64) -> Self {
        Self(self.0.saturating_add(distance))
    }

    /// `self - distance`, not below slot 0.
    #[must_use]
    pub fn minus(self, distance: u64) -> Self {
        Self(self.0.saturating_sub(distance))
    }

    /// Whether a checkpoint is taken after this slot (`docs/protocol.md` C1).
    #[must_use]
    pub fn is_checkpoint(self, interval: u64) -> bool {
        self.0.is_multiple_of(interval)
    }
}

impl View {
    /// The view after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("views are capped at 2^32 above the installed one"))
    }
}

impl ReplicaId {
    /// This replica's place in arrays indexed by replica.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}
