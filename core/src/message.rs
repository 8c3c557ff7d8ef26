//! Every message between replicas, in the order of the message table (`docs/protocol.md` M5).

use crate::batch::HashedBatch;
use crate::bytes::Bytes;
use crate::certificate::{CertificateSet, Claim};
use crate::checkpoint::{CheckpointCertificate, CheckpointVote};
use crate::hash::{Digest, Domain};
use crate::hashed::content_hash;
use crate::ledger::Manifest;
use crate::signature::Signature;
use crate::types::{ReplicaId, Slot, View};
use crate::vertex::{SignedVertex, VertexId};
use crate::vote::{Phase, Vote};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A statement with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// Who signed it; not who sent it.
    pub signer: ReplicaId,
    /// What is signed.
    pub body: T,
    /// The signature.
    pub signature: Signature,
}

/// A message. Small votes are inline, everything large is shared, so that a message is cheap to copy.
/// Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// VERTEX: disseminates a vertex.
    Vertex(Arc<SignedVertex>),
    /// PRE-PREPARE: the primary proposes batches.
    PrePrepare(Arc<PrePrepare>),
    /// PREPARE or COMMIT.
    Vote(Signed<Vote>),
    /// CHECKPOINT.
    Checkpoint(Signed<CheckpointVote>),
    /// VIEW-CHANGE, with or without the certificates that back its claims.
    ViewChange(Arc<ViewChangeMessage>),
    /// NEW-VIEW.
    NewView(Arc<NewViewMessage>),
    /// STATUS: what the sender has, so that others send what it lacks.
    Status(Arc<Signed<Status>>),
    /// Certificates of either phase, as asked for or in answer to a STATUS.
    Certificates(Arc<CertificateSet>),
    /// The proof of a stable checkpoint.
    StableCheckpoint(Arc<CheckpointCertificate>),
    /// FETCH: asks for what is named by hash or number. Unsigned.
    Fetch(Arc<Vec<FetchItem>>),
    /// DATA: bodies and chunks. Unsigned.
    Data(Arc<Data>),
    /// RECOLLECTION: the newest messages that its receiver signed, as far as its sender holds them. Asked for by a
    /// replica whose log was cut.
    Recollection(Arc<Recollection>),
}

const _: () = assert!(size_of::<Message>() <= 128, "messages are moved once for each delivery");

/// The primary's PREPARE statement with the batches that it names, in the same order (`docs/protocol.md` M9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrePrepare {
    /// The primary's own PREPARE.
    pub vote: Signed<Vote>,
    /// One batch for each of its entries.
    pub batches: Vec<Arc<HashedBatch>>,
}

/// The claims of a replica that leaves its view (`docs/protocol.md` V2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// The view it wants to enter.
    pub view: View,
    /// Its stable checkpoint, `h`.
    pub stable: Slot,
    /// The state digest there, `D_h`.
    pub state: Digest,
    /// `P`: for each slot the highest view in which it was prepared, ascending by slot.
    pub prepared: Vec<Claim>,
    /// `Qv`: for each slot its latest PREPARE, ascending by slot.
    pub voted: Vec<Claim>,
}

/// A VIEW-CHANGE and what travels beside it. The attachments are not signed by the sender: a bad one is dropped
/// alone and blames nobody (`docs/protocol.md` M14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChangeMessage {
    /// The signed body.
    pub signed: Arc<Signed<ViewChange>>,
    /// Proof of its stable checkpoint.
    pub stable: Option<Arc<CheckpointCertificate>>,
    /// Proof of each of its `prepared` claims.
    pub certificates: CertificateSet,
}

/// What the primary of a new view signs (`docs/protocol.md` V13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewView {
    /// The new view.
    pub view: View,
    /// The ids of the VIEW-CHANGEs it was computed from, ascending by their signer.
    pub view_changes: Vec<Digest>,
    /// The highest stable checkpoint among them, `h*`.
    pub stable: Slot,
    /// `O`: what each slot after `h*` is proposed to be, without gaps.
    pub proposals: Vec<(Slot, Digest)>,
}

/// A NEW-VIEW and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewViewMessage {
    /// The signed body.
    pub signed: Signed<NewView>,
    /// The VIEW-CHANGEs, in the order of their ids in the body.
    pub view_changes: Vec<Arc<Signed<ViewChange>>>,
    /// Proof of `h*`, unless that is slot 0.
    pub stable: Option<Arc<CheckpointCertificate>>,
    /// Proof of the claim selected for each slot.
    pub certificates: CertificateSet,
}

/// How far a replica is (`docs/protocol.md` T12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The installed view.
    pub view: View,
    /// The view it wants to enter, while it is changing views.
    pub target: Option<View>,
    /// Its stable checkpoint.
    pub stable: Slot,
    /// The last slot it executed.
    pub executed: Slot,
    /// What it knows of each slot after `executed`, in order; at most 64.
    pub progress: Vec<Progress>,
    /// The vertices that it has been waiting for the longest; at most 8.
    pub pending: Vec<VertexId>,
}

/// How far a slot is at one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress {
    /// Nothing accepted.
    Nothing,
    /// A pre-prepare accepted.
    Accepted,
    /// Prepared.
    Prepared,
    /// Decided.
    Committed,
}

/// Slots that a STATUS describes, at the most.
pub const STATUS_SLOTS: u64 = 64;

/// Pending vertices that a STATUS names, at the most.
pub const STATUS_PENDING: usize = 8;

/// Items that a FETCH asks for, at the most.
pub const MAX_FETCH: usize = 64;

