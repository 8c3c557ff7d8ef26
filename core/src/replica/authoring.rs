//! Making vertices from requests, and taking in those of others (`docs/protocol.md` D7 to D11).
//!
//! - Upon requests of clients that would execute now: put them into a vertex, record it, send it to all.
//! - At most `A_max` vertices of this replica are unfinalized; further requests wait, and then share a vertex.
//! - Upon a vertex of another author: hold it, and fetch its predecessor if that is missing.

use super::Replica;
use crate::config::Chain;
use crate::evidence::Evidence;
use crate::fetch::Until;
use crate::hashed::Hashed;
use crate::input::Ignored;
use crate::ledger::Fate;
use crate::message::{FetchItem, Message};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target};
use crate::record::Record;
use crate::reply::Outcome;
use crate::request::{ClientRequest, RequestId};
use crate::signature::Statement;
use crate::types::{Height, Slot};
use crate::verify::Verified;
use crate::vertex::{Link, Payload, Reference, SignedVertex, Vertex};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What this replica makes vertices from.
#[derive(Debug)]
pub(super) struct Authoring {
    /// This replica's last vertex.
    pub(super) tip: Link,
    /// For each other author, the height of its vertex that this replica last referred to.
    referred: Vec<Height>,
    /// Requests that wait for room.
    queue: VecDeque<Arc<ClientRequest>>,
    /// Requests in the queue and in own vertices without a last verdict.
    mine: BTreeSet<RequestId>,
}

impl Authoring {
    pub(super) fn new(chain: &Chain) -> Self {
        let referred = vec![Height(0); usize::from(chain.committee.n())];
        Self { tip: Link::genesis(chain.id), referred, queue: VecDeque::new(), mine: BTreeSet::new() }
    }

    /// An own vertex has its last verdict.
    pub(super) fn settled(&mut self, vertex: &SignedVertex) {
        for request in vertex.body.requests() {
            self.mine.remove(&request.id());
        }
    }

    /// An own vertex, made now or read back from the log.
    pub(super) fn made(&mut self, vertex: &SignedVertex) {
        if self.tip.height < vertex.body.height {
            self.tip = Link { height: vertex.body.height, id: vertex.id() };
        }
        for parent in &vertex.body.refs {
            let referred = &mut self.referred[parent.author.index()];
            *referred = parent.height.max(*referred);
        }
        self.mine.extend(vertex.body.requests().iter().map(|request| request.id()));
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }
}

/// Bytes of a vertex besides its requests and references, at the most.
const VERTEX_OVERHEAD: u64 = 256;
/// Bytes of a reference, at the most.
const REFERENCE_BYTES: u64 = 64;
/// Bytes of a request besides its operation and its caller's key and signature, at the most.
const REQUEST_OVERHEAD: u64 = 128;

/// An upper bound of the bytes that a request takes in a vertex.
fn request_bytes(request: &ClientRequest) -> u64 {
    let caller = request.request.caller.as_ref().map_or(0, |caller| caller.key.0.len());
    let signature = request.signature.as_ref().map_or(0, |signature| signature.bytes().len());
    (request.request.op.0.len() + caller + signature) as u64 + REQUEST_OVERHEAD
}

impl Replica {
    /// The requests are refused alone; the first refusal is returned.
    pub(super) fn on_requests(
        &mut self,
        requests: &[Verified<Arc<ClientRequest>>],
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let mut done = Ok(());
        let mut again = Vec::new();
        for request in requests.iter().map(Verified::get) {
            let taken = self.enqueue(request);
            if taken == Err(Ignored::Duplicate)
                && let Some(result) = self.ledger.result(request)
            {
                again.push((request.id(), Outcome::Executed(result)));
            }
            done = done.and(taken);
        }
        self.answer_again(again, out);
        self.try_author(out);
        done
    }

