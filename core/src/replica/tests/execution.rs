//! What is executed, what follows from it, and what is proposed next.

use super::agreement::Lone;
use super::recollection::sent;
use super::serving::{hear_at, statuses};
use super::*;
use crate::batch::Batch;
use crate::certificate::{Certificate, CertificateSet, Claim};
use crate::hashed::Hashed;
use crate::message::{PrePrepare, ViewChangeMessage};
use crate::types::Height;
use crate::vertex::{Link, Reference, Vertex};
use crate::vote::{Phase, Vote};

// Rule D13.
#[test]
fn a_vertex_whose_reference_has_become_final_waits_to_be_proposed() {
    let mut lone = Lone::new();
    let parent = lone.world.sign_vertex(lone.world.vertex(2, b"a"));
    let refs = vec![Reference { author: ReplicaId(2), height: Height(1), id: parent.id() }];
    let child = lone.world.sign_vertex(Vertex { refs, height: Height(2), ..lone.world.vertex(1, b"b") });
    assert_eq!(lone.hear(1, Message::Vertex(child.clone())), Ok(()));
    assert_eq!(lone.replica.pending(), 0);
    let (_, of) = lone.propose(1, b"a");
    assert_eq!(lone.decide(1, 0, of), Ok(()));
    assert_eq!(lone.replica.executed(), Slot(1));
    let proposable: Vec<_> = lone.replica.pool.proposable().iter().map(|(_, _, id)| *id).collect();
    assert_eq!(proposable, [child.id()]);
}

// Rule T8: T(1) is 800 ms, and T_vc starts with the quorum at 1 ms.
#[test]
fn a_new_view_in_which_nothing_executes_is_left_when_the_time_of_the_view_change_is_over() {
    let entered = |waits: bool| {
        let mut lone = Lone::new();
        assert_eq!(statuses(&mut lone, 0), [0]);
        if waits {
            let vertex = lone.world.sign_vertex(lone.world.vertex(2, b"a"));
            hear_at(&mut lone, 1, 2, Message::Vertex(vertex));
        }
        for id in [0, 2] {
            let signed = lone.world.view_change(id, 1, 0, &[]);
            let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
            hear_at(&mut lone, 1, id, Message::ViewChange(Arc::new(message)));
        }
        assert_eq!((lone.replica.target(), lone.replica.timeout()), (Some(View(1)), Duration::from_millis(800)));
        let new_view = Message::NewView(Arc::new(lone.new_view(1, 0, &[])));
        hear_at(&mut lone, 500, 1, new_view);
        assert_eq!((lone.replica.view(), lone.replica.target()), (View(1), None));
        lone
    };
    let mut lone = entered(true);
    let _ = statuses(&mut lone, 800);
    assert_eq!(lone.replica.target(), None);
    let _ = statuses(&mut lone, 801);
    assert_eq!(lone.replica.target(), Some(View(2)), "a vertex has been waiting since before the view");
    let mut lone = entered(false);
    let _ = statuses(&mut lone, 5000);
    assert_eq!((lone.replica.view(), lone.replica.target()), (View(1), None), "nothing waits");
}

// Rule F9.
#[test]
fn of_two_copies_of_a_request_the_one_that_executed_is_answered_with_the_result_itself() {
    let mut lone = Lone::new();
    let copies = [2, 1].map(|author| lone.world.sign_vertex(lone.world.vertex(author, b"a")));
    for vertex in &copies {
        assert_eq!(lone.hear(vertex.author().0, Message::Vertex(vertex.clone())), Ok(()));
    }
    let vertices = copies.iter().map(|vertex| vertex.id()).collect();
    let batch = Arc::new(Hashed::new(Batch { ts: Instant(1), vertices }));
    let vote = lone.world.sign(0, Vote::one(Phase::Prepare, View(0), Slot(1), batch.digest()));
    let of = batch.digest();
    assert_eq!(lone.hear(0, Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch] }))), Ok(()));
    assert_eq!(lone.decide(1, 0, of), Ok(()));
    let result = Bytes(b"result".to_vec());
    let executed = Input::Executed(Slot(1), vec![result.clone()]);
    assert_eq!(lone.replica.step(Instant(1), executed, &mut lone.out), Ok(()));
    sent(&mut lone.out);
    let replies = std::iter::from_fn(|| lone.out.next_task());
    let replies: Vec<_> =
        replies.filter_map(|task| if let Task::Reply(reply) = task { Some(reply) } else { None }).collect();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].results.to_vec(), [Some(result), None]);
    assert_eq!(replies[0].outcomes[0], replies[0].outcomes[1], "and both with its hash");
}

