//! A store that forgets everything with the process: for simulations and tests.

use super::{FinalizedSlot, FinalizedVertex, Place, Recovered, Store, StoreError, StoredSnapshot};
use cretoai_core::bytes::Bytes;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::{Verdict, chunk_hash};
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, Lsn, ReplicaId, Slot};
use cretoai_core::vertex::VertexId;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

/// A store in memory. To start a replica again on what it left behind, share it.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    has_failed: bool,
    records: BTreeMap<Lsn, Record>,
    end: Lsn,
    is_trusted: bool,
    /// Each with the hashes of the application's chunks.
    snapshots: BTreeMap<Slot, (StoredSnapshot, Vec<Digest>)>,
    vertices: BTreeMap<VertexId, FinalizedVertex>,
    order: BTreeMap<Place, VertexId>,
    heights: BTreeMap<(Height, Place), VertexId>,
    times: BTreeMap<(Instant, Place), VertexId>,
    edges: BTreeMap<(VertexId, Place), VertexId>,
    tips: BTreeMap<ReplicaId, (Place, VertexId)>,
    last: Slot,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets every later call fail, as a disk does that is full or broken (`docs/protocol.md` G6).
    pub fn break_down(&self) {
        self.contents().has_failed = true;
    }

    /// Loses the records from one on, as a cut of the log does (`docs/protocol.md` G12).
    pub fn cut(&self, from: Lsn) {
        let mut contents = self.contents();
        contents.records.split_off(&from);
        contents.end = contents.end.min(Lsn(from.0.saturating_sub(1)));
        contents.is_trusted = false;
    }

    /// Loses everything, as a disk does that is replaced (`docs/protocol.md` G7).
    pub fn wipe(&self) {
        *self.contents() = Contents::default();
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("no call on this store panicked")
    }

    fn whole(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = self.contents();
        if contents.has_failed {
            return Err(StoreError::Io("the disk broke down".to_owned()));
        }
        Ok(contents)
    }
}

impl Store for MemoryStore {
    fn recover(&self) -> Result<Recovered, StoreError> {
        let contents = self.whole()?;
        Ok(Recovered {
            records: contents.records.iter().map(|(lsn, record)| (*lsn, record.clone())).collect(),
            snapshots: contents.snapshots.values().map(|(snapshot, _)| snapshot.clone()).collect(),
            end: contents.end,
            is_distrusted: !contents.is_trusted,
        })
    }

    fn trust(&self) -> Result<(), StoreError> {
        self.whole()?.is_trusted = true;
        Ok(())
    }

    fn append(&self, records: &[(Lsn, Record)], obsolete: &[Lsn]) -> Result<(), StoreError> {
        let mut contents = self.whole()?;
        for (lsn, record) in records {
            assert!(contents.end < *lsn, "record {lsn} behind {}", contents.end);
            contents.end = *lsn;
            contents.records.insert(*lsn, record.clone());
        }
        for lsn in obsolete {
            contents.records.remove(lsn);
        }
        Ok(())
    }

    fn put_snapshot(&self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        let hashes = snapshot.app.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
        self.whole()?.snapshots.insert(snapshot.core.slot, (snapshot.clone(), hashes));
        Ok(())
    }

    fn drop_snapshots(&self, slots: &[Slot]) -> Result<(), StoreError> {
        let mut contents = self.whole()?;
        contents.snapshots.retain(|slot, _| !slots.contains(slot));
        Ok(())
    }

    fn chunk(&self, slot: Slot, hash: Digest) -> Result<Option<Arc<Bytes>>, StoreError> {
        let contents = self.whole()?;
        let Some((snapshot, app)) = contents.snapshots.get(&slot) else { return Ok(None) };
        let hashes = snapshot.core.hashes.iter().chain(app);
        let mut chunks = hashes.zip(snapshot.core.chunks.iter().chain(&snapshot.app));
        Ok(chunks.find(|(known, _)| **known == hash).map(|(_, chunk)| Arc::clone(chunk)))
    }

    fn finalize(&self, slots: &[FinalizedSlot]) -> Result<(), StoreError> {
        let mut contents = self.whole()?;
        for slot in slots {
            contents.finalize(slot);
        }
        Ok(())
    }

