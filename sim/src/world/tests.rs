//! The simulator itself: a few plans whose outcome is known.

use super::*;
use crate::plan::{Expectation, Load};
use crate::report::Verdict;

fn fault_free(n: u16, ops: u64) -> Plan {
    let mut plan = Plan { n, name: "fault-free".to_owned(), ..Plan::default() };
    plan.workload.ops = ops;
    plan.workload.load = Load::Open { interval_us: 20_000, jitter_per_mille: 0 };
    plan.expectations = vec![
        Expectation::AllOps { by_us: None },
        Expectation::NoViewChange,
        Expectation::NoEvidence,
        Expectation::FinalityDelays { first: 1, last: 40, delays: 3, delay_us: 10_000 },
        Expectation::MessagesPerSlot { first: 1, last: 40 },
    ];
    plan
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
        let report = passes(&fault_free(n, 50));
        assert_eq!((report.ops_executed, report.ops_answered), (50, 50), "n = {n}");
    }
}
