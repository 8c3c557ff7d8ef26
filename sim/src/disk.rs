//! One replica's disk: its log, its snapshots, and what a crash leaves of them.

use crate::plan;
use crate::rng::Rng;
use cretoai_core::bytes::Bytes;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::CoreSnapshot;
use cretoai_core::record::Record;
use cretoai_core::types::{Lsn, Slot};
use cretoai_core::wire::{Tail, frame, read_frames};
use std::sync::Arc;

/// A snapshot as it lies on a disk.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The protocol's part.
    pub core: Arc<CoreSnapshot>,
    /// The application's part.
    pub app: Vec<Arc<Bytes>>,
    /// The hashes of the application's part.
    pub hashes: Vec<Digest>,
    /// Whether the replica waits for it to become durable.
    pub awaited: bool,
    /// Whether the application's state was wrong when it was taken.
    pub flipped: bool,
}

/// Something that is written.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record.
    Record(Record),
    /// A snapshot.
    Snapshot(Snapshot),
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is durable already.
    Done,
    /// It is under way, and ends at this moment.
    Until(u64),
    /// It waits for one that is under way.
    Queued,
}

/// Why a log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

#[derive(Debug)]
enum Log {
    /// Nobody will ever read it.
    None,
    Values(Vec<Record>),
    Bytes(Vec<Frame>),
}

/// A frame as it lies on a disk.
#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    /// What was written. Whether it can be read, the bytes alone decide.
    records: Vec<Record>,
    /// Whether the bytes are still those that were written.
    is_whole: bool,
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    model: plan::Disk,
    log: Log,
    frames: u64,
    end: Lsn,
    /// Durable snapshots, by slot.
    pub snapshots: Vec<Snapshot>,
    writing: Vec<Item>,
    buffer: Vec<Item>,
    /// The next fsync fails.
    pub fail_next: bool,
    /// No record fits any more.
    pub full: bool,
}

impl Disk {
    /// An empty disk. The log is kept only if somebody may read it.
    #[must_use]
    pub fn new(model: plan::Disk, is_read: bool) -> Self {
        let log = match (is_read, model.bytes) {
            (false, _) => Log::None,
            (true, false) => Log::Values(Vec::new()),
            (true, true) => Log::Bytes(Vec::new()),
        };
        Self {
            model,
            log,
            frames: 0,
            end: Lsn(0),
            snapshots: Vec::new(),
            writing: Vec::new(),
            buffer: Vec::new(),
            fail_next: false,
            full: false,
        }
    }

    /// The position behind which the next record goes.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// From now on a write takes this long.
    pub fn set_latency(&mut self, sync_us: u64) {
        self.model.sync_us = sync_us;
    }

    /// The longest that a write may take.
    #[must_use]
    pub fn slowest_us(&self) -> u64 {
        self.model.sync_us + self.model.sync_jitter_us
    }

