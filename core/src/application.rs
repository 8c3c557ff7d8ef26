//! The replicated application (`docs/protocol.md` F16, N14).

use crate::bytes::Bytes;
use crate::outbox::Execution;
use std::fmt;

/// A deterministic state machine that a driver hosts beside the replica.
///
/// Executing the same slots from the same state must give the same results and the same chunks at every replica:
/// no clock, randomness, iteration order of a hash map or floating point may reach them.
pub trait Application: fmt::Debug {
    /// Executes a slot: one result for each request, in order. A request that the application refuses has a
    /// result that says so; nothing here fails.
    fn execute(&mut self, execution: &Execution) -> Vec<Bytes>;

    /// The whole state, in chunks of at most 1 MiB. Equal states have equal chunks; a state that changed a
    /// little should share most of them with the one before.
    fn snapshot(&self) -> Vec<Bytes>;

    /// Replaces the state by that of a snapshot.
    ///
    /// # Errors
    /// [`RestoreError`] if the chunks are not a snapshot; the state is then unspecified, and the driver stops.
    fn restore(&mut self, chunks: &[&[u8]]) -> Result<(), RestoreError>;
}

/// Chunks that form no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} of the application's snapshot: {reason}")]
pub struct RestoreError {
    /// Which chunk.
    pub chunk: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Bytes in a chunk of a snapshot, at the most.
pub const MAX_CHUNK: usize = 1 << 20;
