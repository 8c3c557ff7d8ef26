//! What a run found out.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The result of a run. Equal plans give equal reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The name of the plan.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// How it went.
    pub verdict: Verdict,
    /// The hash over every event and the state it touched, in hexadecimal.
    pub hash: String,
    /// Messages handed to replicas.
    pub deliveries: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Virtual time at the end.
    pub end_us: u64,
    /// Slots executed by some honest replica in the safety phase.
    pub slots_safety: u64,
    /// And after it.
    pub slots_calm: u64,
    /// Operations submitted.
    pub ops_submitted: u64,
    /// Operations executed.
    pub ops_executed: u64,
    /// Operations whose client is convinced of the result.
    pub ops_answered: u64,
    /// The highest view that an honest replica installed.
    pub highest_view: u64,
    /// View changes begun by honest replicas.
    pub view_changes: u64,
    /// Crashes.
    pub crashes: u64,
    /// State transfers completed.
    pub transfers: u64,
    /// Pieces of evidence stored by honest replicas.
    pub evidence: u64,
    /// From proposal to execution, over all slots and honest replicas.
    pub finality: Percentiles,
    /// From submission to the answer that convinced the client.
    pub answers: Percentiles,
    /// Rare situations and how often each was reached.
    pub probes: BTreeMap<String, u64>,
    /// Why inputs changed nothing, and how often, over all honest replicas.
    pub ignored: BTreeMap<String, u64>,
    /// Messages sent by kind, one for each receiver.
    pub sent: BTreeMap<String, u64>,
    /// Which expectations held.
    pub expectations: Vec<Outcome>,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should.
    Pass,
    /// Something happened that must never happen.
    Safety(Failure),
    /// Something that was due did not happen.
    Liveness(Failure),
    /// The same plan gave another run.
    Nondeterminism(Failure),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The oracle that says so, such as `O1`, or `expectation`.
    pub oracle: String,
    /// What happened, in a sentence.
    pub sentence: String,
    /// When, in nanoseconds of virtual time.
    pub at_ns: u64,
    /// After how many events.
    pub event: u64,
}

/// Whether an expectation held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The expectation, as the plan has it.
    pub expectation: String,
    /// Whether it held.
    pub held: bool,
    /// What was found.
    pub found: String,
}

/// A distribution of times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// The smallest.
    pub min_ns: u64,
    /// The median.
    pub p50_ns: u64,
    /// 95 of 100 are at most this.
    pub p95_ns: u64,
    /// 99 of 100 are at most this.
    pub p99_ns: u64,
    /// The largest.
    pub max_ns: u64,
}

impl Percentiles {
    /// Of these values, which get sorted.
    #[must_use]
    pub fn of(values: &mut [u64]) -> Self {
        values.sort_unstable();
        let (Some(min), Some(max)) = (values.first(), values.last()) else { return Self::default() };
        let at = |percent: usize| values[(values.len() * percent).div_ceil(100) - 1];
        Self { count: values.len() as u64, min_ns: *min, p50_ns: at(50), p95_ns: at(95), p99_ns: at(99), max_ns: *max }
    }
}

impl Verdict {
    /// What went wrong, if anything did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Pass => None,
            Self::Safety(failure) | Self::Liveness(failure) | Self::Nondeterminism(failure) => Some(failure),
        }
    }

    /// The exit code of a command that ran it: 0 pass, 1 safety, 2 liveness, 3 nondeterminism.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Safety(_) => 1,
            Self::Liveness(_) => 2,
            Self::Nondeterminism(_) => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, failure) = match self {
            Self::Pass => return f.write_str("pass"),
            Self::Safety(failure) => ("SAFETY", failure),
            Self::Liveness(failure) => ("LIVENESS", failure),
            Self::Nondeterminism(failure) => ("NONDETERMINISM", failure),
        };
        write!(f, "{word} {}: {}", failure.oracle, failure.sentence)
    }
}
