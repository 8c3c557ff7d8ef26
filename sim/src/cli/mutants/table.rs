//! What came of it, for people, for pages and for programs.

use super::super::words::{grouped, span_us};
use super::NONE;
use super::hunt::{Hunted, Kill, Way};
use super::known::Known;
use crate::scenario::build;
use cretoai_core::mutant::Mutant;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Everything, for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    /// The version of this format.
    format: u64,
    /// The program.
    build: String,
    mutants: Vec<Described<'a>>,
    hunts: &'a [Hunted],
}

#[derive(Debug, Serialize)]
struct Described<'a> {
    name: &'static str,
    does: &'static str,
    rule: &'static str,
    equivalent: Option<&'static str>,
    survives: Option<&'a str>,
}

impl<'a> Report<'a> {
    pub(super) fn new(hunts: &'a [Hunted], known: &'a Known) -> Self {
        let described = |mutant: &Mutant| Described {
            name: mutant.name(),
            does: mutant.does(),
            rule: mutant.rule(),
            equivalent: mutant.equivalent(),
            survives: known.needs(mutant.name()),
        };
        Self { format: 1, build: build(), mutants: Mutant::ALL.iter().map(described).collect(), hunts }
    }
}

/// One hunt.
pub(super) fn line(out: &mut dyn Write, hunted: &Hunted) -> io::Result<()> {
    let name = hunted.mutant.unwrap_or(NONE);
    write!(out, "{name:<26}{:<13}", hunted.way.name())?;
    let oracles = list(hunted.oracles());
    let Some([low, median, high]) = hunted.spread(|kill| kill.seeds) else {
        let bound = if hunted.is_bounded { ", when its processor time ran out" } else { "" };
        return writeln!(out, "survives {} runs{bound}", grouped(hunted.runs));
    };
    if hunted.way == Way::Scenarios {
        let names: Vec<&str> = hunted.kills.iter().map(|kill| kill.scenario.as_str()).take(3).collect();
        let more = if hunted.kills.len() > names.len() { ", ..." } else { "" };
        return writeln!(out, "{:>3} of {}: {}{more}", hunted.kills.len(), hunted.runs, names.join(", "));
    }
    let cpu = hunted.spread(|kill| kill.cpu_us).map_or(0, |[_, median, _]| median);
    let of = format!("{}/{}", hunted.kills.len(), hunted.campaigns);
    let seeds = format!("{} ({}-{})", grouped(median), grouped(low), grouped(high));
    writeln!(out, "{of:>6}  {seeds:>20} seeds {:>12}  {oracles}", span_us(cpu))
}

fn list(oracles: BTreeMap<&str, u64>) -> String {
    let mut oracles: Vec<(&str, u64)> = oracles.into_iter().collect();
    oracles.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> = oracles.iter().map(|(name, count)| format!("{name} {count}")).collect();
    words.join(", ")
}

/// What follows from all hunts.
pub(super) fn summary(out: &mut dyn Write, hunted: &[Hunted], known: &Known) -> io::Result<()> {
    writeln!(out)?;
    for way in ways(hunted) {
        let of_way: Vec<&Hunted> = hunted.iter().filter(|h| h.way == way && h.mutant.is_some()).collect();
        let killed = of_way.iter().filter(|hunted| hunted.is_killed()).count();
        write!(out, "{:<13}{killed} of {} mutants killed", way.name(), of_way.len())?;
        let medians = |of: fn(&Kill) -> u64| median(of_way.iter().filter_map(|hunted| hunted.spread(of)));
        match (medians(|kill| kill.seeds), medians(|kill| kill.cpu_us)) {
            (Some(seeds), Some(us)) if way != Way::Scenarios => {
                writeln!(out, "; the median of their medians is {} seeds, {}", grouped(seeds), span_us(us))?;
            }
            _ => writeln!(out)?,
        }
    }
    for mutant in survivors(hunted) {
        let why = mutant.equivalent().map(|why| format!("equivalent: {why}"));
        let why = why.or_else(|| known.needs(mutant.name()).map(str::to_owned));
        writeln!(out, "survives     {}: {}", mutant.name(), why.as_deref().unwrap_or("nobody knows why"))?;
    }
    Ok(())
}

fn ways(hunted: &[Hunted]) -> Vec<Way> {
    let mut ways: Vec<Way> = hunted.iter().map(|hunted| hunted.way).collect();
    ways.sort_unstable();
    ways.dedup();
    ways
}

fn median(medians: impl Iterator<Item = [u64; 3]>) -> Option<u64> {
    let mut medians: Vec<u64> = medians.map(|[_, median, _]| median).collect();
    medians.sort_unstable();
    medians.get(medians.len() / 2).copied()
}

/// Those that some way of looking did not find.
fn survivors(hunted: &[Hunted]) -> impl Iterator<Item = Mutant> {
    let survived = |mutant: &Mutant| {
        let mut of_it = hunted.iter().filter(|hunted| hunted.mutant == Some(mutant.name())).peekable();
        let swarm = of_it.clone().find(|hunted| hunted.way == Way::Swarm);
        of_it.peek().is_some() && !swarm.map_or_else(|| of_it.any(Hunted::is_killed), Hunted::is_killed)
    };
    Mutant::ALL.iter().copied().filter(survived)
}

/// A table for a page, one row for each mutant.
pub(super) fn markdown(out: &mut dyn Write, hunted: &[Hunted], known: &Known) -> io::Result<()> {
    let ways = ways(hunted);
    let heads: Vec<&str> = ways.iter().map(|way| way.name()).collect();
    writeln!(out, "| mutant | rule | {} | noticed by |", heads.join(" | "))?;
    writeln!(out, "|---|---|{}---|", "---|".repeat(heads.len()))?;
    for mutant in Mutant::ALL {
        let of_it: Vec<&Hunted> = hunted.iter().filter(|hunted| hunted.mutant == Some(mutant.name())).collect();
        if of_it.is_empty() {
            continue;
        }
        let cells = ways.iter().map(|way| of_it.iter().find(|h| h.way == *way).map_or(String::new(), |h| cell(h)));
        let cells: Vec<String> = cells.collect();
        let mut oracles = BTreeMap::new();
        for (oracle, count) in of_it.iter().flat_map(|hunted| hunted.oracles()) {
            *oracles.entry(oracle).or_default() += count;
        }
        let oracles = list(oracles);
        writeln!(out, "| {} | {} | {} | {oracles} |", mutant.name(), mutant.rule(), cells.join(" | "))?;
    }
    writeln!(out)?;
    summary(out, hunted, known)
}

fn cell(hunted: &Hunted) -> String {
    let Some([low, median, high]) = hunted.spread(|kill| kill.seeds) else {
        let sign = if hunted.is_bounded { "> " } else { "" };
        return format!("{sign}{} –", grouped(hunted.runs));
    };
    if hunted.way == Way::Scenarios {
        return format!("{} of {}", hunted.kills.len(), hunted.runs);
    }
    let cpu = hunted.spread(|kill| kill.cpu_us).map_or(0, |[_, median, _]| median);
    let is_whole = hunted.is_killed() && !hunted.is_bounded;
    let some = if is_whole { String::new() } else { format!("{}/{}: ", hunted.kills.len(), hunted.campaigns) };
    format!("{some}{} ({}–{}), {}", grouped(median), grouped(low), grouped(high), span_us(cpu))
}