    fn vertex(&self, id: VertexId) -> Result<Option<FinalizedVertex>, StoreError> {
        Ok(self.whole()?.vertices.get(&id).cloned())
    }

    fn finalized(&self, slots: RangeInclusive<Slot>, limit: usize) -> Result<Vec<FinalizedVertex>, StoreError> {
        let contents = self.whole()?;
        let (from, to) = slots.into_inner();
        let places = Place { slot: from, position: 0 }..=Place { slot: to, position: u32::MAX };
        Ok(within(&contents.order, places, limit).map(|id| contents.vertices[id].clone()).collect())
    }

    fn by_height(&self, heights: RangeInclusive<Height>, limit: usize) -> Result<Vec<VertexId>, StoreError> {
        let (from, to) = heights.into_inner();
        Ok(within(&self.whole()?.heights, (from, FIRST)..=(to, LAST), limit).copied().collect())
    }

    fn by_time(&self, times: RangeInclusive<Instant>, limit: usize) -> Result<Vec<VertexId>, StoreError> {
        let (from, to) = times.into_inner();
        Ok(within(&self.whole()?.times, (from, FIRST)..=(to, LAST), limit).copied().collect())
    }

    fn children(&self, id: VertexId, limit: usize) -> Result<Vec<VertexId>, StoreError> {
        Ok(within(&self.whole()?.edges, (id, FIRST)..=(id, LAST), limit).copied().collect())
    }

    fn tips(&self) -> Result<Vec<(ReplicaId, VertexId)>, StoreError> {
        Ok(self.whole()?.tips.iter().map(|(author, (_, id))| (*author, *id)).collect())
    }

    fn last_finalized(&self) -> Result<Slot, StoreError> {
        Ok(self.whole()?.last)
    }
}

const FIRST: Place = Place { slot: Slot(0), position: 0 };
const LAST: Place = Place { slot: Slot(u64::MAX), position: u32::MAX };

/// The values of a range of keys. One that ends before it begins holds none, where the map's own would panic.
fn within<K: Ord, V>(map: &BTreeMap<K, V>, keys: RangeInclusive<K>, limit: usize) -> impl Iterator<Item = &V> {
    let range = if keys.is_empty() { None } else { Some(map.range(keys)) };
    range.into_iter().flatten().map(|(_, value)| value).take(limit)
}

impl Contents {
    fn finalize(&mut self, slot: &FinalizedSlot) {
        self.last = self.last.max(slot.slot);
        for (position, (vertex, verdict)) in (0..).zip(&slot.listed) {
            if *verdict != Verdict::Final {
                continue;
            }
            let (id, place) = (vertex.id(), Place { slot: slot.slot, position });
            self.order.insert(place, id);
            self.heights.insert((vertex.body.height, place), id);
            self.times.insert((slot.time, place), id);
            self.edges.insert((vertex.body.prev.id, place), id);
            for parent in &vertex.body.refs {
                self.edges.insert((parent.id, place), id);
            }
            // A slot that is added again comes after later ones of the same author.
            let tip = self.tips.entry(vertex.author()).or_insert((place, id));
            *tip = (*tip).max((place, id));
            let finalized = FinalizedVertex { slot: slot.slot, position, time: slot.time, vertex: Arc::clone(vertex) };
            self.vertices.insert(id, finalized);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::record;

    #[test]
    fn a_cut_loses_the_end_until_it_is_made_good() {
        let store = MemoryStore::new();
        let records: Vec<_> = (1..=5).map(|number| (Lsn(number), record(number))).collect();
        store.append(&records, &[]).unwrap();
        store.trust().unwrap();
        store.cut(Lsn(4));
        let recovered = store.recover().unwrap();
        assert_eq!(recovered.records, records[..3]);
        assert_eq!((recovered.end, recovered.is_distrusted), (Lsn(3), true));
        store.trust().unwrap();
        assert!(!store.recover().unwrap().is_distrusted);
    }

    #[test]
    fn a_store_that_broke_down_does_nothing_more() {
        let store = MemoryStore::new();
        store.break_down();
        assert!(store.append(&[], &[]).is_err());
        assert!(store.recover().is_err());
        assert!(store.tips().is_err());
    }
}
