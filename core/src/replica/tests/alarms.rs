//! What an operator and the oracles see of a replica: alarms (rules T17 and T18), and how much it holds (rule O7).

use super::*;
use crate::batch::{Batch, NULL_BATCH};
use crate::certificate::{Certificate, CertificateSet, Claim};
use crate::hashed::Hashed;
use crate::message::{PrePrepare, ViewChangeMessage};
use crate::replica::Footprint;
use crate::vertex::Vertex;
use crate::vote::{Phase, Vote};

const MS: u64 = 1_000_000;

fn deliver_at(world: &World, to: (&mut Replica, &mut Outbox), at: u64, from: u16, message: Message) {
    let message = world.verifier.message(message).expect("valid");
    let _ = to.0.step(Instant(at), Input::Message(ReplicaId(from), &message), to.1);
}

/// The proposal of a primary for a slot, made at some time.
fn proposal(world: &World, (view, slot, at): (u64, u64, u64), vertices: Vec<Digest>) -> Message {
    let batch = Arc::new(Hashed::new(Batch { ts: Instant(at), vertices }));
    let primary = u16::try_from(view % 4).unwrap();
    let vote = world.sign(primary, Vote::one(Phase::Prepare, View(view), Slot(slot), batch.digest()));
    Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch] }))
}

// Rule T18: the time-out is 400 ms, and runs from when the vertex became pending, or from when the view began.
#[test]
fn a_proposal_is_slow_when_half_of_the_time_is_over_after_which_its_primary_would_be_left() {
    let world = World::new(4);
    let slow_after = |started: u64, pending_since: u64, proposed: u64| {
        let (mut replica, mut out) = (alone(&world, 3), Outbox::default());
        let _ = replica.step(Instant(started), Input::Tick, &mut out);
        let vertex = world.sign_vertex(world.vertex(2, b"a"));
        deliver_at(&world, (&mut replica, &mut out), pending_since, 2, Message::Vertex(vertex.clone()));
        let message = proposal(&world, (0, 1, proposed), vec![vertex.id()]);
        deliver_at(&world, (&mut replica, &mut out), proposed, 0, message.clone());
        let once = replica.slow_proposals();
        deliver_at(&world, (&mut replica, &mut out), proposed + MS, 0, message);
        assert_eq!(replica.slow_proposals(), once, "a proposal is judged when it comes first");
        once
    };
    assert_eq!([11, 150, 209].map(|at| slow_after(MS, 10 * MS, at * MS)), [0; 3]);
    assert_eq!([211, 250, 399].map(|at| slow_after(MS, 10 * MS, at * MS)), [1; 3]);
}

#[test]
fn a_view_that_has_just_begun_has_its_own_time_and_slow_proposals_add_up() {
    let world = World::new(4);
    let (mut replica, mut out) = (alone(&world, 3), Outbox::default());
    let vertices = [world.vertex(1, b"a"), world.vertex(2, b"b")].map(|vertex| world.sign_vertex(vertex));
    for vertex in &vertices {
        deliver_at(&world, (&mut replica, &mut out), MS, vertex.author().0, Message::Vertex(vertex.clone()));
    }
    let bodies = [0, 1, 2].map(|id| world.view_change(id, 1, 0, &[]));
    let new_view = Message::NewView(Arc::new(world.new_view_message(&bodies)));
    deliver_at(&world, (&mut replica, &mut out), 300 * MS, 1, new_view);
    let message = proposal(&world, (1, 1, 350 * MS), vec![vertices[0].id()]);
    deliver_at(&world, (&mut replica, &mut out), 350 * MS, 1, message);
    assert_eq!((replica.view(), replica.slow_proposals()), (View(1), 0), "350 ms after the vertex, 50 after the view");
    for (slot, at) in [(2, 520), (3, 530)] {
        let message = proposal(&world, (1, slot, at * MS), vec![vertices[1].id()]);
        deliver_at(&world, (&mut replica, &mut out), at * MS, 1, message);
    }
    // What waited for a proposal has one, and so the last one is not slow.
    assert_eq!(replica.slow_proposals(), 1);
    let third = world.sign_vertex(world.vertex(0, b"c"));
    deliver_at(&world, (&mut replica, &mut out), 540 * MS, 0, Message::Vertex(third.clone()));
    let message = proposal(&world, (1, 4, 780 * MS), vec![third.id()]);
    deliver_at(&world, (&mut replica, &mut out), 780 * MS, 1, message);
    assert_eq!(replica.slow_proposals(), 2);
}