    fn enqueue(&mut self, request: &Arc<ClientRequest>) -> Result<(), Ignored> {
        if self.authoring.mine.contains(&request.id()) {
            return Err(Ignored::Duplicate);
        }
        if self.ledger.frontier().is_banned(self.config.id) {
            return Err(Ignored::Moot); // nothing that this replica makes is finalized any more
        }
        match self.ledger.judge(request, self.config.id, self.now) {
            Fate::Executes => {}
            Fate::Duplicate => return Err(Ignored::Duplicate),
            Fate::NoOp(_) => return Err(Ignored::Moot),
        }
        if request_bytes(request) + self.parents_bytes() > self.chain.genesis.limits.vertex_bytes {
            return Err(Ignored::Moot); // no vertex could carry it
        }
        if self.config.queued_requests <= self.authoring.queue.len() {
            return Err(Ignored::Full);
        }
        self.authoring.mine.insert(request.id());
        self.authoring.queue.push_back(request.clone());
        Ok(())
    }

    fn parents_bytes(&self) -> u64 {
        VERTEX_OVERHEAD + REFERENCE_BYTES * u64::from(self.chain.committee.n())
    }

    /// Whether this replica may make another vertex now.
    pub(super) fn has_room_for_vertex(&self) -> bool {
        let limit = self.chain.genesis.limits.open_vertices;
        self.may_vote() && (self.pool.open_of(self.config.id).count() as u64) < limit
    }

    /// Makes vertices while there is something to put into them, evidence first, and room.
    pub(super) fn try_author(&mut self, out: &mut Outbox) {
        self.submit_evidence(out);
        while !self.authoring.queue.is_empty() && self.has_room_for_vertex() {
            let payload = self.take_payload();
            if !payload.is_empty() {
                self.author(Payload::Requests(payload), out);
            }
        }
    }

    /// Requests for one vertex; those that would not execute any more are dropped.
    fn take_payload(&mut self) -> Vec<Arc<ClientRequest>> {
        let mut room = self.chain.genesis.limits.vertex_bytes - self.parents_bytes();
        let mut payload = Vec::new();
        while let Some(request) = self.authoring.queue.pop_front() {
            if self.ledger.judge(&request, self.config.id, self.now) != Fate::Executes {
                self.authoring.mine.remove(&request.id());
                continue;
            }
            let Some(left) = room.checked_sub(request_bytes(&request)) else {
                self.authoring.queue.push_front(request);
                break;
            };
            room = left;
            payload.push(request);
        }
        payload
    }

    pub(super) fn author(&mut self, payload: Payload, out: &mut Outbox) {
        let author = self.config.id;
        let mut vertex = Vertex {
            author,
            height: Height(0),
            ts: self.now,
            prev: self.authoring.tip,
            refs: self.news_to_refer_to(),
            payload,
        };
        vertex.height = vertex.due_height();
        let vertex = Arc::new(self.sign(Hashed::new(vertex), |body| Statement::Vertex(body.digest())));
        self.authoring.made(&vertex);
        out.persist(Record::OwnVertex(vertex.clone()));
        self.send(Target::All, Message::Vertex(vertex.clone()), out);
        let id = vertex.id();
        let evicted = self.pool.insert(vertex, false, Slot(0), self.ledger.frontier(), self.moment());
        assert!(evicted.is_none(), "an author's own quota is never full");
        self.pool.get_mut(&id).expect("just inserted").recorded = true;
        self.try_propose(out);
    }

    /// Of other authors, only what is finalized here: anything else may die, and this replica's chain with it (D8).
    /// Only what is new since the last vertex says anything.
    fn news_to_refer_to(&self) -> Vec<Reference> {
        let frontier = self.ledger.frontier();
        let others = self.chain.committee.members().filter(|author| *author != self.config.id);
        others
            .map(|author| (author, frontier.last_of(author)))
            .filter(|(author, last)| self.authoring.referred[author.index()] < last.height)
            .map(|(author, last)| Reference { author, height: last.height, id: last.id })
            .collect()
    }

