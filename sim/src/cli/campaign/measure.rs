//! Time and memory of the campaign itself. Nothing here touches a run.

use serde::Serialize;
use std::fs;
use std::time::{Duration, Instant};

/// What a campaign cost. Differs from one time to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Measured {
    /// How long it took.
    pub(super) wall_ms: u64,
    /// How long processors worked for it; absent where the system does not say.
    pub(super) cpu_ms: Option<u64>,
    /// Messages handed to replicas in a second of one processor.
    pub(super) deliveries_per_cpu_second: Option<u64>,
    /// The most memory it had; absent where the system does not say.
    pub(super) peak_memory_kib: Option<u64>,
}

/// Measures a campaign.
#[derive(Debug)]
pub(super) struct Stopwatch {
    start: Instant,
    cpu_ms: Option<u64>,
}

#[allow(clippy::disallowed_methods, reason = "the campaign measures itself; no run sees this clock")]
fn now() -> Instant {
    Instant::now()
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { start: now(), cpu_ms: cpu_ms() }
    }

    /// The time since the start.
    pub(super) fn wall(&self) -> Duration {
        now().duration_since(self.start)
    }

    pub(super) fn stop(&self, deliveries: u64) -> Measured {
        let cpu_ms = self.cpu_ms.zip(cpu_ms()).map(|(start, end)| end - start);
        Measured {
            wall_ms: u64::try_from(self.wall().as_millis()).unwrap_or(u64::MAX),
            cpu_ms,
            deliveries_per_cpu_second: cpu_ms.filter(|ms| *ms > 0).map(|ms| deliveries.saturating_mul(1000) / ms),
            peak_memory_kib: peak_memory_kib(),
        }
    }
}

/// The time that processors worked for this process. Linux counts it in hundredths of a second.
fn cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in brackets, which may hold anything: state, and ten more; then user and system time.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some((times.next()?? + times.next()??) * 10)
}

fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