    /// Whether writes become durable at once, so that [`commit`](Self::commit) may be called right away.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        self.model.sync_us == 0 && self.model.sync_jitter_us == 0 && self.writing.is_empty() && self.buffer.is_empty()
    }

    fn latency(&self, rng: &mut Rng) -> u64 {
        (self.model.sync_us + rng.below(self.model.sync_jitter_us + 1)) * 1000
    }

    /// Writes behind everything written before. The list is left empty.
    pub fn write(&mut self, items: &mut Vec<Item>, now: u64, rng: &mut Rng) -> Write {
        if self.writing.is_empty() {
            let instant = self.is_instant();
            std::mem::swap(&mut self.writing, items);
            return if instant { Write::Done } else { Write::Until(now + self.latency(rng)) };
        }
        self.buffer.append(items);
        Write::Queued
    }

    fn breaks(&mut self, rng: &mut Rng) -> bool {
        let is_over = self.model.capacity_records > 0 && self.end.0 >= self.model.capacity_records;
        self.fail_next || self.full || is_over || rng.chance(self.model.sync_fails_per_mille)
    }

    /// The write under way ends. `false` if it failed, which ends the replica.
    pub fn sync(&mut self, rng: &mut Rng) -> bool {
        !self.breaks(rng)
    }

    /// What is being written.
    #[must_use]
    pub fn writing(&self) -> &[Item] {
        &self.writing
    }

    /// Only the first items of what is being written will become durable.
    pub fn cut_short(&mut self, items: usize) {
        self.writing.truncate(items);
    }

    /// What was being written is durable: puts it where it belongs, and begins with what waited. When that will be
    /// written, if anything waited.
    pub fn commit(&mut self, now: u64, rng: &mut Rng) -> Option<u64> {
        let mut batch = std::mem::take(&mut self.writing);
        self.keep(&mut batch);
        self.writing = batch;
        if self.buffer.is_empty() {
            return None;
        }
        std::mem::swap(&mut self.writing, &mut self.buffer);
        Some(now + self.latency(rng))
    }

    fn keep(&mut self, batch: &mut Vec<Item>) {
        let mut records = Vec::new();
        for item in batch.drain(..) {
            match item {
                Item::Snapshot(snapshot) => self.keep_snapshot(snapshot),
                Item::Record(record) => {
                    self.end.0 += 1;
                    match &mut self.log {
                        Log::None => {}
                        Log::Values(log) => log.push(record),
                        Log::Bytes(_) => records.push(record),
                    }
                }
            }
        }
        if let Log::Bytes(log) = &mut self.log
            && !records.is_empty()
        {
            self.frames += 1;
            log.push(Frame { bytes: frame(&records, self.frames), records, is_whole: true });
        }
    }

    fn keep_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.retain(|old| old.core.slot != snapshot.core.slot);
        self.snapshots.push(snapshot);
        self.snapshots.sort_by_key(|snapshot| snapshot.core.slot);
    }

    /// Deletes the snapshots of some slots, also those taken over that are still being written.
    pub fn drop_snapshots(&mut self, slots: &[Slot]) {
        let is_kept = |snapshot: &Snapshot| !slots.contains(&snapshot.core.slot);
        self.snapshots.retain(is_kept);
        for items in [&mut self.writing, &mut self.buffer] {
            items.retain(|item| !matches!(item, Item::Snapshot(snapshot) if !snapshot.awaited && !is_kept(snapshot)));
        }
    }

    /// The chunk of a snapshot with a hash.
    #[must_use]
    pub fn chunk(&self, slot: Slot, hash: Digest) -> Option<Arc<Bytes>> {
        let snapshot = self.snapshots.iter().find(|snapshot| snapshot.core.slot == slot)?;
        let core = snapshot.core.hashes.iter().zip(&snapshot.core.chunks);
        let app = snapshot.hashes.iter().zip(&snapshot.app);
        core.chain(app).find(|(known, _)| **known == hash).map(|(_, chunk)| Arc::clone(chunk))
    }

    /// The power goes. What was under way is lost, or was written though nobody was told, or half of it was.
    /// What turned out to be durable is shown first.
    pub fn crash(&mut self, rng: &mut Rng, mut durable: impl FnMut(&Item)) {
        self.buffer.clear();
        let mut writing = std::mem::take(&mut self.writing);
        if writing.is_empty() {
            return;
        }
        if rng.chance(self.model.keep_unsynced_per_mille) {
            writing.iter().for_each(&mut durable);
            self.keep(&mut writing);
        } else if let Log::Bytes(log) = &mut self.log
            && rng.chance(self.model.torn_per_mille)
        {
            let records: Vec<Record> = writing.drain(..).filter_map(record_of).collect();
            let mut bytes = frame(&records, self.frames + 1);
            let last = bytes.len() - 1;
            bytes.truncate(rng.index(last));
            log.push(Frame { bytes, records: Vec::new(), is_whole: false });
        }
    }

    /// A frame of the log goes bad: the last one, or another one. Whether there is one.
    pub fn rot(&mut self, rng: &mut Rng, at_the_end: bool) -> bool {
        let Log::Bytes(log) = &mut self.log else { return false };
        // Behind a frame in the middle there is a whole one: else nobody could tell it from one that a crash tore.
        let last = if at_the_end { log.len().checked_sub(1) } else { log.iter().rposition(|frame| frame.is_whole) };
        let frame = match last {
            None => return false,
            Some(last) if at_the_end => last,
            Some(0) => return false,
            Some(last) => rng.index(last),
        };
        let Frame { bytes, is_whole, .. } = &mut log[frame];
        *is_whole = false;
        let at = rng.index(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        true
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        let is_read = !matches!(self.log, Log::None);
        *self = Self::new(self.model, is_read);
    }

    /// Reads the log back after a crash. Also whether an unfinished frame was cut off.
    ///
    /// # Errors
    /// [`Unreadable`] if the log was damaged otherwise than by a crash.
    pub fn read(&mut self) -> Result<(Vec<Record>, bool), Unreadable> {
        match &mut self.log {
            Log::None => Err(Unreadable("this plan promised that nobody would read the log".to_owned())),
            Log::Values(log) => Ok((log.clone(), false)),
            Log::Bytes(log) => {
                let bytes: Vec<u8> = log.iter().flat_map(|frame| &frame.bytes).copied().collect();
                let (frames, tail) = read_frames(&bytes).map_err(|error| Unreadable(error.to_string()))?;
                if tail != Tail::Clean
                    && let Some(last) = log.pop()
                {
                    // A frame that was finished once had a number of its own.
                    self.frames -= u64::from(!last.records.is_empty());
                }
                let records = frames.into_iter().flat_map(|(_, records)| records).collect();
                Ok((records, tail != Tail::Clean))
            }
        }
    }

    /// Deletes the records that are obsolete.
    pub fn prune(&mut self, is_obsolete: impl Fn(&Record) -> bool) {
        match &mut self.log {
            Log::None => {}
            Log::Values(log) => log.retain(|record| !is_obsolete(record)),
            Log::Bytes(log) => {
                if log.iter().any(|frame| !frame.is_whole) {
                    return;
                }
                let records = log.drain(..).flat_map(|frame| frame.records);
                let records: Vec<Record> = records.filter(|record| !is_obsolete(record)).collect();
                log.push(Frame { bytes: frame(&records, self.frames), records, is_whole: true });
            }
        }
    }
}