// Rule T17.
#[test]
fn a_replica_whose_execution_stands_at_the_high_watermark_shows_it_after_its_time_out() {
    let mut cluster = Cluster::new(4);
    let lose = |_: ReplicaId, _: ReplicaId, message: &Message| message.kind() == "CHECKPOINT";
    let is_halted =
        |cluster: &Cluster| cluster.nodes.iter().map(|node| node.replica.is_halted_at_high()).collect::<Vec<_>>();
    cluster.run(Duration::from_millis(10), lose);
    for round in 0..7 {
        cluster.request(round % 4);
        cluster.run(Duration::from_millis(1), lose);
    }
    cluster.run(Duration::from_secs(3), lose);
    assert_eq!((cluster.executed(), is_halted(&cluster)), (vec![7; 4], vec![false; 4]), "a slot is free");
    cluster.request(3);
    cluster.run(Duration::from_millis(350), lose);
    assert_eq!((cluster.executed(), is_halted(&cluster)), (vec![8; 4], vec![false; 4]), "not for so long");
    cluster.run(Duration::from_millis(1200), lose);
    assert_eq!(is_halted(&cluster), [true; 4]);
    cluster.run(Duration::from_secs(2), keep_all);
    assert_eq!((cluster.nodes[1].replica.stable(), is_halted(&cluster)), (Slot(8), vec![false; 4]));
}

#[test]
fn the_footprint_counts_each_thing_that_is_held() {
    let world = World::new(4);
    let (mut replica, mut out) = (alone(&world, 3), Outbox::default());
    let held = |replica: &Replica| replica.footprint();
    assert_eq!(held(&replica), Footprint::default());
    deliver(&world, &mut replica, &mut out, 1, Message::Vote(world.vote(1, Phase::Commit, 0, &[(2, 1)])));
    deliver(&world, &mut replica, &mut out, 2, Message::Vote(world.vote(2, Phase::Commit, 0, &[(2, 1), (3, 1)])));
    let mut expected = Footprint { votes: 3, ..Footprint::default() };
    assert_eq!(held(&replica), expected);
    // A proposal that lists what is not held, with its primary's vote.
    let listed = world.sign_vertex(world.vertex(1, b"listed"));
    deliver(&world, &mut replica, &mut out, 0, proposal(&world, (0, 2, 1), vec![listed.id()]));
    (expected.votes, expected.batches, expected.fetches) = (4, 1, 1);
    assert_eq!(held(&replica), expected);
    for slot in [4, 8] {
        deliver(&world, &mut replica, &mut out, 1, Message::Checkpoint(world.checkpoint(1, slot, 1)));
    }
    expected.checkpoints = 2;
    // Two of one author that fork, of which no slot lists one.
    for op in [b"a", b"b"] {
        deliver(&world, &mut replica, &mut out, 2, Message::Vertex(world.sign_vertex(world.vertex(2, op))));
    }
    (expected.unlisted_vertices, expected.evidence) = (2, 1);
    deliver(&world, &mut replica, &mut out, 1, Message::Vertex(listed));
    expected.fetches = 0;
    // It voted, and its own vote counts.
    expected.votes += 1;
    assert_eq!(held(&replica), expected);
    // The slot before is decided; its execution goes to the application.
    let claim = Claim { slot: Slot(1), view: View(0), digest: NULL_BATCH };
    let vote = Vote::one(Phase::Commit, claim.view, claim.slot, claim.digest);
    let votes = (0..3).map(|signer| world.sign(signer, vote.clone())).collect();
    let decided = Arc::new(Certificate::from_votes(Phase::Commit, claim, votes));
    deliver(&world, &mut replica, &mut out, 0, Message::Certificates(Arc::new(CertificateSet(vec![decided]))));
    expected.executing = 1;
    assert_eq!((held(&replica), replica.executed(), replica.applied()), (expected, Slot(1), Slot(0)));
    let _ = replica.step(Instant(1), Input::Executed(Slot(1), Vec::new()), &mut out);
    expected.executing = 0;
    assert_eq!((held(&replica), replica.applied()), (expected, Slot(1)));
}

