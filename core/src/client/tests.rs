use super::*;
use crate::hash::merkle_path;
use crate::verify::testing::{World, digest};

const EXECUTED: Outcome = Outcome::Executed(Digest([1; 32]));
const FULL: Outcome = Outcome::NoOp(NoOp::Full);

/// The outcomes of a slot with five requests, `own` being that of request 3.
fn outcomes(own: Outcome) -> Arc<[(RequestId, Outcome)]> {
    (0..5).map(|id| (digest(id), if id == 3 { own } else { EXECUTED })).collect()
}

fn reply(world: &World, signer: u16, slot: u64, own: Outcome) -> Verified<Signed<ReplyStatement>> {
    let statement = ReplyStatement { slot: Slot(slot), root: outcome_root(&outcomes(own)) };
    world.verifier.reply(world.sign(signer, statement)).unwrap()
}

fn path(own: Outcome) -> Inclusion {
    let leaves: Vec<_> = outcomes(own).iter().map(|(id, outcome)| outcome_leaf(*id, *outcome)).collect();
    Inclusion::Path { outcome: own, index: 3, path: merkle_path(&leaves, 3) }
}

fn collector(n: u16) -> (World, ReplyCollector) {
    let world = World::new(n);
    let collector = ReplyCollector::new(world.chain.committee, digest(3));
    (world, collector)
}

#[test]
fn one_more_than_f_replicas_that_agree_are_believed() {
    let (world, mut collector) = collector(7);
    let mut offer = |signer, slot| collector.offer(&reply(&world, signer, slot, EXECUTED), &path(EXECUTED)).unwrap();
    assert_eq!(offer(0, 9), None);
    assert_eq!(offer(5, 9), None);
    assert_eq!(offer(6, 12), Some(Accepted::Executed(digest(1))), "a duplicate in a later slot has the same result");
}

#[test]
fn one_replica_counts_once_however_often_it_answers() {
    let (world, mut collector) = collector(4);
    for slot in 1..9 {
        assert_eq!(collector.offer(&reply(&world, 2, slot, EXECUTED), &path(EXECUTED)), Ok(None));
    }
}

#[test]
fn results_that_differ_do_not_add_up() {
    let (world, mut collector) = collector(4);
    let other = Outcome::Executed(digest(2));
    assert_eq!(collector.offer(&reply(&world, 0, 9, EXECUTED), &path(EXECUTED)), Ok(None));
    assert_eq!(collector.offer(&reply(&world, 1, 9, other), &path(other)), Ok(None));
    // A replica that changes its mind is not believed the second time.
    assert_eq!(collector.offer(&reply(&world, 1, 10, EXECUTED), &path(EXECUTED)), Ok(None));
    assert_eq!(collector.offer(&reply(&world, 2, 9, other), &path(other)), Ok(Some(Accepted::Executed(digest(2)))));
}

#[test]
fn a_no_op_is_believed_for_one_slot_and_the_execution_after_it_too() {
    let (world, mut collector) = collector(4);
    assert_eq!(collector.offer(&reply(&world, 0, 5, FULL), &path(FULL)), Ok(None));
    assert_eq!(collector.offer(&reply(&world, 1, 6, FULL), &path(FULL)), Ok(None), "another slot");
    let believed = Accepted::NoOp(Slot(6), NoOp::Full);
    assert_eq!(collector.offer(&reply(&world, 0, 6, FULL), &path(FULL)), Ok(Some(believed)));
    assert_eq!(collector.offer(&reply(&world, 0, 9, EXECUTED), &path(EXECUTED)), Ok(None));
    let believed = Accepted::Executed(digest(1));
    assert_eq!(collector.offer(&reply(&world, 1, 9, EXECUTED), &path(EXECUTED)), Ok(Some(believed)));
}

