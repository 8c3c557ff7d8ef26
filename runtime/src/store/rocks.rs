//! A store on RocksDB.
//!
//! All column families share one write-ahead log, so one write batch changes all of them or none, and a synced batch
//! makes those before it durable too.

mod config;
mod keys;
mod open;
mod stats;
#[cfg(test)]
pub(super) mod tests;

pub use config::RocksConfig;
pub use open::Owner;
pub use stats::{FamilyStats, Latency, StoreStats};

use super::{FinalizedSlot, FinalizedVertex, Place, Recovered, Store, StoreError, StoredSnapshot};
use cretoai_core::bytes::Bytes;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::{CoreSnapshot, Manifest, Verdict, chunk_hash};
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, Lsn, ReplicaId, Slot};
use cretoai_core::vertex::VertexId;
use cretoai_core::wire;
use keys::{
    END_KEY, Family, LAST_KEY, MANIFESTS, SWEEP_KEY, TIP_KEY, TRUST_KEY, behind, chunk_key, id_from, index_key,
    manifest_from, manifest_key, manifest_value, number_from, place_bytes, tip_author, tip_from, tip_key, tip_value,
    vertex_from, vertex_value,
};
use rocksdb::{Cache, ColumnFamily, DB, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};
use stats::{Meter, Meters};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Chunks of a snapshot are written in batches of about this size, so that none has to hold the whole state.
const CHUNK_BATCH_BYTES: usize = 4 << 20;

/// Bytes that an entry of the log takes in a batch besides its value, at the most.
const ENTRY_OVERHEAD: usize = 64;

/// The hashes of a snapshot's chunks.
type Chunks = BTreeSet<Digest>;

/// A store on RocksDB. Its folder is locked as long as it is open.
pub struct RocksStore {
    db: DB,
    /// Kept for the statistics that RocksDB collects in them.
    options: Options,
    cache: Cache,
    path: PathBuf,
    /// What the first write that failed said. Nothing is read or written after it (`docs/protocol.md` G6).
    failure: OnceLock<String>,
    /// The position of the last record; held while the log is written.
    end: Mutex<Lsn>,
    /// The chunks of each snapshot: one that several have is stored once, and stays while any of them does.
    snapshots: Mutex<BTreeMap<Slot, Arc<Chunks>>>,
    snapshot_writer: Mutex<()>,
    dag_writer: Mutex<()>,
    meters: Meters,
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore").field("path", &self.path).field("failure", &self.failure).finish_non_exhaustive()
    }
}

/// Whether a write waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Synced,
    Unsynced,
}

