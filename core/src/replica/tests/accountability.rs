//! What becomes of a replica that contradicts itself.

use super::*;
use crate::bundle::{Bundle, Findings};
use crate::message::{NewView, NewViewMessage, ViewChange};
use crate::replica::Halt;
use crate::vote::Phase;

impl Cluster {
    /// Four replicas that have said what they say at first.
    fn started() -> Self {
        let mut cluster = Self::new(4);
        cluster.run(Duration::from_millis(10), keep_all);
        cluster
    }

    /// Somebody with the key of a replica commits to two batches in a slot that is not decided yet.
    fn contradict(&mut self, accused: u16, slot: u64) {
        for byte in [1, 2] {
            let vote = self.world.vote(accused, Phase::Commit, 0, &[(slot, byte)]);
            let others = self.world.chain.committee.members().filter(|id| id.0 != accused);
            self.wire.extend(others.map(|to| (ReplicaId(accused), to, Message::Vote(vote.clone()))));
        }
    }

    fn standings(&self, of: u16) -> Vec<u16> {
        self.nodes.iter().map(|node| node.replica.ledger().standings().of(ReplicaId(of))).collect()
    }

    fn is_banned(&self, of: u16) -> Vec<bool> {
        self.nodes.iter().map(|node| node.replica.ledger().standings().is_banned(ReplicaId(of))).collect()
    }

    /// Requests at some replicas in turn until all of these have executed a slot.
    fn reach(&mut self, at: &[usize], slot: u64) {
        for turn in at.iter().cycle().take(400) {
            if at.iter().all(|at| slot <= self.nodes[*at].replica.executed().0) {
                return;
            }
            self.request(*turn);
            self.run(Duration::from_millis(1), keep_all);
        }
        panic!("slot {slot} is not reached: {:?}", self.executed());
    }
}

#[test]
fn a_contradiction_costs_everything_everywhere_and_bans_behind_the_checkpoint() {
    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.run(Duration::from_secs(1), keep_all);
    // Replica 0 is next after 3, and submits T0 later. One operation is enough.
    assert_eq!(cluster.executed(), [1; 4]);
    assert_eq!(cluster.standings(3), [0; 4]);
    let held = |node: &Node| node.replica.evidence().iter().count();
    assert_eq!(cluster.nodes.iter().map(held).collect::<Vec<_>>(), [1, 1, 1, 0], "and 3 holds nothing against itself");
    cluster.reach(&[0, 1, 2], 3);
    assert_eq!(cluster.is_banned(3), [false; 4], "not before the checkpoint");
    cluster.reach(&[0, 1, 2], 4);
    assert_eq!(cluster.is_banned(3), [true; 4]);
}

#[test]
fn the_others_submit_when_the_first_in_turn_does_not() {
    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.settle(keep_all);
    cluster.crash(0);
    cluster.run(Duration::from_millis(700), keep_all);
    assert_eq!(cluster.standings(3), [1000; 4]);
    // Replica 1 submits it, and the dead primary is left for that.
    cluster.run(Duration::from_secs(2), keep_all);
    assert_eq!(cluster.standings(3)[1..], [0; 3]);
}

#[test]
fn a_banned_primary_is_left_at_once_and_its_votes_still_count() {
    let mut cluster = Cluster::started();
    cluster.contradict(0, 6);
    cluster.run(Duration::from_millis(600), keep_all);
    let views = |cluster: &Cluster| cluster.nodes.iter().map(|node| node.replica.view()).collect::<Vec<_>>();
    cluster.reach(&[1, 2, 3], 3);
    assert_eq!(views(&cluster), [View(0); 4]);
    let before = cluster.now;
    cluster.reach(&[1, 2, 3], 4);
    assert_eq!(views(&cluster), [View(1); 4]);
    assert!(cluster.now < before + Duration::from_millis(100), "without a time-out");
    assert!(cluster.nodes.iter().all(|node| node.replica.back_off() == 0), "and without a longer one");
    cluster.crash(3);
    cluster.reach(&[1, 2], 40);
    assert!(Slot(40) <= cluster.nodes[0].replica.executed(), "the banned one executes as well");
}