#[test]
fn no_ops_for_two_reasons_do_not_add_up_and_the_latest_of_a_replica_counts() {
    let (world, mut collector) = collector(4);
    let early = Outcome::NoOp(NoOp::TooEarly);
    let mut offer = |signer, slot, own| collector.offer(&reply(&world, signer, slot, own), &path(own));
    assert_eq!(offer(0, 6, FULL), Ok(None));
    assert_eq!(offer(1, 6, early), Ok(None), "another reason");
    assert_eq!(offer(0, 5, FULL), Ok(None), "an earlier answer, come late");
    assert_eq!(offer(2, 6, FULL), Ok(Some(Accepted::NoOp(Slot(6), NoOp::Full))));
}

#[test]
fn a_list_of_all_outcomes_does_as_well_as_a_path() {
    let (world, mut collector) = collector(4);
    let list = Inclusion::List(outcomes(EXECUTED));
    assert_eq!(collector.offer(&reply(&world, 0, 9, EXECUTED), &list), Ok(None));
    let believed = Some(Accepted::Executed(digest(1)));
    assert_eq!(collector.offer(&reply(&world, 1, 9, EXECUTED), &path(EXECUTED)), Ok(believed));
}

#[test]
fn an_outcome_that_is_not_under_the_signed_root_is_refused() {
    let (world, mut collector) = collector(4);
    let signed = reply(&world, 0, 9, FULL);
    assert_eq!(collector.offer(&signed, &path(EXECUTED)), Err(ReplyError::Root));
    assert_eq!(collector.offer(&signed, &Inclusion::List(outcomes(EXECUTED))), Err(ReplyError::Root));
    let Inclusion::Path { outcome, path, .. } = path(FULL) else { panic!("a path") };
    let moved = Inclusion::Path { outcome, index: 2, path: path.clone() };
    assert_eq!(collector.offer(&signed, &moved), Err(ReplyError::Root), "another position");
    let long = Inclusion::Path { outcome, index: 3, path: [path, vec![None; MAX_PATH]].concat() };
    assert_eq!(collector.offer(&signed, &long), Err(ReplyError::Root), "a path without end");
}

#[test]
fn an_answer_to_other_requests_is_refused() {
    let world = World::new(4);
    let mut collector = ReplyCollector::new(world.chain.committee, digest(77));
    let list = Inclusion::List(outcomes(EXECUTED));
    assert_eq!(collector.offer(&reply(&world, 0, 9, EXECUTED), &list), Err(ReplyError::OtherRequest));
    assert_eq!(collector.offer(&reply(&world, 0, 9, EXECUTED), &path(EXECUTED)), Err(ReplyError::Root));
}

#[test]
fn only_a_replica_that_signed_answers() {
    let world = World::new(4);
    let signed = world.sign(1, ReplyStatement { slot: Slot(9), root: digest(1) });
    assert!(world.verifier.reply(Signed { signer: ReplicaId(2), ..signed.clone() }).is_err());
    assert!(world.verifier.reply(signed).is_ok());
    // A collector for a smaller committee than the verifier's does not count strangers either.
    let larger = World::new(7);
    let mut collector = ReplyCollector::new(world.chain.committee, digest(3));
    let stranger = collector.offer(&reply(&larger, 6, 9, EXECUTED), &path(EXECUTED));
    assert_eq!(stranger, Err(ReplyError::NotAMember(ReplicaId(6))));
}

#[test]
fn a_result_is_recognized_by_its_hash() {
    let accepted = Accepted::Executed(result_hash(b"42"));
    assert!(accepted.is_result(b"42"));
    assert!(!accepted.is_result(b"43"));
    assert!(!Accepted::NoOp(Slot(1), NoOp::Full).is_result(b"42"));
}

#[test]
fn a_collector_knows_its_request_and_the_longest_path_is_of_32_steps() {
    let (world, mut collector) = collector(4);
    assert_eq!(collector.request(), digest(3));
    let Inclusion::Path { outcome, path, .. } = path(FULL) else { panic!("a path") };
    let padded = |length| {
        let path = [path.clone(), vec![None; length - path.len()]].concat();
        Inclusion::Path { outcome, index: 3, path }
    };
    let signed = reply(&world, 0, 9, FULL);
    assert_eq!(collector.offer(&signed, &padded(MAX_PATH)), Ok(None));
    assert_eq!(collector.offer(&signed, &padded(MAX_PATH + 1)), Err(ReplyError::Root));
}