impl RocksStore {
    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("the store was opened with all its families")
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.failure.get() {
            Some(failure) => Err(StoreError::Io(format!("a write failed before: {failure}"))),
            None => Ok(()),
        }
    }

    /// Remembers that a write failed.
    fn fail(&self, error: &rocksdb::Error) -> StoreError {
        let failure = self.failure.get_or_init(|| error.to_string());
        StoreError::Io(failure.clone())
    }

    fn write(&self, batch: WriteBatch, durability: Durability, meter: &Meter) -> Result<(), StoreError> {
        self.check()?;
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        let started = std::time::Instant::now();
        let result = self.db.write_opt(batch, &options);
        meter.count(started.elapsed());
        result.map_err(|error| self.fail(&error))
    }

    /// Does the work of a query, and measures it.
    fn query<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.check()?;
        let started = std::time::Instant::now();
        let result = work();
        self.meters.read.count(started.elapsed());
        result
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf_opt(self.family(family), key, &reading()).map_err(failed)
    }

    fn metadata(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Family::Metadata, key)
    }

    /// Reads the keys from those that begin with one prefix to those that begin with another, in order, at most `limit`.
    fn scan<T>(
        &self,
        family: Family,
        (from, to): (&[u8], &[u8]),
        limit: usize,
        mut read: impl FnMut(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut options = reading();
        if let Some(end) = behind(to) {
            options.set_iterate_upper_bound(end);
        }
        let entries =
            self.db.iterator_cf_opt(self.family(family), options, IteratorMode::From(from, Direction::Forward));
        entries
            .take(limit)
            .map(|entry| {
                let (key, value) = entry.map_err(failed)?;
                read(&key, &value)
            })
            .collect()
    }

    /// The ids in an index, from one prefix to another.
    fn ids(&self, family: Family, range: (&[u8], &[u8]), limit: usize) -> Result<Vec<VertexId>, StoreError> {
        self.scan(family, range, limit, |key, value| {
            id_from(value).ok_or_else(|| damaged(&format!("the entry {key:?} of {}", family.name())))
        })
    }

    fn read_vertex(&self, id: VertexId) -> Result<Option<FinalizedVertex>, StoreError> {
        let Some(value) = self.get(Family::Vertices, &id.0)? else { return Ok(None) };
        vertex_from(id, &value).map(Some).ok_or_else(|| damaged(&format!("vertex {id}")))
    }

    fn read_chunk(&self, hash: Digest) -> Result<Arc<Bytes>, StoreError> {
        let chunk = self.get(Family::Snapshots, &chunk_key(hash))?;
        let chunk = chunk.filter(|chunk| chunk_hash(chunk) == hash);
        chunk.map(|chunk| Arc::new(Bytes(chunk))).ok_or_else(|| damaged(&format!("the chunk {hash} of a snapshot")))
    }

    fn read_snapshot(
        &self,
        manifest: &Manifest,
        read: &mut BTreeMap<Digest, Arc<Bytes>>,
    ) -> Result<StoredSnapshot, StoreError> {
        let mut chunk = |hash: &Digest| match read.get(hash) {
            Some(chunk) => Ok(Arc::clone(chunk)),
            None => self.read_chunk(*hash).inspect(|chunk| {
                read.insert(*hash, Arc::clone(chunk));
            }),
        };
        let core = CoreSnapshot {
            slot: manifest.slot,
            epoch: manifest.epoch,
            order: manifest.order,
            hashes: manifest.core.clone(),
            chunks: manifest.core.iter().map(&mut chunk).collect::<Result<_, _>>()?,
        };
        let app = manifest.app.iter().map(&mut chunk).collect::<Result<_, _>>()?;
        Ok(StoredSnapshot { core: Arc::new(core), app })
    }

    fn delete_chunks<'a>(&self, batch: &mut WriteBatch, hashes: impl Iterator<Item = &'a Digest>) {
        for hash in hashes {
            batch.delete_cf(self.family(Family::Snapshots), chunk_key(*hash));
        }
    }

    /// Adds the chunks of a snapshot that no other has to a batch, and writes that whenever it is full. The last one is
    /// for the caller to write, with the manifest.
    fn put_chunks<'a>(
        &self,
        held: &[Arc<Chunks>],
        chunks: impl Iterator<Item = (&'a Digest, &'a Arc<Bytes>)>,
    ) -> Result<WriteBatch, StoreError> {
        let mut written = Chunks::new();
        let mut batch = WriteBatch::default();
        for (hash, chunk) in chunks {
            let is_there = held.iter().any(|chunks| chunks.contains(hash)) || !written.insert(*hash);
            if is_there {
                continue;
            }
            if CHUNK_BATCH_BYTES < batch.size_in_bytes() {
                // After a crash, these are to be deleted.
                batch.put_cf(self.family(Family::Metadata), SWEEP_KEY, b"");
                self.write(std::mem::take(&mut batch), Durability::Unsynced, &self.meters.snapshot)?;
            }
            batch.put_cf(self.family(Family::Snapshots), chunk_key(*hash), &chunk.0);
        }
        Ok(batch)
    }

    fn last(&self) -> Result<Slot, StoreError> {
        let Some(value) = self.metadata(LAST_KEY)? else { return Ok(Slot(0)) };
        number_from(&value).map(Slot).ok_or_else(|| damaged("the number of the last finalized slot"))
    }

    fn tip(&self, author: ReplicaId) -> Result<Option<(Place, VertexId)>, StoreError> {
        let Some(value) = self.metadata(&tip_key(author))? else { return Ok(None) };
        tip_from(&value).map(Some).ok_or_else(|| damaged(&format!("the tip of {author}")))
    }

    /// Adds a slot's vertices to a batch, and notes the last one of each author.
    fn put_slot(
        &self,
        batch: &mut WriteBatch,
        slot: &FinalizedSlot,
        tips: &mut BTreeMap<ReplicaId, (Place, VertexId)>,
    ) {
        for (position, (vertex, verdict)) in (0..).zip(&slot.listed) {
            if *verdict != Verdict::Final {
                continue;
            }
            let (id, place) = (vertex.id(), Place { slot: slot.slot, position });
            batch.put_cf(self.family(Family::Vertices), id.0, vertex_value(place, slot.time, vertex));
            batch.put_cf(self.family(Family::Finalized), place_bytes(place), id.0);
            let height = vertex.body.height.0.to_be_bytes();
            batch.put_cf(self.family(Family::Heights), index_key(&height, place), id.0);
            batch.put_cf(self.family(Family::Times), index_key(&slot.time.0.to_be_bytes(), place), id.0);
            let parents = vertex.body.refs.iter().map(|parent| &parent.id).chain([&vertex.body.prev.id]);
            for parent in parents {
                batch.put_cf(self.family(Family::Edges), index_key(&parent.0, place), id.0);
            }
            let tip = tips.entry(vertex.author()).or_insert((place, id));
            *tip = (*tip).max((place, id));
        }
    }
}

