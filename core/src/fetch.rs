//! What this replica has asked others for (`docs/protocol.md` D12, N6).

use crate::message::{FetchItem, MAX_FETCH};
use crate::mutant::Mutant;
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
    links: Vec<Link>,
}

/// What this replica thinks of its link to a peer, by how often asking helped (`docs/protocol.md` X15). It says nothing
/// about who is to blame, stays here, and decides no more than whom to ask first.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// In thousandths.
    score: u16,
    /// Whether it was passed over when its turn came last.
    passed: bool,
}

impl Link {
    /// Nothing is known yet.
    const FRESH: Self = Self { score: 1000, passed: false };
    /// What an answer in time is worth, and what none costs.
    const ANSWERED: u16 = 50;
    const SILENT: u16 = 100;
    /// Below this it is asked only every other time. Not less: whoever is disliked for no fault of its own, or alone has
    /// what is needed, must still be heard.
    const DISLIKED: u16 = 500;

    /// Whether its turn is to pass to the next.
    fn passes(&mut self) -> bool {
        self.passed = self.score < Self::DISLIKED && !self.passed;
        self.passed
    }
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
    /// Whom it was asked of last.
    last: Option<ReplicaId>,
}

impl FetchTable {
    /// An empty table that asks again after `retry`.
    #[must_use]
    pub fn new(me: ReplicaId, n: u16, retry: Duration) -> Self {
        let links = vec![Link::FRESH; usize::from(n)];
        Self { me, n, retry, wanted: BTreeMap::new(), earliest: None, refused: false, links }
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
        self.wanted.insert(item, Wanted { due: now, next, until, asked: 0, last: None });
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
        let taken = self.wanted.remove(item);
        if let Some(peer) = taken.and_then(|wanted| wanted.last) {
            let score = &mut self.links[peer.index()].score;
            *score = Link::FRESH.score.min(*score + Link::ANSWERED);
        }
        taken.is_some()
    }

