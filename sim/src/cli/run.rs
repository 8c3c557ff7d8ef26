//! `run`: one cluster.

use super::bundle::Collector;
use super::simulate::Simulator;
use super::timeline::Timeline;
use super::{Ended, describe, source};
use crate::scenario::Scenario;
use std::io::Write;
use std::path::Path;

/// Runs a scenario with a seed, and shows how it went.
pub(super) fn run(name: &str, seed: Option<u64>, bundle: Option<&Path>, out: &mut dyn Write) -> Ended {
    let scenario = Scenario::load(name)?;
    let plan = scenario.plan(seed.unwrap_or_else(|| scenario.default_seed()))?;
    writeln!(out, "{}, seed {}: {}", scenario.name, plan.seed, scenario.title)?;
    writeln!(out, "{}\n", scenario.description)?;
    describe::plan(out, &plan)?;
    writeln!(out)?;
    out.flush()?;
    let (report, collector) = Simulator::default().listen(&plan, Collector::beside(Timeline::new(&plan)));
    collector.other.write(out)?;
    writeln!(out)?;
    describe::report(out, &plan, &report)?;
    writeln!(out)?;
    describe::verdict(out, &plan, &report, &source::command(&plan))?;
    if let Some(file) = bundle {
        collector.write(&plan, file)?;
        writeln!(out, "proof       cretoai-sim verify {} --seed {}", file.display(), plan.seed)?;
    }
    Ok(report.verdict.exit_code())
}
