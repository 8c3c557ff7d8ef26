//! Partitions, crashes, pauses and lost messages in the safety phase.

use super::half;
use crate::plan::{Fault, Kind, MessageRule, Plan, RuleAction, TimedFault};
use crate::rng::Rng;

/// Adds each family in half of the runs.
pub(super) fn add(rng: &mut Rng, plan: &mut Plan) {
    if half(rng) {
        partitions(rng, plan);
    }
    if half(rng) {
        crashes(rng, plan);
    }
    if rng.chance(300) {
        pauses(rng, plan);
    }
    if half(rng) {
        rules(rng, plan);
    }
    if rng.chance(100) {
        broken_disk(rng, plan);
    }
    plan.faults.sort_by_key(|fault| fault.at_us);
}

/// Adds every family that may be in any run.
pub(super) fn all(rng: &mut Rng, plan: &mut Plan) {
    partitions(rng, plan);
    crashes(rng, plan);
    pauses(rng, plan);
    rules(rng, plan);
    plan.faults.sort_by_key(|fault| fault.at_us);
}

fn replica(rng: &mut Rng, plan: &Plan) -> u16 {
    u16::try_from(rng.below(u64::from(plan.n))).expect("below n")
}

/// A moment of the safety phase, and a length that is likely to end within it.
fn episode(rng: &mut Rng, plan: &Plan) -> (u64, u64) {
    let end = plan.phases.safety_until_us;
    (rng.below(end), rng.between(1, end / 3))
}

fn at(plan: &mut Plan, at_us: u64, fault: Fault) {
    plan.faults.push(TimedFault { at_us, fault });
}

fn partitions(rng: &mut Rng, plan: &mut Plan) {
    for _ in 0..rng.between(1, 4) {
        let (start, length) = episode(rng, plan);
        let fault = match rng.below(4) {
            0 => Fault::Isolate { replica: replica(rng, plan) },
            1 => Fault::Cut { from: vec![replica(rng, plan)], to: vec![replica(rng, plan)] },
            _ => {
                let count = rng.between(2, 3);
                let mut groups = vec![Vec::new(); usize::try_from(count).expect("small")];
                for id in 0..plan.n {
                    let group = rng.index(groups.len());
                    groups[group].push(id);
                }
                Fault::Partition { groups }
            }
        };
        at(plan, start, fault);
        at(plan, start + length, Fault::Heal);
    }
}

fn crashes(rng: &mut Rng, plan: &mut Plan) {
    if rng.chance(150) {
        let (start, length) = episode(rng, plan);
        at(plan, start, Fault::PowerLoss { restart_after_us: length / 4 + 1 });
    }
    for _ in 0..rng.between(1, 5) {
        let (start, length) = episode(rng, plan);
        let id = replica(rng, plan);
        at(plan, start, Fault::Crash { replica: id });
        if rng.chance(850) {
            at(plan, start + length, Fault::Restart { replica: id });
        }
    }
}

fn pauses(rng: &mut Rng, plan: &mut Plan) {
    for _ in 0..rng.between(1, 3) {
        let (start, length) = episode(rng, plan);
        let id = replica(rng, plan);
        at(plan, start, Fault::Pause { replica: id });
        at(plan, start + length, Fault::Resume { replica: id });
    }
}

/// A disk that fails ends its replica, at once or when it is to come back.
fn broken_disk(rng: &mut Rng, plan: &mut Plan) {
    let (start, length) = episode(rng, plan);
    let id = replica(rng, plan);
    match rng.below(3) {
        0 => at(plan, start, Fault::FailSync { replica: id }),
        1 => at(plan, start, Fault::FillDisk { replica: id }),
        _ => {
            plan.disk.bytes = true;
            at(plan, start, Fault::Rot { replica: id });
            at(plan, start, Fault::Crash { replica: id });
            at(plan, start + length, Fault::Restart { replica: id });
        }
    }
}

/// A bit of one application flips, if there is nobody else whose checkpoints differ: a quorum must agree.
pub(super) fn flip(rng: &mut Rng, plan: &mut Plan, delay_us: u64) {
    if plan.byzantine.is_empty() && rng.chance(250) {
        let (start, _) = episode(rng, plan);
        let id = replica(rng, plan);
        at(plan, start, Fault::FlipState { replica: id });
        plan.faults.sort_by_key(|fault| fault.at_us);
        plan.phases.calm.iter_mut().for_each(|calm| calm.transfer_us = 40 * delay_us);
    }
}

/// Messages of some kinds get lost or late for a while: situations that no general loss reaches.
fn rules(rng: &mut Rng, plan: &mut Plan) {
    const KINDS: [Kind; 10] = [
        Kind::PrePrepare,
        Kind::Prepare,
        Kind::Commit,
        Kind::Commit,
        Kind::Checkpoint,
        Kind::ViewChange,
        Kind::NewView,
        Kind::Status,
        Kind::Certificates,
        Kind::Vertex,
    ];
    for _ in 0..rng.between(1, 4) {
        let (from_us, length) = episode(rng, plan);
        let some = |rng: &mut Rng| if half(rng) { vec![replica(rng, plan)] } else { Vec::new() };
        let (from, to) = (some(rng), some(rng));
        let action = match rng.below(3) {
            0 => RuleAction::Reorder { us: length },
            1 => RuleAction::HoldUntil { at_us: from_us + length },
            _ => RuleAction::Drop,
        };
        plan.rules.push(MessageRule {
            kinds: vec![*rng.pick(&KINDS)],
            from,
            to,
            from_us,
            until_us: Some(from_us + length),
            per_mille: *rng.pick(&[500, 1000]),
            action,
            ..MessageRule::default()
        });
    }
}
