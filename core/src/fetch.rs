//! What this replica has asked others for (`docs/protocol.md` D12, N6).

use crate::message::{FetchItem, MAX_FETCH};
use crate::time::{Duration, Instant};
use crate::types::ReplicaId;
use std::collections::BTreeMap;

/// Things asked for at once, at the most; what does not fit is asked for when there is room again
/// (`docs/protocol.md` N6).
pub const MAX_WANTED: usize = 4096;

/// Of these, how many may be such that anyone can make a replica ask for.
const MAX_UNCERTAIN: usize = MAX_WANTED / 4;

/// The table of open requests: each is repeated, to another replica each time, until it is answered or given up.
#[derive(Clone, Debug)]
pub struct FetchTable {
    me: ReplicaId,
    n: u16,
    retry: Duration,
    wanted: BTreeMap<FetchItem, Wanted>,
    earliest: Option<Instant>,
    refused: bool,
}

/// How long an item is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it arrives or is no longer needed.
    Found,
    /// Until every replica was asked once: it may well not exist.
    AllAsked,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    due: Instant,
    next: ReplicaId,
    until: Until,
    asked: u16,
}

impl FetchTable {
    /// An empty table that asks again after `retry`.
    #[must_use]
    pub fn new(me: ReplicaId, n: u16, retry: Duration) -> Self {
        Self { me, n, retry, wanted: BTreeMap::new(), earliest: None, refused: false }
    }

    /// Asks for an item from now on, `first` replica first.
    pub fn want(&mut self, item: FetchItem, first: ReplicaId, until: Until, now: Instant) {
        if self.n == 1 {
            return;
        }
        if let Some(known) = self.wanted.get_mut(&item) {
            if until == Until::Found {
                known.until = until;
            }
            return;
        }
        let room = if until == Until::Found { MAX_WANTED } else { MAX_UNCERTAIN };
        if room <= self.wanted.len() {
            self.refused |= until == Until::Found;
            return;
        }
        let next = if first == self.me { self.after(first) } else { first };
        self.wanted.insert(item, Wanted { due: now, next, until, asked: 0 });
        self.earliest = Some(self.earliest.map_or(now, |earliest| earliest.min(now)));
    }

    fn after(&self, id: ReplicaId) -> ReplicaId {
        let next = |id: ReplicaId| ReplicaId((id.0 + 1) % self.n);
        let candidate = next(id);
        if candidate == self.me { next(candidate) } else { candidate }
    }

    /// Whether something did not fit and there is room for it now. Told once.
    pub fn has_room_again(&mut self) -> bool {
        let has_room = self.refused && self.wanted.len() < MAX_WANTED / 2;
        self.refused &= !has_room;
        has_room
    }

    /// Stops asking. Returns whether it was asked for.
    pub fn take(&mut self, item: &FetchItem) -> bool {
        self.wanted.remove(item).is_some()
    }

    /// Stops asking for what may well not exist. What is needed is still asked for.
    pub fn give_up(&mut self, item: &FetchItem) {
        if self.wanted.get(item).is_some_and(|wanted| wanted.until == Until::AllAsked) {
            self.wanted.remove(item);
        }
    }

    /// Whether it is asked for.
    #[must_use]
    pub fn wants(&self, item: &FetchItem) -> bool {
        self.wanted.contains_key(item)
    }

    /// Stops asking for what is asked for until found and no longer needed.
    pub fn retain_needed(&mut self, needed: impl Fn(&FetchItem) -> bool) {
        self.wanted.retain(|item, wanted| wanted.until == Until::AllAsked || needed(item));
    }

    /// Stops asking for everything that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(&FetchItem) -> bool) {
        self.wanted.retain(|item, _| keep(item));
    }

    /// When something is to be asked for next, or earlier.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// What is to be asked of whom now.
    pub fn due(&mut self, now: Instant) -> BTreeMap<ReplicaId, Vec<FetchItem>> {
        let mut asks: BTreeMap<ReplicaId, Vec<FetchItem>> = BTreeMap::new();
        let due: Vec<FetchItem> =
            self.wanted.iter().filter(|(_, wanted)| wanted.due <= now).map(|(item, _)| *item).collect();
        for item in due {
            let wanted = self.wanted[&item];
            if wanted.until == Until::AllAsked && self.n <= wanted.asked + 1 {
                self.wanted.remove(&item);
                continue;
            }
            let ask = asks.entry(wanted.next).or_default();
            // Whatever does not fit is still due, and goes out with the next tick.
            if ask.len() < MAX_FETCH {
                ask.push(item);
                let next = self.after(wanted.next);
                self.wanted.insert(
                    item,
                    Wanted { due: now + self.retry, next, asked: wanted.asked.saturating_add(1), ..wanted },
                );
            }
        }
        self.earliest = self.wanted.values().map(|wanted| wanted.due).min();
        asks
    }

    /// Whether chunks of a snapshot are asked for.
    #[must_use]
    pub fn has_chunks(&self) -> bool {
        self.wanted.keys().any(|item| matches!(item, FetchItem::Chunk(..)))
    }

    /// The number of items asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Slot;

    #[test]
    fn what_nobody_has_can_be_asked_for_without_end() {
        let mut table = FetchTable::new(ReplicaId(0), 4, Duration(1));
        table.want(FetchItem::Manifest(Slot(4)), ReplicaId(1), Until::Found, Instant(0));
        for now in 0..=u64::from(u16::MAX) + 1 {
            assert_eq!(table.due(Instant(now)).len(), 1, "asked at {now}");
        }
    }

    #[test]
    fn what_may_not_exist_is_asked_of_everybody_once() {
        let mut table = FetchTable::new(ReplicaId(0), 4, Duration(1));
        table.want(FetchItem::Manifest(Slot(4)), ReplicaId(1), Until::AllAsked, Instant(0));
        let asked: Vec<_> = (0..9).flat_map(|now| table.due(Instant(now)).into_keys()).collect();
        assert_eq!(asked, [1, 2, 3].map(ReplicaId));
        assert!(table.is_empty());
    }
}
