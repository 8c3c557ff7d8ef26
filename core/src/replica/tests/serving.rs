//! When a replica speaks of its state, and what it gives to those who lack something (rules T11, T13, C2, C15).

use super::agreement::Lone;
use super::recollection::sent;
use super::*;
use crate::batch::NULL_BATCH;
use crate::certificate::{Certificate, CertificateSet, Claim};
use crate::message::Status;
use crate::replica::tests::certified;
use crate::verify::testing::{claim, digest};
use crate::vote::{Phase, Vote};

const MS: u64 = 1_000_000;

pub(super) fn hear_at(lone: &mut Lone, millis: u64, from: u16, message: Message) {
    let message = lone.world.verifier.message(message).expect("valid");
    let _ = lone.replica.step(Instant(millis * MS), Input::Message(ReplicaId(from), &message), &mut lone.out);
}

/// Ticks whenever the replica wants it, and returns the milliseconds at which it sent STATUS.
pub(super) fn statuses(lone: &mut Lone, upto: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(due) = lone.replica.deadline().filter(|due| due.0 <= upto * MS) {
        let _ = lone.replica.step(due, Input::Tick, &mut lone.out);
        let said = sent(&mut lone.out).iter().any(|message| message.kind() == "STATUS");
        seen.extend(said.then_some(due.0 / MS));
    }
    seen
}

fn claim_of(lone: &Lone, id: u16, executed: u64) -> Message {
    let status = Status {
        view: View(0),
        target: None,
        stable: Slot(0),
        executed: Slot(executed),
        progress: Vec::new(),
        pending: Vec::new(),
    };
    Message::Status(Arc::new(lone.world.sign(id, status)))
}

/// Every 100 ms from one time on, up to another one.
fn each(from: u64, upto: u64) -> Vec<u64> {
    (from..=upto).step_by(100).collect()
}

// Rule T11, with T_st = 100 ms.
#[test]
fn status_is_sent_seldom_while_nothing_waits_and_every_period_while_something_does() {
    let started = || {
        let mut lone = Lone::new();
        assert_eq!(statuses(&mut lone, 230), [0]);
        lone
    };
    assert_eq!(statuses(&mut started(), 2500), [1000, 2000], "idle");

    let mut lone = started();
    lone.replica.start_view_change(View(1), &mut lone.out);
    assert_eq!(statuses(&mut lone, 650).len(), 6, "changing views");

    let mut lone = started();
    let vertex = lone.world.sign_vertex(lone.world.vertex(2, b"a"));
    hear_at(&mut lone, 230, 2, Message::Vertex(vertex));
    assert_eq!(statuses(&mut lone, 600), each(330, 600), "a vertex has been pending for a period");

    let mut lone = started();
    let vote = lone.world.vote(2, Phase::Commit, 0, &[(1, 1)]);
    hear_at(&mut lone, 230, 2, Message::Vote(vote));
    assert_eq!(statuses(&mut lone, 600), each(280, 600), "a vote has been known for half a period");

    let mut lone = started();
    let beyond = Arc::new(lone.world.certificate(Phase::Commit, claim(13, 0, 1)));
    hear_at(&mut lone, 230, 2, Message::Certificates(Arc::new(CertificateSet(vec![beyond]))));
    assert_eq!(statuses(&mut lone, 600), each(280, 600), "others are beyond the log");

    let mut lone = started();
    let proof = Arc::new(lone.world.checkpoint_certificate(4, 1));
    hear_at(&mut lone, 230, 2, Message::StableCheckpoint(proof));
    assert_eq!(statuses(&mut lone, 600), each(280, 600), "h is beyond what is executed");
}

// Rule T11: a claim is forgotten eleven periods after it was last made.
#[test]
fn a_claim_to_be_ahead_is_asked_about_for_a_while_after_it_was_last_made() {
    let mut lone = Lone::new();
    assert_eq!(statuses(&mut lone, 230), [0]);
    let ahead = claim_of(&lone, 1, 5);
    hear_at(&mut lone, 230, 1, ahead.clone());
    assert_eq!(statuses(&mut lone, 700), each(280, 700));
    hear_at(&mut lone, 700, 1, ahead);
    // 1800 is eleven periods later, and the next one is the ordinary one.
    assert_eq!(statuses(&mut lone, 3000), [each(780, 1800), vec![2780]].concat());
    let behind = claim_of(&lone, 1, 0);
    hear_at(&mut lone, 3000, 1, behind);
    assert_eq!(statuses(&mut lone, 3700), [0; 0], "who is not ahead claims nothing");
    // The old claim does not come to life again with another one: time has to pass anew.
    let ahead = claim_of(&lone, 2, 3);
    hear_at(&mut lone, 3710, 2, ahead);
    assert_eq!(statuses(&mut lone, 4000), [3760, 3860, 3960]);
}

