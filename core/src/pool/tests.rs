use super::*;
use crate::batch::Batch;
use crate::hashed::Hashed;
use crate::ledger::Ledger;
use crate::verify::testing::World;
use crate::vertex::{Link, Reference, Vertex};

mod model;

const ME: ReplicaId = ReplicaId(0);

fn link(vertex: &SignedVertex) -> Link {
    Link { height: vertex.body.height, id: vertex.id() }
}

fn reference(vertex: &SignedVertex) -> Reference {
    Reference { author: vertex.author(), height: vertex.body.height, id: vertex.id() }
}

fn at(nanos: u64) -> Now {
    Now { at: Instant(nanos), held_back: Duration(nanos / 2) }
}

/// A pool of r0 with a quota of two vertices, and what it is told of.
struct Scene {
    world: World,
    ledger: Ledger,
    pool: Pool,
}

impl Scene {
    fn new() -> Self {
        let world = World::new(4);
        Self { ledger: Ledger::new(world.chain.clone()), pool: Pool::new(ME, 4, 1), world }
    }

    fn genesis(&self) -> Link {
        Link::genesis(self.world.chain.id)
    }

    /// A vertex that nobody holds yet.
    fn make(&self, author: u16, prev: Link, refs: &[Reference], op: &[u8]) -> Arc<SignedVertex> {
        let vertex = Vertex { prev, refs: refs.to_vec(), ..self.world.vertex(author, op) };
        let height = vertex.due_height();
        self.world.sign_vertex(Vertex { height, ..vertex })
    }

    /// An author's chain of so many vertices.
    fn chain(&self, author: u16, length: usize) -> Vec<Arc<SignedVertex>> {
        let mut chain: Vec<Arc<SignedVertex>> = Vec::new();
        for _ in 0..length {
            let prev = chain.last().map_or(self.genesis(), |last| link(last));
            chain.push(self.make(author, prev, &[], b""));
        }
        chain
    }

    fn insert(&mut self, vertex: &Arc<SignedVertex>, nanos: u64) -> Option<VertexId> {
        let evicted = self.pool.insert(vertex.clone(), false, Slot(0), self.ledger.frontier(), at(nanos));
        evicted.map(|vertex| vertex.id())
    }

    /// Finalizes the next slot with these vertices.
    fn finalize(&mut self, vertices: &[&Arc<SignedVertex>]) -> Vec<(VertexId, Verdict)> {
        let batch = Batch { ts: Instant(0), vertices: vertices.iter().map(|vertex| vertex.id()).collect() };
        let body = |id: &VertexId| *vertices.iter().find(|vertex| vertex.id() == *id).expect("listed");
        let slot = self.ledger.slot().next();
        self.ledger.finalize(slot, Some(&Hashed::new(batch)), body).verdicts
    }

    /// Executes the next slot with these vertices, which are held, as a replica does.
    fn execute(&mut self, vertices: &[&Arc<SignedVertex>], nanos: u64) {
        let mut entangled = false;
        for (id, verdict) in self.finalize(vertices) {
            if verdict == Verdict::Missing {
                self.pool.set_open(&id, None);
            } else {
                self.pool.settle(&id);
                entangled |= self.pool.is_entangled(self.pool.get(&id).expect("held").vertex.author());
            }
        }
        if entangled {
            self.pool.refresh(self.ledger.frontier(), at(nanos));
        }
    }

    fn pending(&self) -> Vec<VertexId> {
        self.pool.pending().map(|key| key.2).collect()
    }
}

fn ids<'a>(vertices: impl IntoIterator<Item = &'a Arc<SignedVertex>>) -> Vec<VertexId> {
    vertices.into_iter().map(|vertex| vertex.id()).collect()
}

// Rule D13.
#[test]
fn a_missing_predecessor_keeps_an_authors_vertices_waiting_and_lets_them_go_in_order() {
    let mut scene = Scene::new();
    let chain = scene.chain(0, 3);
    scene.insert(&chain[2], 1);
    scene.insert(&chain[1], 2);
    assert_eq!(scene.pending(), [], "the first one is not there");
    assert_eq!((scene.pool.oldest_pending(), scene.pool.oldest_proposable()), (None, None));
    scene.insert(&chain[0], 3);
    assert_eq!(scene.pending(), ids(&chain), "all of the same moment: predecessors before successors");
    assert_eq!(scene.pool.oldest_pending(), Some((Instant(3), Duration(1))));
    assert_eq!(scene.pool.pending_since(&chain[2].id()), Some(Instant(3)), "not since it was received");
}

// Rule D13: of two vertices that cannot both become final, the one that lost forces nobody into a view change.
#[test]
fn a_fork_is_pending_on_both_sides_until_one_of_them_is_final() {
    let mut scene = Scene::new();
    let [left, right] = [b"l", b"r"].map(|op| scene.make(1, scene.genesis(), &[], op));
    scene.insert(&left, 1);
    scene.insert(&right, 2);
    assert_eq!(scene.pending(), ids([&left, &right]));
    scene.execute(&[&left], 3);
    assert_eq!(scene.pending(), []);
    assert_eq!(ids(scene.pool.open_of(ReplicaId(1)).map(|held| &held.vertex)), ids([&right]), "still held");
}

