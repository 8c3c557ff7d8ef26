//! What only a store on a disk does: to come back after a crash, and to refuse what it must not go on with.

mod model;

use super::keys::{CHUNKS, FAMILIES, Family, SCHEMA_KEY};
use super::{Owner, RocksConfig, RocksStore};
use crate::store::tests::{digest, final_slot, record, signed, snapshot, vertex};
use crate::store::{Store, StoreError};
use cretoai_core::record::Record;
use cretoai_core::types::{Lsn, ReplicaId, Slot};
use rocksdb::{DB, Options, WriteBatch};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn owner() -> Owner {
    Owner { chain: digest(0xc0), replica: ReplicaId(3) }
}

fn config() -> RocksConfig {
    let (small, wal) = (64 << 10, 4 << 20);
    RocksConfig { write_buffer_bytes: small, max_wal_bytes: wal, block_cache_bytes: 1 << 20, ..RocksConfig::default() }
}

pub(in crate::store) fn create(path: &Path) -> RocksStore {
    RocksStore::create(path, owner(), &config()).unwrap()
}

fn open(path: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::open(path, owner(), &config())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

fn records(range: std::ops::RangeInclusive<u64>) -> Vec<(Lsn, Record)> {
    range.map(|number| (Lsn(number), record(number))).collect()
}

/// A copy of the files as they are now: what a process leaves behind that is killed.
fn crash_image(of: &Path) -> TempDir {
    let image = folder();
    for entry in fs::read_dir(of).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
    }
    image
}

fn files(path: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

/// The newest write-ahead log with anything in it.
fn log_of(path: &Path) -> PathBuf {
    let mut logs = files(path, "log");
    logs.retain(|log| fs::metadata(log).unwrap().len() > 0);
    logs.pop().expect("a log")
}

fn truncate(file: &Path, by: u64) {
    let length = fs::metadata(file).unwrap().len();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length - by).unwrap();
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

fn chunks_on_disk(store: &RocksStore) -> usize {
    store.scan(Family::Snapshots, (CHUNKS, CHUNKS), usize::MAX, |_, _| Ok(())).unwrap().len()
}

/// Something of each kind.
fn fill(store: &RocksStore) {
    store.trust().unwrap();
    store.append(&records(1..=5), &[Lsn(2)]).unwrap();
    let first = vertex(0, 1, &[]);
    store.finalize(&[final_slot(1, 10, &[&first]), final_slot(2, 20, &[&vertex(0, 2, &[&first])])]).unwrap();
    store.put_snapshot(&snapshot(4, &[b"a"], &[b"b"])).unwrap();
    store.append(&[], &[Lsn(5)]).unwrap();
}

fn assert_filled(store: &RocksStore) {
    let recovered = store.recover().unwrap();
    let positions: Vec<u64> = recovered.records.iter().map(|(lsn, _)| lsn.0).collect();
    assert_eq!((positions, recovered.end), (vec![1, 3, 4], Lsn(5)));
    assert_eq!(recovered.snapshots, [snapshot(4, &[b"a"], &[b"b"])]);
    assert!(!recovered.is_distrusted);
    assert_eq!(store.last_finalized().unwrap(), Slot(2));
    assert_eq!(store.finalized(Slot(1)..=Slot(2), 9).unwrap().len(), 2);
    assert_eq!(store.tips().unwrap(), [(ReplicaId(0), vertex(0, 2, &[&vertex(0, 1, &[])]).id())]);
}

#[test]
fn everything_is_there_after_a_restart() {
    let folder = folder();
    let store = create(folder.path());
    fill(&store);
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_filled(&store);
    store.flush().unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_filled(&store);
    store.append(&records(6..=6), &[]).unwrap();
    assert_eq!(store.recover().unwrap().end, Lsn(6));
}

#[test]
fn everything_is_there_after_the_process_was_killed() {
    let folder = folder();
    let store = create(folder.path());
    fill(&store);
    let image = crash_image(folder.path());
    assert_filled(&open(image.path()).unwrap());
    assert_filled(&store);
}

#[test]
fn a_folder_without_a_store_is_not_opened_and_one_with_a_store_not_made_new() {
    let folder = folder();
    let missing = open(folder.path()).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it was looked at only");
    let inner = folder.path().join("a/b");
    drop(create(&inner));
    let exists = RocksStore::create(&inner, owner(), &config()).unwrap_err();
    assert!(matches!(exists, StoreError::Exists { .. }), "{exists}");
    assert!(open(&inner).is_ok());
}

#[test]
fn a_store_whose_making_was_interrupted_is_made_again() {
    let folder = folder();
    let store = create(folder.path());
    // The batch with the metadata is all that makes it a store.
    let mut batch = WriteBatch::default();
    batch.delete_cf(store.family(Family::Metadata), SCHEMA_KEY);
    store.db.write(batch).unwrap();
    drop(store);
    let missing = open(folder.path()).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    drop(create(folder.path()));
    assert!(open(folder.path()).is_ok());
}

fn set_schema(folder: &Path, version: u32) {
    let store = open(folder).unwrap();
    let mut batch = WriteBatch::default();
    batch.put_cf(store.family(Family::Metadata), SCHEMA_KEY, version.to_be_bytes());
    store.db.write(batch).unwrap();
}

#[test]
fn the_layout_of_a_newer_program_is_refused() {
    let folder = folder();
    drop(create(folder.path()));
    set_schema(folder.path(), 9);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Schema { found: 9, known: 1, .. }), "{error}");
}

