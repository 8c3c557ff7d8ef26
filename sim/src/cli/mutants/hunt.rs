//! The side that hunts: one mutant, one way to look for it, campaign after campaign.

use crate::plan::Plan;
use crate::report::{RunReport, Verdict};
use crate::scenario::{FailureFile, LIBRARY, Scenario};
use crate::strategy::Strategy;
use crate::world::World;
use clap::ValueEnum;
use cretoai_core::mutant::{self, Mutant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// Scenarios with a hundred replicas or a million messages, which are about figures.
const SLOW: [&str; 4] = [
    "flood-of-votes-and-vertices",
    "flood-against-one-replica",
    "three-delays-with-a-hundred-replicas",
    "three-delays-with-thirty-one-replicas",
];

/// A mutant may make a run go on for ever. No run of the protocol itself has so many events.
const ENDLESS: u64 = 5_000_000;

/// A way to look for a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// The default campaign: each family of faults is off in about half of the runs
    Swarm,
    /// Every family of faults is on in every run
    Random,
    /// One replica runs twice, and each view has its own partition
    Twins,
    /// A few faults of links and a few small mutations in a few phases
    SmallScope,
    /// The scenarios of the library, each once
    Scenarios,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        self.strategy().map_or("scenarios", Strategy::name)
    }

    fn strategy(self) -> Option<Strategy> {
        match self {
            Self::Swarm => Some(Strategy::Swarm),
            Self::Random => Some(Strategy::Random),
            Self::Twins => Some(Strategy::Twins),
            Self::SmallScope => Some(Strategy::SmallScope),
            Self::Scenarios => None,
        }
    }
}

/// How far a hunt goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Campaigns, if the first one finds something.
    pub(super) campaigns: u64,
    /// Seeds of a campaign.
    pub(super) seeds: u64,
    /// Processor time for one mutant and one way, in nanoseconds.
    pub(super) cpu_ns: u64,
}

/// What there is to do.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The mutant; none is the protocol itself.
    pub(super) mutant: Option<Mutant>,
    pub(super) way: Way,
    pub(super) bounds: Bounds,
    /// Of the library only this scenario.
    pub(super) scenario: Option<String>,
    /// Where the failure file of the first kill goes, if anywhere.
    pub(super) failures: Option<PathBuf>,
}

/// What a campaign did until its first kill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Kill {
    /// Seeds it took, the last included.
    pub(super) seeds: u64,
    /// The processor time that it took.
    pub(super) cpu_us: u64,
    /// The scenario, and the seed that killed.
    pub(super) scenario: String,
    pub(super) seed: u64,
    /// Who noticed, and what.
    pub(super) oracle: String,
    pub(super) sentence: String,
}

/// What came of hunting a mutant in one way.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hunted {
    /// The mutant; none is the protocol itself, and has to survive.
    pub(super) mutant: Option<&'static str>,
    pub(super) way: Way,
    /// Campaigns that were run.
    pub(super) campaigns: u64,
    /// The first kill of each campaign that has one; of the library, of each scenario that kills.
    pub(super) kills: Vec<Kill>,
    /// Seeds, or scenarios, that were run in all.
    pub(super) runs: u64,
    /// Whether the processor time ran out.
    pub(super) is_bounded: bool,
    /// Whether the failure file of the first kill, read back, gives the same violation and the same hash.
    pub(super) is_replayed: bool,
}

impl Hunted {
    /// Whether every campaign found it; of the library, whether any scenario did.
    pub(super) fn is_killed(&self) -> bool {
        !self.kills.is_empty() && (self.way == Way::Scenarios || self.kills.len() as u64 == self.campaigns)
    }

    /// Which oracles noticed, and how often.
    pub(super) fn oracles(&self) -> BTreeMap<&str, u64> {
        let mut oracles = BTreeMap::new();
        self.kills.iter().for_each(|kill| *oracles.entry(kill.oracle.as_str()).or_default() += 1);
        oracles
    }

    /// The 10th, the 50th and the 90th percentile of what its kills took.
    pub(super) fn spread(&self, of: impl Fn(&Kill) -> u64) -> Option<[u64; 3]> {
        let mut values: Vec<u64> = self.kills.iter().map(of).collect();
        values.sort_unstable();
        let last = values.len().checked_sub(1)?;
        Some([10, 50, 90].map(|percent| values[(last * percent + 50) / 100]))
    }
}

