//! What happens next: a heap of small entries. What an entry is about lies elsewhere, under the index in it.

use dary_heap::QuaternaryHeap;
use std::cmp::Reverse;

/// What kind of thing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A message arrives; the index is its place among the messages under way.
    Delivery,
    /// A replica's deadline may have come.
    Deadline,
    /// A disk finished; the index is the replica's incarnation.
    Synced,
    /// An application finished; the index is the replica's incarnation.
    Executed,
    /// A replica, or its adversary, goes on; the index is the incarnation.
    Wake,
    /// Something for clients; the index says what.
    Client,
    /// A fault; the index says which.
    Fault,
    /// The course of the run goes into its next phase.
    Phase,
}

const DUES: [Due; 8] =
    [Due::Delivery, Due::Deadline, Due::Synced, Due::Executed, Due::Wake, Due::Client, Due::Fault, Due::Phase];

/// What is put in without a place of its own comes behind what has one.
const FIRST_TIE: u32 = 1 << 31;

const INDEX_BITS: u32 = 21;
const HOST_BITS: u32 = 8;

/// Indices are below this.
pub const MAX_INDEX: u32 = 1 << INDEX_BITS;

/// An entry of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in nanoseconds.
    pub time: u64,
    /// What.
    pub due: Due,
    /// At which host.
    pub host: u8,
    /// About what.
    pub index: u32,
}

/// Entries in order of time; those of one time in the order they were put in, or at random.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Time in the upper 64 bits, then 32 bits to break ties, then kind, host and index.
    heap: QuaternaryHeap<Reverse<u128>>,
    ties: u32,
    shuffle: Option<crate::rng::Rng>,
}

impl Schedule {
    /// Forgets everything. With a generator, entries of one time come in random order from now on.
    pub fn reset(&mut self, shuffle: Option<crate::rng::Rng>) {
        self.heap.clear();
        self.ties = FIRST_TIE;
        self.shuffle = shuffle;
    }

    /// Puts an entry in.
    pub fn push(&mut self, event: Event) {
        self.ties = self.ties.wrapping_add(1);
        let tie = self.shuffle.as_mut().map_or(self.ties, crate::rng::Rng::next_u32);
        self.push_as(event, tie);
    }

    /// Puts an entry in, with its place among those of the same time. Places below 2^31 come before all entries that
    /// have none.
    pub fn push_as(&mut self, event: Event, tie: u32) {
        assert!(event.index < MAX_INDEX, "{} things under way at once", event.index);
        let what = (event.due as u32) << (INDEX_BITS + HOST_BITS) | u32::from(event.host) << INDEX_BITS | event.index;
        let key = u128::from(event.time) << 64 | u128::from(tie) << 32 | u128::from(what);
        self.heap.push(Reverse(key));
    }

    /// Takes out the first entry.
    #[expect(clippy::cast_possible_truncation, reason = "the parts of the key are cut out of it")]
    pub fn pop(&mut self) -> Option<Event> {
        let Reverse(key) = self.heap.pop()?;
        let what = key as u32;
        Some(Event {
            time: (key >> 64) as u64,
            due: DUES[(what >> (INDEX_BITS + HOST_BITS)) as usize],
            host: (what >> INDEX_BITS) as u8,
            index: what & (MAX_INDEX - 1),
        })
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is due any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// Values under stable indices, reused.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value in.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(value);
            return index;
        }
        self.entries.push(Some(value));
        u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 things are under way")
    }

    /// The value at an index that is in use.
    #[must_use]
    pub fn get(&self, index: u32) -> &T {
        self.entries[index as usize].as_ref().expect("an index in use")
    }

    /// The value at an index that is in use.
    pub fn get_mut(&mut self, index: u32) -> &mut T {
        self.entries[index as usize].as_mut().expect("an index in use")
    }

    /// Takes a value out.
    pub fn remove(&mut self, index: u32) -> T {
        self.free.push(index);
        self.entries[index as usize].take().expect("an index in use")
    }

    /// Forgets a value where it lies.
    pub fn discard(&mut self, index: u32) {
        self.free.push(index);
        let value = &mut self.entries[index as usize];
        assert!(value.is_some(), "an index in use");
        *value = None;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64, index: u32) -> Event {
        Event { time, due: Due::Wake, host: 200, index }
    }

    #[test]
    fn events_come_in_order_of_time_and_then_of_arrival() {
        let mut schedule = Schedule::default();
        for (time, index) in [(5, 1), (3, 2), (5, 3), (u64::MAX, 4), (5, MAX_INDEX - 1)] {
            schedule.push(event(time, index));
        }
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop()).collect();
        assert_eq!(order, [event(3, 2), event(5, 1), event(5, 3), event(5, MAX_INDEX - 1), event(u64::MAX, 4)]);
    }

    #[test]
    fn a_slab_reuses_its_places() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a), 'a');
        assert_eq!((slab.insert('c'), *slab.get(b)), (a, 'b'));
        slab.discard(b);
        assert_eq!((slab.insert('d'), *slab.get(a)), (b, 'c'));
    }
}