    pub(super) fn on_vertex(&mut self, vertex: &Arc<SignedVertex>, out: &mut Outbox) -> Result<(), Ignored> {
        let id = vertex.id();
        let wanted = self.fetches.take(&FetchItem::Vertex(id));
        if self.pool.contains(&id) {
            return Err(Ignored::Duplicate);
        }
        let verdict = self.ledger.frontier().judge(vertex);
        if let Some(rival) = self.pool.rival(vertex, verdict).cloned() {
            self.accuse(Evidence::from_vertices(&rival, vertex), out);
        }
        let settled = verdict.is_void();
        let is_claimed = self.change.needs_vertex(&id);
        let in_slot = self.last_slot_listing(&id);
        // What a claim or a slot is about must not be crowded out by the author's other vertices.
        let listed = if is_claimed { self.log.end() } else { in_slot };
        if settled && listed == Slot(0) {
            return Err(Ignored::Moot);
        }
        // Own ones are not evicted; what others give back of them must not crowd the memory either.
        if vertex.author() == self.config.id && self.pool.is_full(self.config.id) {
            return Err(Ignored::Full);
        }
        let evicted = self.pool.insert(vertex.clone(), settled, listed, self.ledger.frontier(), self.moment());
        if let Some(evicted) = evicted {
            // What it stood on is asked for no longer: else an author could fill the table with names it invents.
            self.fetches.give_up(&FetchItem::Vertex(evicted.body.prev.id));
            if evicted.id() == id {
                return Err(Ignored::Full);
            }
        }
        self.fetch_predecessor(vertex);
        if wanted || listed > Slot(0) {
            self.on_body(out);
        }
        self.try_propose(out);
        Ok(())
    }

    fn last_slot_listing(&self, id: &crate::vertex::VertexId) -> Slot {
        let lists = |slot: &&Slot| {
            let state = self.log.get(**slot);
            state.is_some_and(|state| state.batches.iter().any(|batch| batch.vertices.contains(id)))
        };
        self.waiting.iter().rev().find(lists).copied().unwrap_or_default()
    }

    fn fetch_predecessor(&mut self, vertex: &SignedVertex) {
        let (author, prev) = (vertex.author(), vertex.body.prev);
        let is_missing = self.ledger.frontier().last_of(author).height < prev.height && !self.pool.contains(&prev.id);
        if is_missing && author != self.config.id && !Mutant::NoPredecessors.is_on() {
            self.fetches.want(FetchItem::Vertex(prev.id), author, Until::AllAsked, self.now);
        }
    }

    /// A body that was asked for arrived: whatever waited for it may go on.
    pub(super) fn on_body(&mut self, out: &mut Outbox) {
        for slot in self.waiting.clone() {
            let _ = self.try_accept(slot, out);
        }
        self.try_execute(out);
        self.try_new_view(out);
    }

    /// Forwards pending vertices that the primary seems not to have (D11).
    pub(super) fn forward_due(&mut self, out: &mut Outbox) {
        self.status.forget_forward_deadline();
        let primary = self.chain.committee.primary(self.view);
        if !self.is_active() || primary == self.config.id || Mutant::NeverForwards.is_on() {
            return;
        }
        let quarter = self.timers.timeout().over(4);
        let mut late = Vec::new();
        for (since, _, id) in self.pool.proposable() {
            let forwarded = self.pool.get(id).expect("pending vertices are held").forwarded;
            let due = self.timers.since_view(*since) + quarter.times(1 + u64::from(forwarded));
            if forwarded < 2 && due <= self.now {
                late.push(*id);
            }
        }
        // Predecessors are pending for longer, so they come first.
        for id in late {
            let held = self.pool.get_mut(&id).expect("held");
            held.forwarded += 1;
            let vertex = held.vertex.clone();
            self.send(Target::One(primary), Message::Vertex(vertex), out);
        }
    }

    /// When the next vertex is to be forwarded.
    pub(super) fn next_forward(&self) -> Option<crate::time::Instant> {
        if !self.is_active() || self.is_primary() || Mutant::NeverForwards.is_on() {
            return None;
        }
        let quarter = self.timers.timeout().over(4);
        let mut next = None;
        for (since, _, id) in self.pool.proposable() {
            let forwarded = self.pool.get(id).expect("pending vertices are held").forwarded;
            if forwarded < 2 {
                let due = self.timers.since_view(*since) + quarter.times(1 + u64::from(forwarded));
                next = next.min(Some(due)).or(Some(due));
            }
            if forwarded == 0 {
                break; // those behind it became pending later
            }
        }
        next
    }
}

#[cfg(test)]
mod tests;
