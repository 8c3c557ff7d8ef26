//! What a replica does with what it finds on its disk, and with work that was given out before its state was replaced.

use super::agreement::Lone;
use super::recollection::sent;
use super::*;
use crate::batch::NULL_BATCH;
use crate::certificate::{CertificateSet, Claim};
use crate::input::Ignored;
use crate::message::ViewChangeMessage;
use crate::verify::testing::digest;
use crate::vote::Phase;

/// A replica of a committee of four with these records and this snapshot, after its first step.
fn restarted(world: &World, id: u16, snapshot: Option<OwnSnapshot>, records: Vec<Record>) -> (Replica, Outbox) {
    let config = config(world, ReplicaId(id));
    let mut out = Outbox::resume_at(Lsn(records.len() as u64));
    let signer = Box::new(world.signer(id));
    let mut replica = Replica::recover(world.chain.clone(), config, signer, snapshot, records).expect("a log");
    let _ = replica.step(Instant(1), Input::Tick, &mut out);
    (replica, out)
}

fn bare(world: &World, signer: u16, view: u64) -> Arc<ViewChangeMessage> {
    let signed = world.view_change(signer, view, 0, &[]);
    Arc::new(ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() })
}

// Rules G8 and V11: without its own VIEW-CHANGE the primary of the new view can choose nothing.
#[test]
fn a_replica_restarted_while_the_view_changes_forms_the_new_view_with_its_own_view_change() {
    let world = World::new(4);
    let (mut replica, mut out) = restarted(&world, 3, None, vec![Record::ViewChangeSent(bare(&world, 3, 3))]);
    for from in [0, 1] {
        deliver(&world, &mut replica, &mut out, from, Message::ViewChange(bare(&world, from, 3)));
    }
    assert_eq!((replica.view(), replica.target()), (View(3), None));
    assert!(sent(&mut out).iter().any(|message| message.kind() == "NEW-VIEW"));
}

// Rules G9 and V13: what the NEW-VIEW proposes has no PRE-PREPARE of its own.
#[test]
fn a_primary_restarted_in_its_view_sends_the_new_view_and_its_prepares_for_what_that_proposes() {
    let world = World::new(4);
    let of = |slot| Claim { slot: Slot(slot), view: View(0), digest: NULL_BATCH };
    let claims = [of(1), of(2)];
    let bodies = [0, 2, 3].map(|id| world.view_change(id, 1, 0, if id == 0 { &claims } else { &[] }));
    let new_view = Arc::new(world.new_view_message(&bodies));
    let voted = |slot| Record::Voted(View(1), Slot(slot), NULL_BATCH);
    let records = vec![Record::NewViewInstalled(new_view), voted(1), voted(2)];
    let (_, mut out) = restarted(&world, 1, None, records);
    let said = sent(&mut out);
    let kinds: Vec<_> = said.iter().map(Message::kind).collect();
    assert!(kinds.contains(&"NEW-VIEW") && !kinds.contains(&"PRE-PREPARE"), "{kinds:?}");
    let slots = said.iter().filter_map(|message| match message {
        Message::Vote(vote) if vote.body.phase == Phase::Prepare => vote.body.entries.iter().next(),
        _ => None,
    });
    let slots: std::collections::BTreeSet<_> = slots.map(|(slot, _)| slot.0).collect();
    assert_eq!(slots.into_iter().collect::<Vec<_>>(), [1, 2]);
}

// Rule C1.
#[test]
fn after_a_restart_a_checkpoint_is_signed_for_an_own_state_and_not_for_one_that_came_from_others() {
    let world = World::new(4);
    let (core, _) = certified(&world, 4, &[]);
    let vote = CheckpointVote { slot: Slot(4), state: core.manifest(Vec::new()).state() };
    let snapshot = || Some(OwnSnapshot { core: Arc::new(core.clone()), app: Vec::new() });
    let checkpoints = |records: Vec<Record>| {
        let (replica, mut out) = restarted(&world, 3, snapshot(), records);
        assert_eq!(replica.executed(), Slot(4));
        let said = sent(&mut out);
        said.iter().filter(|message| **message == Message::Checkpoint(world.sign(3, vote))).count()
    };
    assert_eq!(checkpoints(Vec::new()), 1, "the crash came before it was signed");
    assert_eq!(checkpoints(vec![Record::OwnCheckpoint(vote)]), 1, "sent again");
    assert_eq!(checkpoints(vec![Record::StateInstalled(Slot(4))]), 0);
}

