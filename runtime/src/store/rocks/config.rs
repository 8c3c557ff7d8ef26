//! Settings, and what RocksDB is told.

use super::keys::Family;
use crate::store::StoreError;
use rocksdb::statistics::StatsLevel;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options};

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksConfig {
    /// Bytes for blocks of files that were read, with their indices and filters; 128 MiB by default.
    pub block_cache_bytes: u64,
    /// Bytes that each of the nine column families gathers in memory before it writes a file; 32 MiB by default. Two
    /// such buffers may exist of each, while one is being written.
    pub write_buffer_bytes: u64,
    /// Threads that write and merge files behind the scenes; 2 by default.
    pub max_background_jobs: u32,
    /// Bytes that the write-ahead log may take before buffers are written to files so that its older part can go;
    /// 256 MiB by default. All of it is read when a replica starts after a crash.
    pub max_wal_bytes: u64,
}

impl Default for RocksConfig {
    fn default() -> Self {
        Self {
            block_cache_bytes: 128 * MIB,
            write_buffer_bytes: 32 * MIB,
            max_background_jobs: 2,
            max_wal_bytes: 256 * MIB,
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Files that RocksDB keeps open. Without a limit a large DAG would use up the process's.
const MAX_OPEN_FILES: i32 = 1024;

/// Vertices of at least this many bytes are kept out of the tree.
const LEAST_BLOB_BYTES: u64 = 4 << 10;

/// Its own log of what it does, beside the data.
const INFO_LOG_BYTES: usize = 16 << 20;
const INFO_LOG_FILES: usize = 4;

impl RocksConfig {
    /// Checks each setting.
    ///
    /// # Errors
    /// [`StoreError::Setting`] for the first that is out of its range.
    pub fn check(&self) -> Result<(), StoreError> {
        let within = |field, value, least, most| {
            let is_fine = least <= value && value <= most;
            if is_fine { Ok(()) } else { Err(StoreError::Setting { field, value, least, most }) }
        };
        within("block_cache_bytes", self.block_cache_bytes, MIB, 1024 * GIB)?;
        within("write_buffer_bytes", self.write_buffer_bytes, 64 * KIB, GIB)?;
        within("max_background_jobs", u64::from(self.max_background_jobs), 2, 64)?;
        // With less than a buffer's worth of log, buffers would always be written before they are full.
        within("max_wal_bytes", self.max_wal_bytes, self.write_buffer_bytes, 1024 * GIB)
    }

    /// The options of the whole database. Only a new one is given what it lacks.
    pub(super) fn database(&self, recovery: DBRecoveryMode, lacking: Lacking) -> Options {
        let mut options = Options::default();
        options.create_if_missing(lacking == Lacking::Create);
        options.create_missing_column_families(lacking == Lacking::Create);
        options.set_wal_recovery_mode(recovery);
        // A part of the log that was durable and is gone, or shorter, is damage and no torn end.
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_paranoid_checks(true);
        options.set_max_total_wal_size(self.max_wal_bytes);
        options.set_max_background_jobs(i32::try_from(self.max_background_jobs).unwrap_or(i32::MAX));
        options.set_max_open_files(MAX_OPEN_FILES);
        // Large files are written out bit by bit, so that no fsync of the log waits for all of one.
        options.set_bytes_per_sync(MIB);
        options.set_max_log_file_size(INFO_LOG_BYTES);
        options.set_keep_log_file_num(INFO_LOG_FILES);
        options.set_stats_persist_period_sec(0);
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptDetailedTimers);
        options
    }

    /// The options of a column family. Compression has to be set for each: the database's own does not reach them.
    pub(super) fn family(&self, family: Option<Family>, cache: &Cache) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        blocks.set_block_size(16 << 10);
        // Counted in the cache, so that memory stays bounded however large the DAG grows.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if matches!(family, Some(Family::Vertices | Family::Snapshots)) {
            // These are asked for single keys, which may be absent; all others are walked through.
            blocks.set_bloom_filter(10.0, false);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_write_buffer_size(usize::try_from(self.write_buffer_bytes).unwrap_or(usize::MAX));
        options.set_max_write_buffer_number(2);
        if family == Some(Family::Vertices) {
            // Bodies lie beside the tree: they are written once, and merging moves only their keys. They are never
            // deleted, so nothing has to be collected there.
            options.set_enable_blob_files(true);
            options.set_min_blob_size(LEAST_BLOB_BYTES);
            options.set_blob_compression_type(DBCompressionType::Lz4);
        }
        options.set_paranoid_checks(true);
        options
    }
}

/// What to do about a database or a column family that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lacking {
    Create,
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named_with_its_limits() {
        assert!(RocksConfig::default().check().is_ok());
        let config = RocksConfig { max_wal_bytes: 1, ..RocksConfig::default() };
        let error = config.check().unwrap_err().to_string();
        assert_eq!(error, "storage: max_wal_bytes = 1; set it to 33554432 or more, and 1099511627776 or less");
        let none = RocksConfig { max_background_jobs: 0, ..RocksConfig::default() };
        assert!(none.check().unwrap_err().to_string().contains("max_background_jobs = 0"));
    }
}
