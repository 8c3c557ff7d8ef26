//! What a campaign found out, put together.

use super::super::words::{count, grouped, span};
use super::measure::Measured;
use super::work::{Job, Outcome};
use super::worst;
use crate::probes::PROBES;
use crate::report::Verdict;
use crate::scenario::{FailureFile, build};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What a campaign found out.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The version of this format.
    pub(super) format: u64,
    /// The program.
    pub(super) build: String,
    /// From the first seed up to, and without, the second.
    pub(super) seeds: [u64; 2],
    /// Whether it stopped before the end because there were enough failures.
    pub(super) is_cut_short: bool,
    /// Scenario by scenario.
    pub(super) scenarios: Vec<Tally>,
    /// What it cost.
    pub(super) measured: Measured,
    /// The threads.
    pub(super) jobs: usize,
}

/// What is known about one scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tally {
    /// The scenario.
    pub(super) name: String,
    /// Seeds that were run.
    pub(super) runs: u64,
    /// Those that went as they should.
    pub(super) pass: u64,
    /// Those in which something happened that must not.
    pub(super) safety: u64,
    /// Those in which something that was due did not happen.
    pub(super) liveness: u64,
    /// Those that were not the same when run again.
    pub(super) nondeterminism: u64,
    /// Those that were run twice.
    pub(super) repeated: u64,
    /// Messages handed to replicas.
    pub(super) deliveries: u64,
    /// Events of all kinds.
    pub(super) events: u64,
    /// Slots executed in safety phases.
    pub(super) slots_safety: u64,
    /// Of a seed, the median.
    pub(super) slots_safety_median: u64,
    /// Runs with a calm phase.
    pub(super) with_calm: u64,
    /// Those of them in which everything that was due then was done in time.
    pub(super) in_time_when_calm: u64,
    /// Those of them in which slots were executed then.
    pub(super) busy_when_calm: u64,
    /// Slots executed in calm phases.
    pub(super) slots_calm: u64,
    /// Operations executed.
    pub(super) ops_executed: u64,
    /// View changes begun.
    pub(super) view_changes: u64,
    /// The longest from proposal to execution.
    pub(super) longest_finality_ns: u64,
    /// Rare situations, and how often each was reached.
    pub(super) probes: BTreeMap<String, u64>,
    /// Those that were never reached.
    pub(super) probes_not_reached: Vec<String>,
    /// Why inputs changed nothing, and how often.
    pub(super) ignored: BTreeMap<String, u64>,
    /// A hash over the hashes of all runs, in order.
    pub(super) hash: String,
    /// What failed.
    pub(super) failures: Vec<Failed>,
    /// Deliveries with those of second runs.
    #[serde(skip)]
    deliveries_in_all: u64,
    #[serde(skip)]
    slots: Vec<u64>,
    #[serde(skip)]
    hasher: blake3::Hasher,
}

/// A run that failed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    pub(super) seed: u64,
    pub(super) verdict: Verdict,
    pub(super) hash: String,
    /// Its failure file.
    pub(super) file: String,
    /// The command that repeats it.
    pub(super) replay: String,
}

