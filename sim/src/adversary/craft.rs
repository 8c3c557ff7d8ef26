//! Making messages that an honest replica would not make.

use super::Stage;
use cretoai_core::batch::{Batch, HashedBatch};
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::message::{Message, NewView, NewViewMessage, PrePrepare, Signed, ViewChange, ViewChangeMessage};
use cretoai_core::signature::Statement;
use cretoai_core::types::{Slot, View};
use cretoai_core::vertex::{SignedVertex, Vertex};
use cretoai_core::vote::{Entries, Phase, Vote};
use std::sync::Arc;

/// The next view. Another liar may have spoken of the last one that a number can name.
pub(super) fn later(view: View) -> View {
    View(view.0.saturating_add(1))
}

impl Stage<'_> {
    /// A digest that nothing has.
    pub fn some_digest(&mut self) -> Digest {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.rng.next_u64().to_le_bytes()));
        Digest(bytes)
    }

    /// A vote for one slot.
    #[must_use]
    pub fn vote(&self, phase: Phase, view: View, slot: Slot, digest: Digest) -> Message {
        Message::Vote(self.signed_vote(Vote::one(phase, view, slot, digest)))
    }

    /// The same as a statement, to be put into something.
    #[must_use]
    pub fn signed_vote(&self, vote: Vote) -> Signed<Vote> {
        self.sign(vote, |vote| Statement::Vote(vote))
    }

    /// The same, with another signature on it where the scheme has more than one.
    #[must_use]
    pub fn vote_with(&self, hand: u64, body: Vote) -> Message {
        let signature = self.signer.sign_with(hand, Statement::Vote(&body));
        Message::Vote(Signed { signer: self.id, body, signature })
    }

    /// A proposal of a batch for one slot, and the digest of the batch.
    #[must_use]
    pub fn propose(&self, view: View, slot: Slot, batch: Batch) -> (Digest, Message) {
        let batch = Arc::new(Hashed::new(batch));
        let vote = self.signed_vote(Vote::one(Phase::Prepare, view, slot, batch.digest()));
        (batch.digest(), Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch] })))
    }

    /// The same proposal with other batches.
    #[must_use]
    pub fn repropose(&self, old: &PrePrepare, mut change: impl FnMut(&mut Batch)) -> PrePrepare {
        let changed = |batch: &Arc<HashedBatch>| {
            let mut batch = Batch::clone(batch);
            change(&mut batch);
            Arc::new(Hashed::new(batch))
        };
        let batches: Vec<_> = old.batches.iter().map(changed).collect();
        let slots = old.vote.body.entries.iter().map(|(slot, _)| slot);
        let entries: Vec<_> = slots.zip(batches.iter().map(|batch| batch.digest())).collect();
        let vote = Vote { entries: Entries::new(&entries), ..old.vote.body.clone() };
        PrePrepare { vote: self.signed_vote(vote), batches }
    }

    /// A VIEW-CHANGE with the attachments of another one.
    #[must_use]
    pub fn view_change(&self, body: ViewChange, old: Option<&ViewChangeMessage>) -> ViewChangeMessage {
        ViewChangeMessage {
            signed: Arc::new(self.sign(body, |body| Statement::ViewChange(body))),
            stable: old.and_then(|old| old.stable.clone()),
            certificates: old.map_or_else(Default::default, |old| old.certificates.clone()),
        }
    }

    /// A NEW-VIEW with the attachments of another one.
    #[must_use]
    pub fn new_view(&self, body: NewView, old: &NewViewMessage) -> NewViewMessage {
        NewViewMessage { signed: self.sign(body, |body| Statement::NewView(body)), ..old.clone() }
    }

    /// A vertex, which names its author itself.
    #[must_use]
    pub fn vertex(&self, vertex: Vertex) -> Arc<SignedVertex> {
        let body = Hashed::new(vertex);
        let signature = self.signer.sign(Statement::Vertex(body.digest()));
        Arc::new(Signed { signer: self.id, body, signature })
    }
}
