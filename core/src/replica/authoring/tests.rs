use super::*;
use crate::bytes::Bytes;
use crate::config::{Config, Genesis, Scheme, Timeouts};
use crate::hash::Digest;
use crate::input::Input;
use crate::time::{Duration, Instant};
use crate::types::ReplicaId;
use crate::verify::testing::{World, digest};
use crate::wire::encoded_size;

impl Authoring {
    /// Requests that vertices of its own carry which are not settled.
    pub(in crate::replica) fn open_requests(&self) -> usize {
        self.mine.len()
    }
}

/// A committee of four with small vertices, and its r3.
fn small(vertex_bytes: u64) -> (World, Replica) {
    let keys = (0..4).map(|id: u16| id.to_be_bytes().to_vec()).collect();
    let mut genesis = Genesis { checkpoint_interval: 4, window: 8, ..Genesis::new("test", Scheme::Simulated, keys) };
    genesis.limits.vertex_bytes = vertex_bytes;
    let world = World::of(Arc::new(Chain::new(genesis, false).expect("a genesis")));
    let replica = crate::replica::tests::alone(&world, 3);
    (world, replica)
}

/// A request that executes now, with an operation of so many bytes.
fn request(world: &World, nonce: u8, bytes: usize) -> Arc<ClientRequest> {
    let request = crate::request::Request { nonce: [nonce; 16], ..world.request(&vec![7; bytes]) };
    Arc::new(ClientRequest::anonymous(request))
}

fn own_vertices(replica: &Replica) -> Vec<Arc<SignedVertex>> {
    replica.pool.open_of(ReplicaId(3)).map(|held| held.vertex.clone()).collect()
}

#[test]
fn what_a_request_is_thought_to_take_is_its_operation_key_and_signature_and_an_overhead_that_covers_the_rest() {
    let (world, _) = small(4096);
    for bytes in [0, 1, 10, 1000] {
        let anonymous = request(&world, 1, bytes);
        assert_eq!(request_bytes(&anonymous), bytes as u64 + REQUEST_OVERHEAD);
        assert!(encoded_size(&*anonymous) as u64 <= request_bytes(&anonymous));
        let signed = world.signed_request(&vec![7; bytes]);
        let key = signed.request.caller.as_ref().expect("signed").key.0.len();
        let signature = signed.signature.as_ref().expect("signed").bytes().len();
        assert_eq!(request_bytes(&signed), (bytes + key + signature) as u64 + REQUEST_OVERHEAD);
        assert!(encoded_size(&signed) as u64 <= request_bytes(&signed));
    }
}

#[test]
fn a_vertex_has_room_for_references_to_all_others_besides_its_requests() {
    let (world, replica) = small(4096);
    assert_eq!(replica.parents_bytes(), VERTEX_OVERHEAD + 4 * REFERENCE_BYTES);
    let refs = [0, 1, 2].map(|author| Reference { author: ReplicaId(author), height: Height(u64::MAX), id: digest(1) });
    let payload = Payload::Requests(Vec::new());
    let vertex =
        world.sign_vertex(Vertex { refs: refs.to_vec(), payload, ts: Instant(u64::MAX), ..world.vertex(3, b"") });
    assert!(encoded_size(&*vertex) as u64 <= replica.parents_bytes());
}

#[test]
fn a_request_that_no_vertex_could_carry_is_refused_and_the_largest_that_fits_is_not() {
    let (world, mut replica) = small(4096);
    let most = usize::try_from(4096 - replica.parents_bytes() - REQUEST_OVERHEAD).unwrap();
    assert_eq!(replica.enqueue(&request(&world, 1, most + 1)), Err(Ignored::Moot));
    assert_eq!(replica.enqueue(&request(&world, 2, most + 1000)), Err(Ignored::Moot));
    assert_eq!(replica.enqueue(&request(&world, 3, most)), Ok(()));
    replica.try_author(&mut Outbox::default());
    let made = own_vertices(&replica);
    assert_eq!((made.len(), replica.authoring.queued()), (1, 0));
    assert!(encoded_size(&*made[0]) <= 4096);
}

#[test]
fn requests_that_waited_share_vertices_as_many_as_fit_and_in_order() {
    let (world, mut replica) = small(4096);
    let waiting: Vec<_> = (0..5).map(|nonce| request(&world, nonce, 1000)).collect();
    for (at, request) in waiting.iter().enumerate() {
        assert_eq!(replica.enqueue(request), Ok(()));
        assert_eq!(replica.authoring.queued(), at + 1);
    }
    replica.try_author(&mut Outbox::default());
    let made = own_vertices(&replica);
    let carried: Vec<_> = made.iter().flat_map(|vertex| vertex.body.requests().to_vec()).collect();
    assert_eq!(carried, waiting);
    let shares: Vec<_> = made.iter().map(|vertex| vertex.body.requests().len()).collect();
    assert_eq!(shares, [3, 2]);
    assert!(made.iter().all(|vertex| encoded_size(&**vertex) <= 4096));
}

