//! The process, as Linux shows it in /proc. Elsewhere these figures are 0.

use super::Sheet;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::fs;
use std::time::Instant;

/// Figures of this process.
#[derive(Debug)]
pub struct ProcessCollector {
    started: Instant,
}

impl ProcessCollector {
    /// Its uptime counts from here.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
        let mut sheet = Sheet(encoder);
        sheet.gauge("process_resident_bytes", "Memory in use", field(&status, "VmRSS:") * 1024)?;
        sheet.gauge("process_threads", "Threads", field(&status, "Threads:"))?;
        sheet.gauge("process_open_files", "Files and sockets open", files)?;
        sheet.counter_f64("process_cpu_seconds", "Processor time used", cpu_seconds(&stat))?;
        sheet.gauge_f64("process_uptime_seconds", "Since the node started", self.started.elapsed().as_secs_f64())
    }
}

/// The number behind a name.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// User and system time, which are the 14th and 15th fields; the second one is a name and may hold spaces.
#[allow(clippy::cast_precision_loss, reason = "seconds are shown with two digits")]
fn cpu_seconds(stat: &str) -> f64 {
    /// Linux counts in hundredths towards programs, whatever it counts in itself.
    const TICKS: f64 = 100.0;
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let times = behind.split_whitespace().skip(11).take(2);
    times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() as f64 / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_does_not_shift_the_times() {
        assert!((cpu_seconds("1 (a b) c) S 2 3 4 5 6 7 8 9 10 11 150 50 14") - 2.0).abs() < 1e-9);
        assert!(cpu_seconds("").abs() < 1e-9);
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        assert_eq!(field("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS:"), 1234);
        assert_eq!(field("Name:\tx\n", "VmRSS:"), 0);
    }
}
