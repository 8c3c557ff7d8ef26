use super::*;
use crate::verify::testing::{World, digest};
use crate::vertex::Vertex;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn world() -> World {
    World::new(4)
}

/// The whole finalized order, of which nothing is forgotten. What a frontier should say is read off it, rule by rule.
struct Order {
    world: World,
    /// The slot that executes now.
    slot: Slot,
    banned: ReplicaSet,
    all: Vec<(Slot, Reference)>,
}

impl Order {
    fn of(&self, author: ReplicaId) -> impl DoubleEndedIterator<Item = &(Slot, Reference)> + Clone {
        self.all.iter().filter(move |(_, entry)| entry.author == author)
    }

    fn last(&self, author: ReplicaId) -> Link {
        let last = self.of(author).next_back().map(|(_, entry)| Link { height: entry.height, id: entry.id });
        last.unwrap_or(Link::genesis(self.world.chain.id))
    }

    /// Whether the index holds what this slot finalized: slots > s - 4L (rule F2).
    fn indexes(&self, slot: Slot) -> bool {
        self.slot.0 < slot.0 + 4 * self.world.chain.window()
    }

    fn aged(&self, author: ReplicaId) -> Height {
        let old = self.of(author).filter(|(slot, _)| !self.indexes(*slot));
        old.map(|(_, entry)| entry.height).max().unwrap_or_default()
    }

    /// Rows 4 to 7 of rule F3.
    fn reference(&self, parent: &Reference) -> RefState {
        if parent.height <= self.aged(parent.author) {
            return RefState::Satisfied;
        }
        let there = self.of(parent.author).find(|(slot, entry)| self.indexes(*slot) && entry.height == parent.height);
        match there {
            Some((_, entry)) if entry.id == parent.id => RefState::Satisfied,
            Some(_) => RefState::Dead,
            None if parent.height <= self.last(parent.author).height => RefState::Dead,
            None => RefState::Missing,
        }
    }

    /// All rows of rule F3.
    fn judge(&self, vertex: &SignedVertex) -> Verdict {
        let (prev, last) = (vertex.body.prev, self.last(vertex.author()));
        let of_refs = vertex.body.refs.iter().map(|parent| self.reference(parent));
        let worst = of_refs.into_iter().find(|state| *state != RefState::Satisfied);
        match worst {
            _ if self.banned & singleton(vertex.author()) != 0 => Verdict::Banned,
            _ if self.all.iter().any(|(slot, entry)| self.indexes(*slot) && entry.id == vertex.id()) => {
                Verdict::Duplicate
            }
            _ if prev != last && prev.height <= last.height => Verdict::Dead,
            _ if prev != last => Verdict::Missing,
            Some(RefState::Dead) => Verdict::Dead,
            Some(_) => Verdict::Missing,
            None => Verdict::Final,
        }
    }

    /// The chunks of the index: one for each run of K slots of which it holds any (rule C13).
    fn chunks(&self) -> Vec<Vec<u8>> {
        let interval = self.world.chain.checkpoint_interval();
        let mut chunks: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (slot, entry) in &self.all {
            let run = slot.0.div_ceil(interval);
            if self.indexes(Slot(run * interval)) {
                let first = (run - 1) * interval + 1;
                let chunk = chunks.entry(run).or_insert_with(|| [&[1][..], &first.to_be_bytes()].concat());
                chunk.extend(slot.0.to_be_bytes());
                chunk.extend(entry.author.0.to_be_bytes());
                chunk.extend(entry.height.0.to_be_bytes());
                chunk.extend(entry.id.0);
            }
        }
        chunks.into_values().collect()
    }
}

/// How a listed vertex relates to the order. Numbers are choices, to be reduced to what is possible.
#[derive(Clone, Copy, Debug)]
struct Listing {
    slots_later: u64,
    author: u16,
    prev: u8,
    refs: [u8; 4],
    earlier: usize,
}

