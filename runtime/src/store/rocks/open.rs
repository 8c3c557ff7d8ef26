//! Making, opening and closing a store: whose it is, which layout it has, and what a crash left of it.

use super::config::Lacking;
use super::keys::{
    CHUNKS, END_KEY, FAMILIES, Family, MANIFESTS, OWNER_KEY, SCHEMA, SCHEMA_KEY, SWEEP_KEY, TRUST_KEY, manifest_from,
    number_from,
};
use super::stats::Meters;
use super::{Chunks, Durability, RocksConfig, RocksStore, damaged, failed, locked};
use crate::store::StoreError;
use cretoai_core::config::ChainId;
use cretoai_core::hash::Digest;
use cretoai_core::types::{Lsn, ReplicaId};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, ErrorKind, Options, WriteBatch};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The chain.
    pub chain: ChainId,
    /// The replica.
    pub replica: ReplicaId,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replica {} of chain {}", self.replica, self.chain)
    }
}

impl Owner {
    fn bytes(self) -> Vec<u8> {
        [&self.chain.0[..], &self.replica.0.to_be_bytes()].concat()
    }

    fn from(bytes: &[u8]) -> Option<Self> {
        let (chain, replica) = bytes.split_first_chunk()?;
        Some(Self { chain: Digest(*chain), replica: ReplicaId(u16::from_be_bytes(replica.try_into().ok()?)) })
    }
}

/// A file that is there from before the end of the log is cut until the metadata say so. A crash in between would
/// otherwise leave a log that looks whole.
const CUT_FILE: &str = "CUT";

/// The column family that every RocksDB has, and nothing is in.
const DEFAULT: &str = "default";

impl RocksStore {
    /// Makes a new store in a folder that holds none.
    ///
    /// # Errors
    /// [`StoreError`] when it holds one already, when a setting is out of range, or when the disk fails.
    pub fn create(path: &Path, owner: Owner, config: &RocksConfig) -> Result<Self, StoreError> {
        config.check()?;
        fs::create_dir_all(path).map_err(|error| io(path, &error))?;
        let store = Self::with(path, config, DBRecoveryMode::AbsoluteConsistency, Lacking::Create)
            .map_err(|error| refused(path, error))?;
        if store.metadata(SCHEMA_KEY)?.is_some() {
            return Err(StoreError::Exists { path: shown(path) });
        }
        // The schema comes last and with everything else: without it there is no store, and making it may go on.
        let mut batch = WriteBatch::default();
        let metadata = store.family(Family::Metadata);
        batch.put_cf(metadata, OWNER_KEY, owner.bytes());
        batch.put_cf(metadata, END_KEY, 0_u64.to_be_bytes());
        batch.put_cf(metadata, SCHEMA_KEY, SCHEMA.to_be_bytes());
        store.write(batch, Durability::Synced, &store.meters.append)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(store)
    }

    /// Opens the store in a folder. A log whose end was torn off is cut, which
    /// [`Recovered::is_distrusted`](crate::store::Recovered::is_distrusted) tells from then on; other damage is refused
    /// (`docs/protocol.md` G11, G12).
    ///
    /// # Errors
    /// [`StoreError`] when there is no store, when it is another replica's, a newer program's, in use or damaged, when a
    /// setting is out of range, or when the disk fails.
    pub fn open(path: &Path, owner: Owner, config: &RocksConfig) -> Result<Self, StoreError> {
        config.check()?;
        // RocksDB itself would make some files in a folder in which it finds none.
        if !path.join("CURRENT").exists() {
            return Err(StoreError::Missing { path: shown(path) });
        }
        check_families(path)?;
        let store = match Self::with(path, config, DBRecoveryMode::AbsoluteConsistency, Lacking::Refuse) {
            Err(error) if error.kind() == ErrorKind::Corruption => {
                tracing::warn!(path = shown(path), %error, "the log's end may be torn: trying to cut it off");
                write_marker(path)?;
                Self::with(path, config, DBRecoveryMode::TolerateCorruptedTailRecords, Lacking::Refuse)
            }
            other => other,
        };
        let mut store = store.map_err(|error| refused(path, error))?;
        store.check_schema()?;
        store.check_owner(owner)?;
        store.remember_cut()?;
        store.load()?;
        Ok(store)
    }

    fn with(
        path: &Path,
        config: &RocksConfig,
        recovery: DBRecoveryMode,
        lacking: Lacking,
    ) -> Result<Self, rocksdb::Error> {
        let cache = Cache::new_lru_cache(usize::try_from(config.block_cache_bytes).unwrap_or(usize::MAX));
        let options = config.database(recovery, lacking);
        let families =
            FAMILIES.map(|family| ColumnFamilyDescriptor::new(family.name(), config.family(Some(family), &cache)));
        let default = ColumnFamilyDescriptor::new(DEFAULT, config.family(None, &cache));
        let db = DB::open_cf_descriptors(&options, path, families.into_iter().chain([default]))?;
        Ok(Self {
            db,
            options,
            cache,
            path: path.to_owned(),
            failure: OnceLock::new(),
            end: Mutex::new(Lsn(0)),
            snapshots: Mutex::new(BTreeMap::new()),
            snapshot_writer: Mutex::new(()),
            dag_writer: Mutex::new(()),
            meters: Meters::default(),
        })
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let Some(version) = self.metadata(SCHEMA_KEY)? else {
            return Err(StoreError::Missing { path: shown(&self.path) });
        };
        schema(&self.path, &version)
    }

