//! What a replica keeps on disk: its log and snapshots, and the finalized DAG (`docs/protocol.md` G5, G6, C7).
//!
//! The log and the snapshots are durable when a call returns. The finalized DAG is not synced of its own: after a crash
//! the slots behind the newest snapshot are executed again, and written again.

#[cfg(feature = "rocksdb")]
mod rocks;

mod memory;

#[cfg(test)]
mod tests;

#[cfg(feature = "rocksdb")]
pub use rocks::{FamilyStats, Latency, Owner, RocksConfig, RocksStore, StoreStats};

pub use memory::MemoryStore;

use cretoai_core::bytes::Bytes;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::{CoreSnapshot, Verdict};
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, Lsn, ReplicaId, Slot};
use cretoai_core::vertex::{SignedVertex, VertexId};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A snapshot: the protocol's state and the application's after the same slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The protocol's part; its slot is the snapshot's.
    pub core: Arc<CoreSnapshot>,
    /// The application's chunks.
    pub app: Vec<Arc<Bytes>>,
}

/// What a disk holds when a replica starts.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The records that were not deleted, in order.
    pub records: Vec<(Lsn, Record)>,
    /// The snapshots, ascending by slot.
    pub snapshots: Vec<StoredSnapshot>,
    /// The position of the last record ever appended, also if that one was deleted.
    pub end: Lsn,
    /// Whether the store is new, which a wiped disk looks like too, or the end of the log had to be cut off, and
    /// [`Store::trust`] was not called since (`docs/protocol.md` G7, G12).
    pub is_distrusted: bool,
}

/// A slot as it was finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizedSlot {
    /// The slot.
    pub slot: Slot,
    /// Its effective time.
    pub time: Instant,
    /// The vertices it lists, in order, with their verdicts.
    pub listed: Vec<(Arc<SignedVertex>, Verdict)>,
}

/// A vertex with where it was finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizedVertex {
    /// The slot.
    pub slot: Slot,
    /// Its place in the slot, from 0 on, among all that the slot lists.
    pub position: u32,
    /// The slot's effective time.
    pub time: Instant,
    /// The vertex.
    pub vertex: Arc<SignedVertex>,
}

/// Why a store cannot go on. None of these can be repaired while running: the replica stops before it sends anything
/// more (`docs/protocol.md` G6).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the library that writes it.
    #[error("storage: {0}")]
    Io(String),
    /// What was read is not what was written.
    #[error("storage: {what} is damaged; restore it from a backup, or give this replica a new key")]
    Damaged {
        /// What.
        what: String,
    },
    /// Nothing is where a store should be.
    #[error(
        "storage: there is no store in {path}; create one, unless this replica's key was ever used before: then it \
         needs a new key"
    )]
    Missing {
        /// Where.
        path: String,
    },
    /// A store is where a new one should be.
    #[error("storage: {path} holds a store already; open that, or name another folder")]
    Exists {
        /// Where.
        path: String,
    },
    /// It is open already, here or in another process.
    #[error("storage: {path} is in use; stop the process that has it open, or name another folder")]
    InUse {
        /// Where.
        path: String,
    },
    /// A setting is out of its range.
    #[error("storage: {field} = {value}; set it to {least} or more, and {most} or less")]
    Setting {
        /// Which, with its unit.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least that it may be.
        least: u64,
        /// The most that it may be.
        most: u64,
    },
    /// Another version of the program wrote it.
    #[error("storage: schema version {found} in {path}, and this program knows {known}; use a newer program")]
    Schema {
        /// Where.
        path: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// It belongs to another replica or chain.
    #[error("storage: {path} belongs to {found}, not to {wanted}; name another folder")]
    Foreign {
        /// Where.
        path: String,
        /// Whose it is.
        found: String,
        /// Who wants it.
        wanted: String,
    },
}

/// The place of a vertex in the finalized order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    slot: Slot,
    position: u32,
}

