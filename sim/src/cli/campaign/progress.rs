//! How far a campaign is: a bar for people who watch, lines for logs.

use super::super::words::{count, grouped};
use super::work::Job;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// How often a line is written when nobody watches.
const PERIOD: Duration = Duration::from_secs(10);

/// Shows how far a campaign is, on the standard error output.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    runs: u64,
    /// The runs there are, unless it is time that decides.
    total: Option<u64>,
    next_line: Duration,
}

impl Progress {
    pub(super) fn new(job: &Job, time: Option<u64>) -> Self {
        let total = (time.is_none() || job.runs() < u64::MAX / 2).then(|| job.runs());
        let bar = io::stderr().is_terminal().then(|| bar(total));
        Self { bar, runs: 0, total, next_line: PERIOD }
    }

    /// So many more runs are done.
    pub(super) fn add(&mut self, runs: u64) {
        self.runs += runs;
    }

    /// Shows how far it is after this time.
    pub(super) fn show(&mut self, since_start: Duration, failures: u64) {
        let failures = count(failures, "failure");
        if let Some(bar) = &self.bar {
            bar.set_position(self.runs);
            bar.set_message(failures);
            return;
        }
        if since_start < self.next_line {
            return;
        }
        self.next_line = since_start + PERIOD;
        let of = self.total.map_or(String::new(), |total| format!(" of {}", grouped(total)));
        eprintln!("{} s: {}{of} runs, {failures}", since_start.as_secs(), grouped(self.runs));
    }

    /// Does something that writes, without the bar in its way.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{elapsed} [{bar:40}] {human_pos} of {human_len} runs, {per_sec}, {msg}",
        None => "{elapsed} {spinner} {human_pos} runs, {per_sec}, {msg}",
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    bar.with_style(ProgressStyle::with_template(template).expect("a template that is known").progress_chars("=> "))
}
