//! Whatever happens to a pool, what it keeps up to date step by step is what its definitions give from scratch.

use super::*;
use std::collections::BTreeMap;

/// Numbers that look random and are the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % sides as u64).expect("below a usize")
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.below(from.len())])
    }
}

/// What a pool should hold: each vertex with the slot that lists it and whether it has its last verdict.
type Content = BTreeMap<VertexId, (Arc<SignedVertex>, Slot, bool)>;

fn content(pool: &Pool) -> Content {
    pool.all().map(|held| (held.vertex.id(), (held.vertex.clone(), held.listed, held.settled))).collect()
}

/// Rule D13: its references are satisfied, and its predecessor is the last final vertex or itself pending.
fn pending_of(content: &Content, frontier: &Frontier) -> BTreeSet<VertexId> {
    let mut pending = BTreeSet::new();
    loop {
        let before = pending.len();
        for (id, (vertex, _, settled)) in content {
            let prev = vertex.body.prev;
            let follows = prev == frontier.last_of(vertex.author()) || pending.contains(&prev.id);
            let satisfied = vertex.body.refs.iter().all(|parent| frontier.reference(parent) == RefState::Satisfied);
            if !settled && follows && satisfied {
                pending.insert(*id);
            }
        }
        if pending.len() == before {
            return pending;
        }
    }
}

/// Rule D10: what goes while an author is over its quota of two, in order.
fn evict(content: &mut Content, frontier: &Frontier, author: ReplicaId) -> Vec<VertexId> {
    let mut gone = Vec::new();
    loop {
        let pending = pending_of(content, frontier);
        let own = content.iter().filter(|(_, (vertex, listed, settled))| {
            vertex.author() == author && *listed == Slot(0) && !settled && author != ME
        });
        let unlisted: Vec<_> = own.map(|(id, (vertex, ..))| (!pending.contains(id), vertex.body.height, *id)).collect();
        if unlisted.len() <= 2 {
            return gone;
        }
        let (.., id) = unlisted.iter().max().expect("more than two");
        content.remove(id);
        gone.push(*id);
    }
}

struct Play {
    scene: Scene,
    /// A state that the pool may be set back to.
    earlier: Ledger,
    dice: Dice,
    made: Vec<Arc<SignedVertex>>,
    nanos: u64,
    /// What was pending before, since when, and what was proposable.
    before: (BTreeMap<VertexId, Instant>, Vec<PendingKey>),
    changes: u64,
}

impl Play {
    fn new(seed: u64) -> Self {
        let scene = Scene::new();
        let earlier = scene.ledger.clone();
        Self { scene, earlier, dice: Dice(seed), made: vec![], nanos: 0, before: Default::default(), changes: 0 }
    }

    fn frontier(&self) -> &Frontier {
        self.scene.ledger.frontier()
    }

    fn next_slot(&self) -> Slot {
        self.scene.ledger.slot().next()
    }

    /// Most often the next vertex of an author's chain, at times a fork, or one that refers to what is not final.
    fn make(&mut self) {
        let author = ReplicaId(u16::try_from(self.dice.below(4)).expect("small"));
        let own: Vec<Link> =
            self.made.iter().filter(|made| made.author() == author).map(|vertex| link(vertex)).collect();
        let newest = own.last().copied().unwrap_or(self.scene.genesis());
        let prev = match self.dice.below(8) {
            0 => self.dice.pick(&own).copied().unwrap_or(newest),
            1..4 => self.frontier().last_of(author),
            _ => newest,
        };
        let others: Vec<Reference> =
            self.made.iter().filter(|made| made.author() != author).map(|made| reference(made)).collect();
        let refs = if self.dice.below(3) == 0 { self.dice.pick(&others).copied() } else { None };
        let op = self.made.len().to_be_bytes();
        let vertex = self.scene.make(author.0, prev, refs.as_slice(), &op);
        self.made.push(vertex);
    }

    fn insert(&mut self) {
        let Some(vertex) = self.dice.pick(&self.made).cloned() else { return };
        if self.scene.pool.contains(&vertex.id()) {
            return;
        }
        let settled = self.frontier().judge(&vertex).is_void();
        let slot = self.next_slot();
        let listed = if settled || self.dice.below(4) == 0 { slot } else { Slot(0) };
        let mut expected = content(&self.scene.pool);
        expected.insert(vertex.id(), (vertex.clone(), listed, settled));
        let gone = evict(&mut expected, self.frontier(), vertex.author());
        let evicted = self.scene.pool.insert(vertex, settled, listed, self.scene.ledger.frontier(), at(self.nanos));
        assert_eq!(evicted.map(|vertex| vertex.id()).into_iter().collect::<Vec<_>>(), gone);
        assert_eq!(content(&self.scene.pool), expected);
    }

    /// A few of what is pending, or anything that is held, become the next slot's batch.
    fn batch(&mut self) -> Vec<Arc<SignedVertex>> {
        let pool = &self.scene.pool;
        let pending: Vec<_> = pool.pending().map(|key| pool.get(&key.2).expect("held").vertex.clone()).collect();
        if self.dice.below(3) > 0 {
            let some = self.dice.below(4).min(pending.len());
            return pending[..some].to_vec();
        }
        let all: Vec<_> = pool.all().map(|held| held.vertex.clone()).collect();
        self.dice.pick(&all).cloned().into_iter().collect()
    }