// Rule C16: what was final or dead in a state that was given up is neither in the one that took its place.
#[test]
fn a_fork_that_is_open_again_is_still_known_as_one() {
    let mut scene = Scene::new();
    let [left, right] = [b"l", b"r"].map(|op| scene.make(1, scene.genesis(), &[], op));
    scene.insert(&left, 1);
    scene.execute(&[&left], 2);
    scene.pool.insert(right.clone(), true, Slot(9), scene.ledger.frontier(), at(3));
    scene.ledger = Ledger::new(scene.world.chain.clone());
    scene.pool.reopen(Slot(0), scene.ledger.frontier(), at(4));
    assert_eq!(scene.pending().len(), 2);
    scene.execute(&[&left], 5);
    assert_eq!(scene.pending(), []);
}

#[test]
fn what_waits_for_a_reference_becomes_pending_when_that_is_final() {
    let mut scene = Scene::new();
    let parent = scene.make(1, scene.genesis(), &[], b"");
    let child = scene.make(2, scene.genesis(), &[reference(&parent)], b"");
    scene.insert(&parent, 1);
    scene.insert(&child, 2);
    assert_eq!(scene.pending(), ids([&parent]));
    scene.execute(&[&parent], 7);
    assert_eq!(scene.pending(), ids([&child]));
    assert_eq!(scene.pool.pending_since(&child.id()), Some(Instant(7)));
}

#[test]
fn in_an_ordinary_run_nothing_need_be_looked_at_again() {
    let mut scene = Scene::new();
    let (one, other) = (scene.chain(1, 2), scene.chain(2, 2));
    for (nanos, vertex) in (0..).zip([&one[0], &other[0], &one[1], &other[1]]) {
        scene.insert(vertex, nanos);
    }
    for vertex in [&one[0], &other[0]] {
        scene.execute(&[vertex], 9);
        assert!(!scene.pool.is_entangled(vertex.author()));
    }
    assert_eq!(scene.pending(), ids([&one[1], &other[1]]));
    scene.pool.reopen(Slot(2), scene.ledger.frontier(), at(9));
    assert!(!scene.pool.is_entangled(ReplicaId(1)));
    // One author's fork entangles nobody else, a stuck vertex everybody.
    let fork = scene.make(1, link(&one[0]), &[], b"fork");
    scene.insert(&fork, 10);
    assert_eq!([1, 2].map(|author| scene.pool.is_entangled(ReplicaId(author))), [true, false]);
    let gap = scene.make(3, scene.genesis(), &[], b"");
    let orphan = scene.make(3, link(&gap), &[], b"");
    scene.insert(&orphan, 11);
    assert_eq!([1, 2].map(|author| scene.pool.is_entangled(ReplicaId(author))), [true, true]);
}

// Rule D10.
#[test]
fn an_author_that_is_over_its_quota_loses_its_highest_stuck_vertex_and_then_its_highest() {
    let mut scene = Scene::new();
    let chain = scene.chain(1, 5);
    assert_eq!(scene.insert(&chain[0], 1), None);
    assert!(!scene.pool.is_full(ReplicaId(1)));
    assert_eq!(scene.insert(&chain[4], 2), None, "two fit");
    assert!(scene.pool.is_full(ReplicaId(1)));
    assert_eq!(scene.insert(&chain[3], 3), Some(chain[4].id()), "the higher of the two that are stuck");
    assert_eq!(scene.insert(&chain[1], 4), Some(chain[3].id()), "the last one that is stuck");
    assert_eq!(scene.insert(&chain[2], 5), Some(chain[2].id()), "the highest of all, itself");
    assert_eq!(scene.pending(), ids(&chain[..2]));
    assert_eq!(scene.pool.len(), 2);
}

#[test]
fn what_a_slot_lists_counts_against_no_quota_until_the_slot_is_forgotten() {
    let mut scene = Scene::new();
    let chain = scene.chain(1, 4);
    for vertex in &chain {
        assert_eq!(scene.insert(vertex, 1), None);
        scene.pool.list(&vertex.id(), Slot(vertex.body.height.0));
    }
    scene.pool.list(&chain[3].id(), Slot(1));
    assert_eq!(scene.pool.get(&chain[3].id()).map(|held| held.listed), Some(Slot(4)), "the highest slot counts");
    scene.pool.collect(Slot(2), scene.ledger.frontier(), at(9));
    assert_eq!(scene.pool.len(), 4, "two listed, and two that fit");
    scene.pool.collect(Slot(3), scene.ledger.frontier(), at(9));
    let left: Vec<Height> = scene.pool.open_of(ReplicaId(1)).map(|held| held.vertex.body.height).collect();
    assert_eq!(left, [1, 2, 4].map(Height), "the highest that no slot lists is gone");
}

