//! It makes vertex after vertex of evidence that is in order and has counted already: its own fault in ever other
//! proofs, and what others were convicted of, as it was and with its two statements exchanged.

use super::{Adversary, Stage, whole};
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::evidence::Evidence;
use cretoai_core::message::{Message, PrePrepare};
use cretoai_core::outbox::Envelope;
use cretoai_core::request::ClientRequest;
use cretoai_core::signature::Statement;
use cretoai_core::types::{Height, ReplicaId, Slot};
use cretoai_core::verify::Verified;
use cretoai_core::vertex::{Link, Payload, SignedVertex, Vertex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Proves the same faults again and again.
#[derive(Debug)]
pub(super) struct TrueAccuser {
    period: u64,
    /// The first proof of its own fault.
    own: Option<Arc<Evidence>>,
    /// Proofs of others' faults, as it saw them in vertices. The oldest are forgotten first.
    seen: VecDeque<Arc<Evidence>>,
    /// Its last vertex.
    last: Option<Arc<SignedVertex>>,
    /// How often it is to be said again, unless a proposal lists it before: nothing behind it counts without it.
    again: u32,
}

/// How much of what it saw it remembers.
const REMEMBERED: usize = 16;

/// How often a vertex is said again that no proposal lists.
const AGAIN: u32 = 3;

impl TrueAccuser {
    pub(super) fn new(period_us: u64) -> Self {
        Self { period: period_us.max(1) * 1000, own: None, seen: VecDeque::new(), last: None, again: 0 }
    }

    fn sees(&mut self, me: ReplicaId, vertex: &SignedVertex) {
        let new = vertex.body.evidence().filter(|evidence| evidence.accused() != me && !self.seen.contains(evidence));
        self.seen.extend(new.cloned());
        self.seen.drain(..self.seen.len().saturating_sub(REMEMBERED));
    }

    fn hears_proposal(&mut self, proposal: &PrePrepare) {
        let Some(last) = &self.last else { return };
        if proposal.batches.iter().any(|batch| batch.vertices.contains(&last.id())) {
            self.again = 0;
        }
    }

    /// Two states of its own after the first checkpoint, which nobody has.
    fn fault(stage: &mut Stage<'_>) -> Evidence {
        let slot = Slot(stage.chain.checkpoint_interval());
        let [one, other] = [(); 2].map(|()| CheckpointVote { slot, state: stage.some_digest() });
        let [one, other] = [one, other].map(|vote| stage.sign(vote, |vote| Statement::Checkpoint(vote)));
        Evidence::Checkpoints(one, other)
    }

    fn accusation(&mut self, stage: &mut Stage<'_>) -> Arc<Evidence> {
        let Some(own) = &self.own else {
            return Arc::clone(self.own.insert(Arc::new(Self::fault(stage))));
        };
        match stage.rng.below(4) {
            0 => Arc::clone(own),
            1 | 2 if !self.seen.is_empty() => {
                let seen = &self.seen[stage.rng.index(self.seen.len())];
                let exchanged = exchanged(seen).filter(|_| stage.rng.chance(500));
                exchanged.map_or_else(|| Arc::clone(seen), Arc::new)
            }
            _ => Arc::new(Self::fault(stage)),
        }
    }
}

/// The same evidence with its two statements in the other order.
fn exchanged(evidence: &Evidence) -> Option<Evidence> {
    Some(match evidence.clone() {
        Evidence::Votes(one, other) => Evidence::Votes(other, one),
        Evidence::ViewChanges(one, other) => Evidence::ViewChanges(other, one),
        Evidence::Checkpoints(one, other) => Evidence::Checkpoints(other, one),
        Evidence::Vertices(one, other) => Evidence::Vertices(other, one),
        Evidence::NewViews(one, other) => Evidence::NewViews(other, one),
        Evidence::LeftOut(..) | Evidence::NewView(..) | Evidence::ViewChange(_) => return None,
    })
}

impl Adversary for TrueAccuser {
    fn start(&mut self, stage: &mut Stage<'_>) {
        stage.wakes.push(stage.now + self.period);
    }

    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        match message.get() {
            Message::Vertex(vertex) => self.sees(stage.id, vertex),
            Message::PrePrepare(proposal) => self.hears_proposal(proposal),
            _ => {}
        }
        u32::MAX
    }

    /// Its puppet makes no vertices: they would be forks of its own.
    fn requested(&mut self, _stage: &mut Stage<'_>, _client: u32, _request: &ClientRequest) -> u32 {
        0
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        match &envelope.message {
            Message::Vertex(vertex) if vertex.signer == stage.id => return self.sees(stage.id, vertex),
            Message::PrePrepare(proposal) => self.hears_proposal(proposal),
            _ => {}
        }
        stage.say(whole(envelope.to), envelope.message);
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        let vertex = match self.last.clone().filter(|_| 0 < self.again) {
            Some(open) => {
                self.again -= 1;
                open
            }
            None => {
                let genesis = Link::genesis(stage.chain.id);
                let after = |last: &Arc<SignedVertex>| Link { height: last.body.height, id: last.id() };
                let prev = self.last.as_ref().map_or(genesis, after);
                let payload = Payload::Evidence(self.accusation(stage));
                let (author, ts, height) = (stage.id, stage.time, Height(prev.height.0 + 1));
                self.again = AGAIN;
                stage.vertex(Vertex { author, height, ts, prev, refs: Vec::new(), payload })
            }
        };
        self.last = Some(Arc::clone(&vertex));
        stage.say(stage.others(), Message::Vertex(vertex));
        stage.wakes.push(stage.now + self.period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::hash::Digest;
    use cretoai_core::signature::Signature;

    fn evidence(slot: u64) -> Evidence {
        let vote = |state| {
            let body = CheckpointVote { slot: Slot(slot), state: Digest([state; 32]) };
            cretoai_core::message::Signed { signer: ReplicaId(1), body, signature: Signature::new(&[0; 16]) }
        };
        Evidence::Checkpoints(vote(1), vote(2))
    }

    #[test]
    fn exchanged_statements_are_another_proof_of_the_same_fault() {
        let other = exchanged(&evidence(4)).expect("it has two");
        assert_ne!(other, evidence(4));
        assert_eq!((other.key(), exchanged(&other)), (evidence(4).key(), Some(evidence(4))));
    }
}
