//! One digest for each slot and view.

use cretoai_core::hash::Digest;
use cretoai_core::types::{Slot, View};
use std::collections::BTreeMap;

/// What was said about slots, in each view. The highest view of a slot lies in a plain array, for speed.
#[derive(Clone, Debug, Default)]
pub(super) struct VoteTable {
    /// By slot: one more than the view, and the head of the digest.
    latest: Vec<(u64, u64)>,
    /// The same of lower views.
    older: BTreeMap<(u64, u64), u64>,
}

impl VoteTable {
    /// Adds what was said. Whether it contradicts what was said before; the first stands.
    pub(super) fn insert(&mut self, slot: Slot, view: View, digest: Digest) -> bool {
        let at = usize::try_from(slot.0).expect("a slot that was reached");
        assert!(at < self.latest.len() + (1 << 20), "{slot} is far beyond everything");
        if self.latest.len() <= at {
            self.latest.resize(at + 1, (0, 0));
        }
        let (known, said) = self.latest[at];
        let key = view.0 + 1;
        if known == key {
            return said != digest.short();
        }
        if known < key {
            if known > 0 {
                self.older.insert((slot.0, known), said);
            }
            self.latest[at] = (key, digest.short());
            return false;
        }
        *self.older.entry((slot.0, key)).or_insert(digest.short()) != digest.short()
    }

    /// Whether exactly this was said.
    pub(super) fn has(&self, slot: Slot, view: View, digest: Digest) -> bool {
        let key = view.0 + 1;
        let latest = self.at(slot);
        let said = if latest.0 == key { Some(latest.1) } else { self.older.get(&(slot.0, key)).copied() };
        said == Some(digest.short())
    }

    fn at(&self, slot: Slot) -> (u64, u64) {
        usize::try_from(slot.0).ok().and_then(|at| self.latest.get(at)).copied().unwrap_or_default()
    }

    /// What was said last about each slot above one: slot, view, head of the digest.
    pub(super) fn above(&self, low: Slot) -> impl Iterator<Item = (Slot, View, u64)> + '_ {
        let skip = usize::try_from(low.0).unwrap_or(usize::MAX).saturating_add(1);
        let said = (0..).zip(&self.latest).skip(skip);
        said.filter_map(|(slot, (key, said))| Some((Slot(slot), View(key.checked_sub(1)?), *said)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_in_a_view_stands() {
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        let mut table = VoteTable::default();
        assert!(!table.insert(Slot(3), View(1), a));
        assert!(!table.insert(Slot(3), View(4), b));
        assert!(!table.insert(Slot(3), View(2), b));
        assert!(table.insert(Slot(3), View(1), b));
        assert!(table.insert(Slot(3), View(4), a));
        assert!(!table.insert(Slot(3), View(2), b));
        assert!(table.has(Slot(3), View(1), a) && table.has(Slot(3), View(4), b));
        assert!(!table.has(Slot(3), View(3), a) && !table.has(Slot(9), View(0), a));
        assert_eq!(table.above(Slot(2)).collect::<Vec<_>>(), [(Slot(3), View(4), b.short())]);
        assert_eq!(table.above(Slot(3)).count(), 0);
    }
}