impl Store for RocksStore {
    fn recover(&self) -> Result<Recovered, StoreError> {
        self.check()?;
        let end = *locked(&self.end);
        let records = self.scan(Family::Consensus, (&[], &[]), usize::MAX, |key, value| {
            let lsn = number_from(key).map(Lsn).ok_or_else(|| damaged("the position of a record"))?;
            let record = wire::decode_record(value).map_err(|error| damaged(&format!("record {lsn} ({error})")))?;
            Ok((lsn, record))
        })?;
        if records.last().is_some_and(|(last, _)| end < *last) {
            return Err(damaged("the position of the last record"));
        }
        let mut chunks = BTreeMap::new();
        let snapshots = self.scan(Family::Snapshots, (MANIFESTS, MANIFESTS), usize::MAX, |key, value| {
            let manifest = manifest_from(value).ok_or_else(|| damaged(&format!("the manifest {key:?}")))?;
            self.read_snapshot(&manifest, &mut chunks)
        })?;
        Ok(Recovered { records, snapshots, end, is_distrusted: self.metadata(TRUST_KEY)?.is_none() })
    }

    fn trust(&self) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(Family::Metadata), TRUST_KEY, b"");
        self.write(batch, Durability::Synced, &self.meters.append)
    }

    fn append(&self, records: &[(Lsn, Record)], obsolete: &[Lsn]) -> Result<(), StoreError> {
        let mut end = locked(&self.end);
        let mut last = *end;
        let records: Vec<_> = records.iter().map(|(lsn, record)| (lsn, wire::encode_record(record))).collect();
        let bytes = records.iter().map(|(_, record)| record.len() + ENTRY_OVERHEAD).sum::<usize>();
        let mut batch = WriteBatch::with_capacity_bytes(bytes + ENTRY_OVERHEAD * (obsolete.len() + 1));
        let log = self.family(Family::Consensus);
        for (lsn, record) in records {
            assert!(last < *lsn, "record {lsn} behind {last}");
            last = *lsn;
            batch.put_cf(log, lsn.0.to_be_bytes(), record);
        }
        for lsn in obsolete {
            batch.delete_cf(log, lsn.0.to_be_bytes());
        }
        batch.put_cf(self.family(Family::Metadata), END_KEY, last.0.to_be_bytes());
        self.write(batch, Durability::Synced, &self.meters.append)?;
        *end = last;
        Ok(())
    }

    fn put_snapshot(&self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        let _writer = locked(&self.snapshot_writer);
        let core = snapshot.core.as_ref();
        assert_eq!(core.hashes.len(), core.chunks.len(), "a hash for each chunk");
        let manifest = core.manifest(snapshot.app.iter().map(|chunk| chunk_hash(&chunk.0)).collect());
        let hashes = || manifest.core.iter().chain(&manifest.app);
        let wanted: Arc<Chunks> = Arc::new(hashes().copied().collect());
        let mut after = locked(&self.snapshots).clone();
        let held: Vec<Arc<Chunks>> = after.values().cloned().collect();
        let replaced = after.insert(core.slot, Arc::clone(&wanted));

        let mut batch = self.put_chunks(&held, hashes().zip(core.chunks.iter().chain(&snapshot.app)))?;
        self.delete_chunks(&mut batch, unused(replaced.as_slice(), &after));
        batch.delete_cf(self.family(Family::Metadata), SWEEP_KEY);
        batch.put_cf(self.family(Family::Snapshots), manifest_key(core.slot), manifest_value(manifest.clone()));
        // The batches before this one are in front of it in the log, and durable with it.
        self.write(batch, Durability::Synced, &self.meters.snapshot)?;
        *locked(&self.snapshots) = after;
        Ok(())
    }

    fn drop_snapshots(&self, slots: &[Slot]) -> Result<(), StoreError> {
        let _writer = locked(&self.snapshot_writer);
        self.check()?;
        let mut after = locked(&self.snapshots).clone();
        let mut batch = WriteBatch::default();
        let mut dropped = Vec::new();
        for slot in slots {
            dropped.extend(after.remove(slot));
            batch.delete_cf(self.family(Family::Snapshots), manifest_key(*slot));
        }
        if dropped.is_empty() {
            return Ok(());
        }
        self.delete_chunks(&mut batch, unused(&dropped, &after));
        // One batch: after a crash either all of them are gone or none.
        self.write(batch, Durability::Synced, &self.meters.snapshot)?;
        *locked(&self.snapshots) = after;
        Ok(())
    }

    fn chunk(&self, slot: Slot, hash: Digest) -> Result<Option<Arc<Bytes>>, StoreError> {
        self.query(|| {
            let has = |slot| locked(&self.snapshots).get(slot).is_some_and(|chunks| chunks.contains(&hash));
            if !has(&slot) {
                return Ok(None);
            }
            match self.read_chunk(hash) {
                Ok(chunk) => Ok(Some(chunk)),
                // It was dropped meanwhile.
                Err(_) if !has(&slot) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn finalize(&self, slots: &[FinalizedSlot]) -> Result<(), StoreError> {
        let _writer = locked(&self.dag_writer);
        self.check()?;
        let Some(last) = slots.iter().map(|slot| slot.slot).max() else { return Ok(()) };
        let mut batch = WriteBatch::default();
        let mut tips = BTreeMap::new();
        for slot in slots {
            self.put_slot(&mut batch, slot, &mut tips);
        }
        let metadata = self.family(Family::Metadata);
        for (author, (place, id)) in tips {
            // A slot that is added again comes after later ones of the same author.
            if self.tip(author)?.is_none_or(|(known, _)| known < place) {
                batch.put_cf(metadata, tip_key(author), tip_value(place, id));
            }
        }
        batch.put_cf(metadata, LAST_KEY, last.max(self.last()?).0.to_be_bytes());
        self.write(batch, Durability::Unsynced, &self.meters.finalize)
    }

    fn vertex(&self, id: VertexId) -> Result<Option<FinalizedVertex>, StoreError> {
        self.query(|| self.read_vertex(id))
    }

    fn finalized(&self, slots: RangeInclusive<Slot>, limit: usize) -> Result<Vec<FinalizedVertex>, StoreError> {
        let range = (&slots.start().0.to_be_bytes()[..], &slots.end().0.to_be_bytes()[..]);
        self.query(|| {
            let ids = self.ids(Family::Finalized, range, limit)?;
            let vertices = ids.into_iter().map(|id| {
                self.read_vertex(id)?.ok_or_else(|| damaged(&format!("vertex {id}, which is finalized and missing,")))
            });
            vertices.collect()
        })
    }

    fn by_height(&self, heights: RangeInclusive<Height>, limit: usize) -> Result<Vec<VertexId>, StoreError> {
        let range = (&heights.start().0.to_be_bytes()[..], &heights.end().0.to_be_bytes()[..]);
        self.query(|| self.ids(Family::Heights, range, limit))
    }

    fn by_time(&self, times: RangeInclusive<Instant>, limit: usize) -> Result<Vec<VertexId>, StoreError> {
        let range = (&times.start().0.to_be_bytes()[..], &times.end().0.to_be_bytes()[..]);
        self.query(|| self.ids(Family::Times, range, limit))
    }

    fn children(&self, id: VertexId, limit: usize) -> Result<Vec<VertexId>, StoreError> {
        self.query(|| self.ids(Family::Edges, (&id.0, &id.0), limit))
    }

    fn tips(&self) -> Result<Vec<(ReplicaId, VertexId)>, StoreError> {
        self.query(|| {
            self.scan(Family::Metadata, (TIP_KEY, TIP_KEY), usize::MAX, |key, value| {
                let tip = tip_author(key).zip(tip_from(value));
                tip.map(|(author, (_, id))| (author, id)).ok_or_else(|| damaged("a tip"))
            })
        })
    }

    fn last_finalized(&self) -> Result<Slot, StoreError> {
        self.query(|| self.last())
    }
}

/// What some snapshots have and none of those that stay.
fn unused<'a>(gone: &'a [Arc<Chunks>], stay: &'a BTreeMap<Slot, Arc<Chunks>>) -> impl Iterator<Item = &'a Digest> {
    let chunks = gone.iter().flat_map(|chunks| chunks.iter());
    chunks.filter(|hash| !stay.values().any(|chunks| chunks.contains(hash)))
}

/// How everything is read.
fn reading() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no call on this store panicked")
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { what: what.to_owned() }
}

fn failed(error: rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::Damaged { what: error.into_string() },
        _ => StoreError::Io(error.into_string()),
    }
}
