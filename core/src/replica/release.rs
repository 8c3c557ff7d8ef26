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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::CertificateSet;
    use crate::message::{PrePrepare, ViewChangeMessage};
    use crate::types::{ReplicaId, Slot, View};
    use crate::verify::testing::{World, claim};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    /// What a replica might say in its name: each kind of statement that has a record.
    fn statements(world: &World, signer: u16) -> Vec<(&'static str, Message)> {
        let vote = |phase, view, slot| world.vote(signer, phase, view, &[(slot, 1)]);
        let proposal = PrePrepare { vote: vote(Phase::Prepare, 0, 1), batches: Vec::new() };
        let signed = world.view_change(signer, 1, 0, &[]);
        let leaving = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        let bodies = [0, 1, 2].map(|id| world.view_change(id, u64::from(signer), 0, &[]));
        vec![
            ("a PREPARE", Message::Vote(vote(Phase::Prepare, 0, 1))),
            ("a COMMIT", Message::Vote(vote(Phase::Commit, 0, 1))),
            ("a PREPARE outside the log", Message::Vote(vote(Phase::Prepare, 0, 99))),
            ("a PRE-PREPARE", Message::PrePrepare(Arc::new(proposal))),
            ("a CHECKPOINT", Message::Checkpoint(world.checkpoint(signer, 4, 1))),
            ("a VIEW-CHANGE", Message::ViewChange(Arc::new(leaving))),
            ("a NEW-VIEW", Message::NewView(Arc::new(world.new_view_message(&bodies)))),
        ]
    }

    fn is_sent(replica: &Replica, message: Message) -> bool {
        let mut out = Outbox::default();
        catch_unwind(AssertUnwindSafe(|| replica.send(Target::All, message, &mut out))).is_ok()
    }

    #[test]
    fn nothing_is_said_in_a_replica_s_own_name_that_is_not_on_record() {
        let world = World::new(4);
        let replica = crate::replica::tests::alone(&world, 1);
        for (what, message) in statements(&world, 1) {
            assert!(!is_sent(&replica, message), "{what}");
        }
        for (what, message) in statements(&world, 2) {
            assert!(is_sent(&replica, message), "{what} of another, which anyone may relay");
        }
    }

    #[test]
    fn a_vote_is_said_with_the_view_and_digest_on_record_and_not_after_its_view_was_left() {
        let world = World::new(4);
        let mut replica = crate::replica::tests::alone(&world, 1);
        let vote = |phase, view, byte| Message::Vote(world.vote(1, phase, view, &[(1, byte)]));
        let state = replica.log.get_mut(Slot(1)).expect("in the log");
        state.voted = Some((View(0), claim(1, 0, 1).digest));
        assert!(is_sent(&replica, vote(Phase::Prepare, 0, 1)));
        assert!(!is_sent(&replica, vote(Phase::Prepare, 0, 2)), "another digest");
        assert!(!is_sent(&replica, vote(Phase::Commit, 0, 1)), "voted for, not prepared");
        let state = replica.log.get_mut(Slot(1)).expect("in the log");
        state.prepared = Some(Arc::new(world.certificate(Phase::Prepare, claim(1, 0, 1))));
        assert!(is_sent(&replica, vote(Phase::Commit, 0, 1)));
        assert!(!is_sent(&replica, vote(Phase::Commit, 0, 2)), "another digest");
        replica.view = View(1);
        let state = replica.log.get_mut(Slot(1)).expect("in the log");
        state.voted = Some((View(1), claim(1, 0, 1).digest));
        assert!(!is_sent(&replica, vote(Phase::Prepare, 0, 1)), "of the view before");
        assert!(is_sent(&replica, vote(Phase::Prepare, 1, 1)));
        replica.target = Some(View(2));
        assert!(!is_sent(&replica, vote(Phase::Prepare, 1, 1)), "after leaving");
        assert_eq!(replica.id(), ReplicaId(1));
    }
}
