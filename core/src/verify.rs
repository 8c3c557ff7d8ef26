//! From what arrived to what may be acted on (`docs/protocol.md` M13, M14, M17).
//!
//! Verification is a pure function of the message and the chain, so a driver may run it on any thread and in any
//! order. Cheap checks come before signatures.

mod certificates;
mod dag;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view_change;

use crate::application::MAX_CHUNK;
use crate::batch::Batch;
use crate::checkpoint::CheckpointVote;
use crate::config::Chain;
use crate::evidence::Evidence;
use crate::message::{
    Data, MAX_FETCH, MAX_RECOLLECTED_VOTES, Message, PrePrepare, Recollection, STATUS_PENDING, STATUS_SLOTS, Signed,
    Status,
};
use crate::mutant::Mutant;
use crate::reply::ReplyStatement;
use crate::request::ClientRequest;
use crate::signature::{Signature, SignatureVerifier, Statement};
use crate::types::{ReplicaId, Slot};
use crate::vertex::VertexId;
use crate::vote::{Phase, Vote};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

/// Certificates in one message, at the most: one for each slot of the widest window.
pub const MAX_CERTIFICATES: usize = 64;

/// Chunks in a manifest, at the most: 64 GiB of state.
pub const MAX_CHUNKS: usize = 1 << 16;

