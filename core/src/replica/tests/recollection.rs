//! A replica whose log was cut, and what the others tell it (rules G12 and G13).

use super::*;
use crate::certificate::CertificateSet;
use crate::config::{Chain, Genesis, Scheme};
use crate::input::Ignored;
use crate::message::{Recollection, ViewChangeMessage};
use crate::types::Height;
use crate::verify::testing::{claim, digest};
use crate::vertex::{Link, SignedVertex, Vertex};
use crate::vote::Phase;

fn distrusting(world: &World, id: u16, records: Vec<Record>) -> (Replica, Outbox) {
    let signer = Box::new(world.signer(id));
    let config = config(world, ReplicaId(id));
    let mut out = Outbox::resume_at(Lsn(records.len() as u64));
    let mut replica = Replica::recover(world.chain.clone(), config, signer, None, records).expect("a log");
    replica.distrust_log();
    if replica.is_silent() {
        let _ = replica.step(Instant(1), Input::Tick, &mut out);
    }
    (replica, out)
}

fn tell(world: &World, to: (&mut Replica, &mut Outbox), from: u16, held: Recollection) -> Result<(), Ignored> {
    let message = world.verifier.message(Message::Recollection(Arc::new(held))).expect("valid");
    to.0.step(Instant(1), Input::Message(ReplicaId(from), &message), to.1)
}

pub(super) fn sent(out: &mut Outbox) -> Vec<Message> {
    if let Some((lsn, _)) = out.take_records().last() {
        out.mark_durable(lsn);
    }
    std::iter::from_fn(|| out.next_send()).map(|envelope| envelope.message).collect()
}

/// An author's vertices of the heights 1 and 2.
fn two_vertices(world: &World, author: u16) -> [Arc<SignedVertex>; 2] {
    let first = world.sign_vertex(world.vertex(author, b"a"));
    let prev = Link { height: Height(1), id: first.id() };
    let second = world.sign_vertex(Vertex { prev, height: Height(2), ..world.vertex(author, b"b") });
    [first, second]
}

#[test]
fn a_replica_is_silent_until_n_minus_f_minus_1_others_have_told_what_they_hold() {
    for (n, needed) in [(1, 0), (2, 1), (4, 2), (6, 4), (7, 4)] {
        let keys = (0..n).map(|id: u16| id.to_be_bytes().to_vec()).collect();
        let genesis = Genesis { checkpoint_interval: 4, window: 8, ..Genesis::new("test", Scheme::Simulated, keys) };
        let world = World::of(Arc::new(Chain::new(genesis, true).expect("a genesis")));
        let (mut replica, mut out) = distrusting(&world, 0, Vec::new());
        for from in 1..=needed {
            assert!(replica.is_silent(), "{n} replicas, {from} is to tell");
            assert_eq!(tell(&world, (&mut replica, &mut out), from, Recollection::default()), Ok(()));
            let again = tell(&world, (&mut replica, &mut out), from, Recollection::default());
            let expected = if from == needed { Err(Ignored::Unasked) } else { Ok(()) };
            assert_eq!(again, expected, "{n} replicas, {from} tells again");
        }
        assert!(!replica.is_silent(), "{n} replicas");
    }
}

#[test]
fn a_silent_replica_asks_all_with_every_status_and_one_that_speaks_does_not() {
    let world = World::new(4);
    let (mut replica, mut out) = distrusting(&world, 1, Vec::new());
    let asks = |messages: &[Message]| {
        let question = Message::Fetch(Arc::new(vec![FetchItem::Recollection]));
        messages.iter().filter(|message| **message == question).count()
    };
    let tick = |replica: &mut Replica, out: &mut Outbox| {
        let due = replica.deadline().expect("STATUS is due");
        let _ = replica.step(due, Input::Tick, out);
        sent(out)
    };
    let first = sent(&mut out);
    assert_eq!(asks(&first), 1);
    assert!(first.iter().any(|message| message.kind() == "STATUS"));
    let later = tick(&mut replica, &mut out);
    assert_eq!(asks(&later), later.iter().filter(|message| message.kind() == "STATUS").count());
    assert_eq!(tell(&world, (&mut replica, &mut out), 1, Recollection::default()), Err(Ignored::Unasked), "its own");
    for from in [2, 3] {
        assert_eq!(tell(&world, (&mut replica, &mut out), from, Recollection::default()), Ok(()));
    }
    let spoken = [sent(&mut out), tick(&mut replica, &mut out)].concat();
    assert_eq!(asks(&spoken), 0);
}