#[test]
fn own_vertices_stay_however_many_they_are() {
    let mut scene = Scene::new();
    let chain = scene.chain(ME.0, 9);
    assert!(chain.iter().all(|vertex| scene.insert(vertex, 1).is_none()));
    assert_eq!(scene.pool.len(), 9);
}

#[test]
fn a_vertex_with_its_last_verdict_is_held_for_a_slot_and_nothing_else() {
    let mut scene = Scene::new();
    assert!(scene.pool.is_empty());
    let vertex = scene.make(1, scene.genesis(), &[], b"");
    scene.finalize(&[&vertex]);
    let evicted = scene.pool.insert(vertex.clone(), true, Slot(1), scene.ledger.frontier(), at(2));
    assert!(evicted.is_none() && scene.pool.contains(&vertex.id()) && !scene.pool.is_empty());
    assert_eq!((scene.pending(), scene.pool.open_of(ReplicaId(1)).count()), (vec![], 0));
    scene.pool.collect(Slot(0), scene.ledger.frontier(), at(9));
    assert_eq!(scene.pool.len(), 1, "slot 1 lists it");
    scene.pool.collect(Slot(1), scene.ledger.frontier(), at(9));
    assert!(scene.pool.is_empty() && !scene.pool.contains(&vertex.id()));
}

#[test]
fn only_what_is_settled_or_dead_is_collected() {
    let mut scene = Scene::new();
    let chain = scene.chain(1, 3);
    let rival = scene.make(1, scene.genesis(), &[], b"rival");
    let waiting = scene.make(1, link(&chain[2]), &[], b"its predecessor is not there");
    for vertex in [&chain[0], &chain[1], &waiting, &rival] {
        scene.pool.insert(vertex.clone(), false, Slot(9), scene.ledger.frontier(), at(1));
    }
    assert_eq!(scene.pool.len(), 4);
    scene.execute(&[&chain[0]], 2);
    scene.pool.unlist();
    scene.pool.collect(Slot(0), scene.ledger.frontier(), at(9));
    let mut left = ids([&chain[1], &waiting]);
    left.sort_unstable();
    assert_eq!(ids(scene.pool.all().map(|held| &held.vertex)), left);
}

#[test]
fn a_rival_is_another_vertex_of_the_same_author_and_height() {
    let mut scene = Scene::new();
    let [vertex, rival] = [b"v", b"r"].map(|op| scene.make(1, scene.genesis(), &[], op));
    let elsewhere = [scene.make(2, scene.genesis(), &[], b""), scene.make(1, link(&vertex), &[], b"")];
    scene.insert(&vertex, 1);
    for vertex in &elsewhere {
        scene.insert(vertex, 1);
    }
    for verdict in [Verdict::Final, Verdict::Dead] {
        assert_eq!(scene.pool.rival(&vertex, verdict), None, "itself, a higher one, or one of another author");
        assert_eq!(scene.pool.rival(&rival, verdict).map(|found| found.id()), Some(vertex.id()));
    }
    // Where everything has its last verdict, only what is dead can have a rival.
    scene.pool.settle(&vertex.id());
    scene.pool.settle(&elsewhere[1].id());
    assert_eq!(scene.pool.rival(&vertex, Verdict::Dead), None);
    assert_eq!(scene.pool.rival(&rival, Verdict::Dead).map(|found| found.id()), Some(vertex.id()));
    assert_eq!(scene.pool.rival(&rival, Verdict::Duplicate), None);
}

#[test]
fn what_an_open_slot_lists_is_pending_and_not_proposed_again() {
    let mut scene = Scene::new();
    let chain = scene.chain(1, 2);
    scene.insert(&chain[0], 4);
    scene.insert(&chain[1], 6);
    let proposable = |scene: &Scene| scene.pool.proposable().iter().map(|key| key.2).collect::<Vec<_>>();
    scene.pool.set_open(&chain[0].id(), Some(Slot(1)));
    assert_eq!((scene.pending(), proposable(&scene)), (ids(&chain), ids([&chain[1]])));
    assert_eq!(scene.pool.oldest_pending(), Some((Instant(4), Duration(2))));
    assert_eq!(scene.pool.oldest_proposable(), Some((Instant(6), Duration(3))));
    scene.pool.set_open(&chain[1].id(), Some(Slot(2)));
    scene.pool.close(Slot(2));
    assert_eq!(proposable(&scene), ids([&chain[1]]), "of the slot that was closed");
    scene.pool.get_mut(&chain[0].id()).expect("held").forwarded = 2;
    scene.pool.enter_view();
    assert_eq!(proposable(&scene), ids(&chain));
    assert_eq!(scene.pool.get(&chain[0].id()).map(|held| (held.open_in, held.forwarded)), Some((None, 0)));
}

#[test]
#[should_panic(expected = "a vertex is held once")]
fn a_vertex_is_not_taken_twice() {
    let mut scene = Scene::new();
    let vertex = scene.make(1, scene.genesis(), &[], b"");
    scene.insert(&vertex, 1);
    scene.insert(&vertex, 2);
}
