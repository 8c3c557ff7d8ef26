//! What a run is named by: a failure file, or a scenario and a seed.

use super::Stop;
use crate::plan::Plan;
use crate::scenario::{FailureFile, Scenario};

/// The plan of a failure file, of `SCENARIO:SEED`, or of a scenario with its own seed.
pub(super) fn plan(name: &str) -> Result<Plan, Stop> {
    if name.ends_with(".json") {
        return Ok(FailureFile::read(name)?.plan);
    }
    let seed = name.rsplit_once(':').and_then(|(scenario, seed)| Some((scenario, seed.parse::<u64>().ok()?)));
    let (name, seed) = seed.map_or((name, None), |(scenario, seed)| (scenario, Some(seed)));
    let scenario = Scenario::load(name)?;
    Ok(scenario.plan(seed.unwrap_or_else(|| scenario.default_seed()))?)
}

/// How the same run is named on a command line.
pub(super) fn name(plan: &Plan) -> String {
    format!("{}:{}", plan.name, plan.seed)
}

/// The command that repeats a run.
pub(super) fn command(plan: &Plan) -> String {
    format!("cretoai-sim run {} --seed {}", plan.name, plan.seed)
}