#[test]
#[should_panic(expected = "the log is distrusted before the first step")]
fn a_replica_that_has_spoken_cannot_fall_silent() {
    let world = World::new(4);
    let (mut replica, mut out) = (alone(&world, 1), Outbox::default());
    let _ = replica.step(Instant(1), Input::Tick, &mut out);
    replica.distrust_log();
}

/// The log of r1, the primary of view 1: stable at slot 4, with votes for 5 in view 1 and for 6 in view 0, of which
/// only the first is prepared; a vertex of height 1; on the way from view 1 to view 3.
fn records(world: &World) -> Vec<Record> {
    let bodies = [0, 1, 2].map(|id| world.view_change(id, 1, 0, &[]));
    let signed = world.view_change(1, 3, 4, &[]);
    let leaving = ViewChangeMessage { signed, stable: None, certificates: CertificateSet(Vec::new()) };
    vec![
        Record::OwnVertex(two_vertices(world, 1)[0].clone()),
        Record::Stable(Arc::new(world.checkpoint_certificate(4, 0))),
        Record::Voted(View(0), Slot(6), digest(2)),
        Record::NewViewInstalled(Arc::new(world.new_view_message(&bodies))),
        Record::Voted(View(1), Slot(5), digest(1)),
        Record::Prepared(Arc::new(world.certificate(Phase::Prepare, claim(5, 1, 1)))),
        Record::OwnCheckpoint(CheckpointVote { slot: Slot(8), state: digest(8) }),
        Record::ViewChangeSent(Arc::new(leaving)),
    ]
}

fn of_votes(votes: Vec<crate::message::Signed<crate::vote::Vote>>) -> Recollection {
    Recollection { votes, ..Recollection::default() }
}

#[test]
fn what_is_on_record_or_older_or_of_another_replica_is_no_proof_of_a_lost_identity() {
    let world = World::new(4);
    let commit = |signer, view, entry| of_votes(vec![world.vote(signer, Phase::Commit, view, &[entry])]);
    let prepare = |signer, view, entry| of_votes(vec![world.vote(signer, Phase::Prepare, view, &[entry])]);
    let checkpoint =
        |signer, slot| Recollection { checkpoint: Some(world.checkpoint(signer, slot, 1)), ..Recollection::default() };
    let left = |signer, view, claims: &[_]| Recollection {
        view_change: Some(world.view_change(signer, view, 4, claims)),
        ..Recollection::default()
    };
    let new_view = |view| {
        let bodies = [0, 1, 2].map(|id| world.view_change(id, view, 0, &[]));
        Recollection { new_view: Some(world.sign_new_view(world.new_view(&bodies))), ..Recollection::default() }
    };
    let made = |author, at: usize| Recollection {
        vertex: Some(two_vertices(&world, author)[at].clone()),
        ..Recollection::default()
    };
    let vector = |entries| of_votes(vec![world.vote(1, Phase::Prepare, 1, entries)]);
    let cases = [
        ("a PREPARE on record", false, prepare(1, 1, (5, 1))),
        ("a PREPARE on record, of an older view", false, prepare(1, 0, (6, 2))),
        ("an older PREPARE", false, prepare(1, 0, (5, 9))),
        ("another PREPARE", true, prepare(1, 1, (5, 9))),
        ("a PREPARE of a higher view", true, prepare(1, 2, (5, 1))),
        ("a PREPARE where none is on record", true, prepare(1, 0, (7, 1))),
        ("a PREPARE above the window", true, prepare(1, 0, (13, 1))),
        ("a PREPARE at the low watermark", false, prepare(1, 9, (4, 9))),
        ("a vector of which only the last is new", true, vector(&[(4, 9), (5, 1), (6, 2)])),
        ("a vector on record", false, vector(&[(4, 9), (5, 1)])),
        ("a COMMIT on record", false, commit(1, 1, (5, 1))),
        ("another COMMIT", true, commit(1, 1, (5, 9))),
        ("a COMMIT for what was voted for only", true, commit(1, 0, (6, 2))),
        ("a PREPARE of another replica", false, prepare(2, 9, (5, 9))),
        ("a PREPARE of another replica, then a new one", true, {
            let votes = [2, 1].map(|signer| world.vote(signer, Phase::Prepare, 9, &[(5, 9)]));
            of_votes(votes.to_vec())
        }),
        ("the CHECKPOINT on record", false, checkpoint(1, 8)),
        ("a later CHECKPOINT", true, checkpoint(1, 12)),
        ("another replica's later CHECKPOINT", false, checkpoint(2, 12)),
        ("the VIEW-CHANGE on record", false, left(1, 3, &[])),
        ("another VIEW-CHANGE for the same view", true, left(1, 3, &[claim(5, 1, 1)])),
        ("an older VIEW-CHANGE", false, left(1, 2, &[claim(5, 1, 1)])),
        ("a VIEW-CHANGE for a higher view", true, left(1, 4, &[])),
        ("another replica's VIEW-CHANGE", false, left(2, 4, &[])),
        ("the NEW-VIEW of the view on record", false, new_view(1)),
        ("another replica's NEW-VIEW", false, new_view(2)),
        ("a NEW-VIEW of a higher view", true, new_view(5)),
        ("the vertex on record", false, made(1, 0)),
        ("a higher vertex", true, made(1, 1)),
        ("another replica's higher vertex", false, made(2, 1)),
    ];
    for (what, is_beyond, held) in cases {
        let (mut replica, mut out) = distrusting(&world, 1, records(&world));
        let told = tell(&world, (&mut replica, &mut out), 3, held);
        let halted = is_beyond.then_some(Halt::IdentityLost);
        assert_eq!((told, replica.halted), (if is_beyond { Err(Ignored::Stopped) } else { Ok(()) }, halted), "{what}");
    }
}

