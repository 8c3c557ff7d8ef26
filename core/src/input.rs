//! What goes into a replica (`docs/protocol.md` A9), and why an input may change nothing.

use crate::bytes::Bytes;
use crate::hash::Digest;
use crate::message::Message;
use crate::request::ClientRequest;
use crate::types::{ReplicaId, Slot};
use crate::verify::Verified;
use std::sync::Arc;

/// One thing that happened. Time, completed work and other replicas' messages all come in this way.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message, over the link from a replica. Whoever signed it is named inside.
    Message(ReplicaId, &'a Verified<Message>),
    /// `now` has reached [`Replica::deadline`](crate::Replica::deadline). A spurious tick is a no-op.
    Tick,
    /// Requests of clients connected to this replica.
    Requests(&'a [Verified<Arc<ClientRequest>>]),
    /// The application executed a slot: one result a request, in order. After a slot at a checkpoint it may be
    /// given only when the application has fixed its state for the snapshot.
    Executed(Slot, Vec<Bytes>),
    /// The snapshot after a slot is durable, and the application's part consists of chunks with these hashes.
    SnapshotDurable(Slot, Vec<Digest>),
}

/// Which rule made an input moot. Never an error: honest replicas cause all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// It is known already.
    Duplicate,
    /// Its slot is outside the watermarks.
    OutOfWindow,
    /// Its view is not the one that matters now.
    WrongView,
    /// It may only come from the primary.
    NotPrimary,
    /// It belongs to a view that this replica has left or not yet entered.
    ViewChanging,
    /// It contradicts what its signer said before; the evidence is kept.
    Conflict,
    /// The slot was proposed by the NEW-VIEW, or executed with another batch.
    Settled,
    /// The proposal's timestamp is too far from this replica's clock.
    Untimely,
    /// It waits for a body that is being fetched.
    Waiting,
    /// A quota is used up.
    Full,
    /// The request would not execute: seen, expired, or expiring too late.
    Moot,
    /// It proves nothing: a statement that breaks a rule, or lacks an attachment.
    Unproven,
    /// This replica stopped for good, or until its state is repaired.
    Stopped,
    /// Nothing like it was asked for.
    Unasked,
}
