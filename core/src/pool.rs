//! Vertices that are held, and which of them this replica waits to see executed (`docs/protocol.md` D10, D13).

#[cfg(test)]
mod tests;

use crate::ledger::{Frontier, RefState, Verdict};
use crate::mutant::Mutant;
use crate::time::{Duration, Instant};
use crate::types::{Height, ReplicaId, Slot};
use crate::vertex::{SignedVertex, VertexId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Since when, and in which order among those of the same moment, a vertex has been pending.
pub type PendingKey = (Instant, u64, VertexId);

/// A vertex with what this replica knows of it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The vertex.
    pub vertex: Arc<SignedVertex>,
    /// Whether its record was appended.
    pub recorded: bool,
    /// The highest slot whose batch lists it; slot 0 if none does.
    pub listed: Slot,
    /// Whether it has its last verdict.
    pub settled: bool,
    /// The open slot of the installed view that lists it.
    pub open_in: Option<Slot>,
    /// How often it was forwarded to the primary of the installed view.
    pub forwarded: u8,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    since: Instant,
    order: u64,
}

/// A vertex without a last verdict, with what is asked of it most often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    height: Height,
    id: VertexId,
    prev: VertexId,
}

impl Open {
    fn new(vertex: &SignedVertex) -> Self {
        Self { height: vertex.body.height, id: vertex.id(), prev: vertex.body.prev.id }
    }
}

/// The vertices held.
#[derive(Clone, Debug)]
pub struct Pool {
    me: ReplicaId,
    quota: usize,
    held: BTreeMap<VertexId, Held>,
    /// Vertices without a last verdict by author, ascending by height.
    open: Vec<Vec<Open>>,
    /// Authors with two open vertices that follow the same one, now or once.
    forked: Vec<bool>,
    /// With how long timers had been held back when each became pending.
    pending: BTreeMap<PendingKey, Duration>,
    proposable: BTreeSet<PendingKey>,
    next_order: u64,
    changes: u64,
}

/// The moment at which the state of the pool is looked at, with the time for which timers were held back so far.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The moment.
    pub at: Instant,
    /// How long the timers have been held back in total (`docs/protocol.md` T7).
    pub held_back: Duration,
}

impl Pool {
    /// An empty pool of one of `n` authors that may each have `open_vertices` unfinalized.
    #[must_use]
    pub fn new(me: ReplicaId, n: u16, open_vertices: u64) -> Self {
        let n = usize::from(n);
        Self {
            me,
            quota: 2 * usize::try_from(open_vertices).expect("validated"),
            held: BTreeMap::new(),
            open: vec![Vec::new(); n],
            forked: vec![false; n],
            pending: BTreeMap::new(),
            proposable: BTreeSet::new(),
            next_order: 0,
            changes: 0,
        }
    }

    /// A held vertex.
    #[must_use]
    pub fn get(&self, id: &VertexId) -> Option<&Held> {
        self.held.get(id)
    }

    /// A held vertex.
    pub fn get_mut(&mut self, id: &VertexId) -> Option<&mut Held> {
        self.held.get_mut(id)
    }

    /// Whether a vertex is held.
    #[must_use]
    pub fn contains(&self, id: &VertexId) -> bool {
        self.held.contains_key(id)
    }

    /// The number of vertices held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Every vertex that this replica waits to see executed, longest first.
    #[must_use]
    pub fn pending(&self) -> impl ExactSizeIterator<Item = &PendingKey> {
        self.pending.keys()
    }

    /// Pending vertices that no open slot of this view lists, longest first.
    #[must_use]
    pub fn proposable(&self) -> &BTreeSet<PendingKey> {
        &self.proposable
    }

    /// Counts every change of what is pending or proposable.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The vertex pending for longest: since when, and how long timers had been held back by then.
    #[must_use]
    pub fn oldest_pending(&self) -> Option<(Instant, Duration)> {
        self.pending.first_key_value().map(|((since, ..), held_back)| (*since, *held_back))
    }

    /// Whether an author has as many vertices without a last verdict as it may have.
    #[must_use]
    pub fn is_full(&self, author: ReplicaId) -> bool {
        self.quota <= self.open[author.index()].len()
    }

    /// The same of those that no open slot lists.
    #[must_use]
    pub fn oldest_proposable(&self) -> Option<(Instant, Duration)> {
        let key = self.proposable.first()?;
        Some((key.0, self.pending[key]))
    }

    /// The vertices of an author without a last verdict, ascending by height.
    pub fn open_of(&self, author: ReplicaId) -> impl DoubleEndedIterator<Item = &Held> {
        self.open[author.index()].iter().map(|open| &self.held[&open.id])
    }

