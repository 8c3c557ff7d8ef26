//! What the replica can still use (`docs/protocol.md` N2).

use super::Replica;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::types::{Slot, View};
use crate::vote::Vote;

/// A small value for network threads, so that a useless message is dropped before its signature is paid for.
/// Advisory: `step` checks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The installed view.
    pub view: View,
    /// The view the replica wants to enter.
    pub target: Option<View>,
    /// The low watermark.
    pub low: Slot,
    /// The last slot for which votes are kept.
    pub end: Slot,
}

impl Admission {
    /// Whether a message may matter.
    #[must_use]
    pub fn admits(&self, message: &Message) -> bool {
        match message {
            Message::PrePrepare(message) => self.admits_vote(&message.vote.body),
            Message::Vote(vote) => self.admits_vote(&vote.body),
            Message::Checkpoint(vote) => self.low < vote.body.slot,
            // One that is behind may be what the primary of a new view asked for.
            Message::StableCheckpoint(certificate) => self.low < certificate.vote.slot || self.target.is_some(),
            Message::ViewChange(message) => self.view < message.signed.body.view,
            Message::NewView(message) => {
                let left_for = self.target.filter(|_| !Mutant::GoesBack.is_on());
                left_for.unwrap_or(self.view) <= message.signed.body.view
            }
            Message::Vertex(_)
            | Message::Status(_)
            | Message::Certificates(_)
            | Message::Fetch(_)
            | Message::Data(_)
            | Message::Recollection(_) => true,
        }
    }

    fn admits_vote(&self, vote: &Vote) -> bool {
        let current = vote.view == self.view || Some(vote.view) == self.target;
        current && vote.entries.iter().any(|(slot, _)| self.low < slot && slot <= self.end)
    }
}

impl Replica {
    /// What is worth verifying now.
    #[must_use]
    pub fn admission(&self) -> Admission {
        Admission { view: self.view, target: self.target, low: self.low(), end: self.log.end() }
    }
}