    fn execute(&mut self) {
        let (batch, slot) = (self.batch(), self.next_slot());
        for vertex in &batch {
            self.scene.pool.list(&vertex.id(), slot);
            self.scene.pool.set_open(&vertex.id(), Some(slot));
        }
        self.check();
        self.scene.execute(&batch.iter().collect::<Vec<_>>(), self.nanos);
        self.scene.pool.close(slot);
        assert!(self.scene.pool.all().all(|held| held.settled || held.open_in != Some(slot)));
    }

    fn propose(&mut self) {
        let keys: Vec<_> = self.scene.pool.proposable().iter().copied().collect();
        if let Some(key) = self.dice.pick(&keys) {
            let slot = self.next_slot().plus(self.dice.below(2) as u64);
            self.scene.pool.set_open(&key.2, Some(slot));
        }
    }

    /// The state is replaced by one that went on, with a vertex that need not be held, or by an earlier one.
    fn replace(&mut self) {
        let current = self.scene.ledger.clone();
        let earlier = std::mem::replace(&mut self.earlier, current);
        if self.dice.below(3) == 0 {
            self.scene.ledger = earlier;
        } else if let Some(vertex) = self.dice.pick(&self.made).cloned() {
            self.scene.finalize(&[&vertex]);
        }
        let executed = self.scene.ledger.slot();
        let open = |pool: &Pool| pool.all().map(|held| held.open_in).collect::<Vec<_>>();
        let mut expected = content(&self.scene.pool);
        let was_open = open(&self.scene.pool);
        self.scene.pool.reopen(executed, self.scene.ledger.frontier(), at(self.nanos));
        let is_open = was_open.iter().map(|slot| slot.filter(|slot| executed < *slot));
        assert!(self.scene.pool.len() < was_open.len() || is_open.eq(open(&self.scene.pool)));
        for (vertex, _, settled) in expected.values_mut() {
            *settled = self.frontier().judge(vertex).is_void();
        }
        self.expect_quotas(expected);
        assert!(self.changes < self.scene.pool.changes());
        // Whatever is pending is so since now.
        self.before = Default::default();
    }

    fn collect(&mut self) {
        if self.dice.below(4) == 0 {
            self.scene.pool.unlist();
        }
        let floor = self.next_slot().minus(self.dice.below(3) as u64);
        let mut expected = content(&self.scene.pool);
        expected.retain(|_, (vertex, listed, settled)| {
            let (prev, last) = (vertex.body.prev, self.frontier().last_of(vertex.author()));
            floor < *listed || !*settled && (prev == last || last.height < prev.height)
        });
        expected.values_mut().filter(|(_, listed, _)| *listed <= floor).for_each(|held| held.1 = Slot(0));
        self.scene.pool.collect(floor, self.scene.ledger.frontier(), at(self.nanos));
        self.expect_quotas(expected);
    }

    fn expect_quotas(&mut self, mut expected: Content) {
        for author in (0..4).map(ReplicaId) {
            evict(&mut expected, self.frontier(), author);
        }
        assert_eq!(content(&self.scene.pool), expected);
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0..4 => self.make(),
            4..9 => self.insert(),
            9 | 10 => self.execute(),
            11 => self.propose(),
            12 => self.scene.pool.enter_view(),
            13 => self.collect(),
            14 => self.scene.pool.refresh(self.scene.ledger.frontier(), at(self.nanos)),
            _ if self.dice.below(3) == 0 => self.replace(),
            _ => self.nanos += 3,
        }
    }

    fn check(&mut self) {
        let pool = &self.scene.pool;
        let keys: Vec<PendingKey> = pool.pending().copied().collect();
        let since: BTreeMap<VertexId, Instant> = keys.iter().map(|key| (key.2, key.0)).collect();
        let expected = pending_of(&content(pool), self.frontier());
        assert_eq!(since.keys().copied().collect::<BTreeSet<_>>(), expected, "D13");
        for (id, since) in &since {
            assert_eq!(pool.pending_since(id), Some(*since));
            assert_eq!(*since, self.before.0.get(id).copied().unwrap_or(Instant(self.nanos)), "since it became so");
        }
        for (later, key) in keys.iter().enumerate() {
            let prev = pool.get(&key.2).expect("held").vertex.body.prev.id;
            assert!(keys[later..].iter().all(|key| key.2 != prev), "predecessors before successors");
        }
        let open_in = |key: &&PendingKey| pool.get(&key.2).expect("held").open_in.is_none();
        let proposable: Vec<PendingKey> = keys.iter().filter(open_in).copied().collect();
        assert!(pool.proposable().iter().eq(&proposable));
        let moment = |key: &PendingKey| (key.0, at(key.0.0).held_back);
        assert_eq!(pool.oldest_pending(), keys.first().map(moment));
        assert_eq!(pool.oldest_proposable(), proposable.first().map(moment));
        for author in (0..4).map(ReplicaId) {
            let mut open: Vec<(Height, VertexId)> = pool
                .all()
                .filter(|held| held.vertex.author() == author && !held.settled)
                .map(|held| (held.vertex.body.height, held.vertex.id()))
                .collect();
            open.sort_unstable();
            assert!(pool.open_of(author).map(|held| (held.vertex.body.height, held.vertex.id())).eq(open.clone()));
            assert_eq!(pool.is_full(author), 2 <= open.len());
        }
        let now = (since, proposable);
        assert!(now == self.before || self.changes < pool.changes(), "every change is counted");
        self.changes = pool.changes();
        self.before = now;
    }
}

#[test]
fn what_a_pool_keeps_up_to_date_is_what_its_definitions_give() {
    for seed in 0..300 {
        let mut play = Play::new(seed);
        for _ in 0..100 {
            play.step();
            play.check();
        }
    }
}
