//! `shrink`: the smallest story behind a failure.

use super::simulate::Simulator;
use super::words::{self, count, grouped, name_of, seconds, span};
use super::{Ended, Stop, describe, source};
use crate::meta::Meta;
use crate::plan::{Happening, Name, Plan, Step, Transcript, from_hex};
use crate::report::Verdict;
use crate::scenario::{FailureFile, build};
use crate::shrink::{Remains, Shrunk, Size, shrink};
use cretoai_core::wire::decode;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Steps that are shown; a longer story is not one to read.
const SHOWN: usize = 120;

/// Shrinks a failure file, and writes a smaller one beside it.
pub(super) fn run(file: &str, to: Option<&Path>, out: &mut dyn Write) -> Ended {
    let failure = source::failure(file)?;
    writeln!(out, "{}, seed {}, as recorded by {} in {file}", failure.scenario, failure.seed, failure.build)?;
    writeln!(out, "{}\n", failure.verdict)?;
    out.flush()?;
    let mut simulator = Simulator::default();
    let shrunk = shrink(simulator.world(), &failure.plan).map_err(|error| Stop::Usage(format!("{file}: {error}")))?;
    let Shrunk { plan, report, .. } = &shrunk;
    story(out, plan)?;
    table(out, &shrunk.sizes)?;
    writeln!(out)?;
    reasons(out, &shrunk)?;
    // A smaller story that is not always the same would be none.
    for _ in 0..2 {
        if let Some(differs) = simulator.repeat(plan, report) {
            describe::verdict(out, plan, &differs, "none: the run is not deterministic")?;
            return Ok(differs.verdict.exit_code());
        }
    }
    row(out, "verified", "twice: the same verdict and the same hash")?;
    let smaller = FailureFile {
        build: build(),
        seed: plan.seed,
        verdict: report.verdict.clone(),
        hash: report.hash.clone(),
        events: report.events,
        plan: plan.clone(),
        ..failure
    };
    let path = to.map_or_else(|| beside(file), Path::to_owned);
    let shown = path.display();
    smaller.save(&path).map_err(|error| {
        Stop::Usage(format!("{shown}: cannot be written: {error}; name a file in a folder that is there with --to"))
    })?;
    describe::verdict(out, plan, report, &format!("cretoai-sim replay {shown}"))?;
    Ok(0)
}

fn beside(file: &str) -> PathBuf {
    let stem = file.strip_suffix(".json").unwrap_or(file);
    PathBuf::from(format!("{stem}-shrunk.json"))
}

fn row(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{head:<12}{text}")
}

/// What was reduced, and how far.
fn table(out: &mut dyn Write, sizes: &[Size; 2]) -> io::Result<()> {
    type Part = (&'static str, fn(&Size) -> String);
    writeln!(out, "{:<12}{:>12}{:>12}", "", "before", "after")?;
    let parts: [Part; 8] = [
        ("replicas", |size| grouped(size.replicas)),
        ("Byzantine", |size| grouped(size.byzantine)),
        ("faults", |size| grouped(size.faults)),
        ("operations", |size| grouped(size.operations)),
        ("slots", |size| grouped(size.slots)),
        ("deliveries", |size| grouped(size.deliveries)),
        ("events", |size| grouped(size.events)),
        ("time", |size| span(size.ns)),
    ];
    for (head, of) in parts {
        let [before, after] = sizes.each_ref().map(of);
        writeln!(out, "{head:<12}{before:>12}{after:>12}")?;
    }
    Ok(())
}

/// Why no less is left.
fn reasons(out: &mut dyn Write, shrunk: &Shrunk) -> io::Result<()> {
    let Shrunk { plan, report, needed, .. } = shrunk;
    let is_endless = matches!(report.verdict, Verdict::Liveness(_));
    let steps = plan.transcript.as_ref().map_or(0, |transcript| transcript.steps.len()) as u64;
    let end = match (shrunk.is_spelled_out, shrunk.is_minimal) {
        (false, _) => "; spelled out the run does not fail any more, so only the plan is smaller".to_owned(),
        (_, false) => "; it ended before nothing more could be left out".to_owned(),
        (true, true) => format!("; without any one of its {} it does not fail so", count(steps, "step")),
    };
    row(out, "search", &format!("{}{end}", count(shrunk.runs, "run")))?;
    if shrunk.is_spelled_out {
        let Remains { stages, faults, slots, view } = Remains::of(plan);
        let stages = stages.iter().map(|(stage, count)| format!("{stage} {}", grouped(*count)));
        let all: Vec<String> = stages.chain((0 < faults).then(|| format!("faults {faults}"))).collect();
        row(out, "steps are", &if all.is_empty() { "none".to_owned() } else { all.join(", ") })?;
        row(out, "they pass", &format!("{}, up to view {view}", count(slots, "slot")))?;
    }
    if is_endless {
        let text = "once it is calm, all that is sent arrives until the time is up, so its deliveries say nothing; \
                    the steps above are what happens before";
        row(out, "liveness", text)?;
    }
    if !needed.is_empty() {
        row(out, "needed", &format!("with less of these it did not fail so: {}", needed.join(", ")))?;
    }
    Ok(())
}

/// The steps of a transcript, one a line.
fn story(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let Some(Transcript { steps, said, .. }) = &plan.transcript else { return Ok(()) };
    for Step { at_ns, what } in steps.iter().take(SHOWN) {
        writeln!(out, "{:>12}  {}", seconds(*at_ns), happening(what, said))?;
    }
    if steps.len() > SHOWN {
        writeln!(out, "{:>12}  and {} more", "", count((steps.len() - SHOWN) as u64, "step"))?;
    }
    writeln!(out)
}

fn happening(what: &Happening, all_said: &[String]) -> String {
    match what {
        Happening::Deliver { to, message } => format!("r{to}: from r{}: {}", message.from, name(message)),
        Happening::Said { from, to, message } => {
            format!("r{to}: from r{from}, which is Byzantine: {}", said(*from, &all_said[*message]))
        }
        Happening::Request { to, operation } => format!("r{to}: operation {operation} of a client"),
        Happening::Fault(fault) => words::fault(fault),
    }
}

/// What the bytes of a message say.
fn said(from: u16, bytes: &str) -> String {
    let message = from_hex(bytes).and_then(|bytes| decode(&bytes, bytes.len()).ok());
    let Some(message) = message else { return "rubbish".to_owned() };
    let Meta { kind, view, slots, fingerprint } = Meta::of(&message);
    format!("{} ({:08x})", name(&Name { from, kind, view, slots, nth: 0 }), fingerprint >> 32)
}

fn name(message: &Name) -> String {
    let Name { kind, view, slots, nth, .. } = message;
    let mut text = name_of(kind).to_uppercase();
    if let Some(view) = view {
        text += &format!(" in v{view}");
    }
    match slots {
        Some((first, last)) if first == last => text += &format!(" for s{first}"),
        Some((first, last)) => text += &format!(" for s{first} to s{last}"),
        None => {}
    }
    if *nth > 0 { format!("{text}, number {}", nth + 1) } else { text }
}
