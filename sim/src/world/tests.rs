//! The simulator itself: plans whose outcome is known.

use super::*;
use crate::plan::{
    Behaviour, Boundary, Byzantine, Calm, CrashPoint, Crypto, Expectation, Kind, Load, MessageRule, TimedFault,
};
use crate::report::Verdict;
use crate::swarm;

/// A steady stream of operations over links of 10 ms.
fn stream(n: u16, ops: u64) -> Plan {
    let mut plan = Plan { n, name: "test".to_owned(), ..Plan::default() };
    plan.workload.ops = ops;
    plan.workload.load = Load::Open { interval_us: 20_000, jitter_per_mille: 0 };
    plan.expectations = vec![Expectation::AllOps { by_us: None }];
    plan
}

/// The same with small windows, in which everything happens sooner.
fn small(ops: u64) -> Plan {
    let mut plan = stream(4, ops);
    (plan.checkpoint_interval, plan.window, plan.pipeline) = (4, 8, 8);
    plan.workload.timeout_us = Some(500_000);
    plan
}

fn fault(plan: &mut Plan, at_us: u64, fault: Fault) {
    plan.faults.push(TimedFault { at_us, fault });
}

#[track_caller]
fn passes(plan: &Plan) -> RunReport {
    let report = World::new().run(plan);
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
    report
}

#[test]
fn without_faults_a_slot_takes_three_delays_and_the_least_messages() {
    for n in [4, 5, 7] {
        let mut plan = stream(n, 50);
        plan.expectations.extend([
            Expectation::NoViewChange,
            Expectation::NoEvidence,
            Expectation::FinalityDelays { first: 1, last: 40, delays: 3, delay_us: 10_000 },
            Expectation::MessagesPerSlot { first: 1, last: 40 },
            Expectation::AnsweredAfter { op: "#7".to_owned(), us: 50_000 },
        ]);
        let report = passes(&plan);
        assert_eq!((report.ops_executed, report.ops_answered), (50, 50), "n = {n}");
    }
}

// Seed 635808 of the swarm as it was then: what one liar said of the last view there is, another one moved a view on.
#[test]
fn liars_that_repeat_what_others_say_of_the_last_view_go_on() {
    let mut plan = stream(7, 40);
    let liar = |replica, behaviour| Byzantine { replica, behaviour };
    plan.byzantine = vec![
        liar(5, Behaviour::ViewSpammer { period_us: 5_000 }),
        liar(6, Behaviour::Replayer { per_mille: 500, delay_us: 20_000, memory: 64, moved: Vec::new() }),
    ];
    passes(&plan);
}

#[test]
fn real_signatures_give_the_same_run() {
    let simulated = passes(&stream(4, 3));
    for crypto in [Crypto::Ed25519, Crypto::MlDsa87] {
        let report = passes(&Plan { crypto, ..stream(4, 3) });
        assert_eq!(report.deliveries, simulated.deliveries, "{crypto:?}");
        assert_eq!(report.finality, simulated.finality, "{crypto:?}");
    }
    passes(&Plan { signed_requests: true, ..stream(4, 3) });
}

#[test]
fn a_dead_primary_costs_one_timeout() {
    let mut plan = small(0);
    plan.workload.scripted.push(crate::plan::Submit {
        op: "a".to_owned(),
        to: vec![1, 2, 3],
        direct: true,
        ..crate::plan::Submit::default()
    });
    fault(&mut plan, 0, Fault::Crash { replica: 0 });
    plan.expectations = vec![
        Expectation::Once { op: "a".to_owned(), by_us: Some(480_000), replicas: vec![] },
        Expectation::View { at_least: 1, at_most: 1, replicas: vec![] },
        Expectation::Evidence { against: 0, kind: None, by_at_least: 0 },
    ];
    passes(&plan);
}

#[test]
fn an_equivocating_primary_is_found_out_and_replaced() {
    let mut plan = small(20);
    let behaviour = Behaviour::EquivocatingPrimary { per_mille: 1000, half: vec![1] };
    plan.byzantine.push(Byzantine { replica: 0, behaviour });
    plan.expectations.push(Expectation::Evidence { against: 0, kind: None, by_at_least: 1 });
    passes(&plan);
}

#[test]
fn with_more_than_f_byzantine_replicas_the_oracles_see_a_fork() {
    let mut plan = small(20);
    let behaviour = Behaviour::EquivocatingPrimary { per_mille: 1000, half: vec![1] };
    plan.byzantine.push(Byzantine { replica: 0, behaviour });
    plan.byzantine.push(Byzantine { replica: 3, behaviour: Behaviour::DoubleVoter });
    plan.faults.clear();
    let report = World::new().run(&plan);
    assert!(matches!(report.verdict, Verdict::Safety(_)), "{report:#?}");
}

