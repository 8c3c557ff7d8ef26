use super::*;
use crate::batch::Batch;
use crate::hash::{hash_pair, merkle_root};
use crate::hashed::Hashed;
use crate::reply::NoOp;
use crate::request::Request;
use crate::verify::testing::{World, digest};
use crate::vertex::{Payload, Vertex};
use crate::vote::Phase;

const NO_ONE: ReplicaId = ReplicaId(0);

fn ledger(world: &World) -> Ledger {
    Ledger::new(Arc::clone(&world.chain))
}

/// Finalizes the next slot with a batch, and gives each request that executes the same result.
fn finalize(ledger: &mut Ledger, ts: u64, vertices: &[&Arc<SignedVertex>]) -> Finalized {
    let batch = Hashed::new(Batch { ts: Instant(ts), vertices: vertices.iter().map(|vertex| vertex.id()).collect() });
    let body = |id: &VertexId| *vertices.iter().find(|vertex| vertex.id() == *id).expect("a body");
    let done = ledger.finalize(ledger.slot().next(), Some(&batch), body);
    for listed in done.fates.iter().filter(|listed| listed.fate == Fate::Executes) {
        ledger.complete(listed, digest(9));
    }
    done
}

fn finalize_null(ledger: &mut Ledger) -> Finalized {
    ledger.finalize(ledger.slot().next(), None, |_| unreachable!("NULL lists nothing"))
}

fn verdicts(done: &Finalized) -> Vec<Verdict> {
    done.verdicts.iter().map(|(_, verdict)| *verdict).collect()
}

/// The author's vertex behind another of its, with such a payload.
fn child(world: &World, of: &SignedVertex, payload: Payload) -> Arc<SignedVertex> {
    let prev = Link { height: of.body.height, id: of.id() };
    let mut vertex = Vertex { prev, payload, ..world.vertex(of.author().0, b"") };
    vertex.height = vertex.due_height();
    world.sign_vertex(vertex)
}

fn request(world: &World, op: &[u8], expires: u64) -> Arc<ClientRequest> {
    Arc::new(ClientRequest::anonymous(Request { expires: Instant(expires), ..world.request(op) }))
}

/// Proof that r1 voted for two batches, which costs it all of its standing.
fn accusation(world: &World) -> Arc<Evidence> {
    let votes = [1, 2].map(|batch| world.vote(1, Phase::Prepare, 0, &[(3, batch)]));
    Arc::new(Evidence::from_votes(&votes[0], &votes[1]).expect("two batches"))
}

#[test]
fn effective_time_rises_with_every_batch_and_stands_still_at_null() {
    // Rule F5: T = max(ts, T before + 1).
    let world = World::new(4);
    let mut ledger = ledger(&world);
    assert_eq!((ledger.slot(), ledger.time()), (Slot(0), Instant::GENESIS));
    let vertex = world.sign_vertex(world.vertex(1, b"a"));
    for (slot, ts, time) in [(1, Some(50), 50), (2, Some(51), 51), (3, Some(51), 52), (4, None, 52), (5, Some(9), 53)] {
        let done = match ts {
            Some(ts) => finalize(&mut ledger, ts, &[&vertex]),
            None => finalize_null(&mut ledger),
        };
        assert_eq!((ledger.slot(), ledger.time(), done.time), (Slot(slot), Instant(time), Instant(time)));
    }
    finalize(&mut ledger, u64::MAX, &[&vertex]);
    finalize(&mut ledger, u64::MAX, &[&vertex]);
    assert_eq!(ledger.time(), Instant(u64::MAX), "there is no later moment");
}

