//! `explore`: every order of deliveries at small scope, for each replica that may be the Byzantine one.

use super::args::ExploreArguments;
use super::source::break_rule;
use super::{Ended, Stop, USAGE, threads};
use crate::explore::{Bounds, Limit, Orders, Report, ViolationFile, explore, retrace};
use cretoai_core::types::ReplicaId;
use std::io::{self, Write};

/// Explores within the bounds, one Byzantine replica a thread.
pub(super) fn run(arguments: &ExploreArguments, out: &mut dyn Write) -> Ended {
    if let Some(file) = &arguments.replay {
        return replay(file, out);
    }
    let mutant = arguments.mutant.as_deref();
    // Rules are broken thread by thread.
    let break_rule = || mutant.map_or(Ok(()), break_rule);
    break_rule().map_err(|why| Stop::Usage(format!("--mutant {}: {why}", mutant.unwrap_or_default())))?;
    let bounds = arguments.bounds();
    let first = bounds[0];
    writeln!(
        out,
        "4 replicas, one of them Byzantine; views 0 to {}, slots 1 to {}, {} restarts of each honest replica\n",
        first.views - 1,
        first.slots,
        first.restarts
    )?;
    let explore = |bounds: &Bounds| {
        break_rule().expect("it was broken before");
        explore(*bounds)
    };
    let mut reports = Vec::new();
    threads::each(&bounds, threads::jobs(None), explore, |report| {
        reports.push(report);
        Ok::<_, Stop>(())
    })?;
    writeln!(
        out,
        "Byzantine     states       steps  depth  replica's states  inputs to the core  messages     MiB  what was said"
    )?;
    reports.iter().try_for_each(|report| row(out, report))?;
    writeln!(out)?;
    verdict(arguments, out, &reports)
}

/// Takes the steps of a file again.
fn replay(file: &str, out: &mut dyn Write) -> Ended {
    let recorded = ViolationFile::read(file)?;
    if let Some(name) = &recorded.mutant {
        break_rule(name).map_err(|why| Stop::Usage(format!("{file}: mutant = {name}: {why}")))?;
    }
    let taken = retrace(recorded.bounds, &recorded.steps).map_err(|why| Stop::Usage(format!("{file}: {why}")))?;
    taken.steps.iter().try_for_each(|step| writeln!(out, "  {step}"))?;
    let is_same = taken.violation.as_ref() == Some(&recorded.sentence) && taken.steps == recorded.steps;
    let violation = taken.violation.as_deref().unwrap_or("nothing is wrong");
    writeln!(out, "\n{violation}")?;
    if is_same {
        writeln!(out, "the same steps and the same violation as recorded")?;
    } else {
        writeln!(out, "NOT as recorded by {}: it was {}", recorded.build, recorded.sentence)?;
    }
    Ok(u8::from(taken.violation.is_some()))
}

impl ExploreArguments {
    fn bounds(&self) -> Vec<Bounds> {
        let roles = self.byzantine.map_or(0..4, |id| id..id + 1);
        let of = |id| Bounds {
            byzantine: ReplicaId(id),
            views: self.views,
            slots: self.slots,
            restarts: self.restarts,
            orders: if self.all_orders { Orders::All } else { Orders::Reduced },
            states: self.limit,
            memory: self.memory.saturating_mul(1 << 20),
        };
        roles.map(of).collect()
    }
}

fn row(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Report { states, transitions, depth, steps, messages, said, fingerprint, bytes, .. } = report;
    let mib = bytes >> 20;
    let byzantine = report.bounds.byzantine.to_string();
    let local: usize = report.local.iter().sum();
    let said = format!("{said} {fingerprint:016x}");
    writeln!(
        out,
        "{byzantine:<9} {states:>10} {transitions:>11} {depth:>6} {local:>17} {steps:>19} {messages:>9} {mib:>7}  {said}"
    )
}

fn verdict(arguments: &ExploreArguments, out: &mut dyn Write, reports: &[Report]) -> Ended {
    for report in reports {
        if let Some(found) = &report.found {
            writeln!(out, "VIOLATED with Byzantine {}: {}\n", report.bounds.byzantine, found.sentence)?;
            found.steps.iter().try_for_each(|step| writeln!(out, "  {step}"))?;
            let file = ViolationFile::new(report.bounds, arguments.mutant.clone(), found).write(&arguments.out)?;
            writeln!(out, "\n  cretoai-sim explore --replay {}", file.display())?;
            return Ok(1);
        }
    }
    let limits: Vec<_> = reports.iter().filter_map(|report| Some((report.bounds.byzantine, report.limit?))).collect();
    if limits.is_empty() {
        writeln!(out, "PASS: every state within these bounds was visited, and none violates an oracle")?;
        return Ok(0);
    }
    for (byzantine, limit) in limits {
        let most = match limit {
            Limit::States => format!("there are more than {} states; raise --limit", arguments.limit),
            Limit::Memory => format!("they take more than {} MiB; raise --memory", arguments.memory),
        };
        writeln!(out, "NOT COVERED with Byzantine {byzantine}: no violation so far, but {most}")?;
    }
    Ok(USAGE)
}
