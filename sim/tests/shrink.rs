//! Failures become small, stay the same failures, and can be replayed.

use cretoai_sim::plan::{Behaviour, Byzantine, Expectation, Happening, Plan};
use cretoai_sim::report::Verdict;
use cretoai_sim::scenario::Scenario;
use cretoai_sim::shrink::{NoShrink, Sameness, Shrunk, shrink};
use cretoai_sim::strategy::Strategy;
use cretoai_sim::world::World;

/// Whatever the seed chooses, and one Byzantine replica more than four can bear.
fn overrun(seed: u64) -> Plan {
    let mut plan = Strategy::Swarm.plan(seed);
    let behaviour = Behaviour::EquivocatingPrimary { per_mille: 1000, half: Vec::new() };
    plan.byzantine =
        vec![Byzantine { replica: 0, behaviour }, Byzantine { replica: 1, behaviour: Behaviour::DoubleVoter }];
    plan
}

/// The first plans that fork.
fn forks(count: usize) -> Vec<(Plan, Verdict)> {
    let mut world = World::new();
    let plans = (0..400).map(overrun).filter(|plan| plan.n == 4);
    let failing = plans.filter_map(|plan| match world.run(&plan).verdict {
        verdict @ Verdict::Safety(_) => Some((plan, verdict)),
        _ => None,
    });
    failing.take(count).collect()
}

fn shrunk(plan: &Plan) -> Shrunk {
    shrink(&mut World::new(), plan).unwrap_or_else(|error| panic!("seed {}: {error}", plan.seed))
}

#[test]
fn a_fork_of_hundreds_of_deliveries_ends_in_tens_and_is_the_same_fork() {
    let forks = forks(3);
    assert_eq!(forks.len(), 3, "two liars among four make forks");
    for (plan, verdict) in forks {
        let shrunk = shrunk(&plan);
        let [before, after] = shrunk.sizes;
        assert!(shrunk.is_spelled_out, "seed {}", plan.seed);
        assert!(after.deliveries <= 60, "seed {}: {} of {} deliveries", plan.seed, after.deliveries, before.deliveries);
        assert_eq!(Sameness::of(&shrunk.report.verdict), Sameness::of(&verdict), "seed {}", plan.seed);
        let again = World::new().run(&shrunk.plan);
        assert_eq!(again, shrunk.report, "seed {}: what is spelled out goes the same way every time", plan.seed);
    }
}

#[test]
fn without_any_one_of_its_steps_a_shrunk_run_does_not_fail_in_that_way() {
    let (plan, verdict) = forks(1).remove(0);
    let shrunk = shrunk(&plan);
    assert!(shrunk.is_minimal);
    let steps = shrunk.plan.transcript.as_ref().map_or(0, |transcript| transcript.steps.len());
    let mut world = World::new();
    for left_out in 0..steps {
        let mut plan = shrunk.plan.clone();
        plan.transcript.as_mut().expect("it is spelled out").steps.remove(left_out);
        let report = world.run(&plan);
        assert_ne!(Sameness::of(&report.verdict), Sameness::of(&verdict), "step {left_out} is idle");
    }
}

#[test]
fn what_honest_replicas_never_signed_nobody_can_say_in_their_name() {
    let (plan, _) = forks(1).remove(0);
    let (report, transcript) = World::new().transcribe(&plan);
    assert!(matches!(report.verdict, Verdict::Safety(_)));
    // Only what the liars said: with the honest silent, none of it that needs their signatures counts.
    let mut said = shrunk(&plan).plan;
    let mut steps = transcript.steps.clone();
    steps.retain(|step| matches!(step.what, Happening::Said { .. }));
    said.transcript = Some(cretoai_sim::plan::Transcript { steps, ..transcript });
    assert_eq!(World::new().run(&said).verdict, Verdict::Pass);
}

#[test]
fn what_passes_or_fails_an_expectation_only_is_not_shrunk() {
    let demo = Scenario::load("demo").unwrap();
    let plan = demo.plan(1).unwrap();
    assert_eq!(shrink(&mut World::new(), &plan).unwrap_err(), NoShrink::Passes);
    let wrong = Expectation::NoViewChange;
    let plan = Plan { expectations: vec![wrong], ..plan };
    assert_eq!(shrink(&mut World::new(), &plan).unwrap_err(), NoShrink::Meaningless("expectation".to_owned()));
}