#[test]
fn a_replica_tells_another_the_newest_that_it_holds_of_it_and_nothing_else() {
    let world = World::new(4);
    let (mut replica, mut out) = (alone(&world, 0), Outbox::default());
    let bodies = [1, 2, 3].map(|id| world.view_change(id, 1, 0, &[]));
    let new_view = world.new_view_message(&bodies);
    deliver(&world, &mut replica, &mut out, 1, Message::NewView(Arc::new(new_view.clone())));
    for id in [1, 2] {
        for phase in [Phase::Prepare, Phase::Commit] {
            deliver(&world, &mut replica, &mut out, id, Message::Vote(world.vote(id, phase, 1, &[(3, 1)])));
        }
        for slot in [4, 8] {
            deliver(&world, &mut replica, &mut out, id, Message::Checkpoint(world.checkpoint(id, slot, 1)));
        }
        for vertex in two_vertices(&world, id) {
            deliver(&world, &mut replica, &mut out, id, Message::Vertex(vertex));
        }
        let signed = world.view_change(id, 2, 0, &[]);
        let leaving = ViewChangeMessage { signed, stable: None, certificates: CertificateSet(Vec::new()) };
        deliver(&world, &mut replica, &mut out, id, Message::ViewChange(Arc::new(leaving)));
    }
    let mut recollected = |of: u16| {
        sent(&mut out);
        deliver(&world, &mut replica, &mut out, of, Message::Fetch(Arc::new(vec![FetchItem::Recollection])));
        let told = sent(&mut out).into_iter().find_map(|message| match message {
            Message::Recollection(held) => Some(held),
            _ => None,
        });
        told.expect("an answer")
    };
    for of in [1, 2] {
        // The PREPARE that r1 sent as primary without batches is none; COMMITs of both are held.
        let held = recollected(of);
        assert!(held.votes.contains(&world.vote(of, Phase::Commit, 1, &[(3, 1)])), "{:?}", held.votes);
        assert!(held.votes.iter().all(|vote| vote.signer == ReplicaId(of)), "{:?}", held.votes);
        assert_eq!(held.checkpoint, Some(world.checkpoint(of, 8, 1)));
        assert_eq!(held.view_change, Some(world.view_change(of, 2, 0, &[])));
        assert_eq!(held.new_view, (of == 1).then(|| new_view.signed.clone()));
        assert_eq!(held.vertex, Some(two_vertices(&world, of)[1].clone()));
    }
    assert!(recollected(2).votes.contains(&world.vote(2, Phase::Prepare, 1, &[(3, 1)])));
    let of_the_other = recollected(3);
    assert_eq!((of_the_other.votes.len(), &of_the_other.new_view, &of_the_other.vertex), (0, &None, &None));
}

// Rule G12: a log with a CHECKPOINT, a VIEW-CHANGE and a vertex, which are all sent again once the silence ends.
#[test]
fn a_silent_replica_says_nothing_of_what_its_log_holds() {
    let world = World::new(4);
    let (mut replica, mut out) = distrusting(&world, 1, records(&world));
    let kinds = |messages: &[Message]| messages.iter().map(Message::kind).collect::<Vec<_>>();
    let before = kinds(&sent(&mut out));
    assert!(before.iter().all(|kind| ["STATUS", "FETCH"].contains(kind)), "{before:?}");
    for from in [2, 3] {
        assert_eq!(tell(&world, (&mut replica, &mut out), from, Recollection::default()), Ok(()));
    }
    let after = kinds(&sent(&mut out));
    assert!(["CHECKPOINT", "VIEW-CHANGE", "VERTEX"].iter().all(|kind| after.contains(kind)), "{after:?}");
}