    /// Another held vertex of the same author and height: evidence of a fork. Only for a vertex that is dead where
    /// it arrives can that be one with a last verdict.
    #[must_use]
    pub fn rival(&self, vertex: &SignedVertex, verdict: Verdict) -> Option<&Arc<SignedVertex>> {
        let is_rival = |held: &&Held| {
            let other = &held.vertex;
            other.author() == vertex.author() && other.body.height == vertex.body.height && other.id() != vertex.id()
        };
        let settled = || if verdict == Verdict::Dead { self.held.values().find(is_rival) } else { None };
        let this = Open::new(vertex);
        let is_open = |open: &&Open| open.height == this.height && open.id != this.id;
        let open = self.open[vertex.author().index()].iter().find(is_open).map(|open| &self.held[&open.id]);
        open.or_else(settled).map(|held| &held.vertex)
    }

    /// Takes a vertex that is not held. `settled` if it has its last verdict already and is kept for a slot that
    /// lists it; `listed` is the highest slot that does. Returns what had to go because the author's quota is full:
    /// another one, or this one if it is the least useful.
    pub fn insert(
        &mut self,
        vertex: Arc<SignedVertex>,
        settled: bool,
        listed: Slot,
        frontier: &Frontier,
        now: Now,
    ) -> Option<Arc<SignedVertex>> {
        let (author, id) = (vertex.author(), vertex.id());
        assert!(!self.contains(&id), "a vertex is held once");
        let held = Held { vertex, recorded: false, listed, settled, open_in: None, forwarded: 0, pending: None };
        if settled {
            self.held.insert(id, held);
            return None;
        }
        let this = Open::new(&held.vertex);
        self.held.insert(id, held);
        let open = &mut self.open[author.index()];
        self.forked[author.index()] |= open.iter().any(|other| other.prev == this.prev);
        let at = open.binary_search(&this).expect_err("a vertex is held once");
        open.insert(at, this);
        self.refresh_author(author, at, frontier, now);
        self.evict(author, frontier, now)
    }

    /// Keeps an author within its quota: what nobody listed and cannot be pending goes first, then the highest. The own
    /// vertices stay: after a restart from an old snapshot there may be many, and the newest are what nobody else need
    /// hold (D10). What stood on a vertex that goes waits for it again (D13).
    fn evict(&mut self, author: ReplicaId, frontier: &Frontier, now: Now) -> Option<Arc<SignedVertex>> {
        if author == self.me || Mutant::NoQuota.is_on() || self.open[author.index()].len() <= self.quota {
            return None; // listed or not
        }
        let unlisted = |held: &&Held| held.listed == Slot(0);
        if self.open_of(author).filter(unlisted).count() <= self.quota {
            return None;
        }
        let highest = |stuck: bool| {
            let mut from_top = self.open_of(author).rev().filter(unlisted);
            from_top.find(|held| !stuck || held.pending.is_none()).map(|held| held.vertex.clone())
        };
        let victim = highest(true).or_else(|| highest(false))?;
        self.remove(&victim.id());
        self.refresh_author(author, 0, frontier, now);
        Some(victim)
    }

    /// After slots were forgotten, their vertices count against their authors' quotas again.
    fn enforce_quotas(&mut self, frontier: &Frontier, now: Now) {
        for author in 0..self.open.len() {
            let author = ReplicaId(u16::try_from(author).expect("at most 128"));
            while self.evict(author, frontier, now).is_some() {}
        }
    }

    fn remove(&mut self, id: &VertexId) {
        self.unset_pending(id);
        if let Some(held) = self.held.remove(id) {
            self.open[held.vertex.author().index()].retain(|other| other.id != *id);
        }
    }

    /// Gives a vertex its last verdict.
    pub fn settle(&mut self, id: &VertexId) {
        self.unset_pending(id);
        if let Some(held) = self.held.get_mut(id) {
            held.settled = true;
            held.open_in = None;
            self.open[held.vertex.author().index()].retain(|other| other.id != *id);
        }
    }

    /// Whether finalizing a vertex of `author` can change what is pending beyond that vertex: something held is
    /// stuck, or the author forked. In an ordinary run neither is true, and nothing need be looked at again.
    #[must_use]
    pub fn is_entangled(&self, author: ReplicaId) -> bool {
        let open: usize = self.open.iter().map(Vec::len).sum();
        self.forked[author.index()] || open != self.pending.len()
    }

    /// Looks again at everything without a last verdict after the frontier moved.
    pub fn refresh(&mut self, frontier: &Frontier, now: Now) {
        for author in 0..self.open.len() {
            let author = ReplicaId(u16::try_from(author).expect("at most 128"));
            self.refresh_author(author, 0, frontier, now);
        }
    }