/// What has passed verification: canonical, within limits, its signers members, every signature right, every body
/// equal to its digest. It does **not** mean that the signer obeys the protocol.
///
/// Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// What was verified.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What was verified, by value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Why something is dropped before it reaches a replica. None of these is evidence against anybody: whoever sent the
/// bytes need not have made them (`docs/protocol.md` M14, X6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A signer, author or parent's author is not in the committee.
    #[error("{0} is not a member")]
    NotAMember(ReplicaId),
    /// A signature is not its signer's on this statement.
    #[error("the signature is not of {0}")]
    Signature(ReplicaId),
    /// A list or byte string is longer than its bound.
    #[error("{what}: {count} are more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A list that must have an element has none.
    #[error("{0}: empty")]
    Empty(&'static str),
    /// The message has a form that no honest replica gives it.
    #[error("{0}: not in canonical form")]
    NotCanonical(&'static str),
    /// A PRE-PREPARE does not carry the batches that it names.
    #[error("the batches are not those of the vote")]
    Batches,
    /// A batch lists a vertex twice.
    #[error("a batch lists {0:?} twice")]
    RepeatedVertex(VertexId),
    /// Two certificates of a message say the same.
    #[error("a certificate is there twice")]
    RepeatedCertificate,
    /// A vertex is signed by another replica than its author.
    #[error("a vertex of {author} is signed by {signer}")]
    Author {
        /// The author it names.
        author: ReplicaId,
        /// Who signed it.
        signer: ReplicaId,
    },
    /// A vertex has another height than its parents demand.
    #[error("a vertex has another height than its parents demand")]
    Height,
    /// A parent of height 0 is not the implicit one, or the implicit one has another height.
    #[error("a vertex without predecessor does not begin at the genesis")]
    Genesis,
    /// A request is meant for another chain.
    #[error("a request is for another chain")]
    Chain,
    /// A request names a caller and is not signed, or is signed by nobody.
    #[error("a request's caller and signature do not go together")]
    Unsigned,
    /// A request names no caller, and this chain demands one.
    #[error("a request names no caller")]
    Anonymous,
    /// A caller's signature is not right.
    #[error("the signature on a request is not its caller's")]
    CallerSignature,
    /// A certificate is not a quorum of votes for its claim.
    #[error("a certificate is no quorum of votes for its claim")]
    Certificate,
    /// A checkpoint certificate is not a quorum of votes for its state.
    #[error("a checkpoint certificate is no quorum of votes for its state")]
    CheckpointCertificate,
    /// A checkpoint is taken after a slot where none is due.
    #[error("no checkpoint is due after {0}")]
    NotACheckpoint(Slot),
    /// Statements that prove nothing.
    #[error("the statements do not contradict each other")]
    Predicate,
}

/// Verifies whatever comes from outside.
#[derive(Clone, Debug)]
pub struct Verifier {
    chain: Arc<Chain>,
    signatures: Arc<dyn SignatureVerifier>,
}

impl Verifier {
    /// A verifier for one chain, whose signatures are checked by `signatures`.
    #[must_use]
    pub fn new(chain: Arc<Chain>, signatures: Arc<dyn SignatureVerifier>) -> Self {
        Self { chain, signatures }
    }

    /// Verifies a message. A bad attachment of a VIEW-CHANGE or NEW-VIEW is dropped alone.
    ///
    /// # Errors
    /// [`Rejected`] says what is wrong with it; the message is to be dropped.
    pub fn message(&self, message: Message) -> Result<Verified<Message>, Rejected> {
        match &message {
            Message::Vote(vote) => self.vote(vote)?,
            Message::Vertex(vertex) => self.vertex(vertex)?,
            Message::PrePrepare(pre_prepare) => self.pre_prepare(pre_prepare)?,
            Message::Checkpoint(vote) => self.checkpoint(vote)?,
            Message::ViewChange(view_change) => {
                return self.view_change(view_change).map(|kept| Verified(Message::ViewChange(kept)));
            }
            Message::NewView(new_view) => {
                return self.new_view(new_view).map(|kept| Verified(Message::NewView(kept)));
            }
            Message::Status(status) => self.status(status)?,
            Message::Certificates(certificates) => self.certificate_set(certificates)?,
            Message::StableCheckpoint(certificate) => self.checkpoint_certificate(certificate)?,
            Message::Fetch(items) => length("items to fetch", items.len(), MAX_FETCH)?,
            Message::Data(data) => self.data(data)?,
            Message::Recollection(held) => {
                return self.recollection(held).map(|kept| Verified(Message::Recollection(kept)));
            }
        }
        Ok(Verified(message))
    }

    /// Of what somebody recollects, that which verifies.
    fn recollection(&self, held: &Recollection) -> Result<Arc<Recollection>, Rejected> {
        at_most("votes recollected", held.votes.len(), MAX_RECOLLECTED_VOTES)?;
        Ok(Arc::new(Recollection {
            votes: held.votes.iter().filter(|vote| self.vote(vote).is_ok()).cloned().collect(),
            checkpoint: held.checkpoint.clone().filter(|vote| self.checkpoint(vote).is_ok()),
            view_change: held.view_change.clone().filter(|signed| self.view_change_body(signed).is_ok()),
            new_view: held.new_view.clone().filter(|signed| self.new_view_body(signed).is_ok()),
            vertex: held.vertex.clone().filter(|vertex| self.vertex(vertex).is_ok()),
        }))
    }

    /// Verifies several messages, each on its own.
    pub fn messages(&self, batch: impl IntoIterator<Item = Message>) -> Vec<Result<Verified<Message>, Rejected>> {
        batch.into_iter().map(|message| self.message(message)).collect()
    }

    /// Verifies a request that a client brought to this replica. It is small enough to fit into a vertex that refers
    /// to no other.
    ///
    /// # Errors
    /// [`Rejected`] is the answer for the client.
    pub fn request(&self, request: Arc<ClientRequest>) -> Result<Verified<Arc<ClientRequest>>, Rejected> {
        self.fits_a_vertex(&request)?;
        self.client_request(&request)?;
        Ok(Verified(request))
    }

    /// Verifies a replica's answer, for a client.
    ///
    /// # Errors
    /// [`Rejected`] says what is wrong with it.
    pub fn reply(&self, reply: Signed<ReplyStatement>) -> Result<Verified<Signed<ReplyStatement>>, Rejected> {
        self.signed(reply.signer, Statement::Reply(&reply.body), &reply.signature)?;
        Ok(Verified(reply))
    }

    /// Verifies evidence, for anyone: its predicate, and all its signatures (`docs/protocol.md` X1).
    ///
    /// # Errors
    /// [`Rejected`] says why it proves nothing.
    pub fn evidence(&self, evidence: Arc<Evidence>) -> Result<Verified<Arc<Evidence>>, Rejected> {
        self.accusation(&evidence)?;
        Ok(Verified(evidence))
    }

    fn accusation(&self, evidence: &Evidence) -> Result<(), Rejected> {
        if !evidence.holds(&self.chain) {
            return Err(Rejected::Predicate);
        }
        match evidence {
            Evidence::Votes(a, b) => [a, b].into_iter().try_for_each(|vote| self.vote(vote))?,
            Evidence::ViewChanges(a, b) => [a, b].into_iter().try_for_each(|body| self.view_change_body(body))?,
            Evidence::LeftOut(vote, view_change) => {
                self.vote(vote)?;
                self.view_change_body(view_change)?;
            }
            Evidence::NewView(new_view, bodies) => {
                self.new_view_body(new_view)?;
                bodies.iter().try_for_each(|body| self.named_body(body))?;
            }
            Evidence::Checkpoints(a, b) => [a, b].into_iter().try_for_each(|vote| self.checkpoint(vote))?,
            Evidence::Vertices(a, b) => [a, b].into_iter().try_for_each(|header| self.vertex_header(header))?,
            Evidence::ViewChange(view_change) => self.view_change_body(view_change)?,
            Evidence::NewViews(a, b) => [a, b].into_iter().try_for_each(|body| self.new_view_body(body))?,
        }
        Ok(())
    }

    fn vote(&self, vote: &Signed<Vote>) -> Result<(), Rejected> {
        self.canonical_vote(vote)?;
        self.signed(vote.signer, Statement::Vote(&vote.body), &vote.signature)
    }

    fn canonical_vote(&self, vote: &Signed<Vote>) -> Result<(), Rejected> {
        self.member(vote.signer)?;
        if vote.body.is_canonical(self.chain.window()) { Ok(()) } else { Err(Rejected::NotCanonical("a vote")) }
    }

    fn pre_prepare(&self, pre_prepare: &PrePrepare) -> Result<(), Rejected> {
        let PrePrepare { vote, batches } = pre_prepare;
        self.canonical_vote(vote)?;
        let named = vote.body.entries.iter().map(|(_, digest)| digest);
        let are_named = named.eq(batches.iter().map(|batch| batch.digest())) || Mutant::OtherBatches.is_on();
        if vote.body.phase != Phase::Prepare || !are_named {
            return Err(Rejected::Batches);
        }
        batches.iter().try_for_each(|batch| self.batch(batch))?;
        self.signed(vote.signer, Statement::Vote(&vote.body), &vote.signature)
    }

    fn batch(&self, batch: &Batch) -> Result<(), Rejected> {
        length("vertices of a batch", batch.vertices.len(), self.chain.max_batch())?;
        let mut seen = BTreeSet::new();
        match batch.vertices.iter().find(|id| !seen.insert(**id)).filter(|_| !Mutant::RepeatedVertex.is_on()) {
            Some(repeated) => Err(Rejected::RepeatedVertex(*repeated)),
            None => Ok(()),
        }
    }

    fn checkpoint(&self, vote: &Signed<CheckpointVote>) -> Result<(), Rejected> {
        self.checkpoint_slot(vote.body.slot)?;
        self.signed(vote.signer, Statement::Checkpoint(&vote.body), &vote.signature)
    }

    fn checkpoint_slot(&self, slot: Slot) -> Result<(), Rejected> {
        let is_due = Slot(0) < slot && slot.is_checkpoint(self.chain.checkpoint_interval());
        if is_due { Ok(()) } else { Err(Rejected::NotACheckpoint(slot)) }
    }

    fn status(&self, status: &Signed<Status>) -> Result<(), Rejected> {
        let slots = usize::try_from(STATUS_SLOTS).unwrap_or(usize::MAX);
        at_most("slots of a STATUS", status.body.progress.len(), slots)?;
        at_most("pending vertices of a STATUS", status.body.pending.len(), STATUS_PENDING)?;
        self.signed(status.signer, Statement::Status(&status.body), &status.signature)
    }

    /// What DATA carries is compared with the hash that was asked for by whoever asked (`docs/protocol.md` M16).
    fn data(&self, data: &Data) -> Result<(), Rejected> {
        match data {
            Data::Batch(batch) => self.batch(batch),
            Data::Manifest(manifest) => {
                self.checkpoint_slot(manifest.slot)?;
                // Saturating is enough: the sum of two lengths in memory is far below the largest number.
                at_most("chunks of a manifest", manifest.core.len().saturating_add(manifest.app.len()), MAX_CHUNKS)
            }
            Data::Chunk(chunk) => at_most("bytes of a chunk", chunk.0.len(), MAX_CHUNK),
        }
    }

    fn member(&self, id: ReplicaId) -> Result<(), Rejected> {
        if self.chain.committee.contains(id) { Ok(()) } else { Err(Rejected::NotAMember(id)) }
    }

    fn signed(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> Result<(), Rejected> {
        self.member(signer)?;
        let unchecked = match statement {
            Statement::Vote(_) => Mutant::VoteUnsigned,
            Statement::Checkpoint(_) => Mutant::CheckpointUnsigned,
            Statement::ViewChange(_) => Mutant::ViewChangeUnsigned,
            Statement::NewView(_) => Mutant::NewViewUnsigned,
            Statement::Vertex(_) => Mutant::VertexUnsigned,
            Statement::Status(_) | Statement::Reply(_) => Mutant::StatusUnsigned,
        };
        let is_right = unchecked.is_on() || self.signatures.verify(signer, statement, signature);
        if is_right { Ok(()) } else { Err(Rejected::Signature(signer)) }
    }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Rejected> {
    if count <= limit { Ok(()) } else { Err(Rejected::TooMany { what, count, limit }) }
}

fn length(what: &'static str, count: usize, limit: usize) -> Result<(), Rejected> {
    if count == 0 { Err(Rejected::Empty(what)) } else { at_most(what, count, limit) }
}
