//! What a run is named by: a failure file, or a scenario and a seed.

use super::Stop;
use crate::plan::Plan;
use crate::scenario::{FailureFile, Scenario};

/// The plan of a failure file, of `SCENARIO:SEED`, or of a scenario with its own seed.
pub(super) fn plan(name: &str) -> Result<Plan, Stop> {
    if name.ends_with(".json") {
        return Ok(failure(name)?.plan);
    }
    let seed = name.rsplit_once(':').and_then(|(scenario, seed)| Some((scenario, seed.parse::<u64>().ok()?)));
    let (name, seed) = seed.map_or((name, None), |(scenario, seed)| (scenario, Some(seed)));
    let scenario = Scenario::load(name)?;
    Ok(scenario.plan(seed.unwrap_or_else(|| scenario.default_seed()))?)
}

/// A failure file. If a rule was broken when it failed, it is broken on this thread from now on.
pub(super) fn failure(file: &str) -> Result<FailureFile, Stop> {
    let failure = FailureFile::read(file)?;
    if let Some(name) = &failure.mutant {
        break_rule(name).map_err(|why| Stop::Usage(format!("{file}: mutant = {name}: {why}")))?;
    }
    Ok(failure)
}

/// Breaks a rule on this thread from now on.
#[cfg(feature = "mutants")]
pub(super) fn break_rule(name: &str) -> Result<(), String> {
    use cretoai_core::mutant::{Mutant, switch};
    switch(Some(Mutant::named(name).ok_or("this program has no such mutant; use the one that wrote the file")?));
    Ok(())
}

#[cfg(not(feature = "mutants"))]
pub(super) fn break_rule(_: &str) -> Result<(), String> {
    Err(super::NO_MUTANTS.to_owned())
}

/// How the same run is named on a command line.
pub(super) fn name(plan: &Plan) -> String {
    format!("{}:{}", plan.name, plan.seed)
}

/// The command that repeats a run.
pub(super) fn command(plan: &Plan) -> String {
    format!("cretoai-sim run {} --seed {}", plan.name, plan.seed)
}
