//! The production driver, unchanged, under simulated time: seeds of the scenario `driver`, each run twice. Judged by the
//! simulator's oracles over the drivers' event streams. Built and run by `./test.sh madsim`, with `--cfg madsim`.
#![cfg(madsim)]

#[path = "driver/cluster.rs"]
mod cluster;
#[path = "driver/env.rs"]
mod env;
#[path = "driver/judge.rs"]
mod judge;
#[path = "driver/net.rs"]
mod net;

use cluster::Outcome;
use cretoai_sim::plan::Plan;
use cretoai_sim::scenario::Scenario;

/// Seeds that are run: `CRETOAI_MADSIM_SEEDS=0..1000`, or fewer.
fn seeds() -> std::ops::Range<u64> {
    let named = std::env::var("CRETOAI_MADSIM_SEEDS").unwrap_or_else(|_| "0..40".to_owned());
    let (first, end) = named.split_once("..").expect("CRETOAI_MADSIM_SEEDS is FIRST..END");
    let number = |text: &str| text.parse().expect("CRETOAI_MADSIM_SEEDS is FIRST..END");
    number(first)..number(end)
}

/// Each run has a thread of its own: what a library keeps in statics and thread locals must not tie runs together.
fn run(plan: &Plan) -> Outcome {
    let plan = plan.clone();
    std::thread::spawn(move || cluster::run(&plan)).join().expect("the run does not panic")
}

#[test]
fn the_driver_keeps_every_promise_whatever_crashes_and_the_same_seed_is_the_same_run() {
    let scenario = Scenario::load("driver").unwrap_or_else(|error| panic!("{error}"));
    let mut complaints = String::new();
    let (mut runs, mut crashes, mut transfers, mut view_changes, mut executed) = (0, 0, 0, 0, 0);
    for seed in seeds() {
        let plan = scenario.plan(seed).unwrap_or_else(|error| panic!("{error}"));
        if plan.n > 7 {
            continue;
        }

        let first = run(&plan);

        let again = run(&plan);
        runs += 1;
        crashes += first.crashes;
        transfers += first.transfers;
        view_changes += first.highest_view;
        executed += first.executed;
        if let Some(violation) = &first.violation {
            complaints += &format!("\n  seed {seed}: {violation}");
        }
        if first != again {
            complaints += &format!("\n  seed {seed}: two runs differ: {first:?} and {again:?}");
        }
    }
    println!("{runs} runs, {executed} operations, {crashes} crashes, {transfers} transfers, {view_changes} views");
    assert!(complaints.is_empty(), "{complaints}\n  repeat with CRETOAI_MADSIM_SEEDS=SEED..SEED+1 ./test.sh madsim");
    assert!(runs == 0 || executed > 0, "nothing was executed");
}
