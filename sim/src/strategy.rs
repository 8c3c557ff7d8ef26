//! Ways to choose what a seed does. Each makes a plan of a seed, and plans of one strategy have something in common
//! that finds mistakes of its own kind.

mod random;
pub(crate) mod small_scope;
pub mod twins;

use crate::plan::{Calm, Latency, Link, Load, Network, Phases, Plan, TimeoutPlan, Workload};
use crate::report::RunReport;
use crate::swarm;
use crate::world::World;
use serde::{Deserialize, Serialize};
use small_scope::Scope;
use std::ops::{ControlFlow, Range};

/// A way to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each family of faults is off in about half of the runs (after Groce et al., "Swarm Testing").
    #[default]
    Swarm,
    /// Every family of faults is on in every run.
    Random,
    /// One replica runs twice, and each view has its own partition (after Bano et al., "Twins").
    Twins,
    /// A few faults of links and a few small mutations in a few phases (after Winter et al., "ByzzFuzz").
    SmallScope,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Swarm, Self::Random, Self::Twins, Self::SmallScope];

    /// What the scenario of the library is called that lets this one choose.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Random => "random",
            Self::Twins => "twins",
            Self::SmallScope => "small-scope",
        }
    }

    /// The plan of a seed.
    #[must_use]
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Self::Swarm => swarm::plan(seed),
            Self::Random => random::plan(seed),
            Self::Twins => twins::plan(seed),
            Self::SmallScope => small_scope::plan(seed, Scope::default()),
        }
    }

    /// The plan of a seed that is going to be changed: the faults of a theme belong together, so it has none.
    #[must_use]
    pub fn plan_to_change(self, seed: u64) -> Plan {
        match self {
            Self::Swarm => swarm::plan_without_theme(seed),
            other => other.plan(seed),
        }
    }

    /// Runs one seed after another, and gives what came of it to `sink`, until that has enough.
    pub fn hunt(
        self,
        world: &mut World,
        seeds: Range<u64>,
        mut sink: impl FnMut(&Plan, &RunReport) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        seeds.map(|seed| self.plan(seed)).try_for_each(|plan| {
            let report = world.run(&plan);
            sink(&plan, &report)
        })
    }
}

/// The longest delay of a message in a [`brief`] plan.
const DELAY_US: u64 = 1_000;
/// The time-out for a view change that its plans begin with.
const BASE_US: u64 = 20 * DELAY_US;

/// What the plans of strategies with short schedules have in common: a quick, even network, small windows, and two
/// clients who submit `ops` operations, one each `interval_us`.
fn brief(strategy: Strategy, seed: u64, n: u16, ops: u64, interval_us: u64) -> Plan {
    let latency = Latency::Uniform { min_us: DELAY_US / 2, max_us: DELAY_US };
    let default = Link { latency, ..Link::default() };
    Plan {
        name: strategy.name().to_owned(),
        seed,
        n,
        window: 8,
        pipeline: 4,
        timeouts: TimeoutPlan::from_base(BASE_US),
        network: Network { client: Some(default.clone()), default, ..Network::default() },
        workload: Workload {
            clients: 2,
            ops,
            load: Load::Open { interval_us, jitter_per_mille: 300 },
            timeout_us: Some(2 * BASE_US),
            ..Workload::default()
        },
        phases: Phases {
            calm: Some(Calm { delay_us: DELAY_US, heal_all: true, ..Calm::default() }),
            linger_us: 0,
            ..Phases::default()
        },
        ..Plan::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    #[test]
    fn every_seed_of_every_strategy_gives_a_valid_plan_and_always_the_same() {
        for strategy in Strategy::ALL {
            for seed in (0..200).chain([twins::ENUMERATED - 1, twins::ENUMERATED, 1 << 40]) {
                let plan = strategy.plan(seed);
                assert_eq!(plan.validate(), Ok(()), "{strategy:?} {seed}");
                assert_eq!(plan, strategy.plan(seed), "{strategy:?} {seed}");
                assert_eq!((plan.seed, plan.name.as_str()), (seed, strategy.name()));
            }
        }
    }

    #[test]
    fn a_hunt_goes_from_seed_to_seed_until_its_sink_has_enough() {
        let mut world = World::new();
        for strategy in Strategy::ALL {
            let mut seen = Vec::new();
            let ended = strategy.hunt(&mut world, 5..50, |plan, report| {
                assert_eq!(report.verdict, Verdict::Pass, "{strategy:?} {}", plan.seed);
                seen.push(report.seed);
                if seen.len() < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            assert_eq!((ended, seen), (ControlFlow::Break(()), vec![5, 6, 7, 8]));
        }
    }
}