#[test]
fn what_a_banned_author_makes_is_not_executed_and_keeps_nobody_waiting() {
    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.run(Duration::from_secs(1), keep_all);
    cluster.reach(&[0, 1, 2], 4);
    let vertex = cluster.world.sign_vertex(cluster.world.vertex(3, b"late"));
    let message = cluster.world.verifier.message(Message::Vertex(vertex)).unwrap();
    for at in 0..3 {
        cluster.step(at, Input::Message(ReplicaId(3), &message));
        assert_eq!(cluster.nodes[at].replica.pending(), 0);
    }
    let executed = cluster.executed();
    cluster.request(3);
    cluster.run(Duration::from_secs(3), keep_all);
    assert_eq!(cluster.executed(), executed);
    assert!(cluster.nodes.iter().all(|node| node.replica.view() == View(0)));
}

#[test]
fn one_culprit_too_many_stops_everybody_also_after_a_restart() {
    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.run(Duration::from_secs(1), keep_all);
    cluster.contradict(2, 6);
    cluster.run(Duration::from_secs(1), keep_all);
    let halted = |cluster: &Cluster| cluster.nodes.iter().map(|node| node.replica.halted()).collect::<Vec<_>>();
    assert_eq!(halted(&cluster), [Some(Halt::TooManyFaulty(Slot(2))); 4]);
    for at in 0..4 {
        cluster.request(at);
    }
    cluster.run(Duration::from_secs(3), keep_all);
    assert_eq!(cluster.executed(), [2; 4]);
    cluster.crash(0);
    cluster.restart(0);
    cluster.request(0);
    cluster.run(Duration::from_secs(3), keep_all);
    assert_eq!(halted(&cluster)[0], Some(Halt::TooManyFaulty(Slot(2))));
    assert!(cluster.nodes[0].replica.executed() <= Slot(2));

    // What it can prove convinces others.
    let mut findings = Findings::default();
    cluster.nodes[1].log.iter().for_each(|record| findings.take(record));
    let bundle = findings.bundle(cluster.world.chain.genesis.clone());
    let bundle = Bundle::decode(&bundle.encode()).unwrap();
    let accused: Vec<u16> = bundle.evidence.iter().map(|evidence| evidence.accused().0).collect();
    assert_eq!(accused, [2, 3]);
    assert!(bundle.evidence.into_iter().all(|evidence| cluster.world.verifier.evidence(evidence).is_ok()));
    assert_eq!(bundle.decided.iter().map(|proof| proof.claim.slot).collect::<Vec<_>>(), [Slot(1), Slot(2)]);
    assert_eq!(bundle.genesis, cluster.world.chain.genesis);
}

#[test]
fn evidence_that_was_held_at_a_crash_is_submitted_after_it() {
    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.settle(|_, to, _| to != ReplicaId(0));
    cluster.crash(0);
    cluster.run(Duration::from_secs(1), keep_all);
    cluster.restart(0);
    cluster.run(Duration::from_secs(2), keep_all);
    assert_eq!(cluster.standings(3), [0; 4]);
}

#[test]
fn standings_and_bans_are_transferred_with_the_state() {
    let mut cluster = Cluster::started();
    cluster.crash(1);
    cluster.contradict(3, 6);
    cluster.run(Duration::from_secs(1), keep_all);
    cluster.reach(&[0, 2], 100);
    cluster.restart(1);
    cluster.run(Duration::from_secs(2), keep_all);
    assert!(cluster.nodes[1].executed.len() < 60, "by a transfer");
    assert_eq!((cluster.standings(3)[1], cluster.is_banned(3)[1]), (0, true));
    assert_eq!(cluster.standings(0)[1], 1000);
}