#[test]
fn the_layout_of_a_newer_program_is_refused_also_with_column_families_that_are_new() {
    let folder = folder();
    drop(create(folder.path()));
    set_schema(folder.path(), 2);
    let names = FAMILIES.iter().map(|family| family.name()).chain(["default"]);
    let mut db: DB = DB::open_cf(&Options::default(), folder.path(), names).unwrap();
    db.create_cf("index_author", &Options::default()).unwrap();
    drop(db);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Schema { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn the_store_of_another_chain_or_replica_is_refused() {
    let folder = folder();
    drop(create(folder.path()));
    for other in [Owner { chain: digest(1), ..owner() }, Owner { replica: ReplicaId(4), ..owner() }] {
        let error = RocksStore::open(folder.path(), other, &config()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(&other.to_string()), "{error}");
    }
    assert!(open(folder.path()).is_ok());
}

#[test]
fn a_folder_is_open_only_once() {
    let folder = folder();
    let _store = create(folder.path());
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_folder_is_open_in_one_process_only() {
    const FOLDER: &str = "CRETOAI_TEST_FOLDER";
    if let Ok(taken) = std::env::var(FOLDER) {
        let error = open(Path::new(&taken)).unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        return;
    }
    let folder = folder();
    let _store = create(folder.path());
    // The other process is this test again.
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "store::rocks::tests::a_folder_is_open_in_one_process_only"]);
    let said = other.env(FOLDER, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_torn_end_of_the_log_is_cut_and_remembered_until_it_is_made_good() {
    let folder = folder();
    let store = create(folder.path());
    store.trust().unwrap();
    for number in 1..=4 {
        store.append(&records(number..=number), &[]).unwrap();
    }
    let image = crash_image(folder.path());
    truncate(&log_of(image.path()), 3);

    let store = open(image.path()).unwrap();
    let recovered = store.recover().unwrap();
    assert_eq!((recovered.records, recovered.end), (records(1..=3), Lsn(3)));
    assert!(recovered.is_distrusted);
    drop(store);

    let store = open(image.path()).unwrap();
    assert!(store.recover().unwrap().is_distrusted, "a restart does not make it good");
    store.append(&records(4..=5), &[]).unwrap();
    store.trust().unwrap();
    drop(store);
    let recovered = open(image.path()).unwrap().recover().unwrap();
    assert!(!recovered.is_distrusted);
    assert_eq!(recovered.records, records(1..=5));
}

#[test]
fn the_last_record_is_cut_whatever_is_left_of_it() {
    let folder = folder();
    let store = create(folder.path());
    store.trust().unwrap();
    store.append(&records(1..=2), &[]).unwrap();
    let before = fs::metadata(log_of(folder.path())).unwrap().len();
    store.append(&records(3..=4), &[]).unwrap();
    let last = fs::metadata(log_of(folder.path())).unwrap().len() - before;
    for missing in (1..last).step_by(5).chain([last - 1]) {
        let image = crash_image(folder.path());
        truncate(&log_of(image.path()), missing);
        let recovered = open(image.path()).unwrap().recover().unwrap();
        assert_eq!(
            (recovered.records, recovered.is_distrusted),
            (records(1..=2), true),
            "{missing} of {last} bytes missing"
        );
    }
}

#[test]
fn zeros_behind_the_log_are_no_damage() {
    let folder = folder();
    let store = create(folder.path());
    fill(&store);
    let image = crash_image(folder.path());
    let log = log_of(image.path());
    let length = fs::metadata(&log).unwrap().len();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length + 5000).unwrap();
    assert_filled(&open(image.path()).unwrap());
}

/// Several logs, of which the first holds records that are nowhere else.
fn with_several_logs() -> (TempDir, RocksStore) {
    let folder = folder();
    let store = create(folder.path());
    store.append(&records(1..=1), &[]).unwrap();
    for slot in 1..=30_u16 {
        let vertex = signed(slot, 1, &[], &[1; 5000]);
        store.finalize(&[final_slot(slot.into(), u64::from(slot) * 10, &[&vertex])]).unwrap();
    }
    store.append(&records(2..=2), &[]).unwrap();
    (folder, store)
}

#[test]
fn a_log_that_is_torn_or_gone_before_a_later_one_is_refused() {
    let (folder, _store) = with_several_logs();
    let logs = files(folder.path(), "log");
    assert!(logs.len() > 1, "{logs:?}");
    let image = crash_image(folder.path());
    assert_eq!(open(image.path()).unwrap().recover().unwrap().records, records(1..=2));

    let image = crash_image(folder.path());
    truncate(&files(image.path(), "log")[0], 3);
    let torn = open(image.path()).map(|store| store.recover()).unwrap_err();
    assert!(matches!(torn, StoreError::Damaged { .. }), "{torn}");

    let image = crash_image(folder.path());
    fs::remove_file(&files(image.path(), "log")[0]).unwrap();
    let gone = open(image.path()).map(|store| store.recover()).unwrap_err();
    assert!(matches!(gone, StoreError::Damaged { .. }), "{gone}");
}

#[test]
fn a_cut_is_remembered_also_if_the_process_ends_before_it_can_say_so() {
    let folder = folder();
    let store = create(folder.path());
    store.trust().unwrap();
    store.append(&records(1..=1), &[]).unwrap();
    store.append(&records(2..=2), &[]).unwrap();
    let image = crash_image(folder.path());
    truncate(&log_of(image.path()), 3);
    // This one cuts the log, and goes no further since the store is not its own.
    let other = Owner { replica: ReplicaId(0), ..owner() };
    assert!(RocksStore::open(image.path(), other, &config()).is_err());
    assert!(open(image.path()).unwrap().recover().unwrap().is_distrusted);
}

#[test]
fn damage_within_the_log_is_refused() {
    let folder = folder();
    let store = create(folder.path());
    for number in 1..=4 {
        store.append(&records(number..=number), &[]).unwrap();
    }
    let image = crash_image(folder.path());
    let log = log_of(image.path());
    let middle = fs::metadata(&log).unwrap().len() / 2;
    flip(&log, usize::try_from(middle).unwrap());
    let error = open(image.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let again = open(image.path()).unwrap_err();
    assert!(matches!(again, StoreError::Damaged { .. }), "{again}");
}

#[test]
fn a_flipped_bit_in_a_file_is_an_error_and_never_other_data() {
    flip_everywhere(300, |store| {
        let is_theirs = |file: &rocksdb::LiveFile| file.column_family_name == Family::Vertices.name();
        let file = store.db.live_files().unwrap().into_iter().find(is_theirs).expect("a file of vertices").name;
        file.trim_start_matches('/').into()
    });
}

#[test]
fn a_flipped_bit_in_a_file_beside_the_tree_is_an_error_too() {
    flip_everywhere(8000, |store| {
        let beside = files(&store.path, "blob");
        assert!(store.stats().sst_bytes >= fs::metadata(&beside[0]).unwrap().len());
        beside[0].file_name().unwrap().into()
    });
}

/// Flips bits, here and there, in a file of the store that holds vertices with payloads of a length.
fn flip_everywhere(payload: usize, file: impl FnOnce(&RocksStore) -> PathBuf) {
    let folder = folder();
    let store = create(folder.path());
    let vertices: Vec<_> = (0..60).map(|number| signed(number, 1, &[], &vec![1; payload])).collect();
    let listed: Vec<_> = vertices.iter().collect();
    store.finalize(&[final_slot(1, 10, &listed)]).unwrap();
    store.flush().unwrap();
    let expected = store.finalized(Slot(1)..=Slot(1), 99).unwrap();
    let file = file(&store);
    drop(store);

    let length = usize::try_from(fs::metadata(folder.path().join(&file)).unwrap().len()).unwrap();
    let mut errors = 0;
    let places = (0..length).step_by(length / 25).chain([0, 20]);
    for at in places {
        let image = crash_image(folder.path());
        flip(&image.path().join(&file), at);
        match open(image.path()).and_then(|store| store.finalized(Slot(1)..=Slot(1), 99)) {
            Ok(found) => assert_eq!(found, expected, "byte {at} of {length}"),
            Err(StoreError::Damaged { .. }) => errors += 1,
            Err(other) => panic!("byte {at} of {length}: {other}"),
        }
    }
    // Most of the file is data; some of the rest is never read.
    assert!(errors > 12, "only {errors} of 27 flips were noticed");
}

#[test]
fn after_a_failed_write_every_call_fails() {
    let folder = folder();
    let store = create(folder.path());
    fill(&store);
    let error = DB::open_default(folder.path()).unwrap_err();
    assert!(store.fail(&error).to_string().contains("lock"));
    assert!(store.append(&records(6..=6), &[]).is_err());
    assert!(store.put_snapshot(&snapshot(8, &[b"c"], &[])).is_err());
    assert!(store.drop_snapshots(&[Slot(4)]).is_err());
    assert!(store.finalize(&[final_slot(3, 30, &[])]).is_err());
    assert!(store.recover().is_err() && store.trust().is_err() && store.flush().is_err());
    assert!(store.tips().is_err() && store.chunk(Slot(4), digest(1)).is_err());
    drop(store);
    assert_filled(&open(folder.path()).unwrap());
}

#[test]
fn a_chunk_is_stored_once_and_deleted_with_the_last_snapshot_that_has_it() {
    let folder = folder();
    let store = create(folder.path());
    store.put_snapshot(&snapshot(4, &[b"a", b"b"], &[b"c", b"c"])).unwrap();
    let written = store.stats().wal_written_bytes;
    assert_eq!(chunks_on_disk(&store), 3);
    store.put_snapshot(&snapshot(8, &[b"a", b"b"], &[b"d"])).unwrap();
    assert_eq!(chunks_on_disk(&store), 4);
    assert!(store.stats().wal_written_bytes > written);
    drop(store);
    let store = open(folder.path()).unwrap();
    store.drop_snapshots(&[Slot(8)]).unwrap();
    assert_eq!(chunks_on_disk(&store), 3);
    store.put_snapshot(&snapshot(4, &[b"a"], &[])).unwrap();
    assert_eq!(chunks_on_disk(&store), 1);
    store.drop_snapshots(&[Slot(4)]).unwrap();
    assert_eq!(chunks_on_disk(&store), 0);
}

#[test]
fn the_chunks_of_a_snapshot_that_was_never_completed_are_deleted_at_the_start() {
    let folder = folder();
    let store = create(folder.path());
    let kept = snapshot(4, &[b"a"], &[b"b"]);
    store.put_snapshot(&kept).unwrap();
    let chunks: Vec<Vec<u8>> = (0..12).map(|number| vec![number; 1 << 20]).collect();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let big = snapshot(8, &chunks, &[b"b"]);
    let held: Vec<_> = super::locked(&store.snapshots).values().cloned().collect();
    let last = store.put_chunks(&held, big.core.hashes.iter().zip(&big.core.chunks)).unwrap();
    assert!(!last.is_empty());
    drop(store);

    let store = open(folder.path()).unwrap();
    assert_eq!(chunks_on_disk(&store), 2);
    assert_eq!(store.recover().unwrap().snapshots, std::slice::from_ref(&kept));
    store.put_snapshot(&big).unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.recover().unwrap().snapshots, [kept, big]);
}

#[test]
fn figures_follow_what_is_done() {
    let folder = folder();
    let store = create(folder.path());
    let before = store.stats();
    fill(&store);
    let filled = store.stats();
    assert_eq!(filled.append.count, before.append.count + 3, "trust is written too");
    assert_eq!((filled.snapshot.count, filled.finalize.count), (1, 1));
    assert!(filled.append.sum_ns > 0 && filled.append.buckets.iter().sum::<u64>() == filled.append.count);
    assert_eq!(filled.wal_syncs, before.wal_syncs + 4, "finalizing does not sync");
    assert!(filled.wal_bytes > 0 && filled.wal_written_bytes > before.wal_written_bytes);
    assert!(filled.memtable_bytes > 0 && filled.keys > 10);

    store.flush().unwrap();
    let id = store.tips().unwrap()[0].1;
    for _ in 0..3 {
        assert!(store.vertex(id).unwrap().is_some());
    }
    let flushed = store.stats();
    assert!(flushed.sst_bytes > 0 && flushed.block_cache_bytes > 0);
    assert!(flushed.block_cache_hits > 0 && flushed.block_cache_misses > 0, "{flushed:?}");
    assert!(flushed.block_cache_hit_rate().is_some_and(|rate| 0.0 < rate && rate < 1.0));
    assert_eq!(flushed.read.count, filled.read.count + 4);
    let vertices = flushed.families.iter().find(|family| family.name == "vertices").unwrap();
    assert!(vertices.sst_bytes > 0 && vertices.keys == 2, "{vertices:?}");
    assert_eq!((flushed.background_errors, flushed.writes_stopped), (0, 0));
}