/// The replica has executed four slots of NULL, of which the last is being made a snapshot of.
fn at_checkpoint() -> Lone {
    let mut lone = Lone::new();
    for slot in 1..=4 {
        assert_eq!(lone.decide(slot, 0, NULL_BATCH), Ok(()), "{slot}");
        let _ = lone.replica.step(Instant(1), Input::Executed(Slot(slot), Vec::new()), &mut lone.out);
    }
    lone
}

fn dropped(lone: &mut Lone) -> Vec<Slot> {
    sent(&mut lone.out);
    let tasks = std::iter::from_fn(|| lone.out.next_task());
    tasks.filter_map(|task| if let Task::DropSnapshots(slots) = task { Some(slots) } else { None }).flatten().collect()
}

/// The state that a quorum certified after slot 8, chunks and all, as an answer to what the replica asks for.
fn transfer(lone: &mut Lone, slots: u64) {
    let (core, proof) = certified(&lone.world, slots, &[]);
    let _ = lone.hear(0, Message::StableCheckpoint(Arc::new(proof)));
    let manifest = Data::Manifest(Arc::new(core.manifest(Vec::new())));
    let _ = lone.hear(0, Message::Data(Arc::new(manifest)));
    for chunk in &core.chunks {
        let _ = lone.hear(0, Message::Data(Arc::new(Data::Chunk(chunk.clone()))));
    }
}

// Rule C16: what the application was given before the state came is void, and what it is given after it is not.
#[test]
fn work_given_out_before_the_state_was_replaced_is_void_and_what_comes_after_it_counts() {
    let mut lone = at_checkpoint();
    for slot in 5..=7 {
        assert_eq!(lone.decide(slot, 0, NULL_BATCH), Ok(()));
    }
    // 5, 6 and 7 are with the application, and so is the snapshot of 4.
    assert_eq!((lone.replica.executed(), lone.replica.footprint().executing), (Slot(7), 3));
    transfer(&mut lone, 16);
    assert_eq!((lone.replica.executed(), lone.replica.applied()), (Slot(16), Slot(16)));
    assert_eq!(lone.replica.footprint().executing, 0);
    for slot in [17, 18] {
        assert_eq!(lone.decide(slot, 0, NULL_BATCH), Ok(()));
    }
    dropped(&mut lone);
    let mut step = |input| lone.replica.step(Instant(1), input, &mut lone.out);
    for slot in 5..=7 {
        assert_eq!(step(Input::Executed(Slot(slot), Vec::new())), Err(Ignored::Unasked));
    }
    assert_eq!(step(Input::SnapshotDurable(Slot(4), Vec::new())), Err(Ignored::Unasked));
    for slot in 17..=18 {
        assert_eq!(step(Input::Executed(Slot(slot), Vec::new())), Ok(()));
    }
    assert_eq!(lone.replica.applied(), Slot(18));
    assert_eq!(dropped(&mut lone), [Slot(4)], "it is on the disk, and nobody needs it");
    for slot in 19..=20 {
        assert_eq!(lone.decide(slot, 0, NULL_BATCH), Ok(()));
        let _ = lone.replica.step(Instant(1), Input::Executed(Slot(slot), Vec::new()), &mut lone.out);
    }
    let durable = Input::SnapshotDurable(Slot(20), Vec::new());
    assert_eq!(lone.replica.step(Instant(1), durable, &mut lone.out), Ok(()));
    assert!(sent(&mut lone.out).iter().any(|message| message.kind() == "CHECKPOINT"), "of the own state after 20");
}