#[test]
fn a_vertex_is_remembered_for_four_windows() {
    // Rules F2 and F3: while the index has it, it is a duplicate; later it is only not the author's last one.
    let world = World::new(4);
    let mut ledger = ledger(&world);
    let vertex = world.sign_vertex(world.vertex(1, b"a"));
    let span = 4 * world.chain.window();
    finalize(&mut ledger, 1, &[&vertex]);
    (2..span).for_each(|_| drop(finalize_null(&mut ledger)));
    assert_eq!(verdicts(&finalize(&mut ledger, 2, &[&vertex])), [Verdict::Duplicate]);
    assert_eq!(ledger.slot(), Slot(span));
    assert_eq!(verdicts(&finalize(&mut ledger, 3, &[&vertex])), [Verdict::Dead]);
}

#[test]
#[should_panic(expected = "slots are finalized in order")]
fn no_slot_is_left_out() {
    ledger(&World::new(4)).finalize(Slot(2), None, |_| unreachable!());
}

#[test]
fn a_request_is_judged_by_the_clock_or_by_the_next_effective_time_whichever_is_later() {
    // Rule D7.
    let world = World::new(4);
    let mut ledger = ledger(&world);
    finalize(&mut ledger, 100, &[&world.sign_vertex(world.vertex(1, b"a"))]);
    let lifetime = world.chain.genesis.limits.lifetime.0;
    let fate = |expires, now| ledger.judge(&request(&world, b"b", expires), NO_ONE, Instant(now));
    assert_eq!([fate(101, 0), fate(102, 0)], [Fate::NoOp(NoOp::Expired), Fate::Executes]);
    assert_eq!([fate(200, 200), fate(201, 200)], [Fate::NoOp(NoOp::Expired), Fate::Executes]);
    assert_eq!(fate(101 + lifetime, 0), Fate::Executes);
    assert_eq!(fate(102 + lifetime, 0), Fate::NoOp(NoOp::TooEarly));
    assert_eq!(fate(102 + lifetime, 102), Fate::Executes, "an idle chain's time stands still, the clock does not");
}

#[test]
fn the_requests_of_final_vertices_execute_once_in_their_order() {
    let world = World::new(4);
    let mut ledger = ledger(&world);
    let carrying = |author, requests: &[&Arc<ClientRequest>]| {
        let payload = Payload::Requests(requests.iter().map(|request| Arc::clone(request)).collect());
        world.sign_vertex(Vertex { payload, ..world.vertex(author, b"") })
    };
    let [a, b, late] = [(b"a", 1000), (b"b", 1000), (b"c", 10)].map(|(op, expires)| request(&world, op, expires));
    let one = carrying(1, &[&a, &late, &a]);
    let two = carrying(2, &[&b, &a]);
    let dead = child(&world, &carrying(3, &[&b]), Payload::Requests(vec![Arc::clone(&b)]));
    let done = finalize(&mut ledger, 10, &[&one, &dead]);
    assert_eq!(verdicts(&done), [Verdict::Final, Verdict::Missing]);
    assert_eq!(done.verdicts.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [one.id(), dead.id()]);
    let told = |done: &Finalized| {
        let told = done.fates.iter().map(|listed| (listed.author.0, listed.request.id(), listed.fate, listed.result));
        told.collect::<Vec<_>>()
    };
    let expired = Fate::NoOp(NoOp::Expired);
    let first = [
        (1, a.id(), Fate::Executes, None),
        (1, late.id(), expired, None),
        // Its result is not known yet: it executes when the slot is finalized.
        (1, a.id(), Fate::Duplicate, None),
    ];
    assert_eq!(told(&done), first);
    assert_eq!((ledger.result(&a), ledger.result(&b), ledger.seen_len()), (Some(digest(9)), None, 1));
    let done = finalize(&mut ledger, 11, &[&one, &two]);
    assert_eq!(verdicts(&done), [Verdict::Duplicate, Verdict::Final]);
    let second = [(2, b.id(), Fate::Executes, None), (2, a.id(), Fate::Duplicate, Some(digest(9)))];
    assert_eq!(told(&done), second);
    assert_eq!(ledger.seen_len(), 2);
    finalize(&mut ledger, 1_000_000_000, &[&one]);
    assert_eq!(ledger.seen_len(), 0, "the second in which they expire is over");
}

