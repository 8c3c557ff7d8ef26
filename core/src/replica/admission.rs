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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::CertificateSet;
    use crate::message::ViewChangeMessage;
    use crate::verify::testing::World;
    use crate::vote::Phase;
    use std::sync::Arc;

    fn admission(target: Option<u64>) -> Admission {
        Admission { view: View(3), target: target.map(View), low: Slot(4), end: Slot(16) }
    }

    // Rule N2.
    #[test]
    fn a_vote_is_worth_verifying_for_the_views_and_slots_for_which_votes_are_kept() {
        let world = World::new(4);
        let is_admitted = |target, view, slots: &[u64]| {
            let entries: Vec<_> = slots.iter().map(|slot| (*slot, 1)).collect();
            let vote = world.vote(1, Phase::Commit, view, &entries);
            admission(target).admits(&Message::Vote(vote))
        };
        let views = [2, 3, 4, 5, 6].map(|view| is_admitted(None, view, &[5]));
        assert_eq!(views, [false, true, false, false, false], "Active in view 3");
        let views = [2, 3, 4, 5, 6].map(|view| is_admitted(Some(5), view, &[5]));
        assert_eq!(views, [false, true, false, true, false], "on the way from 3 to 5");
        let slots = [3, 4, 5, 16, 17].map(|slot| is_admitted(None, 3, &[slot]));
        assert_eq!(slots, [false, false, true, true, false]);
        assert!(is_admitted(None, 3, &[3, 4, 5]), "one slot of several is enough");
        assert!(!is_admitted(None, 3, &[4, 17]));
        assert!(!is_admitted(None, 2, &[5, 6]));
    }

    #[test]
    fn a_checkpoint_is_worth_verifying_above_the_watermark_and_its_proof_also_while_the_view_changes() {
        let world = World::new(4);
        let vote = |slot| admission(None).admits(&Message::Checkpoint(world.checkpoint(1, slot, 1)));
        assert_eq!([0, 4, 8, 800].map(vote), [false, false, true, true]);
        let proof = |target, slot| {
            let proof = Arc::new(world.checkpoint_certificate(slot, 1));
            admission(target).admits(&Message::StableCheckpoint(proof))
        };
        assert_eq!([0, 4, 8, 800].map(|slot| proof(None, slot)), [false, false, true, true]);
        assert_eq!([0, 4, 8, 800].map(|slot| proof(Some(5), slot)), [true; 4]);
    }

    #[test]
    fn what_leads_to_a_view_is_worth_verifying_unless_this_replica_is_beyond_that_view() {
        let world = World::new(4);
        let view_change = |target, view| {
            let signed = world.view_change(1, view, 0, &[]);
            let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
            admission(target).admits(&Message::ViewChange(Arc::new(message)))
        };
        let new_view = |target, view| {
            let bodies = [0, 1, 2].map(|id| world.view_change(id, view, 0, &[]));
            admission(target).admits(&Message::NewView(Arc::new(world.new_view_message(&bodies))))
        };
        let views = [2, 3, 4, 5, 6];
        assert_eq!(views.map(|view| view_change(None, view)), [false, false, true, true, true]);
        assert_eq!(views.map(|view| view_change(Some(5), view)), [false, false, true, true, true]);
        // One of the installed view may prove that its primary signed two (V21).
        assert_eq!(views.map(|view| new_view(None, view)), [false, true, true, true, true]);
        assert_eq!(views.map(|view| new_view(Some(5), view)), [false, false, false, true, true]);
    }

    #[test]
    fn a_replica_admits_by_its_own_view_target_and_watermarks() {
        let world = World::new(4);
        let (mut replica, mut out) = (crate::replica::tests::alone(&world, 3), crate::outbox::Outbox::default());
        let before = Admission { view: View(0), target: None, low: Slot(0), end: Slot(12) };
        assert_eq!(replica.admission(), before);
        replica.start_view_change(View(1), &mut out);
        assert_eq!(replica.admission(), Admission { target: Some(View(1)), ..before });
    }
}