    fn check_owner(&self, wanted: Owner) -> Result<(), StoreError> {
        let owner = self.metadata(OWNER_KEY)?.and_then(|bytes| Owner::from(&bytes));
        let found = owner.ok_or_else(|| damaged("the owner"))?;
        if found != wanted {
            let (found, wanted) = (found.to_string(), wanted.to_string());
            return Err(StoreError::Foreign { path: shown(&self.path), found, wanted });
        }
        Ok(())
    }

    /// From the file into the metadata.
    fn remember_cut(&self) -> Result<(), StoreError> {
        let marker = self.path.join(CUT_FILE);
        if !marker.exists() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.family(Family::Metadata), TRUST_KEY);
        self.write(batch, Durability::Synced, &self.meters.append)?;
        fs::remove_file(&marker).map_err(|error| io(&marker, &error))?;
        sync_folder(&self.path)
    }

    /// What is kept in memory, and an end to what a crash interrupted.
    fn load(&mut self) -> Result<(), StoreError> {
        let end = self.metadata(END_KEY)?.and_then(|value| number_from(&value));
        self.end = Mutex::new(Lsn(end.ok_or_else(|| damaged("the position of the last record"))?));
        let manifests = self.scan(Family::Snapshots, (MANIFESTS, MANIFESTS), usize::MAX, |key, value| {
            manifest_from(value).ok_or_else(|| damaged(&format!("the manifest {key:?}")))
        })?;
        let held = manifests.iter().map(|manifest| {
            (manifest.slot, Arc::new(manifest.core.iter().chain(&manifest.app).copied().collect::<Chunks>()))
        });
        self.snapshots = Mutex::new(held.collect());
        if self.metadata(SWEEP_KEY)?.is_some() {
            self.sweep()?;
        }
        Ok(())
    }

    /// Deletes the chunks of a snapshot that was never completed.
    fn sweep(&self) -> Result<(), StoreError> {
        let hashes = self.scan(Family::Snapshots, (CHUNKS, CHUNKS), usize::MAX, |key, _| {
            let hash = key[CHUNKS.len()..].try_into().map(Digest);
            hash.map_err(|_| damaged(&format!("the chunk {key:?}")))
        })?;
        let mut batch = WriteBatch::default();
        {
            let held = locked(&self.snapshots);
            let is_unused = |hash: &&Digest| !held.values().any(|chunks| chunks.contains(*hash));
            self.delete_chunks(&mut batch, hashes.iter().filter(is_unused));
        }
        batch.delete_cf(self.family(Family::Metadata), SWEEP_KEY);
        self.write(batch, Durability::Synced, &self.meters.snapshot)
    }

    /// Writes everything that is in memory to files, so that the next start reads less of the log.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.check()?;
        for family in FAMILIES {
            self.db.flush_cf(self.family(family)).map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        // What is finalized is not synced of its own. A store that failed stays as it is.
        if self.failure.get().is_none()
            && let Err(error) = self.db.flush_wal(true)
        {
            tracing::error!(path = shown(&self.path), %error, "the store was not closed cleanly");
        }
        self.db.cancel_all_background_work(true);
    }
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn io(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", path.display()))
}

/// Why RocksDB would not open a folder.
fn refused(path: &Path, error: rocksdb::Error) -> StoreError {
    // It has no kind of its own for this: one message if this process has it open, and another if a different one has.
    if ["lock hold by current process", "While lock file"].iter().any(|said| error.as_ref().contains(said)) {
        return StoreError::InUse { path: shown(path) };
    }
    failed(error)
}

fn schema(path: &Path, version: &[u8]) -> Result<(), StoreError> {
    let found = u32::from_be_bytes(version.try_into().map_err(|_| damaged("the schema version"))?);
    if found > SCHEMA {
        return Err(StoreError::Schema { path: shown(path), found, known: SCHEMA });
    }
    Ok(())
}

/// A store with column families that are not known here is that of a newer program, which RocksDB would refuse without
/// telling why; one that lacks some was never completed.
fn check_families(path: &Path) -> Result<(), StoreError> {
    let found = DB::list_cf(&Options::default(), path).map_err(|error| refused(path, error))?;
    let is_there = |family: &Family| found.iter().any(|name| name == family.name());
    if !FAMILIES.iter().all(is_there) {
        return Err(StoreError::Missing { path: shown(path) });
    }
    if found.len() == FAMILIES.len() + 1 {
        return Ok(());
    }
    let metadata = Family::Metadata.name();
    let db = DB::open_cf_for_read_only(&Options::default(), path, [DEFAULT, metadata], false);
    let db = db.map_err(|error| refused(path, error))?;
    let family = db.cf_handle(metadata).expect("it was opened with this family");
    let version = db.get_cf(family, SCHEMA_KEY).map_err(failed)?;
    schema(path, &version.ok_or_else(|| damaged("the schema version"))?)?;
    Err(damaged(&format!("the list of column families ({})", found.join(", "))))
}

fn write_marker(path: &Path) -> Result<(), StoreError> {
    let marker = path.join(CUT_FILE);
    let file = File::create(&marker).map_err(|error| io(&marker, &error))?;
    file.sync_all().map_err(|error| io(&marker, &error))?;
    sync_folder(path)
}

/// Makes the names of files in a folder durable. Other systems than Unix do so on their own, and cannot open a folder.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    if !cfg!(unix) {
        return Ok(());
    }
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| io(path, &error))
}