// Rule D15: A_max is 8.
#[test]
fn a_batch_takes_what_has_waited_longest_and_of_each_author_no_more_than_its_share() {
    let world = World::new(4);
    let config = Config { pipeline: 1, ..config(&world, ReplicaId(0)) };
    let mut replica = Replica::new(world.chain.clone(), config, Box::new(world.signer(0)));
    let mut out = Outbox::default();
    let mut prev = Link::genesis(world.chain.id);
    let mut chain = Vec::new();
    for height in 1..=12 {
        let vertex = world.sign_vertex(Vertex { prev, height: Height(height), ..world.vertex(1, b"") });
        prev = Link { height: Height(height), id: vertex.id() };
        chain.push(vertex);
    }
    let others = [2, 3].map(|author| world.sign_vertex(world.vertex(author, b"")));
    for vertex in chain.iter().chain(&others) {
        deliver(&world, &mut replica, &mut out, vertex.author().0, Message::Vertex(vertex.clone()));
    }
    let proposed = |replica: &Replica, slot| {
        let state = replica.log.get(Slot(slot)).expect("in the log");
        let digest = state.proposal.as_ref()?.digest;
        Some((digest, state.batch(digest).expect("held").vertices.clone()))
    };
    let (first, listed) = proposed(&replica, 1).expect("proposed at once");
    assert_eq!((listed, proposed(&replica, 2)), (vec![chain[0].id()], None));
    let of = Claim { slot: Slot(1), view: View(0), digest: first };
    let vote = Vote::one(Phase::Commit, of.view, of.slot, of.digest);
    let votes = (0..3).map(|signer| world.sign(signer, vote.clone())).collect();
    let decided = CertificateSet(vec![Arc::new(Certificate::from_votes(Phase::Commit, of, votes))]);
    deliver(&world, &mut replica, &mut out, 1, Message::Certificates(Arc::new(decided)));
    let expected: Vec<_> = chain[1..9].iter().chain(&others).map(|vertex| vertex.id()).collect();
    assert_eq!(proposed(&replica, 2).map(|(_, listed)| listed), Some(expected));
}

// Rule T8.
#[test]
fn while_the_view_changes_its_time_runs_out_also_if_nothing_waits() {
    let mut lone = Lone::new();
    assert_eq!(statuses(&mut lone, 0), [0]);
    for id in [0, 2] {
        let signed = lone.world.view_change(id, 1, 0, &[]);
        let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        hear_at(&mut lone, 1, id, Message::ViewChange(Arc::new(message)));
    }
    // Something is decided meanwhile, and nothing can be executed.
    let _ = lone.decide(3, 0, crate::batch::NULL_BATCH);
    assert_eq!((lone.replica.executed(), lone.replica.target()), (Slot(0), Some(View(1))));
    let _ = statuses(&mut lone, 800);
    assert_eq!(lone.replica.target(), Some(View(1)));
    let _ = statuses(&mut lone, 801);
    assert_eq!(lone.replica.target(), Some(View(2)));
}

// Rules F4 and N15.
#[test]
fn a_vertex_that_was_missing_its_predecessor_can_be_proposed_again_also_when_its_slot_is_voted_for_again() {
    let mut lone = Lone::new();
    let parent = lone.world.sign_vertex(lone.world.vertex(2, b"a"));
    let prev = Link { height: Height(1), id: parent.id() };
    let child = lone.world.sign_vertex(Vertex { prev, height: Height(2), ..lone.world.vertex(2, b"b") });
    assert_eq!(lone.hear(2, Message::Vertex(child.clone())), Ok(()));
    let batch = Arc::new(Hashed::new(Batch { ts: Instant(1), vertices: vec![child.id()] }));
    let of = Claim { slot: Slot(1), view: View(0), digest: batch.digest() };
    assert_eq!(lone.pre_prepare(0, 1, &batch), Ok(()));
    assert_eq!(lone.decide(1, 0, of.digest), Ok(()));
    assert_eq!((lone.replica.executed(), lone.votes()), (Slot(1), vec![(Phase::Prepare, 1)]));
    assert_eq!(lone.install(1, 0, &[of]), Ok(()));
    assert_eq!(lone.votes(), [(Phase::Prepare, 1)]);
    assert_eq!(lone.hear(2, Message::Vertex(parent.clone())), Ok(()));
    let proposable: Vec<_> = lone.replica.pool.proposable().iter().map(|(_, _, id)| *id).collect();
    assert_eq!(proposable, [parent.id(), child.id()]);
}
