//! Figures for whoever watches a store.

use super::RocksStore;
use super::keys::{FAMILIES, Family};
use rocksdb::properties;
use rocksdb::properties::PropName;
use rocksdb::statistics::Ticker;
use std::ffi::CStr;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of the files beside a tree. The library has no name for it.
const LIVE_BLOB_FILE_SIZE: &CStr = c"rocksdb.live-blob-file-size";

/// Figures of a store. Counts and sums are of this process; sizes are as of now. A figure that RocksDB cannot give is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Each column family's own.
    pub families: Vec<FamilyStats>,
    /// Bytes of all files that are in use, without the log.
    pub sst_bytes: u64,
    /// Bytes gathered in memory, not in files yet.
    pub memtable_bytes: u64,
    /// Keys, roughly.
    pub keys: u64,
    /// Bytes of blocks in memory.
    pub block_cache_bytes: u64,
    /// Bytes of blocks that no longer fit out of memory, because something reads them or they are pinned.
    pub block_cache_pinned_bytes: u64,
    /// Blocks that were found in memory.
    pub block_cache_hits: u64,
    /// Blocks that had to be read.
    pub block_cache_misses: u64,
    /// Column families that wait for a compaction.
    pub compactions_pending: u64,
    /// Compactions that run.
    pub compactions_running: u64,
    /// Bytes that compactions have to rewrite before every level has its size.
    pub compaction_debt_bytes: u64,
    /// Buffers that are being written to files.
    pub flushes_running: u64,
    /// Bytes of the write-ahead log on disk.
    pub wal_bytes: u64,
    /// Bytes written to the write-ahead log.
    pub wal_written_bytes: u64,
    /// How often the write-ahead log was synced.
    pub wal_syncs: u64,
    /// Microseconds for which writes were held up because files could not be written as fast.
    pub stall_us: u64,
    /// 1 while writes are stopped altogether.
    pub writes_stopped: u64,
    /// Errors of what runs behind the scenes.
    pub background_errors: u64,
    /// How long appends took, with their sync.
    pub append: Latency,
    /// How long the writes of snapshots took.
    pub snapshot: Latency,
    /// How long the writes of finalized slots took.
    pub finalize: Latency,
    /// How long queries took.
    pub read: Latency,
}

impl StoreStats {
    /// The share of blocks that were found in memory, if any was asked for.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share is shown with a few digits")]
    pub fn block_cache_hit_rate(&self) -> Option<f64> {
        let all = self.block_cache_hits + self.block_cache_misses;
        (all > 0).then(|| self.block_cache_hits as f64 / all as f64)
    }
}

/// Figures of a column family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyStats {
    /// Its name.
    pub name: &'static str,
    /// Bytes of its files.
    pub sst_bytes: u64,
    /// Bytes that it holds in memory, not in files yet.
    pub memtable_bytes: u64,
    /// Keys, roughly.
    pub keys: u64,
}

/// How long calls took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// How long all of them took together, in nanoseconds.
    pub sum_ns: u64,
    /// How many took at most as long as each of [`BOUNDS_US`](Self::BOUNDS_US) and longer than the one before; the
    /// last is for all that took longer.
    pub buckets: [u64; Self::BOUNDS_US.len() + 1],
}

impl Latency {
    /// The bounds of the buckets, in microseconds.
    pub const BOUNDS_US: [u64; 15] =
        [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000];
}

/// A [`Latency`] that is being counted.
#[derive(Debug, Default)]
pub(super) struct Meter {
    sum_ns: AtomicU64,
    buckets: [AtomicU64; Latency::BOUNDS_US.len() + 1],
}

impl Meter {
    pub(super) fn count(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = Latency::BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn read(&self) -> Latency {
        let mut latency = Latency { sum_ns: self.sum_ns.load(Ordering::Relaxed), ..Latency::default() };
        for (shown, counted) in latency.buckets.iter_mut().zip(&self.buckets) {
            *shown = counted.load(Ordering::Relaxed);
            latency.count += *shown;
        }
        latency
    }
}

#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) append: Meter,
    pub(super) snapshot: Meter,
    pub(super) finalize: Meter,
    pub(super) read: Meter,
}

impl RocksStore {
    /// Figures about this store. Cheap enough to ask for every few seconds.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let families: Vec<FamilyStats> = FAMILIES.iter().map(|family| self.family_stats(*family)).collect();
        let sum = |figure: fn(&FamilyStats) -> u64| families.iter().map(figure).sum();
        let over_families = |name: &CStr| FAMILIES.iter().map(|family| self.family_figure(*family, name)).sum();
        let whole = |name: &PropName| self.db.property_int_value(name).ok().flatten().unwrap_or_default();
        let ticker = |ticker| self.options.get_ticker_count(ticker);
        StoreStats {
            sst_bytes: sum(|family| family.sst_bytes),
            memtable_bytes: sum(|family| family.memtable_bytes),
            keys: sum(|family| family.keys),
            block_cache_bytes: u64::try_from(self.cache.get_usage()).unwrap_or(u64::MAX),
            block_cache_pinned_bytes: u64::try_from(self.cache.get_pinned_usage()).unwrap_or(u64::MAX),
            block_cache_hits: ticker(Ticker::BlockCacheHit),
            block_cache_misses: ticker(Ticker::BlockCacheMiss),
            compactions_pending: over_families(properties::COMPACTION_PENDING),
            compactions_running: whole(properties::NUM_RUNNING_COMPACTIONS),
            compaction_debt_bytes: over_families(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            flushes_running: whole(properties::NUM_RUNNING_FLUSHES),
            wal_bytes: self.wal_bytes(),
            wal_written_bytes: ticker(Ticker::WalFileBytes),
            wal_syncs: ticker(Ticker::WalFileSynced),
            stall_us: ticker(Ticker::StallMicros),
            writes_stopped: whole(properties::IS_WRITE_STOPPED),
            background_errors: whole(properties::BACKGROUND_ERRORS),
            append: self.meters.append.read(),
            snapshot: self.meters.snapshot.read(),
            finalize: self.meters.finalize.read(),
            read: self.meters.read.read(),
            families,
        }
    }

    fn family_stats(&self, family: Family) -> FamilyStats {
        FamilyStats {
            name: family.name(),
            sst_bytes: self.family_figure(family, properties::LIVE_SST_FILES_SIZE)
                + self.family_figure(family, LIVE_BLOB_FILE_SIZE),
            memtable_bytes: self.family_figure(family, properties::CUR_SIZE_ALL_MEM_TABLES),
            keys: self.family_figure(family, properties::ESTIMATE_NUM_KEYS),
        }
    }

    fn family_figure(&self, family: Family, name: &CStr) -> u64 {
        self.db.property_int_value_cf(self.family(family), name).ok().flatten().unwrap_or_default()
    }

    /// RocksDB does not tell; its logs are the files with this ending.
    fn wal_bytes(&self) -> u64 {
        let Ok(files) = fs::read_dir(&self.path) else { return 0 };
        let logs = files.flatten().filter(|file| file.path().extension().is_some_and(|ending| ending == "log"));
        logs.filter_map(|log| log.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}