#[test]
fn the_root_of_the_order_covers_every_listed_vertex_with_slot_place_and_verdict() {
    // Rule F11.
    let world = World::new(4);
    let mut ledger = ledger(&world);
    let [one, two] = [1, 2].map(|author| world.sign_vertex(world.vertex(author, b"a")));
    let genesis = ledger.snapshot().order;
    finalize(&mut ledger, 1, &[&one, &two]);
    finalize_null(&mut ledger);
    finalize(&mut ledger, 1, &[&two]);
    assert_eq!(ledger.snapshot().order, genesis, "no checkpoint yet");
    finalize_null(&mut ledger);
    let leaf = |slot, position, vertex: &SignedVertex, verdict| {
        OrderEntry { slot: Slot(slot), position, id: vertex.id(), verdict }.leaf()
    };
    let leaves =
        [leaf(1, 0, &one, Verdict::Final), leaf(1, 1, &two, Verdict::Final), leaf(3, 0, &two, Verdict::Duplicate)];
    let root = hash_pair(Domain::Order, hash(Domain::Order, &[]), merkle_root(&leaves));
    assert_eq!(ledger.snapshot().order, root);
}

#[test]
fn finalized_evidence_bans_its_accused_behind_the_next_checkpoint() {
    // Rules X14 and F15; a checkpoint is due after slot 4.
    let world = World::new(4);
    let mut ledger = ledger(&world);
    let accuse = |author| {
        let payload = Payload::Evidence(accusation(&world));
        world.sign_vertex(Vertex { payload, ..world.vertex(author, b"") })
    };
    let done = finalize(&mut ledger, 1, &[&accuse(2), &accuse(3)]);
    assert_eq!(done.accusations, [accusation(&world)], "the same fault counts once");
    assert_eq!(ledger.standings().of(ReplicaId(1)), 0);
    (0..2).for_each(|_| drop(finalize_null(&mut ledger)));
    let first = world.sign_vertex(world.vertex(1, b"a"));
    let second = child(&world, &first, Payload::Requests(vec![request(&world, b"b", 1000)]));
    assert_eq!(verdicts(&finalize(&mut ledger, 2, &[&first])), [Verdict::Final], "the last slot in which it is free");
    assert!(ledger.frontier().is_banned(ReplicaId(1)));
    let snapshot = ledger.snapshot();
    let mut other = Ledger::restore(Arc::clone(&world.chain), &snapshot).expect("a snapshot");
    for ledger in [&mut ledger, &mut other] {
        assert_eq!(verdicts(&finalize(ledger, 3, &[&second])), [Verdict::Banned]);
    }
}

#[test]
fn a_restored_ledger_goes_on_exactly_like_the_one_it_was_taken_from() {
    let world = World::new(4);
    let mut ledger = ledger(&world);
    let mut newest = [0, 1, 2, 3].map(|author| world.sign_vertex(world.vertex(author, b"first")));
    let mut restored: Vec<Ledger> = Vec::new();
    for slot in 1..=60_u64 {
        let author = usize::try_from(slot * slot % 4).unwrap();
        let listed = [&newest[author], &newest[(author + 1) % 4]].map(Arc::clone);
        let listed = listed.each_ref();
        // A second passes every ten slots, and each request expires two seconds later.
        let ts = slot * 100_000_000;
        let done: Vec<_> = [&mut ledger].into_iter().chain(&mut restored).map(|it| finalize(it, ts, &listed)).collect();
        assert!(done.iter().all(|one| verdicts(one) == verdicts(&done[0])), "in {slot}");
        let snapshot = ledger.snapshot();
        for other in &mut restored {
            assert_eq!(other.snapshot(), snapshot, "after {slot}");
        }
        if slot.is_multiple_of(12) {
            let other = Ledger::restore(Arc::clone(&world.chain), &snapshot).expect("a snapshot");
            assert_eq!(
                (other.slot(), other.time(), other.seen_len()),
                (ledger.slot(), ledger.time(), ledger.seen_len())
            );
            restored.push(other);
        }
        let request = request(&world, &slot.to_be_bytes(), ts + 2_000_000_000);
        newest[author] = child(&world, &newest[author], Payload::Requests(vec![request]));
    }
    assert!(ledger.seen_len() > 10, "some were seen");
}