fn some_listing() -> impl Strategy<Value = Listing> {
    let slots_later = prop_oneof![6 => Just(0_u64), 5 => Just(1), 1 => 2..9_u64];
    (slots_later, 0..4_u16, 0..14_u8, any::<[u8; 4]>(), any::<usize>())
        .prop_map(|(slots_later, author, prev, refs, earlier)| Listing { slots_later, author, prev, refs, earlier })
}

impl Listing {
    /// One of an author's final vertices, or the genesis.
    fn earlier(self, order: &Order, author: ReplicaId) -> Link {
        let count = order.of(author).count();
        let one = order.of(author).nth(self.earlier.checked_rem(count).unwrap_or_default());
        one.map_or(Link::genesis(order.world.chain.id), |(_, entry)| Link { height: entry.height, id: entry.id })
    }

    fn vertex(self, order: &Order, nonce: u32) -> Arc<SignedVertex> {
        let author = ReplicaId(self.author);
        let last = order.last(author);
        let forged = |height| Link { height: Height(height), id: digest(66) };
        let prev = match self.prev {
            0 => Link::genesis(order.world.chain.id),
            1 => self.earlier(order, author),
            2 => forged(last.height.0),
            3 => forged(last.height.0 + 1),
            4 => forged(last.height.0 + 5),
            _ => last,
        };
        let others = (0..4).map(ReplicaId).filter(|other| *other != author);
        let refs = others.filter_map(|other| {
            let (last, earlier) = (order.last(other), self.earlier(order, other));
            let Link { height, id } = match self.refs[other.index()] % 32 {
                0..8 => last,
                8..10 => earlier,
                10 => forged(earlier.height.0),
                11 => forged(earlier.height.0.saturating_sub(1)),
                12 => forged(earlier.height.0 + 1),
                13 => forged(last.height.0 + 1),
                _ => return None,
            };
            (height > Height(0)).then_some(Reference { author: other, height, id })
        });
        let refs = refs.collect();
        let mut vertex = Vertex { prev, refs, ..order.world.vertex(self.author, &nonce.to_be_bytes()) };
        vertex.height = vertex.due_height();
        order.world.sign_vertex(vertex)
    }
}

fn chunks(frontier: &mut Frontier) -> Vec<Vec<u8>> {
    frontier.segments_mut().map(|segment| segment.bytes().0.clone()).collect()
}

fn restored(chain: &Chain, frontier: &mut Frontier) -> Frontier {
    let mut after = Frontier::restored(chain, frontier.last().to_vec(), frontier.aged().to_vec());
    for chunk in chunks(frontier) {
        after.restore_segment(&chunk).expect("its own chunk");
    }
    after.set_banned(frontier.banned);
    after
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_frontier_says_of_every_vertex_what_the_whole_order_says(
        listings in proptest::collection::vec(some_listing(), 100..220),
        banned in prop_oneof![Just(0_u128), Just(0b0100)],
    ) {
        let mut order = Order { world: world(), slot: Slot(1), banned: 0, all: Vec::new() };
        let chain = Arc::clone(&order.world.chain);
        let mut frontier = Frontier::new(&chain);
        let mut known: Vec<Arc<SignedVertex>> = Vec::new();
        for (nonce, listing) in (0..).zip(listings) {
            if nonce == 90 {
                order.banned = banned;
                frontier.set_banned(banned);
            }
            for _ in 0..listing.slots_later {
                // After every second checkpoint somebody goes on from the snapshot.
                if order.slot.is_checkpoint(2 * chain.checkpoint_interval()) {
                    frontier = restored(&chain, &mut frontier);
                }
                order.slot = order.slot.next();
                frontier.age(order.slot);
                let aged: Vec<_> = (0..4).map(|author| order.aged(ReplicaId(author))).collect();
                prop_assert_eq!(frontier.aged(), aged);
                prop_assert_eq!(chunks(&mut frontier), order.chunks());
            }
            let again = known.get(listing.earlier % 32).filter(|_| listing.prev == 13);
            let vertex = again.cloned().unwrap_or_else(|| listing.vertex(&order, nonce));
            known.insert(0, Arc::clone(&vertex));
            let verdict = frontier.judge(&vertex);
            prop_assert_eq!(verdict, order.judge(&vertex), "in {:?}: {:?}", order.slot, vertex);
            for parent in &vertex.body.refs {
                prop_assert_eq!(frontier.reference(parent), order.reference(parent), "in {:?}: {:?}", order.slot, parent);
            }
            if verdict == Verdict::Final {
                let (author, height, id) = (vertex.author(), vertex.body.height, vertex.id());
                frontier.extend(&vertex, order.slot);
                order.all.push((order.slot, Reference { author, height, id }));
                prop_assert_eq!(frontier.last_of(author), Link { height, id });
            }
            let is_indexed = |(slot, entry): &(Slot, Reference)| order.indexes(*slot) && entry.id == vertex.id();
            prop_assert_eq!(frontier.contains(&vertex), order.all.iter().any(is_indexed));
        }
    }
}

