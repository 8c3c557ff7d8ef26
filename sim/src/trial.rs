//! Your own application under the faults of a campaign, in one call of a test.
//!
//! ```
//! use cretoai_core::kv::KvStore;
//! use cretoai_sim::trial::Trial;
//!
//! Trial::of(KvStore::default).seeds(0..20).passes();
//! ```

use crate::adversary::Adversary;
use crate::guest::{Guests, MakeAdversary, Model};
use crate::plan::{Fault, Plan};
use crate::report::{RunReport, Verdict};
use crate::rng::Rng;
use crate::shrink::{Shrunk, shrink};
use crate::strategy::Strategy;
use crate::world::World;
use cretoai_core::application::Application;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

/// The seed to run instead of all others, as an environment variable.
pub const SEED: &str = "CRETOAI_SIM_SEED";

/// An application, and the campaign that it has to pass. It passes if in no run any oracle of the protocol fails, and
///
/// - all replicas have the same results and the same state: execution is deterministic;
/// - a state restored from a snapshot has that very snapshot, and goes on like the one that it was taken of;
/// - what the clients were told is what they would have been told if all operations had been executed one after
///   another, in an order in which none comes before one that was over when it began: their history is linearizable.
#[derive(Clone)]
pub struct Trial {
    guests: Guests,
    seeds: Range<u64>,
    strategy: Strategy,
    change: Option<Change>,
}

/// What is different from the strategy's plans.
type Change = Arc<dyn Fn(&mut Plan) + Send + Sync>;

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the seeds {:?} of {:?} with {:?}", self.seeds, self.strategy, self.guests)
    }
}

/// What a campaign did that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Runs.
    pub runs: u64,
    /// Operations that were executed.
    pub operations: u64,
    /// Operations whose clients were told a result.
    pub answers: u64,
    /// States that replicas took over from others.
    pub transfers: u64,
}

/// A run that did not pass.
#[derive(Debug)]
pub struct Failed {
    /// What was run.
    pub plan: Plan,
    /// What came of it.
    pub report: RunReport,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let test = thread::current().name().map_or(String::new(), |name| format!(" {name}"));
        writeln!(f, "{}, seed {}: {}", self.plan.name, self.plan.seed, self.report.verdict)?;
        write!(f, "repeat with: {SEED}={} cargo test{test}", self.plan.seed)
    }
}

impl Trial {
    /// Of an application that starts in this state. One hundred seeds of the swarm, and operations that are numbers,
    /// unless something else is said.
    #[must_use]
    pub fn of<A: Application + 'static>(make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        let application = Arc::new(move || -> Box<dyn Application> { Box::new(make()) });
        let guests = Guests { application, is_examined: true, ..Guests::default() };
        Self { guests, seeds: 0..100, strategy: Strategy::Swarm, change: None }
    }

    /// What clients ask for: the bytes of a client's operation, by the number of the operation.
    #[must_use]
    pub fn operations(mut self, make: impl Fn(&mut Rng, u32, u64) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.guests.operation = Some(Arc::new(make));
        self
    }

    /// What the results are to be: a sequential model, which gets one operation after another. Without one the
    /// application is its own model.
    #[must_use]
    pub fn model<M>(mut self, make: impl Fn() -> M + Send + Sync + 'static) -> Self
    where
        M: FnMut(&[u8]) -> Vec<u8> + 'static,
    {
        self.guests.model = Some(Arc::new(move || -> Model { Box::new(make()) }));
        self
    }

    /// An adversary of your own, for plans that name it ([`Behaviour::Own`](crate::plan::Behaviour::Own)).
    #[must_use]
    pub fn adversary<A>(mut self, name: &str, make: impl Fn() -> A + Send + Sync + 'static) -> Self
    where
        A: Adversary + 'static,
    {
        let make: MakeAdversary = Arc::new(move || Box::new(make()));
        self.guests.adversaries.push((name.to_owned(), make));
        self
    }

    /// From the first seed up to, and without, the second.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// How a seed becomes a plan.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// What is to be different in all plans.
    #[must_use]
    pub fn plans(mut self, change: impl Fn(&mut Plan) + Send + Sync + 'static) -> Self {
        self.change = Some(Arc::new(change));
        self
    }

    /// The plan of a seed. Applications are not made to be broken: no bit of their states flips.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let mut plan = self.strategy.plan_to_change(seed);
        plan.faults.retain(|at| !matches!(at.fault, Fault::FlipState { .. }));
        if let Some(change) = &self.change {
            change(&mut plan);
        }
        plan
    }

    /// A world that hosts the application.
    #[must_use]
    pub fn world(&self) -> World {
        World::hosting(self.guests.clone())
    }

    /// Runs the campaign.
    ///
    /// # Errors
    /// The first run that does not pass.
    pub fn run(&self) -> Result<Passed, Box<Failed>> {
        let mut world = self.world();
        let mut passed = Passed::default();
        for seed in self.seeds.clone() {
            let plan = self.plan(seed);
            let report = world.run(&plan);
            if report.verdict != Verdict::Pass {
                return Err(Box::new(Failed { plan, report }));
            }
            passed.runs += 1;
            passed.operations += report.ops_executed;
            passed.answers += report.ops_answered;
            passed.transfers += report.transfers;
        }
        Ok(passed)
    }

    /// The shortest run that fails in the same way.
    ///
    /// # Errors
    /// [`NoShrink`](crate::shrink::NoShrink) if it cannot be made shorter.
    pub fn shrink(&self, failed: &Failed) -> Result<Shrunk, crate::shrink::NoShrink> {
        shrink(&mut self.world(), &failed.plan)
    }

    /// Runs the campaign, or the one seed that the environment names, for a test.
    ///
    /// # Panics
    /// When a run does not pass, with what was wrong and how to see it again.
    #[expect(clippy::disallowed_methods, reason = "it says which seed a test runs, and nothing in that run sees it")]
    #[track_caller]
    pub fn passes(&self) -> Passed {
        let one = std::env::var(SEED).ok().map(|text| {
            let seed: u64 = text.parse().unwrap_or_else(|_| panic!("{SEED}={text} is not a seed: give a number"));
            seed..seed.saturating_add(1)
        });
        let trial = one.map_or_else(|| self.clone(), |seeds| self.clone().seeds(seeds));
        trial.run().unwrap_or_else(|failed| panic!("{failed}"))
    }
}