// Rule T11.
#[test]
fn who_has_executed_all_that_is_known_of_waits_for_nothing_any_more() {
    let mut lone = Lone::new();
    assert_eq!(statuses(&mut lone, 230), [0]);
    let decided = |lone: &Lone, slot| {
        let of = Claim { slot: Slot(slot), view: View(0), digest: NULL_BATCH };
        let vote = Vote::one(Phase::Commit, of.view, of.slot, of.digest);
        let votes = (0..3).map(|signer| lone.world.sign(signer, vote.clone())).collect();
        let certificate = Arc::new(Certificate::from_votes(Phase::Commit, of, votes));
        Message::Certificates(Arc::new(CertificateSet(vec![certificate])))
    };
    let second = decided(&lone, 2);
    hear_at(&mut lone, 230, 1, second);
    assert_eq!(statuses(&mut lone, 300), [280], "slot 1 is missing");
    let vote = lone.world.vote(2, Phase::Commit, 0, &[(3, 1)]);
    hear_at(&mut lone, 390, 2, Message::Vote(vote));
    let first = decided(&lone, 1);
    hear_at(&mut lone, 395, 1, first);
    assert_eq!(lone.replica.executed(), Slot(2));
    // Slot 3 has been known since 390.
    assert_eq!(statuses(&mut lone, 450), [440]);
    let third = decided(&lone, 3);
    hear_at(&mut lone, 460, 1, third);
    assert_eq!((lone.replica.executed(), statuses(&mut lone, 1500)), (Slot(3), vec![1440]));
    // h is 4 and known to be beyond what is executed, and then it is not beyond any more.
    let mut lone = Lone::new();
    assert_eq!(statuses(&mut lone, 230), [0]);
    let proof = Arc::new(lone.world.checkpoint_certificate(4, 1));
    hear_at(&mut lone, 230, 1, Message::StableCheckpoint(proof));
    let first = decided(&lone, 1);
    hear_at(&mut lone, 240, 1, first);
    assert_eq!(statuses(&mut lone, 500), [290, 390, 490]);
    for slot in 2..=4 {
        let next = decided(&lone, slot);
        hear_at(&mut lone, 500, 1, next);
    }
    assert_eq!((lone.replica.executed(), statuses(&mut lone, 1600)), (Slot(4), vec![1490]));
}

/// r3 in view 1, with a checkpoint of its own at slot 8, of which that at slot 4 is stable.
fn with_checkpoints() -> Lone {
    let mut lone = Lone::new();
    assert_eq!(lone.install(1, 0, &[]), Ok(()));
    for slot in 1..=8 {
        assert_eq!(lone.decide(slot, 1, NULL_BATCH), Ok(()), "{slot}");
        let _ = lone.replica.step(Instant(1), Input::Executed(Slot(slot), Vec::new()), &mut lone.out);
        if slot % 4 == 0 {
            let _ = lone.replica.step(Instant(1), Input::SnapshotDurable(Slot(slot), Vec::new()), &mut lone.out);
        }
    }
    let (_, proof) = certified(&lone.world, 4, &[]);
    assert_eq!(lone.hear(0, Message::StableCheckpoint(Arc::new(proof))), Ok(()));
    assert_eq!((lone.replica.stable(), lone.replica.has_diverged()), (Slot(4), false));
    sent(&mut lone.out);
    lone
}

