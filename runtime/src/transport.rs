//! How frames reach other replicas (`docs/protocol.md` A4, M16).
//!
//! A transport authenticates the two ends of each link and bounds what is under way. It may lose frames: whatever
//! matters, the protocol says again.

use cretoai_core::message::Message;
use cretoai_core::types::ReplicaId;
use std::future::Future;
use std::sync::Arc;

/// An encoded message. A broadcast is one frame, shared by all its receivers.
pub type Frame = Arc<[u8]>;

/// Which frames never wait behind which: each class has a lane of its own on every link, and an earlier class goes
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Votes, proposals, view changes: what decides how fast a slot is final.
    Consensus,
    /// Vertices and batches.
    Bodies,
    /// Catching up: certificates, state, what was asked for.
    Bulk,
}

/// All classes, the most urgent first.
pub const CLASSES: [Class; 3] = [Class::Consensus, Class::Bodies, Class::Bulk];

impl Class {
    /// The class of a message.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        match message {
            Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::Checkpoint(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_) => Self::Consensus,
            Message::Vertex(_) | Message::Fetch(_) => Self::Bodies,
            Message::Certificates(_) | Message::StableCheckpoint(_) | Message::Data(_) | Message::Recollection(_) => {
                Self::Bulk
            }
        }
    }
}

/// Links to all other replicas.
pub trait Transport: Send + Sync + 'static {
    /// Hands over a frame for a replica. Never waits: what finds no room in the link's bounded queue is dropped and
    /// counted.
    fn send(&self, to: ReplicaId, class: Class, frame: Frame);

    /// The next frame from a replica. At most one task waits for each replica; a frame that nobody takes holds up that
    /// replica's link alone. `None` when the transport is closed.
    fn recv(&self, from: ReplicaId) -> impl Future<Output = Option<Frame>> + Send;
}