#[test]
fn a_replica_far_behind_takes_over_a_state() {
    let mut plan = small(60);
    fault(&mut plan, 100_000, Fault::Isolate { replica: 3 });
    fault(&mut plan, 900_000, Fault::Heal);
    plan.expectations.push(Expectation::Transferred { replicas: vec![3] });
    plan.expectations.push(Expectation::View { at_least: 0, at_most: 0, replicas: vec![] });
    plan.phases.linger_us = 200_000;
    passes(&plan);
}

#[test]
fn a_flipped_bit_is_found_at_a_checkpoint_and_mended() {
    let mut plan = small(40);
    fault(&mut plan, 200_000, Fault::FlipState { replica: 2 });
    plan.expectations.push(Expectation::Transferred { replicas: vec![2] });
    plan.expectations.push(Expectation::NoEvidence);
    passes(&plan);
}

#[test]
fn a_crash_between_any_two_effects_breaks_nothing() {
    let mut world = World::new();
    for (replica, at) in
        [(0, Boundary::BeforeRecord), (1, Boundary::AfterRecord), (2, Boundary::BeforeSend), (0, Boundary::AfterSend)]
    {
        for nth in 1..80 {
            let mut plan = small(10);
            plan.crash_points.push(CrashPoint { replica, at, nth, restart_after_us: Some(50_000) });
            // One lost VIEW-CHANGE more, so that crashes fall into view changes too.
            fault(&mut plan, 120_000, Fault::Isolate { replica: 0 });
            fault(&mut plan, 800_000, Fault::Heal);
            let report = world.run(&plan);
            assert_eq!(report.verdict, Verdict::Pass, "{at:?} {nth} of r{replica}: {report:#?}");
            assert!(report.crashes > 0 || nth > 20, "{at:?} {nth} of r{replica} never comes");
        }
    }
}

#[test]
fn power_loss_of_all_loses_nothing_that_was_promised() {
    for bytes in [false, true] {
        let mut plan = small(30);
        plan.disk.sync_us = 2_000;
        plan.disk.bytes = bytes;
        plan.disk.torn_per_mille = if bytes { 1000 } else { 0 };
        fault(&mut plan, 211_000, Fault::PowerLoss { restart_after_us: 30_000 });
        fault(&mut plan, 433_000, Fault::PowerLoss { restart_after_us: 30_000 });
        let report = passes(&plan);
        assert_eq!(report.crashes, 8);
    }
}

#[test]
fn a_rotten_log_keeps_a_replica_from_starting() {
    let mut plan = small(30);
    plan.disk.bytes = true;
    fault(&mut plan, 300_000, Fault::Rot { replica: 2 });
    fault(&mut plan, 310_000, Fault::Crash { replica: 2 });
    fault(&mut plan, 320_000, Fault::Restart { replica: 2 });
    plan.expectations.push(Expectation::Stopped { replicas: vec![2] });
    plan.expectations.push(Expectation::NoViewChange);
    passes(&plan);
}

#[test]
fn rules_and_counts_follow_single_messages() {
    let mut plan = small(12);
    let commits = MessageRule { kinds: vec![Kind::Commit], slots: Some([2, 2]), to: vec![1], ..MessageRule::default() };
    plan.rules.push(commits);
    let sent = |kind, at_least, at_most| Expectation::Sent {
        replicas: vec![1],
        kind,
        views: None,
        slots: Some([2, 2]),
        from_us: 0,
        own: false,
        at_least,
        at_most,
    };
    plan.expectations.extend([sent(Kind::Prepare, 3, Some(3)), sent(Kind::NewView, 0, Some(0))]);
    passes(&plan);
}

#[test]
fn a_calm_core_makes_progress_while_others_are_cut_off() {
    let mut plan = small(20);
    plan.phases.safety_until_us = 300_000;
    plan.phases.calm = Some(Calm { core: vec![1, 2, 3], ..Calm::default() });
    fault(&mut plan, 50_000, Fault::Partition { groups: vec![vec![0, 1], vec![2, 3]] });
    plan.expectations.clear();
    let report = passes(&plan);
    assert!(report.slots_calm > 0, "{report:#?}");
}

#[test]
fn one_world_runs_many_plans_and_remembers_nothing() {
    let mut world = World::new();
    for seed in 0..20 {
        let plan = swarm::plan(seed);
        let again = world.run(&plan);
        assert_eq!(again, World::new().run(&plan), "seed {seed}");
    }
}

#[test]
fn a_panic_of_the_protocol_is_a_finding() {
    let mut plan = small(5);
    plan.faults.push(TimedFault { at_us: 1000, fault: Fault::EnableRule { name: "there is none".to_owned() } });
    let report = World::new().run(&plan);
    let failure = report.verdict.failure().expect("it panicked");
    assert_eq!(failure.oracle, "O12");
    assert!(failure.sentence.contains("there is none"), "{failure:?}");
}