// Rule T13.
#[test]
fn a_status_is_answered_with_the_proofs_checkpoints_and_views_that_its_sender_lacks_and_with_no_others() {
    let answer = |view, stable, executed| {
        let mut lone = with_checkpoints();
        let progress = Vec::new();
        let (view, stable, executed) = (View(view), Slot(stable), Slot(executed));
        let status = Status { view, target: None, stable, executed, progress, pending: Vec::new() };
        let message = Message::Status(Arc::new(lone.world.sign(2, status)));
        let _ = lone.hear(2, message);
        sent(&mut lone.out).iter().map(Message::kind).collect::<Vec<_>>()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(answer(1, 0, 8), ["STABLE-CHECKPOINT", "CHECKPOINT"]);
    assert_eq!(answer(1, 4, 8), ["CHECKPOINT"]);
    assert_eq!(answer(1, 8, 8), nothing);
    assert_eq!(answer(1, 12, 12), nothing);
    assert_eq!(answer(0, 8, 8), ["NEW-VIEW"]);
    assert_eq!(answer(2, 8, 8), nothing);
    assert_eq!(answer(1, 8, 7), nothing, "what is new here is on its way");
}

// Rule C15.
#[test]
fn a_checkpoint_or_a_view_that_is_asked_for_is_given_if_it_is_there() {
    let given = |item| {
        let mut lone = with_checkpoints();
        let _ = lone.hear(2, Message::Fetch(Arc::new(vec![item])));
        sent(&mut lone.out)
    };
    let stable = |slot| {
        let of = |message: &Message| match message {
            Message::StableCheckpoint(proof) => Some(proof.vote.slot.0),
            _ => None,
        };
        given(FetchItem::StableCheckpoint(Slot(slot))).iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(stable(4), [4]);
    assert_eq!(stable(0), [4], "a later one does as well");
    assert_eq!(stable(8), [0; 0]);
    let kinds = |item| given(item).iter().map(Message::kind).collect::<Vec<_>>();
    assert_eq!(kinds(FetchItem::NewView(View(1))), ["NEW-VIEW"]);
    assert_eq!([0, 2, 5].map(|view| kinds(FetchItem::NewView(View(view))).len()), [0; 3]);
    let of = |slot, digest| Claim { slot: Slot(slot), view: View(1), digest };
    assert_eq!(kinds(FetchItem::Certificate(Phase::Commit, of(7, NULL_BATCH))), ["CERTIFICATES"]);
    assert_eq!(kinds(FetchItem::Certificate(Phase::Commit, of(7, digest(1)))).len(), 0, "of another claim");
    assert_eq!(kinds(FetchItem::Certificate(Phase::Prepare, of(7, NULL_BATCH))).len(), 0, "of another phase");
}

// Rules N2 and O7: with h = 0, H is 8.
#[test]
fn of_a_sender_the_checkpoints_up_to_the_high_watermark_are_kept_and_the_highest_above() {
    let mut lone = Lone::new();
    let mut hear = |slot| {
        let message = Message::Checkpoint(lone.world.checkpoint(1, slot, 1));
        let _ = lone.hear(1, message);
        let newest = lone.replica.checkpoints.newest_of(ReplicaId(1)).map(|vote| vote.body.slot.0);
        (lone.replica.footprint().checkpoints, newest)
    };
    assert_eq!(hear(8), (1, Some(8)));
    assert_eq!(hear(4), (2, Some(8)));
    assert_eq!(hear(16), (3, Some(16)));
    assert_eq!(hear(12), (3, Some(16)), "below the one held");
    assert_eq!(hear(16), (3, Some(16)), "again");
    assert_eq!(hear(20), (3, Some(20)), "in its place");
    let proof = Arc::new(lone.world.checkpoint_certificate(8, 1));
    assert_eq!(lone.hear(0, Message::StableCheckpoint(proof)), Ok(()));
    assert_eq!(lone.replica.footprint().checkpoints, 1, "what is stable is done with");
    // One that came from above the window stays when the window has reached it, and is no reason to refuse others.
    let mut lone = Lone::new();
    for (slot, h, held) in [(12, 4, 1), (16, 4, 2), (12, 4, 2), (8, 4, 3), (20, 4, 3)] {
        let message = Message::Checkpoint(lone.world.checkpoint(1, slot, 1));
        let _ = lone.hear(1, message);
        if lone.replica.stable() < Slot(h) {
            let proof = Arc::new(lone.world.checkpoint_certificate(h, 1));
            assert_eq!(lone.hear(0, Message::StableCheckpoint(proof)), Ok(()));
        }
        assert_eq!(lone.replica.footprint().checkpoints, held, "{slot}");
    }
    let mut lone = Lone::new();
    for (slot, held) in [(16, 1), (8, 2)] {
        let message = Message::Checkpoint(lone.world.checkpoint(1, slot, 1));
        let _ = lone.hear(1, message);
        assert_eq!(lone.replica.footprint().checkpoints, held, "{slot}");
    }
}

// Rule T12.
#[test]
fn a_status_says_how_far_each_slot_is() {
    let mut lone = Lone::new();
    assert_eq!(lone.decide(1, 0, digest(1)), Ok(()), "its body is missing");
    let of = [2, 3].map(|slot| lone.propose(slot, &[slot.to_le_bytes()[0]]).1);
    for signer in [1, 2] {
        let _ = lone.vote(signer, Phase::Prepare, 0, (2, of[0]));
    }
    let _ = lone.vote(1, Phase::Prepare, 0, (5, digest(5)));
    sent(&mut lone.out);
    lone.replica.send_status(&mut lone.out);
    let progress = sent(&mut lone.out).into_iter().find_map(|message| match message {
        Message::Status(status) => Some(status.body.progress.clone()),
        _ => None,
    });
    use crate::message::Progress::{Accepted, Committed, Nothing, Prepared};
    assert_eq!(progress, Some(vec![Committed, Prepared, Accepted, Nothing, Nothing]));
}

// Rule T13.
#[test]
fn votes_are_repeated_to_those_of_the_same_view_who_lack_them() {
    let answer = |view, progress| {
        let mut lone = Lone::new();
        let _ = lone.vote(1, Phase::Prepare, 0, (1, digest(1)));
        let _ = lone.vote(1, Phase::Commit, 0, (1, digest(1)));
        let status = Status {
            view: View(view),
            target: None,
            stable: Slot(0),
            executed: Slot(0),
            progress: vec![progress],
            pending: Vec::new(),
        };
        let message = Message::Status(Arc::new(lone.world.sign(2, status)));
        sent(&mut lone.out);
        hear_at(&mut lone, 60, 2, message);
        let said = sent(&mut lone.out);
        said.iter().map(Message::kind).filter(|kind| *kind != "STATUS").collect::<Vec<_>>()
    };
    use crate::message::Progress::{Committed, Nothing, Prepared};
    assert_eq!(answer(0, Nothing), ["PREPARE", "COMMIT"]);
    assert_eq!(answer(0, Prepared), ["COMMIT"]);
    assert_eq!(answer(0, Committed), [""; 0], "it says that it lacks nothing");
    assert_eq!(answer(1, Nothing), [""; 0]);
}
