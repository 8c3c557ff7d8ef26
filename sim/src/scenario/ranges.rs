//! The range of every number in a plan. `docs/scenarios.md` shows the same ranges, and a test compares them.

use super::error::LoadError;
use crate::plan::Plan;
use serde_json::Value;

/// Half a day of virtual time in microseconds: no run needs more, and sums of such times fit everywhere.
const LONGEST_US: i64 = 43_200_000_000;

/// One second, in nanoseconds.
const LONGEST_NS: i64 = 1_000_000_000;

/// As much as a run may have of whatever is counted.
const MANY: i64 = 1 << 20;

/// The ends of keys, and the least and the greatest value there. The longest end that fits decides.
const RANGES: &[(&str, i64, i64)] = &[
    // What many keys have in common.
    ("us", 0, LONGEST_US),
    ("ns", 0, LONGEST_NS),
    ("per_mille", 0, 1000),
    // The replicas.
    ("seed", 0, i64::MAX),
    ("n", 1, 128),
    ("checkpoint_interval", 1, 32),
    ("window", 2, 64),
    ("open_vertices", 1, 64),
    ("seen_requests", 1, 1 << 32),
    ("pipeline", 1, 64),
    ("lifetime_us", 1, LONGEST_US),
    ("timeouts.base_us", 1, LONGEST_US),
    ("timeouts.max_us", 1, LONGEST_US),
    ("timeouts.status_us", 1, LONGEST_US),
    ("timeouts.retransmit_us", 1, LONGEST_US),
    ("skew_us", -LONGEST_US, LONGEST_US),
    ("drift_ppm", -100_000, 100_000),
    ("capacity_records", 0, 1 << 40),
    // Links.
    ("sigma_per_mille", 0, 5000),
    ("regions.jitter_per_mille", 0, 10_000),
    ("bandwidth", 1, 1 << 40),
    ("copies", 1, 1000),
    ("views", 0, i64::MAX),
    ("slots", 0, i64::MAX),
    ("limit", 0, i64::MAX),
    // Clients.
    ("clients", 0, 100_000),
    ("memory", 0, 100_000),
    ("ops", 0, MANY),
    ("payload_bytes", 8, 32_768),
    ("resend_to", 0, 128),
    ("interval_us", 1, LONGEST_US),
    ("outstanding", 1, 100_000),
    ("timeout_us", 1, LONGEST_US),
    // A small scope.
    ("swarm.link_faults", 0, 16),
    ("swarm.mutations", 0, 16),
    ("swarm.rounds", 1, 8),
    // Faults and adversaries.
    ("slot", 0, i64::MAX),
    ("view", 0, i64::MAX),
    ("nth", 1, i64::MAX),
    // Transcripts, which no person writes.
    ("message.nth", 0, i64::MAX),
    ("at_ns", 0, i64::MAX),
    ("submitted_ns", 0, i64::MAX),
    ("expires_ns", 0, i64::MAX),
    ("offset_us", -LONGEST_US, LONGEST_US),
    ("ts_offset_us", -LONGEST_US, LONGEST_US),
    ("forger.per_mille", 0, 100_000),
    ("period_us", 1, LONGEST_US),
    ("per_second", 1, 1_000_000),
    ("vertices", 0, MANY),
    ("vertex", 0, MANY),
    ("requests_of", 0, MANY),
    ("after", 0, MANY),
    ("refs", 0, MANY),
    ("invented", 0, 1024),
    ("height", 0, i64::MAX),
    ("hand", 0, i64::MAX),
    // Expectations.
    ("at_least", 0, i64::MAX),
    ("at_most", 0, i64::MAX),
    ("by_at_least", 0, 128),
    ("thousandths", 0, 1000),
    ("delays", 0, 1000),
    ("messages-per-slot.first", 1, i64::MAX),
    ("messages-per-slot.last", 1, i64::MAX),
    ("finality-delays.first", 1, i64::MAX),
    ("finality-delays.last", 1, i64::MAX),
];

/// Ends of keys under which there are the numbers of replicas, or lists of them.
const REPLICAS: &[&str] = &[
    "replica",
    "replicas",
    "from",
    "to",
    "core",
    "groups",
    "half",
    "twin.first",
    "by_view",
    "turns",
    "authors",
    "accused",
    "against",
    "standing.of",
    "invented_ref",
    "all",
];

/// Ends of keys with numbers of something else, which is checked where it is known how many there are.
const COUNTED_ELSEWHERE: &[&str] = &["regions.of"];

/// What the number under a key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// The number of a replica.
    Replica,
    /// From the one to the other, both included.
    Between(i64, i64),
    /// This is checked elsewhere.
    Elsewhere,
}

