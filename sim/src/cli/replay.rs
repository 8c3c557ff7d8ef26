//! `replay`: a failure, run again.

use super::simulate::Simulator;
use super::{Ended, Shown, describe, event, last_panic, source};
use crate::observe::{TraceEvent, TraceSink};
use crate::scenario::build;
use std::collections::VecDeque;
use std::io::{self, Write};

/// How many events of each replica are shown.
const LAST: usize = 8;

/// The last events of each replica, and of what concerns all.
struct Last {
    shown: Shown,
    of: Vec<VecDeque<(u64, String)>>,
    heard: u64,
}

impl TraceSink for Last {
    fn event(&mut self, event: &TraceEvent<'_>) {
        self.heard += 1;
        if !self.shown.admits(event) {
            return;
        }
        // What concerns all comes after the replicas.
        let place = event.replica.map_or(self.of.len() - 1, |id| id.index()).min(self.of.len() - 1);
        let list = &mut self.of[place];
        if list.len() == LAST {
            list.pop_front();
        }
        list.push_back((self.heard, event::line(event)));
    }
}

impl Last {
    /// In columns, replica by replica.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{:>8}  {}", "event", event::COLUMNS)?;
        for list in self.of.iter().filter(|list| !list.is_empty()) {
            for (number, line) in list {
                writeln!(out, "{number:>8}  {line}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// Runs the plan of a failure file again, twice, and compares.
pub(super) fn run(file: &str, shown: &Shown, out: &mut dyn Write) -> Ended {
    let failure = source::failure(file)?;
    let plan = &failure.plan;
    shown.check(plan.n)?;
    writeln!(out, "{}, seed {}, as recorded by {} in {file}\n", failure.scenario, failure.seed, failure.build)?;
    describe::plan(out, plan)?;
    writeln!(out)?;
    let mut simulator = Simulator::default();
    let places = usize::from(plan.n) + 1;
    let last = Last { shown: *shown, of: vec![VecDeque::new(); places], heard: 0 };
    let (report, last) = simulator.listen(plan, last);
    last.write(out)?;
    let differs = simulator.repeat(plan, &report);
    let report = differs.unwrap_or(report);
    if let Some(what) = report.verdict.failure() {
        writeln!(out, "{}: {}", what.oracle, what.sentence)?;
        let panic = last_panic();
        if !panic.is_empty() {
            writeln!(out, "{panic}")?;
        }
    }
    let is_same = report.verdict == failure.verdict && report.hash == failure.hash;
    let comparison = if is_same {
        "the same verdict and the same hash as recorded".to_owned()
    } else {
        // Two runs of this program agree: it is the program that changed.
        let (then, now) = (&failure.build, build());
        let program =
            if *then == now { "the program has changed since".to_owned() } else { format!("{then} is now {now}") };
        format!("NOT as recorded, {program}: it was {} with hash {}", failure.verdict, failure.hash)
    };
    writeln!(out, "{comparison}\n")?;
    describe::verdict(out, plan, &report, &format!("cretoai-sim replay {file}"))?;
    Ok(report.verdict.exit_code())
}
