//! Tests of the library: each thing that a scenario expects could fail, and each element of its schedule makes a
//! difference. What nothing depends on is not tested.

use cretoai_sim::plan::{Behaviour, Expectation, Fault, Metric, Plan, SlotContent};
use cretoai_sim::report::Verdict;
use cretoai_sim::scenario::{LIBRARY, Scenario};
use cretoai_sim::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Only some of the scenarios where code is slow, and not those with a million messages.
const STRIDE: usize = if cfg!(debug_assertions) { 8 } else { 1 };
const SLOW: &[&str] =
    &["flood-of-votes-and-vertices", "flood-against-one-replica", "three-delays-with-a-hundred-replicas"];

/// Scenarios that are not about a schedule.
const NO_SCHEDULE: &[(&str, &str)] = &[
    ("swarm", "the seed chooses it"),
    ("random", "the seed chooses it"),
    ("twins", "the seed chooses it"),
    ("small-scope", "the seed chooses it"),
    ("demo", "it shows what there is, and tests nothing of its own"),
    ("driver", "the seed chooses its faults, and the oracles are all it expects"),
    ("canary", "its liars are one more than it takes, so that the fork does not depend on a seed"),
];

/// Elements without which a scenario goes the same way, and why they are there all the same.
const IDLE: &[(&str, &str, &str)] = &[
    ("excluded-replica", "rules[0]", "with it the answer of the primary comes as late as the others'"),
    ("gap-before-a-prepared-slot", "rules[3]", "only one replica sends COMMITs, and no quorum comes of one"),
    ("only-one-replica-prepared", "rules[2]", "only one replica sends COMMITs, and no quorum comes of one"),
    ("twin-primary", "faults[", "one cut of sixty; without all of them it fails"),
];