    /// What is pending of an author, from the place of a vertex on: those below do not depend on it.
    fn refresh_author(&mut self, author: ReplicaId, from: usize, frontier: &Frontier, now: Now) {
        let last = frontier.last_of(author);
        for at in from..self.open[author.index()].len() {
            let id = self.open[author.index()][at].id;
            let held = &self.held[&id];
            let body = &held.vertex.body;
            let follows = body.prev == last || self.held.get(&body.prev.id).is_some_and(|prev| prev.pending.is_some());
            let is_pending =
                follows && body.refs.iter().all(|parent| frontier.reference(parent) == RefState::Satisfied);
            if is_pending && held.pending.is_none() {
                self.set_pending(&id, now);
            } else if !is_pending {
                self.unset_pending(&id);
            }
        }
    }

    fn set_pending(&mut self, id: &VertexId, now: Now) {
        let Some(held) = self.held.get_mut(id) else { return };
        let pending = Pending { since: now.at, order: self.next_order };
        self.next_order += 1;
        self.changes += 1;
        held.pending = Some(pending);
        let key = (pending.since, pending.order, *id);
        self.pending.insert(key, now.held_back);
        if held.open_in.is_none() {
            self.proposable.insert(key);
        }
    }

    fn unset_pending(&mut self, id: &VertexId) {
        if let Some(pending) = self.held.get_mut(id).and_then(|held| held.pending.take()) {
            let key = (pending.since, pending.order, *id);
            self.pending.remove(&key);
            self.proposable.remove(&key);
            self.changes += 1;
        }
    }

    /// Since when a vertex has been pending.
    #[must_use]
    pub fn pending_since(&self, id: &VertexId) -> Option<Instant> {
        Some(self.held.get(id)?.pending?.since)
    }

    /// The finalized state was replaced by that after `executed`: every vertex is judged anew.
    pub fn reopen(&mut self, executed: Slot, frontier: &Frontier, now: Now) {
        self.pending.clear();
        self.proposable.clear();
        self.changes += 1;
        self.open.iter_mut().for_each(Vec::clear);
        for held in self.held.values_mut() {
            held.pending = None;
            held.open_in = held.open_in.filter(|slot| executed < *slot);
            held.settled = frontier.judge(&held.vertex).is_void();
            if !held.settled {
                self.open[held.vertex.author().index()].push(Open::new(&held.vertex));
            }
        }
        for (open, forked) in self.open.iter_mut().zip(&mut self.forked) {
            open.sort_unstable();
            let prevs: BTreeSet<VertexId> = open.iter().map(|vertex| vertex.prev).collect();
            *forked = prevs.len() < open.len();
        }
        self.refresh(frontier, now);
        self.enforce_quotas(frontier, now);
    }

    /// A slot of the ring lists the vertex: its body is kept as long as the slot.
    pub fn list(&mut self, id: &VertexId, slot: Slot) {
        if let Some(held) = self.held.get_mut(id) {
            held.listed = held.listed.max(slot);
        }
    }

    /// Forgets which slots list which vertices.
    pub fn unlist(&mut self) {
        self.held.values_mut().for_each(|held| held.listed = Slot(0));
    }

    /// An open slot of the installed view lists the vertex, so it is not to be proposed again; or, with `None`,
    /// no longer does.
    pub fn set_open(&mut self, id: &VertexId, slot: Option<Slot>) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.open_in = slot;
        self.changes += 1;
        if let Some(pending) = held.pending {
            let key = (pending.since, pending.order, *id);
            if slot.is_some() {
                self.proposable.remove(&key);
            } else {
                self.proposable.insert(key);
            }
        }
    }

    /// A slot was executed: vertices that only another batch for it listed are open to be proposed again.
    pub fn close(&mut self, slot: Slot) {
        let left: Vec<VertexId> =
            self.open.iter().flatten().map(|open| open.id).filter(|id| self.held[id].open_in == Some(slot)).collect();
        left.iter().for_each(|id| self.set_open(id, None));
    }

    /// A view was installed: no slot of it is open yet, and nothing was forwarded to its primary.
    pub fn enter_view(&mut self) {
        for held in self.held.values_mut() {
            held.open_in = None;
            held.forwarded = 0;
        }
        self.proposable = self.pending.keys().copied().collect();
        self.changes += 1;
    }

    /// Forgets what is settled, or can never be final, and listed by no slot above `floor`.
    pub fn collect(&mut self, floor: Slot, frontier: &Frontier, now: Now) {
        let dead = |held: &Held| {
            let last = frontier.last_of(held.vertex.author());
            held.vertex.body.prev != last && held.vertex.body.prev.height <= last.height
        };
        let old = |held: &Held| held.listed <= floor && (held.settled || dead(held));
        let gone: Vec<VertexId> = self.held.iter().filter(|(_, held)| old(held)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| self.remove(id));
        for held in self.held.values_mut().filter(|held| held.listed <= floor) {
            held.listed = Slot(0);
        }
        self.enforce_quotas(frontier, now);
    }

    /// All vertices held, ascending by id.
    pub fn all(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }
}
