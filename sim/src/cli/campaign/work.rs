//! The side that runs seeds.

use super::super::simulate::Simulator;
use crate::crypto::mix;
use crate::report::{RunReport, Verdict};
use crate::scenario::{FailureFile, LoadError, Scenario};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// Seeds that a thread takes at a time, at the most.
const MOST_AT_A_TIME: u64 = 32;

/// One in so many seeds is run twice.
const SAMPLE: u64 = 20;

/// What there is to do.
#[derive(Debug)]
pub(super) struct Job {
    /// Each of them with all seeds.
    pub(super) scenarios: Vec<Scenario>,
    /// All seeds.
    pub(super) seeds: Range<u64>,
    /// Seeds of a block.
    size: u64,
    next: AtomicU64,
    /// It is enough.
    pub(super) stop: AtomicBool,
}

/// What came of a block; an error if a seed's plan cannot be run.
pub(super) type Done = Result<Vec<Outcome>, LoadError>;

/// What came of a seed.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) report: RunReport,
    /// Whether the run has a calm phase.
    pub(super) has_calm: bool,
    /// Whether it was run twice.
    pub(super) is_repeated: bool,
    pub(super) failure: Option<Box<FailureFile>>,
}

impl Job {
    pub(super) fn new(scenarios: Vec<Scenario>, seeds: Range<u64>) -> Self {
        let count = seeds.end - seeds.start;
        let size = (count / 64).clamp(1, MOST_AT_A_TIME);
        Self { scenarios, seeds, size, next: AtomicU64::new(0), stop: AtomicBool::new(false) }
    }

    /// How many runs there are.
    pub(super) fn runs(&self) -> u64 {
        (self.seeds.end - self.seeds.start).saturating_mul(self.scenarios.len() as u64)
    }

    fn blocks(&self) -> u64 {
        let count = self.seeds.end - self.seeds.start;
        count.div_ceil(self.size).saturating_mul(self.scenarios.len() as u64)
    }

    /// The scenario, by its place, and the seeds of a block. Scenarios take turns.
    pub(super) fn block(&self, index: u64) -> (usize, Range<u64>) {
        let scenarios = self.scenarios.len() as u64;
        let scenario = usize::try_from(index % scenarios).expect("the place of a scenario");
        let from = self.seeds.start + index / scenarios * self.size;
        (scenario, from..from.saturating_add(self.size).min(self.seeds.end))
    }

    /// Works on one block after another.
    pub(super) fn work(&self, results: &Sender<(u64, Done)>) {
        let mut simulator = Simulator::default();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if self.blocks() <= index {
                return;
            }
            let (scenario, seeds) = self.block(index);
            let mut outcomes = Ok(Vec::new());
            for seed in seeds {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let outcome = run(&mut simulator, &self.scenarios[scenario], seed);
                outcomes = outcomes.and_then(|mut outcomes: Vec<_>| {
                    outcomes.push(outcome?);
                    Ok(outcomes)
                });
            }
            if results.send((index, outcomes)).is_err() {
                return;
            }
        }
    }
}

/// Runs a seed: twice if it is in the sample, or failed.
fn run(simulator: &mut Simulator, scenario: &Scenario, seed: u64) -> Result<Outcome, LoadError> {
    let plan = scenario.plan(seed)?;
    let mut report = simulator.run(&plan);
    let is_repeated = is_in_sample(seed) || report.verdict != Verdict::Pass;
    if is_repeated {
        report = simulator.repeat(&plan, &report).unwrap_or(report);
    }
    let failure = (report.verdict != Verdict::Pass).then(|| Box::new(FailureFile::new(scenario, &plan, &report)));
    Ok(Outcome { has_calm: plan.phases.calm.is_some(), is_repeated, failure, report })
}

fn is_in_sample(seed: u64) -> bool {
    mix(seed, SAMPLE).is_multiple_of(SAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_every_scenario_is_in_one_block() {
        let swarm = Scenario::load("swarm").unwrap();
        let demo = Scenario::load("demo").unwrap();
        let job = Job::new(vec![swarm, demo], 5..1000);
        let mut seen = vec![Vec::new(); 2];
        for index in 0..job.blocks() {
            let (scenario, seeds) = job.block(index);
            seen[scenario].extend(seeds);
        }
        let all: Vec<u64> = (5..1000).collect();
        assert_eq!(seen, [all.clone(), all]);
        assert_eq!(job.runs(), 2 * 995);
    }

    #[test]
    fn about_five_in_a_hundred_seeds_are_run_twice() {
        let sample = (0..100_000).filter(|seed| is_in_sample(*seed)).count();
        assert!((4_800..5_200).contains(&sample), "{sample} of 100000");
    }
}
