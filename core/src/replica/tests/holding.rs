//! What an author leaves in the pools of others, and what becomes of it.

use super::*;
use crate::batch::Batch;
use crate::hashed::Hashed;
use crate::message::PrePrepare;
use crate::vertex::{Link, SignedVertex, Vertex};
use crate::vote::Vote;
use std::cell::Cell;

/// The first vertices of r0.
fn chain_of_r0(world: &World, length: usize) -> Vec<Arc<SignedVertex>> {
    let mut prev = Link::genesis(world.chain.id);
    let chain = (0..length).map(|_| {
        let vertex = Vertex { prev, ..world.vertex(0, b"") };
        let height = vertex.due_height();
        let vertex = world.sign_vertex(Vertex { height, ..vertex });
        prev = Link { height, id: vertex.id() };
        vertex
    });
    chain.collect()
}

/// Tells all others something in the name of r0.
fn say(cluster: &mut Cluster, message: &Message) {
    let message = cluster.world.verifier.message(message.clone()).expect("valid");
    (1..4).for_each(|at| cluster.step(at, Input::Message(ReplicaId(0), &message)));
}

fn propose(cluster: &mut Cluster, slot: u64, vertex: &Arc<SignedVertex>) {
    let batch = Arc::new(Hashed::new(Batch { ts: cluster.now, vertices: vec![vertex.id()] }));
    let vote = cluster.world.sign(0, Vote::one(crate::vote::Phase::Prepare, View(0), Slot(slot), batch.digest()));
    say(cluster, &Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch] })));
    say(cluster, &Message::Vertex(vertex.clone()));
    cluster.settle(keep_all);
}

// Rules D10 and D13: with one vertex evicted below another that a slot lists, that one can be proposed and found
// missing its predecessor without end, in view after view.
#[test]
fn a_vertex_whose_predecessor_was_evicted_keeps_nobody_busy() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.crash(0);
    let quota = 2 * usize::try_from(cluster.world.chain.genesis.limits.open_vertices).unwrap();
    let chain = chain_of_r0(&cluster.world, quota + 2);
    chain[..quota].iter().for_each(|vertex| say(&mut cluster, &Message::Vertex(vertex.clone())));
    // Proposed out of order, neither can be final; the lower one is listed by the first slot alone.
    propose(&mut cluster, 1, &chain[quota]);
    (2..=24).for_each(|slot| propose(&mut cluster, slot, &chain[quota + 1]));
    assert_eq!(cluster.executed()[1..], [24; 3]);
    for node in &cluster.nodes[1..] {
        let held = [quota, quota + 1].map(|at| node.replica.pool.contains(&chain[at].id()));
        assert_eq!(held, [false, true], "the first slot has fallen out of the log");
    }
    let messages = Cell::new(10_000);
    let count = |_: ReplicaId, _: ReplicaId, _: &Message| {
        messages.set(messages.get() - 1);
        assert!(0 < messages.get(), "this goes on without end");
        false
    };
    cluster.run(Duration::from_secs(10), count);
    for node in &cluster.nodes[1..] {
        assert_eq!((node.replica.pending(), node.replica.view()), (0, View(1)));
        assert_eq!(node.replica.ledger().frontier().last_of(ReplicaId(0)).id, chain[quota - 1].id());
    }
}

// Rule T4: with a time from before the first step, whatever a restarted replica executed seemed to have taken since
// genesis, and its time-out did not shrink.
#[test]
fn what_the_log_gives_back_waits_from_the_first_step_on() {
    let mut cluster = Cluster::new(4);
    let lose_all = |_: ReplicaId, _: ReplicaId, _: &Message| true;
    cluster.run(Duration::from_millis(10), lose_all);
    cluster.request(1);
    cluster.run(Duration::from_millis(1), lose_all);
    cluster.crash(1);
    cluster.run(Duration::from_millis(20), lose_all);
    cluster.restart(1);
    let restarted = cluster.now;
    cluster.run(Duration::from_millis(1), lose_all);
    let (since, _) = cluster.nodes[1].replica.pool.oldest_pending().expect("its own vertex waits");
    assert!(restarted <= since, "{since} before {restarted}");
}