/// One thing asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FetchItem {
    /// A vertex by its id.
    Vertex(VertexId),
    /// The batch of a slot by its digest.
    Batch(Slot, Digest),
    /// A certificate.
    Certificate(Phase, Claim),
    /// The proof of a stable checkpoint at this slot, or of a later one.
    StableCheckpoint(Slot),
    /// The NEW-VIEW of a view.
    NewView(View),
    /// The manifest of the snapshot at a stable checkpoint.
    Manifest(Slot),
    /// A chunk of the snapshot at a stable checkpoint.
    Chunk(Slot, Digest),
    /// The newest messages that the asker signed.
    Recollection,
}

/// Votes in a RECOLLECTION, at the most: of two phases in two views for each slot of a log.
pub const MAX_RECOLLECTED_VOTES: usize = 4 * 128;

/// Unsigned content, each named by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// A batch.
    Batch(Arc<HashedBatch>),
    /// The list of a snapshot's chunks.
    Manifest(Arc<Manifest>),
    /// A chunk of a snapshot.
    Chunk(Arc<Bytes>),
}

/// The newest statements of one replica that another holds, of each kind (`docs/protocol.md` G12). No list of
/// messages, since one inside another could be nested without end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recollection {
    /// Votes, at most [`MAX_RECOLLECTED_VOTES`].
    pub votes: Vec<Signed<Vote>>,
    /// The highest CHECKPOINT.
    pub checkpoint: Option<Signed<CheckpointVote>>,
    /// The VIEW-CHANGE for the highest view.
    pub view_change: Option<Arc<Signed<ViewChange>>>,
    /// The NEW-VIEW of the installed view.
    pub new_view: Option<Signed<NewView>>,
    /// The highest vertex.
    pub vertex: Option<Arc<SignedVertex>>,
}

impl Signed<ViewChange> {
    /// The name of a VIEW-CHANGE inside a NEW-VIEW: the hash of its signer and body. The signature is left out,
    /// since a randomized scheme has many valid ones for the same statement.
    #[must_use]
    pub fn id(&self) -> Digest {
        content_hash(Domain::ViewChange, &(self.signer, &self.body))
    }
}

impl Message {
    /// Whether the message must pass the durability gate: everything but what is unsigned, since
    /// whatever holds a signature may hold one of this replica's (`docs/protocol.md` G3).
    #[must_use]
    pub fn is_gated(&self) -> bool {
        match self {
            Self::Fetch(_) => false,
            // A batch holds no signature; it is queued all the same, not to overtake the proof that goes before it.
            Self::Data(data) => matches!(**data, Data::Batch(_)),
            _ => true,
        }
    }

    /// Whose statement about the protocol's progress it is: votes and proposals of every kind. None for what
    /// carries several statements or none, and for vertices, which a replica may have to be given back.
    #[must_use]
    pub fn speaker(&self) -> Option<ReplicaId> {
        match self {
            Self::PrePrepare(message) => Some(message.vote.signer),
            Self::Vote(vote) => Some(vote.signer),
            Self::Checkpoint(vote) => Some(vote.signer),
            Self::ViewChange(message) => Some(message.signed.signer),
            Self::NewView(message) => Some(message.signed.signer),
            Self::Status(status) => Some(status.signer),
            Self::Vertex(_)
            | Self::Certificates(_)
            | Self::StableCheckpoint(_)
            | Self::Fetch(_)
            | Self::Data(_)
            | Self::Recollection(_) => None,
        }
    }

    /// The kind's name as PBFT writes it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Vertex(_) => "VERTEX",
            Self::PrePrepare(_) => "PRE-PREPARE",
            Self::Vote(vote) if vote.body.phase == Phase::Prepare => "PREPARE",
            Self::Vote(_) => "COMMIT",
            Self::Checkpoint(_) => "CHECKPOINT",
            Self::ViewChange(_) => "VIEW-CHANGE",
            Self::NewView(_) => "NEW-VIEW",
            Self::Status(_) => "STATUS",
            Self::Certificates(_) => "CERTIFICATES",
            Self::StableCheckpoint(_) => "STABLE-CHECKPOINT",
            Self::Fetch(_) => "FETCH",
            Self::Data(_) => "DATA",
            Self::Recollection(_) => "RECOLLECTION",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::hashed::Hashed;
    use crate::time::Instant;
    use crate::verify::testing::{World, digest};

    #[test]
    fn only_what_asks_and_lists_of_chunks_may_skip_the_gate() {
        // Rule G3.
        let (slot, epoch, order, core, app) = (Slot(4), 0, digest(1), vec![], vec![]);
        let manifest = Data::Manifest(Arc::new(Manifest { slot, epoch, order, core, app }));
        let batch = Data::Batch(Arc::new(Hashed::new(Batch { ts: Instant(1), vertices: vec![digest(1)] })));
        assert!(!Message::Fetch(Arc::new(vec![FetchItem::Recollection])).is_gated());
        assert!(!Message::Data(Arc::new(manifest)).is_gated());
        assert!(Message::Data(Arc::new(batch)).is_gated(), "it would overtake the proof before it");
        assert!(Message::Vote(World::new(4).vote(1, Phase::Prepare, 0, &[(1, 1)])).is_gated());
        assert!(Message::Recollection(Arc::default()).is_gated(), "what it holds is signed");
    }

    #[test]
    fn a_vote_is_called_by_its_phase() {
        let kind = |phase| Message::Vote(World::new(4).vote(1, phase, 0, &[(1, 1)])).kind();
        assert_eq!([kind(Phase::Prepare), kind(Phase::Commit)], ["PREPARE", "COMMIT"]);
    }
}
