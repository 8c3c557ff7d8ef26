//! Twins (after Bano et al., OPODIS'21): one replica of four runs twice with one key, and in each of four views a
//! partition of the five instances into at most three classes decides who hears whom. A view ends when its primary is
//! no longer heard. Then everything heals.
//!
//! Seeds below [`ENUMERATED`] go through all of that, each once. The primary of a view is fixed, so no two replicas
//! are alike, and only the two instances of the twin can be exchanged: of the two schedules that differ in this alone
//! one is left out. All other seeds are samples of seven replicas, two of which run twice.

use super::{BASE_US, DELAY_US, Strategy, brief};
use crate::oracles::Bound;
use crate::plan::{Behaviour, Byzantine, Kind, MessageRule, Plan, RuleAction};
use crate::rng::{Concern, Rng};
use cretoai_core::committee::Committee;

/// Views that have a partition.
const VIEWS: usize = 4;

/// Classes of a partition, at the most.
const CLASSES: u8 = 3;

/// Partitions of five instances into at most three classes.
const PARTITIONS: u64 = 41;

/// Those of them that stay the same when the twin's instances are exchanged.
const FIXED: u64 = 15;

/// The others come in pairs.
const PAIRS: u64 = (PARTITIONS - FIXED) / 2;

/// Schedules of four views, for one choice of the replica that runs twice.
const SCHEDULES: u64 = {
    let (p, f) = (PARTITIONS, FIXED);
    PAIRS * (p * p * p + f * p * p + f * f * p + f * f * f) + f * f * f * f
};

/// Seeds from 0 up to this one go through all schedules of four replicas.
pub const ENUMERATED: u64 = 4 * SCHEDULES;

/// Neighbouring seeds are to be far apart, so that a few of them are a sample of all. A prime, and no divisor.
const STRIDE: u64 = 15_485_863;

/// How long the primary of a view is heard, if the view begins when it should.
const HEARD_US: u64 = 10 * DELAY_US;
/// From the end of one view to the beginning of the next.
const CHANGE_US: u64 = BASE_US + 4 * DELAY_US;

/// The class of each instance: the two of the twin first, then the other replicas in order. For more than one twin,
/// the two of each first.
type Partition = Vec<u8>;

/// The plan of a seed.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    if seed < ENUMERATED {
        let index = u128::from(seed) * u128::from(STRIDE) % u128::from(ENUMERATED);
        let index = u64::try_from(index).expect("below the number of schedules");
        let twin = u16::try_from(index / SCHEDULES).expect("below four");
        return spread(seed, 4, &[twin], &schedule(index % SCHEDULES));
    }
    let mut rng = Rng::new(seed, Concern::Swarm);
    let mut ids: Vec<u16> = (0..7).collect();
    rng.shuffle(&mut ids);
    let mut instance = |_| u8::try_from(rng.below(CLASSES.into())).expect("below three");
    let partitions: Vec<Partition> = (0..VIEWS).map(|_| (0..9).map(&mut instance).collect()).collect();
    spread(seed, 7, &ids[..2], &partitions)
}