#[test]
fn a_snapshot_names_its_chunks_by_their_hashes_and_the_manifest_leads_to_its_digest() {
    let world = World::new(4);
    let mut ledger = ledger(&world);
    finalize(&mut ledger, 1, &[&world.sign_vertex(world.vertex(1, b"a"))]);
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.chunks.iter().map(|chunk| chunk.0[0]).collect::<Vec<_>>(), [0, 1, 2], "head, index, seen set");
    let hashes: Vec<_> = snapshot.chunks.iter().map(|chunk| hash(Domain::Chunk, &chunk.0)).collect();
    assert_eq!(snapshot.hashes, hashes);
    assert_eq!(chunk_hash(&snapshot.chunks[0].0), hashes[0]);
    let manifest = snapshot.manifest(vec![digest(1), digest(2)]);
    let app = hash(Domain::Chunks, &[[1; 32], [2; 32]].concat());
    let core = hash(Domain::Chunks, &hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>());
    let roots = StateRoots { app, core, order: snapshot.order };
    assert_eq!(manifest.roots(), roots);
    assert_eq!(manifest.state(), roots.digest(Slot(1), EPOCH));
}

#[test]
fn chunks_that_describe_no_state_are_refused() {
    let world = World::new(4);
    let mut ledger = ledger(&world);
    finalize(&mut ledger, 1, &[&world.sign_vertex(world.vertex(1, b"a"))]);
    let right = ledger.snapshot();
    let refused = |change: &dyn Fn(&mut CoreSnapshot)| {
        let mut snapshot = right.clone();
        change(&mut snapshot);
        Ledger::restore(Arc::clone(&world.chain), &snapshot).err().map(|BrokenSnapshot(why)| why)
    };
    let with_head = |last: usize, aged: usize| {
        let head = Head {
            slot: Slot(1),
            time: Instant(1),
            last: vec![Link::genesis(world.chain.id); last],
            aged: vec![Height(0); aged],
            standings: Vec::new(),
        };
        let chunk = [vec![segment::HEAD], postcard::to_stdvec(&head).expect("a head encodes")].concat();
        refused(&|snapshot| snapshot.chunks[0] = Arc::new(Bytes(chunk.clone())))
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(with_head(4, 4), None);
    let of_another = Some("the head is of another slot or committee");
    assert_eq!([with_head(3, 4), with_head(4, 5)], [of_another; 2]);
    assert_eq!(refused(&|snapshot| snapshot.slot = Slot(2)), of_another);
    assert_eq!(refused(&|snapshot| snapshot.chunks.clear()), Some("the head is missing"));
    assert_eq!(refused(&|snapshot| snapshot.chunks[0] = Arc::default()), Some("the head is missing"));
    assert_eq!(refused(&|snapshot| snapshot.chunks.swap(0, 1)), Some("the head is missing"));
    let cut = |chunk: &Arc<Bytes>| Arc::new(Bytes(chunk.0[..chunk.0.len() - 1].to_vec()));
    for (at, why) in [
        (0, "the head does not decode"),
        (1, "a segment of the index does not decode"),
        (2, "a segment of the seen set does not decode"),
    ] {
        assert_eq!(refused(&|snapshot| snapshot.chunks[at] = cut(&snapshot.chunks[at])), Some(why));
    }
    let unknown = Some("a chunk of no known kind");
    for chunk in [vec![], vec![segment::HEAD; 9], vec![3; 9]] {
        assert_eq!(refused(&|snapshot| snapshot.chunks.push(Arc::new(Bytes(chunk.clone())))), unknown);
    }
}