#[test]
fn an_author_makes_no_more_vertices_than_it_may_have_open() {
    let (world, mut replica) = small(4096);
    let limit = replica.chain.genesis.limits.open_vertices;
    for nonce in 0..20 {
        assert_eq!(replica.enqueue(&request(&world, nonce, 1)), Ok(()));
        replica.try_author(&mut Outbox::default());
    }
    assert_eq!(own_vertices(&replica).len() as u64, limit);
    assert_eq!(replica.authoring.queued() as u64, 20 - limit);
    assert!(!replica.has_room_for_vertex());
}

/// A vertex of r2 at a height, with nothing below it.
fn high(world: &World, height: u64) -> Arc<SignedVertex> {
    let prev = Link { height: Height(height - 1), id: Digest([height.to_be_bytes()[7]; 32]) };
    world.sign_vertex(Vertex { prev, height: Height(height), ..world.vertex(2, b"") })
}

// Rule D10.
#[test]
fn a_vertex_that_is_itself_the_one_to_go_is_refused_and_one_for_which_another_goes_is_taken() {
    let (world, mut replica) = small(4096);
    let mut out = Outbox::default();
    let quota = 2 * replica.chain.genesis.limits.open_vertices;
    for height in 10..10 + quota {
        assert_eq!(replica.on_vertex(&high(&world, height), &mut out), Ok(()), "{height}");
    }
    assert_eq!(replica.on_vertex(&high(&world, 10 + quota), &mut out), Err(Ignored::Full));
    assert_eq!(replica.on_vertex(&high(&world, 5), &mut out), Ok(()));
    let held = |height| replica.pool.contains(&high(&world, height).id());
    assert_eq!([5, 10, 8 + quota, 9 + quota, 10 + quota].map(held), [true, true, true, false, false]);
    // What goes with it is what it stood on: nobody is asked for that any more.
    let asked: Vec<_> = replica.fetches.items().copied().collect();
    let below = |height: u64| FetchItem::Vertex(high(&world, height).body.prev.id);
    assert!(asked.contains(&below(5)) && !asked.contains(&below(9 + quota)), "{asked:?}");
}

// Rule D10: own vertices are not evicted, so those given back must not be more than that.
#[test]
fn own_vertices_that_others_give_back_are_refused_beyond_the_quota_and_those_of_others_are_not() {
    let (world, mut replica) = small(4096);
    let mut out = Outbox::default();
    let own = |height: u64| {
        let vertex = high(&world, height).body.clone();
        let mut vertex = Vertex::clone(&vertex);
        vertex.author = ReplicaId(3);
        world.sign_vertex(vertex)
    };
    let quota = 2 * replica.chain.genesis.limits.open_vertices;
    for height in 10..10 + quota {
        assert_eq!(replica.on_vertex(&own(height), &mut out), Ok(()), "{height}");
    }
    assert_eq!(replica.on_vertex(&own(5), &mut out), Err(Ignored::Full));
    assert_eq!(replica.on_vertex(&high(&world, 5), &mut out), Ok(()));
}

/// r3 with time-outs of 400 ms that sends STATUS seldom, so that nothing but forwarding makes it tick early.
fn seldom(world: &World) -> Replica {
    let base = Duration::from_millis(400);
    let timeouts = Timeouts { status: Duration::from_millis(390), ..Timeouts::from_base(base) };
    let config = Config::new(ReplicaId(3), &world.chain, timeouts);
    Replica::new(world.chain.clone(), config, Box::new(world.signer(3)))
}

/// Ticks a replica whenever it wants to be, up to a time, and returns when which author's vertex went to which replica.
fn forwarded(replica: &mut Replica, upto: u64) -> Vec<(u64, u16, u16)> {
    let (mut out, mut seen) = (Outbox::default(), Vec::new());
    while let Some(due) = replica.deadline().filter(|due| due.0 <= upto) {
        let _ = replica.step(due, Input::Tick, &mut out);
        if let Some((lsn, _)) = out.take_records().last() {
            out.mark_durable(lsn);
        }
        while let Some(envelope) = out.next_send() {
            if let (Target::One(to), Message::Vertex(vertex)) = (envelope.to, envelope.message) {
                seen.push((due.0 / 1_000_000, vertex.author().0, to.0));
            }
        }
    }
    seen
}