/// A disk. Every call may block. Of the calls that write the log, those that write snapshots and those that write the
/// DAG, each kind comes from one task at a time; different kinds, and queries, may overlap.
///
/// After the first write that fails, every call fails (`docs/protocol.md` G6).
pub trait Store: Send + Sync + 'static {
    /// What is there.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read as it was written.
    fn recover(&self) -> Result<Recovered, StoreError>;

    /// The log can be trusted: others told what they hold, and it is nothing beyond it (`docs/protocol.md` G12).
    ///
    /// # Errors
    /// [`StoreError`] when it could not be made durable.
    fn trust(&self) -> Result<(), StoreError>;

    /// Appends records and deletes others, in one write that is durable when this returns.
    ///
    /// # Panics
    /// If the positions do not ascend from behind the last one: nothing may be written over.
    ///
    /// # Errors
    /// [`StoreError`] when it is not.
    fn append(&self, records: &[(Lsn, Record)], obsolete: &[Lsn]) -> Result<(), StoreError>;

    /// Stores a snapshot, durably, in place of one of the same slot. What was finalized before is durable with it: so
    /// the slots up to a snapshot's are to be finalized before it is stored.
    ///
    /// # Errors
    /// [`StoreError`] when it is not durable.
    fn put_snapshot(&self, snapshot: &StoredSnapshot) -> Result<(), StoreError>;

    /// Deletes the snapshots of some slots, durably, the newest first: a crash leaves none that is newer than one
    /// that it deleted.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails.
    fn drop_snapshots(&self, slots: &[Slot]) -> Result<(), StoreError>;

    /// A chunk of a stored snapshot.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails.
    fn chunk(&self, slot: Slot, hash: Digest) -> Result<Option<Arc<Bytes>>, StoreError>;

    /// Adds finalized slots to the DAG: the vertices that are [`Verdict::Final`]. Adding a slot again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails.
    fn finalize(&self, slots: &[FinalizedSlot]) -> Result<(), StoreError>;

    /// A finalized vertex by its id.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails, as for all queries.
    fn vertex(&self, id: VertexId) -> Result<Option<FinalizedVertex>, StoreError>;

    /// Finalized vertices of a range of slots, in the order in which they are final, at most `limit`.
    ///
    /// # Errors
    /// As [`vertex`](Self::vertex).
    fn finalized(&self, slots: RangeInclusive<Slot>, limit: usize) -> Result<Vec<FinalizedVertex>, StoreError>;

    /// Ids of finalized vertices of a range of heights, ascending by height and then in the order in which they are
    /// final, at most `limit`.
    ///
    /// # Errors
    /// As [`vertex`](Self::vertex).
    fn by_height(&self, heights: RangeInclusive<Height>, limit: usize) -> Result<Vec<VertexId>, StoreError>;

    /// Ids of vertices finalized in a range of effective times, ascending by time and then in the order in which they
    /// are final, at most `limit`.
    ///
    /// # Errors
    /// As [`vertex`](Self::vertex).
    fn by_time(&self, times: RangeInclusive<Instant>, limit: usize) -> Result<Vec<VertexId>, StoreError>;

    /// Ids of finalized vertices that name this one as a parent, in the order in which they are final, at most
    /// `limit`. The implicit vertices of height 0 have the chain's id.
    ///
    /// # Errors
    /// As [`vertex`](Self::vertex).
    fn children(&self, id: VertexId, limit: usize) -> Result<Vec<VertexId>, StoreError>;

    /// The last finalized vertex of each author that has one, ascending by author.
    ///
    /// # Errors
    /// As [`vertex`](Self::vertex).
    fn tips(&self) -> Result<Vec<(ReplicaId, VertexId)>, StoreError>;

    /// The last slot that is finalized here.
    ///
    /// # Errors
    /// As [`vertex`](Self::vertex).
    fn last_finalized(&self) -> Result<Slot, StoreError>;
}