/// What the number under a key may be; `key` has no indices: `plan.faults.at_us`.
pub(crate) fn range_of(key: &str) -> Option<Range> {
    let ends = |end: &str| ends_with(key, end).then_some(end.len());
    let between = RANGES.iter().map(|(end, min, max)| (ends(end), Range::Between(*min, *max)));
    let replicas = REPLICAS.iter().map(|end| (ends(end), Range::Replica));
    let elsewhere = COUNTED_ELSEWHERE.iter().map(|end| (ends(end), Range::Elsewhere));
    let all = between.chain(replicas).chain(elsewhere);
    let fitting = all.filter_map(|(length, range)| length.map(|length| (length, range)));
    fitting.max_by_key(|(length, _)| *length).map(|(_, range)| range)
}

/// Whether a key ends with these words: `us` and `at_us` are ends of `plan.faults.at_us`, and `t_us` is not.
fn ends_with(key: &str, end: &str) -> bool {
    let Some(before) = key.strip_suffix(end) else { return false };
    before.is_empty() || before.ends_with(['.', '_'])
}

/// Checks every number of a plan.
///
/// # Errors
/// The first that is out of its range.
pub(crate) fn check(plan: &Plan) -> Result<(), LoadError> {
    check_below("plan", plan.n, &serde_json::to_value(plan).expect("a plan is data"))
}

/// Checks every number at and below a key, where there are so many replicas.
///
/// # Errors
/// The first that is out of its range.
pub(super) fn check_below(key: &str, n: u16, value: &Value) -> Result<(), LoadError> {
    Walk { n, key: key.to_owned(), path: key.to_owned() }.check(value)
}

struct Walk {
    n: u16,
    /// Without indices.
    key: String,
    /// With indices.
    path: String,
}

impl Walk {
    fn check(&mut self, value: &Value) -> Result<(), LoadError> {
        match value {
            Value::Object(table) => table.iter().try_for_each(|(name, value)| self.below(&format!(".{name}"), value)),
            Value::Array(list) => {
                list.iter().enumerate().try_for_each(|(at, value)| self.below(&format!("[{at}]"), value))
            }
            Value::Number(number) => self.number(number),
            Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        }
    }

    fn below(&mut self, step: &str, value: &Value) -> Result<(), LoadError> {
        let lengths = (self.key.len(), self.path.len());
        self.path += step;
        if !step.starts_with('[') {
            self.key += step;
        }
        self.check(value)?;
        self.key.truncate(lengths.0);
        self.path.truncate(lengths.1);
        Ok(())
    }

    fn number(&self, number: &serde_json::Number) -> Result<(), LoadError> {
        let range = range_of(&self.key);
        let (min, max) = match range {
            Some(Range::Between(min, max)) => (min, max),
            Some(Range::Replica) => (0, i64::from(self.n) - 1),
            Some(Range::Elsewhere) | None => return Ok(()),
        };
        let fits = number.as_i64().is_some_and(|value| (min..=max).contains(&value));
        // A seed, and a view or slot at the end of all numbers, may need the last bit too.
        let is_huge = number.as_i64().is_none() && max == i64::MAX;
        if fits || is_huge {
            return Ok(());
        }
        let (problem, remedy) = if range == Some(Range::Replica) {
            let problem = format!("there is no such replica among {}", self.n);
            (problem, format!("name one from 0 to {max}, or raise plan.n"))
        } else {
            let is_low = number.as_i64().is_some_and(|value| value < min);
            let nearest = if is_low { min } else { max };
            (format!("must be from {min} to {max}"), format!("the nearest value allowed is {nearest}"))
        };
        Err(LoadError::at(self.path.clone(), Some(number.to_string()), problem).remedy(remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, TimedFault};

    #[test]
    fn the_longest_end_of_a_key_decides() {
        assert_eq!(range_of("plan.network.default.loss_per_mille"), Some(Range::Between(0, 1000)));
        assert_eq!(range_of("plan.network.regions.jitter_per_mille"), Some(Range::Between(0, 10_000)));
        assert_eq!(range_of("plan.byzantine.behaviour.twin.first"), Some(Range::Replica));
        assert_eq!(range_of("plan.expectations.messages-per-slot.first"), Some(Range::Between(1, i64::MAX)));
        assert_eq!(range_of("plan.network.regions.of"), Some(Range::Elsewhere));
        assert_eq!(range_of("plan.bananas"), None);
    }

    #[test]
    fn the_default_plan_is_in_range_and_a_plan_that_names_a_replica_too_many_is_not() {
        assert_eq!(check(&Plan::default()), Ok(()));
        let fault = Fault::Partition { groups: vec![vec![0, 1], vec![2, 4]] };
        let plan = Plan { faults: vec![TimedFault { at_us: 1, fault }], ..Plan::default() };
        let error = check(&plan).unwrap_err();
        assert_eq!(error.key, "plan.faults[0].fault.partition.groups[1][1]");
        assert_eq!(error.value.as_deref(), Some("4"));
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_key_and_the_nearest_that_is_allowed() {
        let mut plan = Plan::default();
        plan.network.default.loss_per_mille = 1001;
        let error = check(&plan).unwrap_err().in_file("a.toml").to_string();
        let expected = "a.toml: plan.network.default.loss_per_mille = 1001: must be from 0 to 1000; the nearest value allowed is 1000";
        assert_eq!(error, expected);
    }
}
