//! The arguments of the command line.

use crate::explore::{N, RESTARTS, SLOTS, VIEWS};
use clap::{Parser, Subcommand, ValueEnum};
use std::ops::Range;
use std::path::PathBuf;

/// A deterministic simulator of PBFT clusters under faults: one seed, one answer.
///
/// Without a command it runs the scenario `demo`: four replicas, partitions, a crash and an equivocating primary.
#[derive(Debug, Parser)]
#[command(name = "cretoai-sim", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 pass, 1 safety violated, 2 liveness violated, 3 nondeterminism, 64 usage.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run one cluster, and show how it went
    Run {
        /// A scenario of the library, or the path of a scenario file
        #[arg(default_value = "demo")]
        scenario: String,
        /// The seed; the scenario's own, or 1, when absent
        #[arg(long)]
        seed: Option<u64>,
        /// Write what the honest replicas can prove at the end to this file, for `verify`
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Run scenarios with many seeds, on all cores
    Campaign(CampaignArguments),
    /// Try every order of deliveries at small scope: four replicas, one of them Byzantine
    Explore(ExploreArguments),
    /// Break one rule of the protocol after another, and see which campaigns notice, and how soon
    #[cfg(feature = "mutants")]
    Mutants(super::mutants::MutantsArguments),
    /// Break one rule of the protocol after another; in a program that was built with `--features mutants`
    #[cfg(not(feature = "mutants"))]
    Mutants {
        /// What it would be given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
    /// Run a failure again, and show how it came about
    Replay {
        /// A failure file
        failure: String,
        /// Show events up to this moment of virtual time only, such as 1.5s
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        until: Option<u64>,
        /// Show this replica only
        #[arg(long)]
        replica: Option<u16>,
    },
    /// Make a failure smaller: as few replicas, faults, operations and messages as it takes to fail in the same way
    Shrink {
        /// A failure file
        failure: String,
        /// Where the smaller one goes; beside it, with `-shrunk` in its name, when absent
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// List the library of scenarios
    Scenarios,
    /// Check a bundle of proof: whom its evidence convicts, and what its certificates decide
    Verify {
        /// A file that `run --bundle` or a replica wrote
        bundle: PathBuf,
        /// The seed of the run, without which nobody can check simulated signatures
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Show the first event in which two runs differ
    Diff {
        /// A failure file, SCENARIO:SEED, or SCENARIO
        a: String,
        /// Another one
        b: String,
    },
    /// Show every event of a run
    Trace {
        /// A failure file, SCENARIO:SEED, or SCENARIO
        run: String,
        /// How
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Up to this moment of virtual time only, such as 1.5s
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        until: Option<u64>,
        /// Of this replica only
        #[arg(long)]
        replica: Option<u16>,
    },
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct CampaignArguments {
    /// Scenarios of the library, or paths of scenario files
    #[arg(default_value = "swarm")]
    pub(super) scenarios: Vec<String>,
    /// From the first seed up to, and without, the second; 0..1000 when neither this nor --for is given
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub(super) seeds: Option<Range<u64>>,
    /// Threads; one for each core when absent
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// Stop after this long, such as 60s
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    pub(super) time: Option<u64>,
    /// Write a report for test tools
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write the summary for programs
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Where failure files go
    #[arg(long, value_name = "FOLDER", default_value = "failures")]
    pub(super) out: PathBuf,
    /// Stop after so many failures
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_failures: u64,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExploreArguments {
    /// The Byzantine replica; each of the four in turn when absent
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(..i64::from(N)))]
    pub(super) byzantine: Option<u16>,
    /// Views, from view 0 on
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=VIEWS))]
    pub(super) views: u64,
    /// Slots, from slot 1 on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=SLOTS))]
    pub(super) slots: u64,
    /// How often each honest replica may crash and come back
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(RESTARTS)))]
    pub(super) restarts: u32,
    /// Try also those orders that differ only in steps that do not depend on each other
    #[arg(long)]
    pub(super) all_orders: bool,
    /// Stop after so many states
    #[arg(long, value_name = "STATES", default_value_t = 20_000_000)]
    pub(super) limit: usize,
    /// Stop when what is kept takes about so much memory, for each Byzantine replica that is explored at the same time
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(super) memory: usize,
    /// Break this rule of the protocol first, in a program that was built with `--features mutants`
    #[arg(long, value_name = "NAME")]
    pub(super) mutant: Option<String>,
    /// Where the file of a violation goes
    #[arg(long, value_name = "FOLDER", default_value = "failures")]
    pub(super) out: PathBuf,
    /// Take the steps of such a file again
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub(super) replay: Option<String>,
}

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people, in columns
    Text,
    /// For programs, one JSON object a line
    Jsonl,
}

/// `1.5s`, `200ms`, `2m`: in nanoseconds.
pub(super) fn parse_time(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 6] = [
        ("ns", 1),
        ("us", 1000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let expected = "a number and a unit, such as 1.5s, 200ms or 2m";
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(expected)?;
    let (number, unit) = text.split_at(digits);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(expected)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected.to_owned());
    }
    let whole: u64 = whole.parse().map_err(|_| expected)?;
    let billionths: u64 = format!("{fraction:0<9}").parse().map_err(|_| expected)?;
    let total = u128::from(whole) * u128::from(*unit) + u128::from(billionths) * u128::from(*unit) / 1_000_000_000;
    u64::try_from(total).map_err(|_| "too long".to_owned())
}

/// `0..10000`.
fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = "two numbers, such as 0..10000; the second is not included";
    let (from, to) = text.split_once("..").ok_or(expected)?;
    let number = |text: &str| text.replace('_', "").parse::<u64>().map_err(|_| expected.to_owned());
    let seeds = number(from)?..number(to)?;
    if seeds.is_empty() { Err("there is no seed in this range".to_owned()) } else { Ok(seeds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse_time("200ms"), Ok(200_000_000));
        assert_eq!(parse_time("2m"), Ok(120_000_000_000));
        for wrong in ["", "5", "s", "1.5", "1,5s", "-1s", "1.x5s", "5 parsecs", "999999999999h"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seeds_are_a_range_without_its_end() {
        assert_eq!(parse_seeds("0..10_000"), Ok(0..10_000));
        for wrong in ["5", "5..5", "9..1", "a..b", "1...5", "1..=5"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
