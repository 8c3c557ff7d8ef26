//! What a replica writes to its log (`docs/protocol.md` G4, G14). Variants are only ever appended.

use crate::batch::HashedBatch;
use crate::certificate::Certificate;
use crate::checkpoint::{CheckpointCertificate, CheckpointVote};
use crate::evidence::Evidence;
use crate::hash::Digest;
use crate::message::{NewViewMessage, ViewChangeMessage};
use crate::replica::Halt;
use crate::types::{Slot, View};
use crate::vertex::SignedVertex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fact that must survive a crash before anything that rests on it leaves the replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// This replica made a vertex. Before its VERTEX.
    OwnVertex(Arc<SignedVertex>),
    /// A vertex that a batch lists. Before the vote for the batch.
    Vertex(Arc<SignedVertex>),
    /// The batch of a slot. Before the vote for it.
    Batch(Slot, Arc<HashedBatch>),
    /// This replica's PREPARE. Before the PREPARE or PRE-PREPARE.
    Voted(View, Slot, Digest),
    /// A slot is prepared, and this replica commits to it. Before the COMMIT.
    Prepared(Arc<Certificate>),
    /// A slot is decided. Before its execution.
    Committed(Arc<Certificate>),
    /// This replica's CHECKPOINT. Before it is sent.
    OwnCheckpoint(CheckpointVote),
    /// The low watermark moved. Before anything that only the new watermarks allow.
    Stable(Arc<CheckpointCertificate>),
    /// This replica's VIEW-CHANGE, frozen, with the proof of its claims. Before it is sent.
    ViewChangeSent(Arc<ViewChangeMessage>),
    /// The view was installed. Before any vote in it, and at its primary before the NEW-VIEW itself.
    NewViewInstalled(Arc<NewViewMessage>),
    /// A transferred state replaced this replica's own.
    StateInstalled(Slot),
    /// Proof of another replica's fault.
    Evidence(Arc<Evidence>),
    /// This replica stopped for good.
    Halted(Halt),
}