#[test]
fn the_footprint_counts_what_is_held_for_the_view_that_is_wanted() {
    let world = World::new(4);
    let (mut replica, mut out) = (alone(&world, 3), Outbox::default());
    for id in [0, 1] {
        let signed = world.view_change(id, 1, 0, &[]);
        let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        deliver(&world, &mut replica, &mut out, id, Message::ViewChange(Arc::new(message)));
    }
    assert_eq!(replica.target(), Some(View(1)), "it joined");
    for signer in [0, 1] {
        for phase in [Phase::Prepare, Phase::Commit] {
            deliver(&world, &mut replica, &mut out, signer, Message::Vote(world.vote(signer, phase, 1, &[(1, 1)])));
        }
    }
    // Of each sender its highest VIEW-CHANGE, and that for the own target beside it.
    assert_eq!(replica.footprint(), Footprint { votes: 4, view_changes: 6, ..Footprint::default() });
}

#[test]
fn the_footprint_counts_requests_that_wait_and_those_that_were_executed_and_own_vertices_are_not_unlisted() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    for _ in 0..3 {
        cluster.request(2);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    for node in &cluster.nodes {
        let held = node.replica.footprint();
        assert_eq!((held.seen_requests, held.queued_requests, held.unlisted_vertices), (3, 0, 0));
    }
    // As many vertices as an author may have open, and two requests more.
    let open = usize::try_from(cluster.world.chain.genesis.limits.open_vertices).unwrap();
    (0..open + 2).for_each(|_| cluster.request(2));
    let held = cluster.nodes[2].replica.footprint();
    assert_eq!((held.queued_requests, held.unlisted_vertices, cluster.nodes[2].replica.pending()), (2, 0, open));
}

// Rule C7.
#[test]
fn the_oldest_listing_is_the_first_slot_that_still_lists_what_is_done_with() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    let oldest = |cluster: &Cluster| cluster.nodes[1].replica.oldest_listing();
    assert_eq!(oldest(&cluster), None);
    // Held, and in no slot.
    let vertex = cluster.world.sign_vertex(Vertex { ts: Instant(9), ..cluster.world.vertex(3, b"") });
    let message = cluster.world.verifier.message(Message::Vertex(vertex)).unwrap();
    cluster.step(1, Input::Message(ReplicaId(3), &message));
    assert_eq!(oldest(&cluster), None);
    // In a slot that is not decided.
    cluster.request(2);
    cluster.run(Duration::from_millis(1), |_, _, message| message.kind() == "COMMIT");
    assert_eq!((cluster.executed(), oldest(&cluster)), (vec![0; 4], None));
    cluster.run(Duration::from_millis(200), keep_all);
    assert_eq!((cluster.executed(), oldest(&cluster)), (vec![2; 4], Some(Slot(1))), "and the vertex of r3");
    for (requests, expected) in [(5, 1), (1, 5), (4, 9)] {
        for _ in 0..requests {
            cluster.request(2);
            cluster.run(Duration::from_millis(1), keep_all);
        }
        assert_eq!(oldest(&cluster), Some(Slot(expected)), "at {}", cluster.nodes[1].replica.executed());
    }
}

// Rule T2.
#[test]
fn the_time_out_that_is_shown_doubles_with_each_view_that_is_left() {
    let world = World::new(4);
    let (mut replica, mut out) = (alone(&world, 3), Outbox::default());
    assert_eq!(replica.timeout(), Duration::from_millis(400));
    replica.start_view_change(View(1), &mut out);
    assert_eq!((replica.timeout(), replica.target()), (Duration::from_millis(800), Some(View(1))));
}
