//! `mutants`: one rule of the protocol after another is broken, and campaigns are run until one notices.
//!
//! A mutant that survives says what no campaign would notice either if it were a mistake.

mod hunt;
mod known;
mod table;

use super::args::parse_time;
use super::{Ended, Stop, threads};
use clap::{Args, ValueEnum};
use cretoai_core::mutant::Mutant;
use hunt::{Bounds, Hunted, Task, Way, hunt};
use known::Known;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// What the protocol itself is called among the mutants.
const NONE: &str = "none";

#[derive(Clone, Debug, Args)]
pub(super) struct MutantsArguments {
    /// These mutants; all of them, and `none`, the protocol as it is, when absent
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// These ways to look for them; all when absent
    #[arg(long, value_enum, num_args = 1..)]
    strategy: Vec<Way>,
    /// Campaigns for each mutant and strategy. The first begins at seed 0, each where the one before would end
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    campaigns: u64,
    /// Seeds of a campaign, if nothing is found before
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Processor time for each mutant and strategy, at the most
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_time)]
    limit: u64,
    /// Threads; one for each core when absent
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write everything for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the failure file of each first kill into this folder; replay and shrink take it
    #[arg(long, value_name = "FOLDER")]
    failures: Option<PathBuf>,
    /// Show a table for a page
    #[arg(long)]
    markdown: bool,
    /// Look for each mutant only in the way that is known to find it soonest, and fail if it survives that
    #[arg(long, conflicts_with_all = ["strategy", "campaigns", "seeds", "update", "markdown", "failures"])]
    check: bool,
    /// Write down which way found each mutant soonest, for --check
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
}

/// Hunts mutants.
pub(super) fn run(arguments: &MutantsArguments, out: &mut dyn Write) -> Ended {
    let known = Known::read()?;
    let mutants = chosen(&arguments.only)?;
    let tasks = if arguments.check { known.tasks(&mutants, arguments.limit) } else { all(&mutants, arguments) };
    let json = arguments.json.as_deref().map(|path| {
        let complaint = |error| Stop::Usage(format!("--json {}: cannot be written: {error}", path.display()));
        File::create(path).map_err(complaint)
    });
    let json = json.transpose()?;
    let mut hunted = Vec::new();
    threads::each(&tasks, threads::jobs(arguments.jobs), hunt, |done| {
        let done = done?;
        if !arguments.markdown {
            table::line(out, &done)?;
            out.flush()?;
        }
        hunted.push(done);
        Ok::<_, Stop>(())
    })?;
    if arguments.markdown {
        table::markdown(out, &hunted, &known)?;
    } else {
        table::summary(out, &hunted, &known)?;
    }
    if let Some(mut file) = json {
        serde_json::to_writer_pretty(&mut file, &table::Report::new(&hunted, &known)).map_err(io::Error::from)?;
        writeln!(file)?;
    }
    if let Some(path) = &arguments.update {
        known.updated(&hunted).save(path)?;
    }
    let complaints = complaints(&hunted, arguments.check, &known);
    complaints.iter().try_for_each(|complaint| writeln!(out, "WRONG: {complaint}"))?;
    Ok(u8::from(!complaints.is_empty()))
}

/// The mutants of these names.
fn chosen(names: &[String]) -> Result<Vec<Option<Mutant>>, Stop> {
    if names.is_empty() {
        return Ok([None].into_iter().chain(Mutant::ALL.iter().copied().map(Some)).collect());
    }
    let find = |name: &String| {
        let complaint = || format!("--only {name}: there is no such mutant; see `cretoai-sim mutants --check`");
        if name == NONE { Ok(None) } else { Mutant::named(name).map(Some).ok_or_else(|| Stop::Usage(complaint())) }
    };
    names.iter().map(find).collect()
}

fn all(mutants: &[Option<Mutant>], arguments: &MutantsArguments) -> Vec<Task> {
    let ways = if arguments.strategy.is_empty() { Way::value_variants() } else { &arguments.strategy[..] };
    let bounds = Bounds { campaigns: arguments.campaigns, seeds: arguments.seeds, cpu_ns: arguments.limit };
    let failures = arguments.failures.clone();
    let task = |mutant, way| Task { mutant, way, bounds, scenario: None, failures: failures.clone() };
    mutants.iter().flat_map(|mutant| ways.iter().map(|way| task(*mutant, *way))).collect()
}

/// What must not be.
fn complaints(hunted: &[Hunted], is_check: bool, known: &Known) -> Vec<String> {
    let mut complaints = Vec::new();
    for hunted in hunted {
        let (name, way) = (hunted.mutant.unwrap_or(NONE), hunted.way.name());
        if hunted.mutant.is_none() && !hunted.kills.is_empty() {
            complaints.push(format!("the protocol itself fails under {way}"));
        }
        if !hunted.is_replayed {
            complaints.push(format!("what kills {name} under {way} cannot be seen again"));
        }
        if is_check && hunted.mutant.is_some() && !hunted.is_killed() {
            complaints.push(format!("{name} used to die under {way}, and survives {} runs", hunted.runs));
        }
    }
    let unknown = Mutant::ALL.iter().filter(|mutant| is_check && !known.has(mutant.name()));
    complaints.extend(unknown.map(|mutant| format!("nobody knows whether {} dies", mutant.name())));
    complaints
}
