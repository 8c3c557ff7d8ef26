//! A crash between any two effects of any replica, and back: nothing that was promised is lost (`docs/protocol.md` G1
//! to G10, G15).

use cretoai_sim::plan::{
    Boundary, Calm, CrashPoint, Disk, Expectation, Kind, Load, MessageRule, Metric, Phases, Plan, Workload,
};
use cretoai_sim::report::{RunReport, Verdict};
use cretoai_sim::world::World;

/// Only some of the points where code is slow.
const STRIDE: usize = if cfg!(debug_assertions) { 7 } else { 1 };

/// Sixteen operations through all four replicas, three checkpoints, and in between a slot that everyone is prepared
/// for, nobody commits in view 0, and view 1 has to propose again.
fn base(disk: Disk) -> Plan {
    let lost =
        MessageRule { kinds: vec![Kind::Commit], views: Some([0, 0]), slots: Some([6, 6]), ..MessageRule::default() };
    Plan {
        name: "crash points".to_owned(),
        n: 4,
        checkpoint_interval: 4,
        window: 8,
        pipeline: 4,
        disk,
        workload: Workload {
            clients: 4,
            ops: 16,
            load: Load::Open { interval_us: 60_000, jitter_per_mille: 0 },
            timeout_us: Some(500_000), // A request dies with the memory of the only replica that has it.
            ..Workload::default()
        },
        rules: vec![lost],
        phases: Phases {
            safety_until_us: 1_500_000,
            calm: Some(Calm { heal_all: true, ..Calm::default() }),
            ..Phases::default()
        },
        expectations: vec![Expectation::AllOps { by_us: None }, Expectation::NoEvidence],
        ..Plan::default()
    }
}

/// A disk on which everything is durable at once, so that each record ends a frame.
fn instant() -> Disk {
    Disk::default()
}

/// A disk that takes a while, so that there is a suffix to lose, of which a crash keeps some.
fn slow() -> Disk {
    Disk { sync_us: 3_000, sync_jitter_us: 2_000, keep_unsynced_per_mille: 500, ..Disk::default() }
}

#[track_caller]
fn passes(world: &mut World, plan: &Plan, what: impl Fn() -> String) -> RunReport {
    let report = world.run(plan);
    assert_eq!(report.verdict, Verdict::Pass, "{}\n{plan:?}\n{report:#?}", what());
    report
}

/// Crashes each replica at every effect of a kind, and at how many in all.
fn crash_at_every(at: Boundary, disk: fn() -> Disk) {
    let mut world = World::new();
    for replica in 0..4 {
        let mut reached = 0;
        for nth in (1..).step_by(STRIDE) {
            let mut plan = base(disk());
            plan.seed = nth;
            plan.crash_points.push(CrashPoint { replica, at, nth, restart_after_us: Some(50_000) });
            let report = passes(&mut world, &plan, || format!("{at:?} {nth} of r{replica}"));
            if report.crashes == 0 {
                break;
            }
            reached = nth;
        }
        assert!(40 < reached, "{at:?} of r{replica}: the last point reached was {reached}");
    }
}

#[test]
fn without_a_crash_there_are_checkpoints_a_view_change_and_a_second_proposal() {
    for disk in [instant(), slow()] {
        let mut plan = base(disk);
        let least = |metric, at_least| Expectation::Metric { metric, at_least, at_most: None };
        let probe = |name: &str| Expectation::Probe { name: name.to_owned(), at_least: 4 };
        plan.expectations.extend([
            least(Metric::Slots, 12),
            least(Metric::HighestView, 1),
            probe("new view with proposals"),
            probe("slot decided in a later view"),
        ]);
        passes(&mut World::new(), &plan, || "no crash".to_owned());
    }
}

#[test]
fn a_record_that_is_lost_was_never_relied_on() {
    crash_at_every(Boundary::BeforeRecord, instant);
}

#[test]
fn a_record_that_is_durable_is_enough() {
    crash_at_every(Boundary::AfterRecord, instant);
}

#[test]
fn a_message_that_never_left_is_made_good() {
    crash_at_every(Boundary::BeforeSend, instant);
}

#[test]
fn a_message_that_was_the_last_one_is_never_contradicted() {
    crash_at_every(Boundary::AfterSend, instant);
}

#[test]
fn a_suffix_that_was_not_synced_may_be_lost() {
    for at in [Boundary::BeforeRecord, Boundary::AfterRecord, Boundary::BeforeSend, Boundary::AfterSend] {
        crash_at_every(at, slow);
    }
}