fn plans() -> impl Iterator<Item = Plan> {
    let all = LIBRARY.iter().map(|(name, _)| *name).filter(|name| NO_SCHEDULE.iter().all(|(known, _)| known != name));
    let chosen = all.step_by(STRIDE).filter(|name| !cfg!(debug_assertions) || !SLOW.contains(name));
    chosen.map(|name| {
        let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
        scenario.plan(scenario.default_seed()).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// What contradicts an expectation: none of it may hold where the expectation does. The time, the place or the number
/// is what differs, so that it is seen to count.
fn contrary(expectation: &Expectation, n: u16) -> Vec<Expectation> {
    let (never, at_once) = (u64::MAX, Some(0));
    let count = |metric| Expectation::Metric { metric, at_least: 1, at_most: None };
    let others = |replicas: &[u16]| (0..n).filter(|id| !replicas.contains(id)).collect::<Vec<_>>();
    match expectation.clone() {
        Expectation::Executed { slot, replicas, .. } => {
            vec![Expectation::Executed { slot, by_us: at_once, replicas }]
        }
        Expectation::ExecutedAtMost { slot, replicas } => {
            vec![Expectation::ExecutedAtMost { slot: slot - 1, replicas }]
        }
        Expectation::Slot { slot, is } => {
            let is = if is == SlotContent::Null { SlotContent::Some } else { SlotContent::Null };
            vec![Expectation::Slot { slot, is }]
        }
        Expectation::Once { op, replicas, .. } => {
            vec![Expectation::Never { op: op.clone() }, Expectation::Once { op, by_us: at_once, replicas }]
        }
        Expectation::Never { op } => vec![Expectation::Once { op, by_us: None, replicas: vec![] }],
        Expectation::Order { mut ops } => {
            ops.reverse();
            vec![Expectation::Order { ops }]
        }
        Expectation::AllOps { .. } => vec![Expectation::AllOps { by_us: at_once }],
        Expectation::AllAnswered { .. } => vec![Expectation::AllAnswered { by_us: at_once }],
        Expectation::View { at_least, at_most, replicas } => {
            let view = |at_least, at_most| Expectation::View { at_least, at_most, replicas: replicas.clone() };
            let below = at_least.checked_sub(1).map(|view| (0, view));
            let above = at_most.checked_add(1).map(|view| (view, never));
            below.into_iter().chain(above).map(|(low, high)| view(low, high)).collect()
        }
        Expectation::NoViewChange => vec![count(Metric::ViewChanges)],
        Expectation::NoEvidence => vec![count(Metric::Evidence)],
        Expectation::Sent { replicas, kind, views, slots, from_us, own, at_least, at_most } => {
            let replicas = || replicas.clone();
            let sent = |(at_least, at_most)| Expectation::Sent {
                replicas: replicas(),
                kind,
                views,
                slots,
                from_us,
                own,
                at_least,
                at_most,
            };
            outside(at_least, at_most).into_iter().map(sent).collect()
        }
        Expectation::Metric { metric, at_least, at_most } => outside(at_least, at_most)
            .into_iter()
            .map(|(at_least, at_most)| Expectation::Metric { metric, at_least, at_most })
            .collect(),
        Expectation::MessagesPerSlot { first, last } => {
            vec![Expectation::MessagesPerSlot { first, last: last + 1 }]
        }
        Expectation::FinalityDelays { first, last, delays, delay_us } => {
            let wrong = |last, delays| Expectation::FinalityDelays { first, last, delays, delay_us };
            vec![wrong(last + 1, delays), wrong(last, delays + 1), wrong(last, delays - 1)]
        }
        Expectation::AnsweredAfter { op, us } => {
            let after = |us| Expectation::AnsweredAfter { op: op.clone(), us };
            vec![after(us - 1), after(us + 1)]
        }
        Expectation::Evidence { against, kind, .. } => {
            let other = (against + 1) % n;
            let against = |against, by_at_least| Expectation::Evidence { against, kind: kind.clone(), by_at_least };
            vec![against(against_id(expectation), n), against(other, 1)]
        }
        Expectation::Standing { of, thousandths, replicas } => {
            let other = (thousandths + 1) % 1001;
            vec![Expectation::Standing { of, thousandths: other, replicas }]
        }
        Expectation::Transferred { replicas } => {
            vec![Expectation::Transferred { replicas: others(&replicas) }]
        }
        Expectation::Stopped { replicas } => vec![Expectation::Stopped { replicas: others(&replicas) }],
        Expectation::Probe { name, .. } => vec![Expectation::Probe { name, at_least: never }],
    }
}

fn against_id(expectation: &Expectation) -> u16 {
    let Expectation::Evidence { against, .. } = expectation else { unreachable!("asked of evidence only") };
    *against
}

/// The ranges beside a range of counts.
fn outside(at_least: u64, at_most: Option<u64>) -> Vec<(u64, Option<u64>)> {
    let below = at_least.checked_sub(1).map(|most| (0, Some(most)));
    let above = at_most.and_then(|most| most.checked_add(1)).map(|least| (least, None));
    below.into_iter().chain(above).collect()
}

#[test]
fn the_contrary_of_every_expectation_fails() {
    let mut world = World::new();
    let mut complaints = String::new();
    let mut tried = 0;
    for plan in plans() {
        let contraries: Vec<_> = plan.expectations.iter().flat_map(|due| contrary(due, plan.n)).collect();
        let plan = Plan { expectations: contraries, must_fail: None, must_say: None, ..plan };
        for outcome in world.run(&plan).expectations {
            tried += 1;
            if outcome.held {
                complaints += &format!("\n  {}: holds too: {} ({})", plan.name, outcome.expectation, outcome.found);
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert!(tried >= 500 / STRIDE, "only {tried} expectations were looked at");
}

/// The plan without one element, or without all of a list, for each element and each list.
fn ablations(plan: &Plan) -> Vec<(String, Plan)> {
    let mut found = Vec::new();
    let mut note = |what: String, change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        forget_names(&mut plan);
        found.push((what, plan));
    };
    macro_rules! each {
        ($($list:ident),*) => { $(
            for at in 0..plan.$list.len() {
                note(format!("{}[{at}]", stringify!($list)), &|plan| {
                    plan.$list.remove(at);
                });
            }
            if plan.$list.len() > 1 {
                note(format!("all {}", stringify!($list)), &|plan| plan.$list.clear());
            }
        )* };
    }
    each!(rules, faults, triggers, crash_points, byzantine, timeouts_of, clocks);
    for (at, entry) in plan.byzantine.iter().enumerate() {
        let Behaviour::Script { steps, .. } = &entry.behaviour else { continue };
        for step in 0..steps.len() {
            note(format!("byzantine[{at}].steps[{step}]"), &|plan| {
                let Behaviour::Script { steps, .. } = &mut plan.byzantine[at].behaviour else { return };
                steps.remove(step);
            });
        }
    }
    found
}

/// Nobody switches a rule that is not there any more.
fn forget_names(plan: &mut Plan) {
    let names: Vec<String> = plan.rules.iter().map(|rule| rule.name.clone()).collect();
    let exists = |fault: &Fault| match fault {
        Fault::EnableRule { name } | Fault::DisableRule { name } => names.contains(name),
        _ => true,
    };
    plan.faults.retain(|fault| exists(&fault.fault));
    plan.triggers.iter_mut().for_each(|trigger| trigger.then.retain(exists));
    plan.triggers.retain(|trigger| !trigger.then.is_empty());
}

#[test]
fn without_any_one_element_of_its_schedule_a_scenario_fails() {
    let mut complaints = String::new();
    let (mut tried, mut idle) = (0, 0);
    for plan in plans() {
        for (what, plan) in ablations(&plan) {
            tried += 1;
            // A script that speaks of a vertex which it now lacks does not get to an end.
            let ran = catch_unwind(AssertUnwindSafe(|| World::new().run(&plan).verdict));
            let has_passed = ran.is_ok_and(|verdict| verdict == Verdict::Pass);
            let may_pass = IDLE.iter().any(|(name, element, _)| *name == plan.name && what.starts_with(element));
            idle += usize::from(has_passed && may_pass);
            if has_passed && !may_pass {
                complaints += &format!("\n  {} passes without {what}", plan.name);
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert!(tried >= 200 / STRIDE, "only {tried} elements were left out");
    assert!(STRIDE > 1 || idle >= IDLE.len(), "an entry of IDLE is no longer needed");
}