    /// Whom to ask for an item whose turn it is with a peer. What may not exist is asked of everybody exactly once.
    fn ask(&mut self, wanted: Wanted) -> ReplicaId {
        let peer = wanted.next;
        let passes = wanted.until == Until::Found && self.links[peer.index()].passes();
        if passes { self.after(peer) } else { peer }
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
            if let Some(silent) = wanted.last {
                let score = &mut self.links[silent.index()].score;
                *score = score.saturating_sub(Link::SILENT);
            }
            let peer = self.ask(wanted);
            let ask = asks.entry(peer).or_default();
            // Whatever does not fit is still due, and goes out with the next tick.
            if ask.len() < MAX_FETCH {
                ask.push(item);
                let next = if Mutant::FetchAsksOne.is_on() { peer } else { self.after(peer) };
                let asked = wanted.asked.saturating_add(1);
                let due = if Mutant::FetchAsksOnce.is_on() { Instant(u64::MAX) } else { now + self.retry };
                let last = Some(peer);
                self.wanted.insert(item, Wanted { due, next, asked, last, ..wanted });
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

    /// What is asked for, ascending.
    pub fn items(&self) -> impl Iterator<Item = &FetchItem> {
        self.wanted.keys()
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

    /// Whom a table asks, one after another, for what nobody gives it.
    fn asked(table: &mut FetchTable, times: std::ops::Range<u64>) -> Vec<u16> {
        times.flat_map(|now| table.due(Instant(now)).into_keys()).map(|peer| peer.0).collect()
    }

    #[test]
    fn whoever_does_not_answer_is_asked_less_often_and_never_left_out() {
        let mut table = FetchTable::new(ReplicaId(0), 4, Duration(1));
        let item = |slot| FetchItem::Manifest(Slot(slot));
        // Replica 1 never answers, the others do.
        for turn in 0..10 {
            table.want(item(turn), ReplicaId(1), Until::Found, Instant(2 * turn));
            let first = asked(&mut table, 2 * turn..2 * turn + 1);
            let second = asked(&mut table, 2 * turn + 1..2 * turn + 2);
            assert!(table.take(&item(turn)), "{first:?} {second:?}");
        }
        assert!(table.links[1].score < Link::DISLIKED, "{:?}", table.links);
        assert!(Link::DISLIKED < table.links[2].score, "{:?}", table.links);
        let mut turns: Vec<u16> = (100..110)
            .flat_map(|turn| {
                table.want(item(turn), ReplicaId(1), Until::Found, Instant(2 * turn));
                let first = asked(&mut table, 2 * turn..2 * turn + 1);
                table.retain(|_| false);
                first
            })
            .collect();
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "every other time: {turns:?}");
        turns.sort_unstable();
        assert_eq!(turns, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_link_that_answers_again_is_liked_again() {
        let mut table = FetchTable::new(ReplicaId(0), 2, Duration(1));
        let item = FetchItem::Manifest(Slot(4));
        table.want(item, ReplicaId(1), Until::Found, Instant(0));
        asked(&mut table, 0..50);
        assert_eq!(table.links[1].score, 0);
        for now in 100..120 {
            table.take(&item);
            table.want(item, ReplicaId(1), Until::Found, Instant(now));
            asked(&mut table, now..now + 1);
        }
        assert!(table.links[1].score >= 900, "{:?}", table.links);
    }

    #[test]
    fn what_may_not_exist_is_asked_of_everybody_once() {
        let mut table = FetchTable::new(ReplicaId(0), 4, Duration(1));
        table.want(FetchItem::Manifest(Slot(4)), ReplicaId(1), Until::AllAsked, Instant(0));
        let asked: Vec<_> = (0..9).flat_map(|now| table.due(Instant(now)).into_keys()).collect();
        assert_eq!(asked, [1, 2, 3].map(ReplicaId));
        assert!(table.is_empty());
    }

    fn item(slot: usize) -> FetchItem {
        FetchItem::Manifest(Slot(slot as u64))
    }

    fn table() -> FetchTable {
        FetchTable::new(ReplicaId(0), 4, Duration(10))
    }

    #[test]
    fn what_is_needed_has_room_that_what_may_not_exist_cannot_take() {
        let mut table = table();
        for slot in 0..=MAX_UNCERTAIN {
            table.want(item(slot), ReplicaId(1), Until::AllAsked, Instant(0));
        }
        assert_eq!((table.len(), table.is_empty(), MAX_UNCERTAIN), (1024, false, 1024));
        assert!(!table.has_room_again(), "what may not exist is not missed");
        for slot in 0..=MAX_WANTED {
            assert_eq!(table.wants(&item(slot)), slot < MAX_UNCERTAIN);
            table.want(item(slot), ReplicaId(1), Until::Found, Instant(0));
        }
        assert_eq!(table.len(), 4096);
        assert!(!table.wants(&item(MAX_WANTED)) && !table.has_room_again());
        table.retain(|wanted| *wanted < item(2048));
        assert!(!table.has_room_again(), "not before half of it is free");
        assert!(table.take(&item(0)) && !table.take(&item(0)));
        assert!(table.has_room_again());
        assert!(!table.has_room_again(), "told once");
    }

    #[test]
    fn nothing_is_asked_of_oneself_or_in_a_committee_of_one() {
        let mut table = FetchTable::new(ReplicaId(3), 4, Duration(1));
        table.want(item(1), ReplicaId(3), Until::Found, Instant(0));
        let turns: Vec<_> = (0..4).flat_map(|now| table.due(Instant(now)).into_keys()).collect();
        assert_eq!(turns, [0, 1, 2, 0].map(ReplicaId));
        let mut alone = FetchTable::new(ReplicaId(0), 1, Duration(1));
        alone.want(item(1), ReplicaId(0), Until::Found, Instant(0));
        assert!(alone.is_empty());
    }

    #[test]
    fn an_item_is_asked_for_again_after_a_while_and_not_earlier() {
        let mut table = table();
        assert_eq!(table.deadline(), None);
        table.want(item(1), ReplicaId(1), Until::Found, Instant(5));
        table.want(item(2), ReplicaId(2), Until::Found, Instant(3));
        table.want(item(2), ReplicaId(1), Until::Found, Instant(9));
        assert_eq!(table.deadline(), Some(Instant(3)));
        assert_eq!(table.due(Instant(4)), BTreeMap::from([(ReplicaId(2), vec![item(2)])]));
        assert_eq!(table.deadline(), Some(Instant(5)));
        assert_eq!(table.due(Instant(5)), BTreeMap::from([(ReplicaId(1), vec![item(1)])]));
        assert_eq!(table.deadline(), Some(Instant(14)));
        assert!(table.due(Instant(13)).is_empty());
        let both = [(ReplicaId(2), vec![item(1)]), (ReplicaId(3), vec![item(2)])];
        assert_eq!(table.due(Instant(15)), BTreeMap::from(both), "each of the next one");
        assert!(table.items().eq(&[item(1), item(2)]));
    }

    #[test]
    fn a_fetch_names_at_most_64_items_and_the_rest_is_still_due() {
        let mut table = table();
        for slot in 0..MAX_FETCH + 1 {
            table.want(item(slot), ReplicaId(1), Until::Found, Instant(0));
        }
        assert_eq!(table.due(Instant(0))[&ReplicaId(1)].len(), MAX_FETCH);
        assert_eq!(table.deadline(), Some(Instant(0)));
        assert_eq!(table.due(Instant(0)), BTreeMap::from([(ReplicaId(1), vec![item(MAX_FETCH)])]));
    }

    #[test]
    fn only_what_may_not_exist_is_given_up_and_what_is_found_needed_is_not() {
        let mut table = table();
        for (slot, until) in [(1, Until::Found), (2, Until::AllAsked), (3, Until::AllAsked), (4, Until::Found)] {
            table.want(item(slot), ReplicaId(1), until, Instant(0));
        }
        table.want(item(3), ReplicaId(1), Until::Found, Instant(0));
        table.want(item(1), ReplicaId(1), Until::AllAsked, Instant(0));
        (0..=4).for_each(|slot| table.give_up(&item(slot)));
        assert!(table.items().eq(&[item(1), item(3), item(4)]));
        table.want(item(5), ReplicaId(1), Until::AllAsked, Instant(0));
        table.retain_needed(|wanted| *wanted == item(4));
        assert!(table.items().eq(&[item(4), item(5)]), "what may not exist goes when all were asked");
        assert!(!table.has_chunks());
        table.want(FetchItem::Chunk(Slot(4), Default::default()), ReplicaId(1), Until::Found, Instant(0));
        assert!(table.has_chunks());
    }

    // Rule X15.
    #[test]
    fn a_link_is_worse_by_what_it_leaves_unanswered_and_better_by_an_answer() {
        let mut table = table();
        table.want(item(1), ReplicaId(1), Until::Found, Instant(0));
        assert!(table.take(&item(1)), "never asked of anybody");
        assert!(table.links.iter().all(|link| link.score == 1000));
        table.want(item(1), ReplicaId(1), Until::Found, Instant(0));
        asked(&mut table, 0..1);
        assert_eq!(table.links[1].score, 1000, "it may still answer");
        asked(&mut table, 10..11);
        assert_eq!(table.links[1].score, 900);
        table.want(item(2), ReplicaId(1), Until::Found, Instant(11));
        asked(&mut table, 11..12);
        table.take(&item(2));
        assert_eq!([1, 2].map(|peer: usize| table.links[peer].score), [950, 1000]);
        table.take(&item(1));
        assert_eq!(table.links[2].score, 1000, "it does not rise above the first");
        let mut link = Link { score: Link::DISLIKED, passed: false };
        assert!(!link.passes(), "500 thousandths are enough");
        link.score -= 1;
        assert_eq!([(); 3].map(|()| link.passes()), [true, false, true]);
    }
}