fn record_of(item: Item) -> Option<Record> {
    match item {
        Item::Record(record) => Some(record),
        Item::Snapshot(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Concern;
    use cretoai_core::hash::Digest;
    use cretoai_core::types::View;

    fn record(slot: u64) -> Record {
        Record::Voted(View(0), Slot(slot), Digest([1; 32]))
    }

    #[test]
    fn a_crash_leaves_what_was_synced() {
        for bytes in [false, true] {
            let mut rng = Rng::new(0, Concern::Disk);
            let model = plan::Disk { sync_us: 5, bytes, ..plan::Disk::default() };
            let mut disk = Disk::new(model, true);
            assert_eq!(disk.write(&mut vec![Item::Record(record(1))], 100, &mut rng), Write::Until(5100));
            assert_eq!(disk.write(&mut vec![Item::Record(record(2))], 200, &mut rng), Write::Queued);
            assert!(disk.sync(&mut rng));
            assert_eq!(disk.writing().len(), 1);
            assert_eq!(disk.commit(5100, &mut rng), Some(10_100));
            disk.crash(&mut rng, |_| panic!("nothing else is durable"));
            assert_eq!(disk.read(), Ok((vec![record(1)], false)));
            assert_eq!(disk.end(), Lsn(1));
        }
    }

    #[test]
    fn a_torn_frame_is_cut_off_and_a_rotten_one_is_not() {
        let mut rng = Rng::new(0, Concern::Disk);
        let model = plan::Disk { sync_us: 5, bytes: true, torn_per_mille: 1000, ..plan::Disk::default() };
        let mut disk = Disk::new(model, true);
        for slot in 1..4 {
            disk.write(&mut vec![Item::Record(record(slot))], 0, &mut rng);
            disk.commit(0, &mut rng);
        }
        disk.write(&mut vec![Item::Record(record(4))], 0, &mut rng);
        disk.crash(&mut rng, |_| panic!("nothing is durable"));
        let (records, _) = disk.read().expect("a log");
        assert_eq!(records, [record(1), record(2), record(3)]);
        assert!(disk.rot(&mut rng, false));
        assert!(disk.read().is_err());
    }

    #[test]
    fn behind_a_frame_that_rots_there_is_a_whole_one_also_where_a_crash_tore_the_last() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed, Concern::Disk);
            let model = plan::Disk { sync_us: 5, bytes: true, torn_per_mille: 1000, ..plan::Disk::default() };
            let mut disk = Disk::new(model, true);
            for slot in 1..4 {
                disk.write(&mut vec![Item::Record(record(slot))], 0, &mut rng);
                if slot < 3 {
                    disk.commit(0, &mut rng);
                }
            }
            disk.crash(&mut rng, |_| panic!("nothing is durable"));
            assert!(disk.rot(&mut rng, false));
            assert!(disk.read().is_err(), "seed {seed}: what was durable is lost, and nobody can tell");
        }
    }
}