fn take(replica: &mut Replica, world: &World, millis: u64, author: u16) {
    let mut out = Outbox::default();
    let message = world.verifier.message(Message::Vertex(world.sign_vertex(world.vertex(author, b"")))).unwrap();
    let at = Instant(millis * 1_000_000);
    let _ = replica.step(at, Input::Message(ReplicaId(author), &message), &mut out);
}

// Rule D11.
#[test]
fn a_vertex_is_forwarded_to_the_primary_after_a_quarter_and_a_half_of_the_time_and_then_no_more() {
    let world = World::new(4);
    let mut replica = seldom(&world);
    let _ = replica.step(Instant(0), Input::Tick, &mut Outbox::default());
    assert_eq!(replica.deadline(), Some(Instant(3_900_000_000)), "nothing is to be forwarded yet");
    take(&mut replica, &world, 10, 2);
    assert_eq!(replica.deadline(), Some(Instant(110_000_000)));
    take(&mut replica, &world, 30, 1);
    assert_eq!(forwarded(&mut replica, 405_000_000), [(110, 2, 0), (130, 1, 0), (210, 2, 0), (230, 1, 0)]);
}

#[test]
fn nothing_is_forwarded_by_the_primary_nor_while_the_view_changes_and_a_view_has_its_own_time() {
    let world = World::new(4);
    let mut replica = seldom(&world);
    take(&mut replica, &world, 10, 2);
    replica.start_view_change(crate::types::View(3), &mut Outbox::default());
    assert_eq!((replica.next_forward(), forwarded(&mut replica, 300_000_000)), (None, vec![]), "on the way");
    let enter = |replica: &mut Replica, view, at: u64| {
        let bodies = [0, 1, 2].map(|id| world.view_change(id, view, 0, &[]));
        let message = Message::NewView(Arc::new(world.new_view_message(&bodies)));
        let message = world.verifier.message(message).unwrap();
        let from = ReplicaId(u16::try_from(view % 4).unwrap());
        let _ = replica.step(Instant(at * 1_000_000), Input::Message(from, &message), &mut Outbox::default());
    };
    enter(&mut replica, 5, 300);
    // T(1) is twice as long as T(0).
    assert_eq!(replica.back_off(), 1);
    assert_eq!(forwarded(&mut replica, 700_000_000), [(500, 2, 1), (700, 2, 1)]);
    let mut primary = crate::replica::tests::alone(&world, 0);
    assert_eq!(primary.next_forward(), None);
    take(&mut primary, &world, 10, 2);
    assert_eq!((primary.next_forward(), forwarded(&mut primary, 300_000_000)), (None, vec![]));
}

#[test]
fn a_request_may_come_again_once_the_vertex_that_carried_it_has_its_last_verdict() {
    let (world, mut replica) = small(4096);
    let carried = request(&world, 1, 5);
    assert_eq!(replica.enqueue(&carried), Ok(()));
    assert_eq!(replica.enqueue(&carried), Err(Ignored::Duplicate), "it waits in the queue");
    replica.try_author(&mut Outbox::default());
    assert_eq!(replica.enqueue(&carried), Err(Ignored::Duplicate), "an open vertex has it");
    let id = own_vertices(&replica)[0].id();
    replica.settle(&id);
    assert_eq!(replica.enqueue(&carried), Ok(()), "nothing of that vertex was executed here");
    assert_eq!(replica.authoring.queue.front().map(|request| request.request.op.clone()), Some(Bytes(vec![7; 5])));
}

// Rule N6: what does not fit into the table of what is asked for may come by itself.
#[test]
fn a_vertex_that_comes_though_it_could_not_be_asked_for_is_voted_for_at_once() {
    let (world, mut replica) = small(4096);
    let mut out = Outbox::default();
    for number in 0..5000_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        replica.fetches.want(FetchItem::Vertex(Digest(id)), ReplicaId(1), Until::Found, Instant(1));
    }
    let vertex = world.sign_vertex(world.vertex(2, b""));
    let batch = Arc::new(Hashed::new(crate::batch::Batch { ts: Instant(1), vertices: vec![vertex.id()] }));
    let vote = crate::vote::Vote::one(crate::vote::Phase::Prepare, crate::types::View(0), Slot(1), batch.digest());
    let proposal = crate::message::PrePrepare { vote: world.sign(0, vote), batches: vec![batch] };
    for message in [Message::PrePrepare(Arc::new(proposal)), Message::Vertex(vertex.clone())] {
        let voted = replica.log.get(Slot(1)).and_then(|state| state.voted);
        assert_eq!((voted, replica.fetches.wants(&FetchItem::Vertex(vertex.id()))), (None, false));
        let message = world.verifier.message(message).unwrap();
        let _ = replica.step(Instant(1), Input::Message(ReplicaId(0), &message), &mut out);
    }
    assert!(replica.log.get(Slot(1)).is_some_and(|state| state.voted.is_some()));
}
