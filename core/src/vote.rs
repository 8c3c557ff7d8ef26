//! Votes: PREPARE and COMMIT (`docs/protocol.md` M7, M8).

use crate::config::MAX_VOTE_ENTRIES;
use crate::hash::Digest;
use crate::types::{Slot, View};
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Which of the two phases a vote belongs to. The phase is part of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The replica accepted the primary's pre-prepare for the slot.
    Prepare,
    /// The replica is prepared.
    Commit,
}

/// A statement about one or more slots in one view.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The phase.
    pub phase: Phase,
    /// The view.
    pub view: View,
    /// What it says about each slot, ascending by slot.
    pub entries: Entries,
}

/// One slot's digest inline, or several behind a shared pointer, so that an ordinary vote is never allocated.
#[derive(Clone, PartialEq, Eq)]
pub enum Entries {
    /// One slot.
    One(Slot, Digest),
    /// Any other number of slots than one.
    Many(Arc<[(Slot, Digest)]>),
}

impl Vote {
    /// A vote for one slot.
    #[must_use]
    pub fn one(phase: Phase, view: View, slot: Slot, digest: Digest) -> Self {
        Self { phase, view, entries: Entries::One(slot, digest) }
    }

    /// What the vote says about `slot`.
    #[must_use]
    pub fn digest_for(&self, slot: Slot) -> Option<Digest> {
        self.entries.iter().find(|(at, _)| *at == slot).map(|(_, digest)| digest)
    }

    /// Whether the entries are 1 to 64, strictly ascending, and span less than `window` slots.
    #[must_use]
    pub fn is_canonical(&self, window: u64) -> bool {
        match &self.entries {
            Entries::One(slot, _) => *slot > Slot(0),
            Entries::Many(entries) => {
                let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return false };
                *first > Slot(0)
                    && entries.len() <= MAX_VOTE_ENTRIES
                    && entries.windows(2).all(|pair| pair[0].0 < pair[1].0)
                    && last.0 - first.0 < window
            }
        }
    }
}

impl Entries {
    /// The canonical form of a list of entries.
    #[must_use]
    pub fn new(entries: &[(Slot, Digest)]) -> Self {
        match *entries {
            [(slot, digest)] => Self::One(slot, digest),
            _ => Self::Many(entries.into()),
        }
    }

    /// The number of slots.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many(entries) => entries.len(),
        }
    }

    /// Whether there is no slot; such a vote is not canonical.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Digest)> + '_ {
        let (one, many) = match self {
            Self::One(slot, digest) => (Some((*slot, *digest)), None),
            Self::Many(entries) => (None, Some(entries.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl fmt::Debug for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.phase, self.view)?;
        self.entries.iter().try_for_each(|(slot, digest)| write!(f, " {slot}={digest:?}"))
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.len()))?;
        for entry in self.iter() {
            seq.serialize_element(&entry)?;
        }
        seq.end()
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 to {MAX_VOTE_ENTRIES} slots with their digests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element()? {
            if entries.len() == MAX_VOTE_ENTRIES {
                return Err(A::Error::invalid_length(entries.len() + 1, &self));
            }
            entries.push(entry);
        }
        Ok(Entries::new(&entries))
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::digest;

    // Rule M7.
    #[test]
    fn a_vote_covers_up_to_64_ascending_slots_within_a_window() {
        let canonical = |slots: &[u64], window| {
            let entries: Vec<_> = slots.iter().map(|slot| (Slot(*slot), digest(1))).collect();
            Vote { phase: Phase::Prepare, view: View(0), entries: Entries::new(&entries) }.is_canonical(window)
        };
        assert!(canonical(&[1], 8) && !canonical(&[0], 8) && !canonical(&[], 8));
        assert!(canonical(&[1, 3, 8], 8) && !canonical(&[1, 3, 9], 8));
        assert!(!canonical(&[0, 1], 8) && !canonical(&[2, 2], 8) && !canonical(&[1, 3, 2, 4], 8));
        assert!(canonical(&(1..=64).collect::<Vec<_>>(), 100) && !canonical(&(1..=65).collect::<Vec<_>>(), 100));
    }

    #[test]
    fn entries_are_counted_found_and_come_back_from_their_bytes() {
        for count in [0_u8, 1, 2, 64] {
            let list: Vec<_> = (1..=count).map(|at| (Slot(at.into()), digest(at))).collect();
            let entries = Entries::new(&list);
            assert_eq!(entries.len(), usize::from(count));
            assert_eq!(entries.is_empty(), count == 0);
            assert!(entries.iter().eq(list.iter().copied()));
            let bytes = postcard::to_stdvec(&entries).unwrap();
            assert_eq!(postcard::from_bytes::<Entries>(&bytes), Ok(entries.clone()));
            let vote = Vote { phase: Phase::Commit, view: View(0), entries };
            for at in [0_u8, 1, 2, 64, 65] {
                let said = (1..=count).contains(&at).then(|| digest(at));
                assert_eq!(vote.digest_for(Slot(at.into())), said, "slot {at} of {count}");
            }
        }
        let many = vec![(Slot(1), digest(1)); MAX_VOTE_ENTRIES + 1];
        assert!(postcard::from_bytes::<Entries>(&postcard::to_stdvec(&many).unwrap()).is_err());
    }
}