/// All partitions of five instances: each class is named by a number, in the order in which classes appear.
fn partitions() -> Vec<Partition> {
    let mut found: Vec<Partition> = vec![Vec::new()];
    for _ in 0..5 {
        let longer = |partition: &Partition| {
            let next = partition.iter().max().map_or(0, |last| last + 1).min(CLASSES - 1);
            (0..=next).map(|class| [partition.as_slice(), &[class]].concat()).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(longer).collect();
    }
    found
}

/// The same partition with the two instances of the twin exchanged.
fn exchanged(partition: &Partition) -> Partition {
    let mut other = partition.clone();
    other.swap(0, 1);
    let mut names: Vec<u8> = Vec::new();
    let name = |class: u8| {
        let at = names.iter().position(|known| *known == class).unwrap_or_else(|| {
            names.push(class);
            names.len() - 1
        });
        u8::try_from(at).expect("below three")
    };
    other.into_iter().map(name).collect()
}

/// The schedule of a number: before the first view whose partition changes when the instances are exchanged there are
/// only such that do not, and of the two of that view it has the lesser one.
fn schedule(mut index: u64) -> Vec<Partition> {
    let all = partitions();
    let fixed: Vec<&Partition> = all.iter().filter(|partition| exchanged(partition) == **partition).collect();
    let lesser: Vec<&Partition> = all.iter().filter(|partition| **partition < exchanged(partition)).collect();
    let take = |index: &mut u64, count: u64| {
        let digit = usize::try_from(*index % count).expect("below a count");
        *index /= count;
        digit
    };
    for before in 0..VIEWS {
        let behind = VIEWS - before - 1;
        let count = FIXED.pow(exponent(before)) * PAIRS * PARTITIONS.pow(exponent(behind));
        if count <= index {
            index -= count;
            continue;
        }
        let mut chosen: Vec<Partition> = (0..before).map(|_| fixed[take(&mut index, FIXED)].clone()).collect();
        chosen.push(lesser[take(&mut index, PAIRS)].clone());
        chosen.extend((0..behind).map(|_| all[take(&mut index, PARTITIONS)].clone()));
        return chosen;
    }
    (0..VIEWS).map(|_| fixed[take(&mut index, FIXED)].clone()).collect()
}

fn exponent(count: usize) -> u32 {
    u32::try_from(count).expect("at most four")
}

/// The plan in which each view has its partition.
fn spread(seed: u64, n: u16, twins: &[u16], partitions: &[Partition]) -> Plan {
    let heard_until = |view: u64| (view + 1) * HEARD_US + view * CHANGE_US;
    let safety_until_us = heard_until(VIEWS as u64 - 1) + BASE_US;
    let interval_us = 4 * DELAY_US;
    let mut plan = brief(Strategy::Twins, seed, n, safety_until_us / interval_us, interval_us);
    plan.checkpoint_interval = 4;
    plan.timeouts.max_us = BASE_US;
    plan.phases.safety_until_us = safety_until_us;
    let honest: Vec<u16> = (0..n).filter(|id| !twins.contains(id)).collect();
    let class_of = |partition: &Partition, id: u16| {
        let at = honest.iter().position(|other| *other == id).expect("it runs once");
        partition[2 * twins.len() + at]
    };
    for (view, partition) in (0..).zip(partitions) {
        for class in 0..CLASSES {
            let (inside, outside): (Vec<u16>, Vec<u16>) =
                honest.iter().partition(|id| class_of(partition, **id) == class);
            if !inside.is_empty() && !outside.is_empty() {
                plan.rules.push(of_view(view, &inside, &outside));
            }
        }
        let end = MessageRule { kinds: vec![Kind::PrePrepare], from_us: heard_until(view), ..of_view(view, &[], &[]) };
        plan.rules.push(end);
    }
    for (at, twin) in twins.iter().enumerate() {
        let side = |partition: &Partition, instance: usize| {
            let class = partition[2 * at + instance];
            let among_honest = honest.iter().filter(|id| class_of(partition, **id) == class);
            let among_twins = twins
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at && partition[2 * other..2 * other + 2].contains(&class));
            among_honest.copied().chain(among_twins.map(|(_, id)| *id)).collect::<Vec<u16>>()
        };
        let by_view = partitions.iter().map(|partition| [side(partition, 0), side(partition, 1)]).collect();
        let behaviour =
            Behaviour::Twin { first: Vec::new(), change_every_us: 0, turns: Vec::new(), both_per_mille: 0, by_view };
        plan.byzantine.push(Byzantine { replica: *twin, behaviour });
    }
    let committee = Committee::new(n).expect("at least four");
    let Bound(bound_ns) = Bound::new(&plan, committee, 6, 4 * DELAY_US * 1000);
    let life_us = safety_until_us + bound_ns / 1000;
    plan.workload.expiry_us = life_us;
    plan.lifetime_us = 2 * life_us;
    plan.phases.end_us = life_us + BASE_US;
    plan
}

/// Messages of a view from some replicas to others get lost. Of a view is a STATUS, too, and without it nobody answers
/// across the partition with what was said within it. Bodies have no view; they decide nothing.
fn of_view(view: u64, from: &[u16], to: &[u16]) -> MessageRule {
    const OF_VIEWS: [Kind; 6] =
        [Kind::PrePrepare, Kind::Prepare, Kind::Commit, Kind::ViewChange, Kind::NewView, Kind::Status];
    MessageRule {
        kinds: OF_VIEWS.to_vec(),
        from: from.to_vec(),
        to: to.to_vec(),
        views: Some([view, view]),
        action: RuleAction::Drop,
        ..MessageRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_as_many_partitions_as_combinatorics_says() {
        let all = partitions();
        assert_eq!(all.len() as u64, PARTITIONS);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        let fixed = all.iter().filter(|partition| exchanged(partition) == **partition);
        assert_eq!(fixed.count() as u64, FIXED);
        assert!(all.iter().all(|partition| exchanged(&exchanged(partition)) == *partition));
        // Burnside: half of those there are, and of those that stay the same.
        assert_eq!(SCHEDULES, (PARTITIONS.pow(4) + FIXED.pow(4)) / 2);
    }

    #[test]
    fn every_schedule_has_a_number_of_its_own_and_none_is_another_one_exchanged() {
        let mut seen = BTreeSet::new();
        // All would take minutes: the ends, and every thousandth.
        let numbers = (0..2000).chain((0..SCHEDULES).step_by(1009)).chain(SCHEDULES - 2000..SCHEDULES);
        let numbers: BTreeSet<u64> = numbers.collect();
        for number in &numbers {
            let schedule = schedule(*number);
            let other: Vec<Partition> = schedule.iter().map(exchanged).collect();
            assert!(schedule <= other, "schedule {number} is not the lesser one of its two");
            assert!(seen.insert(schedule), "schedule {number} has been there before");
        }
        assert_eq!(seen.len(), numbers.len());
    }

    #[test]
    fn neighbouring_seeds_are_far_apart_and_no_two_are_the_same() {
        let gcd = |mut a: u64, mut b: u64| {
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        assert_eq!(gcd(STRIDE, ENUMERATED), 1);
        let twins: BTreeSet<u16> = (0..20).map(|seed| plan(seed).byzantine[0].replica).collect();
        assert_eq!(twins.len(), 4, "a few seeds have every replica run twice");
        assert_eq!((plan(ENUMERATED).n, plan(ENUMERATED).byzantine.len()), (7, 2));
    }
}