// Rule C5: the state after 4 is wrong, and so is the one after 8, of which a snapshot is being made.
#[test]
fn a_snapshot_that_was_being_made_of_a_wrong_state_is_dropped_unless_another_takes_its_place() {
    for comes_first in [true, false] {
        let mut lone = at_checkpoint();
        let wrong = vec![digest(7)];
        let durable = |lone: &mut Lone, slot, app: &[Digest]| {
            lone.replica.step(Instant(1), Input::SnapshotDurable(Slot(slot), app.to_vec()), &mut lone.out)
        };
        let execute = |lone: &mut Lone| {
            for slot in 5..=8 {
                let _ = lone.decide(slot, 0, NULL_BATCH);
                let _ = lone.replica.step(Instant(1), Input::Executed(Slot(slot), Vec::new()), &mut lone.out);
            }
        };
        assert_eq!(durable(&mut lone, 4, &wrong), Ok(()));
        execute(&mut lone);
        dropped(&mut lone);
        let (_, proof) = certified(&lone.world, 4, &[]);
        let _ = lone.hear(0, Message::StableCheckpoint(Arc::new(proof)));
        assert!(lone.replica.has_diverged());
        assert_eq!(dropped(&mut lone), [Slot(4)]);
        if comes_first {
            assert_eq!(durable(&mut lone, 8, &wrong), Err(Ignored::Unasked));
            assert_eq!(dropped(&mut lone), [Slot(8)]);
        }
        transfer(&mut lone, 4);
        assert_eq!((lone.replica.executed(), lone.replica.has_diverged()), (Slot(8), false), "4 was taken over");
        execute(&mut lone);
        if !comes_first {
            assert_eq!(durable(&mut lone, 8, &wrong), Err(Ignored::Unasked));
        }
        assert_eq!(durable(&mut lone, 8, &[]), Ok(()), "executed again");
        assert_eq!(dropped(&mut lone), []);
        let right = lone.replica.execution.snapshots.get(&Slot(8)).map(|own| own.manifest.app.len());
        assert_eq!(right, Some(0));
    }
}

// Rule C15: its own newer ones are served too.
#[test]
fn snapshots_above_the_low_watermark_are_all_kept() {
    let mut lone = at_checkpoint();
    let _ = lone.replica.step(Instant(1), Input::SnapshotDurable(Slot(4), Vec::new()), &mut lone.out);
    for slot in 5..=8 {
        assert_eq!(lone.decide(slot, 0, NULL_BATCH), Ok(()), "{slot}");
        let _ = lone.replica.step(Instant(1), Input::Executed(Slot(slot), Vec::new()), &mut lone.out);
    }
    let _ = lone.replica.step(Instant(1), Input::SnapshotDurable(Slot(8), Vec::new()), &mut lone.out);
    let kept = |lone: &Lone| lone.replica.execution.snapshots.keys().map(|slot| slot.0).collect::<Vec<_>>();
    assert_eq!((kept(&lone), dropped(&mut lone)), (vec![4, 8], vec![]));
}

// Rule C17.
#[test]
fn no_view_is_learned_from_a_status() {
    let mut lone = Lone::new();
    let status = crate::message::Status {
        view: View(7),
        target: None,
        stable: Slot(0),
        executed: Slot(0),
        progress: Vec::new(),
        pending: Vec::new(),
    };
    let message = Message::Status(Arc::new(lone.world.sign(1, status)));
    assert_eq!((lone.hear(1, message), lone.replica.view()), (Ok(()), View(0)));
}

// Rule G14.
#[test]
fn of_the_states_that_were_taken_over_only_the_last_is_kept_on_record() {
    let world = World::new(4);
    let (replica, _) = restarted(&world, 3, None, [4, 8].map(|slot| Record::StateInstalled(Slot(slot))).to_vec());
    let is_obsolete = |slot| replica.is_obsolete(&Record::StateInstalled(Slot(slot)));
    assert_eq!([4, 8].map(is_obsolete), [true, false]);
}

// Rule C16: what an own vertex carried may come again when the state that came has done with the vertex.
#[test]
fn requests_of_own_vertices_that_are_final_in_a_transferred_state_are_remembered_as_open_no_more() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.request(3);
    cluster.settle(keep_all);
    cluster.request(3);
    // The others have heard of both and go on; r3 hears of nothing but the state in the end.
    cluster.settle(|_, to, _| to == ReplicaId(3));
    cluster.crash(3);
    for round in 0..60 {
        cluster.request(round % 3);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    cluster.restart(3);
    assert_eq!(cluster.nodes[3].replica.authoring.open_requests(), 2);
    cluster.run(Duration::from_secs(2), keep_all);
    assert_eq!((cluster.executed(), cluster.nodes[3].executed.len() < 40), (vec![62; 4], true));
    assert_eq!(cluster.nodes[3].replica.authoring.open_requests(), 0);
}
