//! Proposing batches (`docs/protocol.md` D14, D15, N4).
//!
//! - While this replica is the primary, a slot is free within the window and the pipeline, and a pending vertex is in
//!   no open slot: propose a batch of them, those pending for longest first.

use super::Replica;
use crate::batch::Batch;
use crate::hashed::Hashed;
use crate::message::{Message, PrePrepare};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target};
use crate::slots::{Proposal, Standing};
use crate::types::Slot;
use crate::vertex::VertexId;
use std::sync::Arc;

impl Replica {
    /// Proposes as much as it may.
    pub(super) fn try_propose(&mut self, out: &mut Outbox) {
        while self.is_primary() && self.is_active() && !self.resuming && !self.pool.proposable().is_empty() {
            let slot = self.next_slot();
            let high = if Mutant::NoHighWatermark.is_on() { self.log.end() } else { self.log.high() };
            if high.min(self.exec().plus(self.config.pipeline)) < slot {
                return;
            }
            let vertices = self.pick();
            let batch = Arc::new(Hashed::new(Batch { ts: self.now, vertices }));
            self.propose(slot, &batch, out);
        }
    }

    /// One more than every slot that this view has used (`docs/protocol.md` G15).
    fn next_slot(&self) -> Slot {
        let end = if Mutant::ProposesAgain.is_on() { Slot(0) } else { self.new_view_end };
        self.proposed.max(end).max(self.low()).max(self.exec()).next()
    }

    fn pick(&self) -> Vec<VertexId> {
        let most = usize::try_from(self.chain.genesis.limits.open_vertices).expect("validated");
        let mut taken = vec![0; usize::from(self.chain.committee.n())];
        let mut vertices = Vec::new();
        // A predecessor has been pending for longer than its successors, so it is met first.
        for (_, _, id) in self.pool.proposable() {
            let author = self.pool.get(id).expect("pending vertices are held").vertex.author();
            if taken[author.index()] < most {
                taken[author.index()] += 1;
                vertices.push(*id);
            }
            if vertices.len() == self.chain.max_batch() {
                break;
            }
        }
        vertices
    }

    fn propose(&mut self, slot: Slot, batch: &Arc<Hashed<Batch>>, out: &mut Outbox) {
        let digest = batch.digest();
        self.proposed = slot;
        let state = self.log.get_mut(slot).expect("inside the window");
        assert!(state.proposal.is_none(), "{slot} is proposed twice in {}", self.view);
        state.proposal = Some(Proposal { digest, pre_prepare: None, standing: Standing::Waiting });
        state.keep_batch(batch);
        let complete = self.require_bodies(slot, digest, self.config.id);
        assert!(complete, "the primary proposes what it holds");
        self.record_bodies(slot, digest, out);
        let vote = self.vote_for(slot, digest, out);
        self.send_pre_prepare(slot, vote, out);
    }

    /// Sends the PRE-PREPARE of a slot that this replica has voted for, and counts its PREPARE.
    pub(super) fn send_pre_prepare(
        &mut self,
        slot: Slot,
        vote: crate::message::Signed<crate::vote::Vote>,
        out: &mut Outbox,
    ) {
        self.note_activity(slot);
        let state = self.log.get_mut(slot).expect("inside the window");
        let proposal = state.proposal.as_ref().expect("proposed");
        let digest = proposal.digest;
        let batch = state.batch(digest).expect("held").clone();
        let message = Arc::new(PrePrepare { vote: vote.clone(), batches: vec![batch] });
        let proposal = state.proposal.as_mut().expect("proposed");
        proposal.pre_prepare = Some(message.clone());
        self.send(Target::All, Message::PrePrepare(message), out);
        let _ = self.count(slot, digest, &vote, out);
    }
}