/// Hunts a mutant.
///
/// # Errors
/// When a failure file cannot be written.
pub(super) fn hunt(task: &Task) -> io::Result<Hunted> {
    let Task { mutant, way, bounds, ref scenario, ref failures } = *task;
    let name = mutant.map(Mutant::name);
    let (kills, is_bounded, is_replayed) = (Vec::new(), false, true);
    let hunted = Hunted { mutant: name, way, campaigns: 0, kills, runs: 0, is_bounded, is_replayed };
    mutant::switch(mutant);
    let mut world = World::new();
    world.limit_events(Some(ENDLESS));
    let mut hunter = Hunter { world, started: Stopwatch::start(), bounds, hunted, first: None };
    match way.strategy() {
        Some(strategy) => hunter.campaigns(strategy),
        None => hunter.library(|name| scenario.as_ref().is_none_or(|wanted| wanted == name)),
    }
    mutant::switch(None);
    if let (Some(folder), Some(name), Some(failure)) = (failures, name, &hunter.first) {
        fs::create_dir_all(folder)?;
        failure.save(&folder.join(format!("{name}-{}.json", way.name())))?;
    }
    Ok(hunter.hunted)
}

struct Hunter {
    world: World,
    started: Stopwatch,
    bounds: Bounds,
    hunted: Hunted,
    /// The failure file of the first kill.
    first: Option<FailureFile>,
}

impl Hunter {
    fn campaigns(&mut self, strategy: Strategy) {
        let scenario = Scenario::load(strategy.name()).expect("it is in the library");
        for campaign in 0..self.bounds.campaigns {
            let before = self.hunted.kills.len();
            self.campaign(campaign, strategy, &scenario);
            let is_found = before < self.hunted.kills.len();
            // A campaign that was cut short says nothing, unless there is no other.
            self.hunted.campaigns += u64::from(is_found || !self.hunted.is_bounded || before == 0);
            // Whoever survives one campaign is not looked for in all the others.
            if !is_found {
                return;
            }
        }
    }

    fn campaign(&mut self, campaign: u64, strategy: Strategy, scenario: &Scenario) {
        let from = campaign * self.bounds.seeds;
        let (began, mut killed) = (Stopwatch::start(), None);
        let (hunted, started, bounds) = (&mut self.hunted, self.started, self.bounds);
        let _ = strategy.hunt(&mut self.world, from..from + bounds.seeds, |plan, report| {
            hunted.runs += 1;
            if report.verdict != Verdict::Pass {
                killed = Some((plan.clone(), report.clone()));
                return ControlFlow::Break(());
            }
            hunted.is_bounded = bounds.cpu_ns < started.ns();
            if hunted.is_bounded { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some((plan, report)) = killed {
            self.note(scenario, &plan, &report, plan.seed - from + 1, began.ns());
        }
    }

    /// The scenarios of the library that say themselves what is to happen.
    fn library(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.hunted.campaigns = 1;
        for (name, _) in LIBRARY.iter().filter(|(name, _)| !SLOW.contains(name) && is_wanted(name)) {
            let scenario = Scenario::load(name).expect("it is in the library");
            if scenario.is_swarm() {
                continue;
            }
            let plan = scenario.plan(scenario.default_seed()).expect("it is in order");
            let began = Stopwatch::start();
            let report = self.world.run(&plan);
            self.hunted.runs += 1;
            if report.verdict != Verdict::Pass {
                self.note(&scenario, &plan, &report, self.hunted.runs, began.ns());
            }
        }
    }

    fn note(&mut self, scenario: &Scenario, plan: &Plan, report: &RunReport, seeds: u64, cpu_ns: u64) {
        let failure = report.verdict.failure().expect("a kill");
        if self.hunted.kills.is_empty() {
            let mut file = FailureFile::new(scenario, plan, report);
            file.mutant = self.hunted.mutant.map(str::to_owned);
            self.hunted.is_replayed = replays(&file, &mut self.world);
            self.first = Some(file);
        }
        self.hunted.kills.push(Kill {
            seeds,
            cpu_us: cpu_ns / 1000,
            scenario: plan.name.clone(),
            seed: plan.seed,
            oracle: failure.oracle.clone(),
            sentence: failure.sentence.clone(),
        });
    }
}

/// Whether a failure file says all that it takes to see the failure again.
fn replays(failure: &FailureFile, world: &mut World) -> bool {
    let text = serde_json::to_string(failure).expect("a failure file is data");
    let read: FailureFile = serde_json::from_str(&text).expect("as it was written");
    let again = world.run(&read.plan);
    again.verdict == failure.verdict && again.hash == failure.hash
}

/// Measures how long a processor worked for this thread. No run sees it.
#[derive(Clone, Copy, Debug)]
struct Stopwatch {
    cpu_ns: u64,
    wall: Instant,
}

#[allow(clippy::disallowed_methods, reason = "the hunt measures itself; no run sees this clock")]
fn now() -> Instant {
    Instant::now()
}

impl Stopwatch {
    fn start() -> Self {
        Self { cpu_ns: cpu_ns(), wall: now() }
    }

    /// Linux counts by its own ticks. Between two of them nobody else had the processor, so clocks tell it, too.
    fn ns(&self) -> u64 {
        match cpu_ns() - self.cpu_ns {
            0 => u64::try_from(now().duration_since(self.wall).as_nanos()).unwrap_or(u64::MAX),
            ns => ns,
        }
    }
}

/// The time that a processor worked for this thread; 0 where the system does not say.
fn cpu_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}