#[test]
fn what_may_still_become_final_is_not_void() {
    // Rule F4: all but these are last verdicts; the final ones are settled, and not void.
    for (verdict, is_void) in [
        (Verdict::Final, false),
        (Verdict::Missing, false),
        (Verdict::Duplicate, true),
        (Verdict::Dead, true),
        (Verdict::Banned, true),
    ] {
        assert_eq!(verdict.is_void(), is_void, "{verdict:?}");
    }
}

#[test]
fn only_the_vertices_of_the_banned_are_banned_and_even_those_finalized_before() {
    let world = world();
    let mut frontier = Frontier::new(&world.chain);
    let vertices = [1, 2].map(|author| world.sign_vertex(world.vertex(author, b"a")));
    vertices.iter().for_each(|vertex| frontier.extend(vertex, Slot(1)));
    frontier.set_banned(0b0010);
    assert_eq!(vertices.each_ref().map(|vertex| frontier.judge(vertex)), [Verdict::Banned, Verdict::Duplicate]);
    assert_eq!([1, 2].map(|author| frontier.is_banned(ReplicaId(author))), [true, false]);
}

#[test]
#[should_panic(expected = "an author's heights grow")]
fn an_author_has_one_final_vertex_of_a_height() {
    let world = world();
    let mut frontier = Frontier::new(&world.chain);
    for op in [b"a", b"b"] {
        frontier.extend(&world.sign_vertex(world.vertex(1, op)), Slot(1));
    }
}

/// A chunk of the index with these slots, authors and heights.
fn chunk(entries: &[(u64, u16, u64)]) -> Vec<u8> {
    let mut chunk = [&[1][..], &[0; 8]].concat();
    for (slot, author, height) in entries {
        chunk.extend(slot.to_be_bytes());
        chunk.extend(author.to_be_bytes());
        chunk.extend(height.to_be_bytes());
        chunk.extend([7; 32]);
    }
    chunk
}

#[test]
fn a_chunk_of_the_index_that_describes_no_order_is_refused() {
    let chain = world().chain;
    let restore = |chunk: &[u8]| Frontier::new(&chain).restore_segment(chunk);
    let fine = [(1, 0, 5), (1, 0, 6), (1, 3, 5), (2, 0, 9), (300, 3, 70_000)];
    assert_eq!(restore(&chunk(&fine)), Ok(()));
    assert_eq!(restore(&chunk(&[])), Ok(()));
    let broken = Err(BrokenSnapshot("a segment of the index does not decode"));
    for (why, entries) in [
        ("an author beyond the committee", vec![(1, 4, 1)]),
        ("an author whose low byte is a member", vec![(1, 256, 1)]),
        ("a slot that nothing is finalized in", vec![(0, 1, 1)]),
        ("a height twice", vec![(1, 1, 5), (2, 1, 5)]),
        ("heights that fall", vec![(1, 1, 5), (2, 1, 4)]),
        ("slots that fall", vec![(2, 1, 5), (1, 1, 6)]),
    ] {
        assert_eq!(restore(&chunk(&entries)), broken, "{why}");
    }
    let whole = chunk(&fine);
    assert_eq!(restore(&whole[..whole.len() - 1]), broken, "half an entry");
}