impl Failed {
    pub(super) fn new(failure: &FailureFile, file: String, replay: String) -> Self {
        let FailureFile { seed, verdict, hash, .. } = failure.clone();
        Self { seed, verdict, hash, file, replay }
    }
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        let report = &outcome.report;
        self.runs += 1;
        let verdicts = match report.verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Safety(_) => &mut self.safety,
            Verdict::Liveness(_) => &mut self.liveness,
            Verdict::Nondeterminism(_) => &mut self.nondeterminism,
        };
        *verdicts += 1;
        self.repeated += u64::from(outcome.is_repeated);
        self.deliveries += report.deliveries;
        self.deliveries_in_all += report.deliveries * if outcome.is_repeated { 2 } else { 1 };
        self.events += report.events;
        self.slots_safety += report.slots_safety;
        self.slots.push(report.slots_safety);
        self.with_calm += u64::from(outcome.has_calm);
        let was_late = matches!(report.verdict, Verdict::Liveness(_));
        self.in_time_when_calm += u64::from(outcome.has_calm && !was_late);
        self.busy_when_calm += u64::from(outcome.has_calm && report.slots_calm > 0);
        self.slots_calm += report.slots_calm;
        self.ops_executed += report.ops_executed;
        self.view_changes += report.view_changes;
        self.longest_finality_ns = self.longest_finality_ns.max(report.finality.max_ns);
        sum(&mut self.probes, &report.probes);
        sum(&mut self.ignored, &report.ignored);
        self.hasher.update(report.hash.as_bytes());
    }

    fn failed(&self) -> u64 {
        self.runs - self.pass
    }

    /// What follows from everything that was added.
    fn conclude(&mut self) {
        self.slots.sort_unstable();
        self.slots_safety_median = self.slots.get(self.slots.len() / 2).copied().unwrap_or(0);
        let reached = |name: &&str| self.probes.contains_key(*name);
        let names = PROBES.iter().map(|(_, name)| *name);
        self.probes_not_reached = names.filter(|name| !reached(name)).map(str::to_owned).collect();
        self.hash = self.hasher.finalize().to_hex()[..16].to_owned();
    }
}

fn sum(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, count) in from {
        match into.get_mut(name) {
            Some(sum) => *sum += count,
            None => drop(into.insert(name.clone(), *count)),
        }
    }
}

impl Summary {
    pub(super) fn new(job: &Job, jobs: usize) -> Self {
        let tally = |name: &String| Tally { name: name.clone(), ..Tally::default() };
        Self {
            format: 1,
            build: build(),
            seeds: [job.seeds.start, job.seeds.start],
            is_cut_short: false,
            scenarios: job.scenarios.iter().map(|scenario| tally(&scenario.name)).collect(),
            measured: Measured::default(),
            jobs,
        }
    }

    /// Adds the outcome of the next seed of a scenario.
    pub(super) fn add(&mut self, scenario: usize, outcome: &Outcome) {
        self.scenarios[scenario].add(outcome);
        self.seeds[1] = self.seeds[1].max(outcome.report.seed.saturating_add(1));
    }

    /// Adds a failure.
    pub(super) fn fail(&mut self, scenario: usize, failed: Failed) {
        self.scenarios[scenario].failures.push(failed);
    }

    /// Nothing more is added.
    pub(super) fn conclude(&mut self) {
        self.scenarios.iter_mut().for_each(Tally::conclude);
    }

    pub(super) fn runs(&self) -> u64 {
        self.total(|tally| tally.runs)
    }

    pub(super) fn failures(&self) -> u64 {
        self.total(Tally::failed)
    }

    /// What processors worked for.
    pub(super) fn deliveries_in_all(&self) -> u64 {
        self.total(|tally| tally.deliveries_in_all)
    }

    pub(super) fn total(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.scenarios.iter().map(of).sum()
    }

    /// The worst that happened.
    pub(super) fn exit_code(&self) -> u8 {
        let failures = self.scenarios.iter().flat_map(|tally| &tally.failures);
        failures.map(|failed| failed.verdict.exit_code()).fold(0, worst)
    }

    /// The command that repeats it.
    pub(super) fn command(&self) -> String {
        let names: Vec<&str> = self.scenarios.iter().map(|tally| tally.name.as_str()).collect();
        let [from, to] = self.seeds;
        format!("cretoai-sim campaign {} --seeds {from}..{to}", names.join(" "))
    }

