//! The one way out: nothing is sent that this replica has not put on record (`docs/protocol.md` G4, M8, V1).
//!
//! The outbox's gate sees to it that a message leaves after every record appended before it. What the gate cannot
//! see is a handler that sends and records nothing. So every message passes here, and what it says in this
//! replica's name is compared with the state that changes only together with the record.

use super::Replica;
use crate::message::{Message, Signed};
use crate::outbox::{Outbox, Target};
use crate::vote::{Phase, Vote};

impl Replica {
    /// Queues a message.
    ///
    /// # Panics
    /// When it says in this replica's name what is not on record.
    pub(super) fn send(&self, to: Target, message: Message, out: &mut Outbox) {
        self.assert_on_record(&message);
        out.send(to, message);
    }

    fn assert_on_record(&self, message: &Message) {
        let me = self.config.id;
        match message {
            Message::Vote(vote) if vote.signer == me => self.assert_vote_on_record(vote),
            Message::PrePrepare(message) if message.vote.signer == me => self.assert_vote_on_record(&message.vote),
            Message::Checkpoint(vote) if vote.signer == me => {
                let own = self.checkpoints.own.as_ref().map(|own| own.body);
                assert_eq!(own, Some(vote.body), "a CHECKPOINT that is not on record");
            }
            Message::ViewChange(message) if message.signed.signer == me => {
                let own = self.change.own.as_ref().map(|own| &own.signed);
                assert_eq!(own, Some(&message.signed), "a VIEW-CHANGE that is not on record");
            }
            Message::NewView(message) if message.signed.signer == me => {
                let own = self.new_view.as_ref().map(|own| &own.signed);
                assert_eq!(own, Some(&message.signed), "a NEW-VIEW that is not on record");
            }
            // Others' statements, which anyone may relay, and what commits this replica to nothing.
            _ => {}
        }
    }

    fn assert_vote_on_record(&self, vote: &Signed<Vote>) {
        let view = vote.body.view;
        // PBFT 4.4: who left a view says nothing in it any more (V1).
        assert!(!self.has_left_view() && view == self.view, "a vote in {view} after leaving it: {vote:?}");
        for (slot, digest) in vote.body.entries.iter() {
            let Some(state) = self.log.get(slot) else { panic!("a vote outside the log: {vote:?}") };
            let on_record = match vote.body.phase {
                Phase::Prepare => state.voted,
                Phase::Commit => state.prepared.as_ref().map(|prepared| (prepared.claim.view, prepared.claim.digest)),
            };
            assert_eq!(on_record, Some((view, digest)), "a {:?} for {slot} that is not on record", vote.body.phase);
        }
    }
}
