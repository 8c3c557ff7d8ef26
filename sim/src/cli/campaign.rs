//! `campaign`: many seeds, on all cores.
//!
//! Seeds are dealt out in blocks, in order, to threads that each use one world again and again. What comes back is
//! put together in the order of the blocks, so that the summary says the same however the threads were scheduled.

mod measure;
mod output;
mod progress;
mod summary;
mod work;

use super::args::CampaignArguments;
use super::{Ended, Stop, threads};
use crate::scenario::Scenario;
use measure::Stopwatch;
use progress::Progress;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use summary::{Failed, Summary};
use work::{Done, Job, Outcome};

/// How many seeds a campaign has if nobody says.
const SEEDS: Range<u64> = 0..1000;

/// How often progress is looked at when nothing comes in.
const LOOK: Duration = Duration::from_millis(100);

/// Runs a campaign.
pub(super) fn run(arguments: &CampaignArguments, out: &mut dyn Write) -> Ended {
    let scenarios: Result<Vec<_>, _> = arguments.scenarios.iter().map(|name| Scenario::load(name)).collect();
    let seeds = arguments.seeds.clone().unwrap_or(if arguments.time.is_some() { 0..u64::MAX } else { SEEDS });
    let jobs = threads::jobs(arguments.jobs);
    let job = Job::new(scenarios?, seeds);
    // Before hours of work, not after.
    let json = arguments.json.as_deref().map(|path| create("--json", path)).transpose()?;
    let junit = arguments.junit.as_deref().map(|path| create("--junit", path)).transpose()?;

    let mut campaign = Campaign {
        arguments,
        summary: Summary::new(&job, jobs),
        progress: Progress::new(&job, arguments.time),
        stopwatch: Stopwatch::start(),
        error: None,
        out,
    };
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                let (job, sender) = (&job, sender.clone());
                scope.spawn(move || job.work(&sender))
            })
            .collect();
        drop(sender);
        campaign.collect(&job, &receiver);
        // Whatever still comes is not wanted.
        job.stop.store(true, Ordering::Relaxed);
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let Campaign { mut summary, progress, stopwatch, error, out, .. } = campaign;
    progress.finish();
    if let Some(error) = error {
        return Err(error);
    }
    summary.conclude();
    summary.measured = stopwatch.stop(summary.deliveries_in_all());
    summary.write(out)?;
    if let Some(mut file) = json {
        output::json(&mut file, &summary)?;
    }
    if let Some(mut file) = junit {
        output::junit(&mut file, &summary)?;
    }
    Ok(summary.exit_code())
}

/// Makes a file that will be written to in the end.
fn create(option: &str, path: &Path) -> Result<File, Stop> {
    let refused = |error| {
        let path = path.display();
        Stop::Usage(format!("{option} {path}: cannot be written: {error}; name a file in a folder that is there"))
    };
    File::create(path).map_err(refused)
}

/// The side that puts together what the threads find.
struct Campaign<'a> {
    arguments: &'a CampaignArguments,
    summary: Summary,
    progress: Progress,
    stopwatch: Stopwatch,
    error: Option<Stop>,
    out: &'a mut dyn Write,
}

impl Campaign<'_> {
    /// Takes what the threads find, until all is done or it is enough.
    fn collect(&mut self, job: &Job, receiver: &Receiver<(u64, Done)>) {
        let mut early = BTreeMap::new();
        let mut next = 0;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok((block, done)) => {
                    self.progress.add(done.as_ref().map_or(0, |outcomes| outcomes.len() as u64));
                    early.insert(block, done);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(done) = early.remove(&next) {
                let (scenario, _) = job.block(next);
                next += 1;
                let taken = done.map_err(Stop::from).and_then(|outcomes| self.take(scenario, outcomes));
                match taken {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        self.error = Some(error);
                        return;
                    }
                }
            }
            let seconds = self.stopwatch.wall();
            self.progress.show(seconds, self.summary.failures());
            if self.arguments.time.is_some_and(|time| Duration::from_nanos(time) <= seconds) {
                job.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Takes the outcomes of a block, in order. Whether there may be more.
    fn take(&mut self, scenario: usize, outcomes: Vec<Outcome>) -> Result<bool, Stop> {
        for outcome in outcomes {
            self.summary.add(scenario, &outcome);
            let Some(failure) = outcome.failure else { continue };
            let path = failure.write(&self.arguments.out)?;
            let path = path.display().to_string();
            let command = format!("cretoai-sim replay {path}");
            let out = &mut *self.out;
            self.progress.aside(|| {
                writeln!(out, "FAILED {}, seed {}: {}", failure.scenario, failure.seed, failure.verdict)?;
                writeln!(out, "       {command}")?;
                out.flush()
            })?;
            self.summary.fail(scenario, Failed::new(&failure, path, command));
            if self.summary.failures() >= self.arguments.max_failures {
                self.summary.is_cut_short = true;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What counts in the end: the worst of all verdicts. Nondeterminism makes every other verdict worthless.
fn worst(a: u8, b: u8) -> u8 {
    const ORDER: [u8; 4] = [0, 2, 1, 3];
    let rank = |code: u8| ORDER.iter().position(|known| *known == code);
    if rank(a) < rank(b) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nondeterminism_is_worse_than_a_broken_promise_and_safety_is_worse_than_liveness() {
        assert_eq!(worst(0, 2), 2);
        assert_eq!(worst(1, 2), 1);
        assert_eq!(worst(3, 1), 3);
    }
}