#[test]
fn evidence_too_large_for_a_vertex_stays_with_those_who_hold_it() {
    let mut cluster = Cluster::started();
    let claims = (1..4000).rev().map(|slot| crate::verify::testing::claim(slot, 0, 1)).collect();
    let (view, stable, state) = (View(1), Slot(0), cluster.world.chain.id);
    let formless = ViewChange { view, stable, state, prepared: claims, voted: vec![] };
    let formless = cluster.world.sign_view_change(2, formless);
    let bodies = vec![cluster.world.view_change(0, 1, 0, &[]), cluster.world.view_change(1, 1, 0, &[]), formless];
    let view_changes = bodies.iter().map(|body| body.id()).collect();
    let signed = cluster.world.sign_new_view(NewView { view, view_changes, stable, proposals: vec![] });
    let message = NewViewMessage { signed, view_changes: bodies, stable: None, certificates: Default::default() };
    let message = cluster.world.verifier.message(Message::NewView(Arc::new(message))).unwrap();
    for at in [0, 2, 3] {
        cluster.step(at, Input::Message(ReplicaId(1), &message));
        assert_eq!(cluster.nodes[at].replica.evidence().iter().count(), 1);
    }
    cluster.run(Duration::from_secs(3), keep_all);
    assert_eq!(cluster.executed(), [0; 4], "a vertex that nobody takes would end its author's chain");
    cluster.reach(&[0, 2, 3], 5);
    assert_eq!(cluster.standings(1), [1000; 4]);
}

// Rule X13: whoever comes next after the accused submits T0 later, and nothing else need wake it.
#[test]
fn evidence_is_submitted_at_its_time_and_once_for_as_long_as_the_vertex_waits() {
    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.run(Duration::from_millis(405), keep_all);
    assert_eq!(cluster.standings(3), [0; 4], "r0 is one step after r3");

    let mut cluster = Cluster::started();
    cluster.contradict(3, 6);
    cluster.settle(keep_all);
    (1..4).for_each(|at| cluster.crash(at));
    cluster.run(Duration::from_secs(3), keep_all);
    let own = cluster.nodes[0].replica.pool.open_of(ReplicaId(0)).count();
    assert_eq!(own, 1, "it is not made again while it waits");
}

// Rules F15 and V9.
#[test]
fn what_a_banned_author_made_before_its_ban_is_waited_for_no_more() {
    let mut cluster = Cluster::started();
    // A second vertex of r3, whose first one nobody holds.
    let prev = crate::vertex::Link { height: crate::types::Height(1), id: crate::verify::testing::digest(1) };
    let orphan = crate::vertex::Vertex { prev, height: crate::types::Height(2), ..cluster.world.vertex(3, b"") };
    let orphan = cluster.world.sign_vertex(orphan);
    let message = cluster.world.verifier.message(Message::Vertex(orphan)).unwrap();
    (0..3).for_each(|at| cluster.step(at, Input::Message(ReplicaId(3), &message)));
    let open = |cluster: &Cluster, of| cluster.nodes[1].replica.pool.open_of(ReplicaId(of)).count();
    assert_eq!(open(&cluster, 3), 1);
    cluster.contradict(3, 6);
    cluster.run(Duration::from_secs(1), keep_all);
    assert_eq!((cluster.is_banned(3)[1], open(&cluster, 3)), (false, 1));
    // Another author's that cannot be final yet stays through the ban.
    let prev = crate::vertex::Link { height: crate::types::Height(50), id: crate::verify::testing::digest(2) };
    let other = crate::vertex::Vertex { prev, height: crate::types::Height(51), ..cluster.world.vertex(2, b"") };
    let message = cluster.world.verifier.message(Message::Vertex(cluster.world.sign_vertex(other))).unwrap();
    cluster.step(1, Input::Message(ReplicaId(2), &message));
    cluster.reach(&[0, 1, 2], 5);
    assert_eq!((cluster.is_banned(3)[1], open(&cluster, 3), open(&cluster, 2)), (true, 0, 1));
}