    /// Writes it for people.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(out)?;
        writeln!(out)?;
        let m = &self.measured;
        let speed = m.deliveries_per_cpu_second;
        let speed = speed.map_or(String::new(), |speed| format!(", {} in a CPU-second", grouped(speed)));
        row(out, "deliveries", &format!("{}{speed}", grouped(self.total(|tally| tally.deliveries))))?;
        let slots = self.total(|tally| tally.slots_safety) + self.total(|tally| tally.slots_calm);
        let (ops, changes) = (self.total(|tally| tally.ops_executed), self.total(|tally| tally.view_changes));
        row(
            out,
            "slots",
            &format!("{}, {} operations, {} view changes", grouped(slots), grouped(ops), grouped(changes)),
        )?;
        let longest = self.scenarios.iter().map(|tally| tally.longest_finality_ns).max().unwrap_or(0);
        row(out, "finality", &format!("at most {}", span(longest)))?;
        row(out, "run twice", &format!("{} of {}", grouped(self.total(|tally| tally.repeated)), grouped(self.runs())))?;
        let (mut probes, mut ignored) = (BTreeMap::new(), BTreeMap::new());
        for tally in &self.scenarios {
            sum(&mut probes, &tally.probes);
            sum(&mut ignored, &tally.ignored);
        }
        let counted = |(name, number): (&String, &u64)| format!("{name} {}", grouped(*number));
        list(out, "reached", probes.iter().map(counted))?;
        let names = PROBES.iter().map(|(_, name)| (*name).to_owned());
        list(out, "not reached", names.filter(|name| !probes.contains_key(name)))?;
        list(out, "ignored", ignored.iter().map(counted))?;
        let memory = m.peak_memory_kib.map_or("unknown".to_owned(), |kib| format!("{} MiB at the most", kib / 1024));
        row(out, "memory", &memory)?;
        let wall = span(m.wall_ms * 1_000_000);
        let cpu = m.cpu_ms.map_or(String::new(), |ms| format!(", {} of processors", span(ms * 1_000_000)));
        let rate = self.runs() * 1000 / m.wall_ms.max(1);
        let threads = count(self.jobs as u64, "thread");
        row(out, "time", &format!("{wall} on {threads}{cpu}, {} runs a second", grouped(rate)))?;
        if self.is_cut_short {
            row(out, "stopped", "there were enough failures; --max-failures allows more")?;
        }
        writeln!(out)?;
        for tally in &self.scenarios {
            for failed in &tally.failures {
                row(out, "failed", &format!("{}, seed {}: {}", tally.name, failed.seed, failed.verdict))?;
                row(out, "", &failed.replay)?;
            }
        }
        let verdict = match self.failures() {
            0 => "pass".to_owned(),
            failures => format!("{} in {}", count(failures, "failure"), count(self.runs(), "run")),
        };
        row(out, "verdict", &verdict)?;
        row(out, "repeat", &self.command())
    }

    /// A line for each scenario.
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.scenarios.iter().map(|tally| tally.name.len()).max().unwrap_or(0).max("scenario".len());
        let head = "   seeds     pass  safety  liveness  differs  slots, median  when calm: in time  busy     hash";
        writeln!(out, "{:<width$}{head}", "scenario")?;
        for tally in &self.scenarios {
            let [runs, pass, safety, liveness, differs, slots] =
                [tally.runs, tally.pass, tally.safety, tally.liveness, tally.nondeterminism, tally.slots_safety_median]
                    .map(grouped);
            let [in_time, busy] = match tally.with_calm {
                0 => ["-".to_owned(), "-".to_owned()],
                _ => [tally.in_time_when_calm, tally.busy_when_calm].map(grouped),
            };
            let (name, hash) = (&tally.name, &tally.hash);
            let counts = format!("{runs:>8} {pass:>8}  {safety:>6}  {liveness:>8}  {differs:>7}");
            writeln!(out, "{name:<width$}{counts}  {slots:>13}  {in_time:>18}  {busy:>7}  {hash}")?;
        }
        Ok(())
    }
}

const HEAD: usize = 12;
const WIDTH: usize = 110;

fn row(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{head:<HEAD$}{text}")
}

/// Writes a list with commas, in as many lines as it takes.
fn list(out: &mut dyn Write, head: &str, items: impl Iterator<Item = String>) -> io::Result<()> {
    let items: Vec<String> = items.collect();
    let mut line = String::new();
    let mut head = head;
    for (at, item) in items.iter().enumerate() {
        let comma = if at + 1 == items.len() { "" } else { "," };
        if !line.is_empty() && HEAD + line.len() + item.len() + 2 > WIDTH {
            row(out, head, line.trim_end())?;
            (head, line) = ("", String::new());
        }
        line += &format!("{item}{comma} ");
    }
    row(out, head, if items.is_empty() { "none" } else { line.trim_end() })
}
