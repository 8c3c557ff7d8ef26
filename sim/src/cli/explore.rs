//! `explore`: every order of deliveries at small scope, for each replica that may be the Byzantine one.

use super::args::ExploreArguments;
use super::{Ended, USAGE};
use crate::explore::{Bounds, Orders, Report, explore};
use cretoai_core::types::ReplicaId;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// Explores within the bounds, one Byzantine replica a thread.
pub(super) fn run(arguments: &ExploreArguments, out: &mut dyn Write) -> Ended {
    let bounds = arguments.bounds();
    let (first, next) = (bounds[0], AtomicUsize::new(0));
    writeln!(
        out,
        "4 replicas, one of them Byzantine; views 0 to {}, slots 1 to {}, {} restarts of each honest replica\n",
        first.views - 1,
        first.slots,
        first.restarts
    )?;
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut reports = Vec::new();
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..cores.min(bounds.len()) {
            let (sender, bounds, next) = (sender.clone(), &bounds, &next);
            scope.spawn(move || {
                while let Some(bounds) = bounds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _ = sender.send(explore(*bounds));
                }
            });
        }
        drop(sender);
        reports.extend(receiver);
    });
    reports.sort_by_key(|report| report.bounds.byzantine);
    writeln!(
        out,
        "Byzantine     states       steps  depth  replica's states  inputs to the core  messages  what was said"
    )?;
    reports.iter().try_for_each(|report| row(out, report))?;
    writeln!(out)?;
    verdict(out, &reports)
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
        };
        roles.map(of).collect()
    }
}

fn row(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Report { states, transitions, depth, steps, messages, said, fingerprint, .. } = report;
    let byzantine = report.bounds.byzantine.to_string();
    let local: usize = report.local.iter().sum();
    let said = format!("{said} {fingerprint:016x}");
    writeln!(
        out,
        "{byzantine:<9} {states:>10} {transitions:>11} {depth:>6} {local:>17} {steps:>19} {messages:>9}  {said}"
    )
}

fn verdict(out: &mut dyn Write, reports: &[Report]) -> Ended {
    for report in reports {
        if let Some(found) = &report.found {
            writeln!(out, "VIOLATED with Byzantine {}: {}\n", report.bounds.byzantine, found.sentence)?;
            found.trace.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
            return Ok(1);
        }
    }
    if reports.iter().all(|report| report.is_complete) {
        writeln!(out, "PASS: every state within these bounds was visited, and none violates an oracle")?;
        Ok(0)
    } else {
        writeln!(out, "NOT COVERED: no violation so far, but there are more states than --limit; raise it")?;
        Ok(USAGE)
    }
}
