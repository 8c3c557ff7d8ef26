//! A plan and a report for people to read.

use super::words::{behaviour, count, grouped, name_of, per_cent, span, span_us};
use crate::plan::{Crypto, Entry, Latency, Link, Load, Plan};
use crate::report::{Percentiles, RunReport};
use cretoai_core::committee::Committee;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes a line with a head in front.
fn row(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{head:<12}{text}")
}

/// What is going to be run.
pub(super) fn plan(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    row(out, "replicas", &replicas(plan))?;
    row(out, "time-outs", &timeouts(plan))?;
    row(out, "network", &network(plan))?;
    row(out, "disks", &disks(plan))?;
    row(out, "clients", &clients(plan))?;
    for entry in &plan.byzantine {
        row(out, "Byzantine", &format!("r{} {}", entry.replica, behaviour(&entry.behaviour)))?;
    }
    row(out, "faults", &faults(plan))?;
    if let Some(transcript) = &plan.transcript {
        row(out, "transcript", &format!("{}; nothing else arrives", count(transcript.steps.len() as u64, "step")))?;
    }
    row(out, "course", &course(plan))
}

fn replicas(plan: &Plan) -> String {
    let committee = Committee::intolerant(plan.n).expect("a plan that was checked");
    let (f, quorum) = (committee.f(), committee.quorum());
    let Plan { n, checkpoint_interval, window, crypto, .. } = plan;
    let signatures = match crypto {
        Crypto::Simulated => "simulated signatures",
        Crypto::Ed25519 => "Ed25519",
        Crypto::MlDsa87 => "ML-DSA-87",
    };
    format!(
        "{n}, f = {f}, quorum {quorum}; checkpoint every {checkpoint_interval} slots, window {window}; {signatures}"
    )
}

fn timeouts(plan: &Plan) -> String {
    let t = &plan.timeouts;
    let own = if plan.timeouts_of.is_empty() { "" } else { "; some replicas have their own" };
    format!(
        "view change after {}, at most {}; status every {}{own}",
        span_us(t.base_us),
        span_us(t.max_us),
        span_us(t.status_us)
    )
}

fn network(plan: &Plan) -> String {
    let mut parts = match &plan.network.regions {
        Some(regions) => vec![format!("{} regions", regions.one_way_us.len())],
        None => vec![latency(&plan.network.default)],
    };
    let link = &plan.network.default;
    for (per_mille, what) in
        [(link.loss_per_mille, "lost"), (link.duplicate_per_mille, "duplicated"), (link.reorder_per_mille, "overtaken")]
    {
        if per_mille > 0 {
            parts.push(format!("{} {what}", per_cent(per_mille)));
        }
    }
    parts.extend(link.bandwidth.map(|bandwidth| format!("{} bytes/s", grouped(bandwidth))));
    let many = [
        (plan.network.overrides.len(), "link that differs"),
        (plan.rules.len(), "message rule"),
        (plan.clocks.len(), "wrong clock"),
    ];
    for (number, what) in many.into_iter().filter(|(number, _)| *number > 0) {
        parts.push(match what {
            "link that differs" => format!("{number} kinds of links that differ"),
            _ => count(number as u64, what),
        });
    }
    parts.join(", ")
}

fn latency(link: &Link) -> String {
    match link.latency {
        Latency::Constant { us } => format!("{} one way", span_us(us)),
        Latency::Uniform { min_us, max_us } => format!("{} to {} one way", span_us(min_us), span_us(max_us)),
        Latency::Normal { mean_us, sigma_us, .. } => format!("{} +- {} one way", span_us(mean_us), span_us(sigma_us)),
        Latency::LogNormal { median_us, .. } => format!("{} one way with a long tail", span_us(median_us)),
    }
}

fn disks(plan: &Plan) -> String {
    let disk = &plan.disk;
    if disk.sync_us == 0 && disk.sync_jitter_us == 0 {
        return "durable at once".to_owned();
    }
    let mut text =
        format!("durable after {} to {}", span_us(disk.sync_us), span_us(disk.sync_us + disk.sync_jitter_us));
    for (per_mille, what) in [(disk.torn_per_mille, "torn writes"), (disk.sync_fails_per_mille, "failed fsyncs")] {
        if per_mille > 0 {
            text += &format!(", {} {what}", per_cent(per_mille));
        }
    }
    text
}

fn clients(plan: &Plan) -> String {
    let workload = &plan.workload;
    let load = match workload.load {
        Load::Open { interval_us, .. } => format!("one every {}", span_us(interval_us)),
        Load::Closed { outstanding, .. } => format!("{outstanding} open for each client"),
    };
    let entry = match &workload.entry {
        Entry::Spread => "each to its own replica",
        Entry::Random => "to any replica",
        Entry::Replicas(_) => "to some replicas",
        Entry::All(_) => "to several replicas at once",
    };
    let mut parts = Vec::new();
    if workload.ops > 0 {
        let (clients, ops) = (count(workload.clients.into(), "client"), count(workload.ops, "operation"));
        parts.push(format!("{clients}, {ops}, {load}, {entry}"));
    }
    if !workload.scripted.is_empty() {
        parts.push(count(workload.scripted.len() as u64, "scripted operation"));
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

fn faults(plan: &Plan) -> String {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let triggered = plan.triggers.iter().flat_map(|trigger| &trigger.then);
    for fault in plan.faults.iter().map(|timed| &timed.fault).chain(triggered) {
        *kinds.entry(name_of(fault)).or_default() += 1;
    }
    if !plan.crash_points.is_empty() {
        kinds.insert("crash at an effect".to_owned(), plan.crash_points.len() as u64);
    }
    let list: Vec<String> = kinds.iter().map(|(name, number)| format!("{number} {name}")).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

fn course(plan: &Plan) -> String {
    let phases = &plan.phases;
    let mut parts = Vec::new();
    if phases.safety_until_us > 0 {
        parts.push(format!("anything may happen until {}", span_us(phases.safety_until_us)));
    }
    if let Some(calm) = &phases.calm {
        let who = if calm.heal_all { "everybody" } else { "a quorum" };
        parts.push(format!("then {who} is connected within {}", span_us(calm.delay_us)));
    }
    let done = if phases.stop_when_done { "ends when all is done, or at" } else { "ends at" };
    parts.push(format!("{done} {}", span_us(phases.end_us)));
    parts.join(", ")
}

/// How it went.
pub(super) fn report(out: &mut dyn Write, plan: &Plan, report: &RunReport) -> io::Result<()> {
    let r = report;
    row(out, "slots", &format!("{} in the safety phase, {} after it", grouped(r.slots_safety), grouped(r.slots_calm)))?;
    let (submitted, executed, answered) = (grouped(r.ops_submitted), grouped(r.ops_executed), grouped(r.ops_answered));
    row(out, "operations", &format!("{submitted} submitted, {executed} executed, {answered} answered"))?;
    row(out, "finality", &percentiles(&r.finality))?;
    row(out, "answers", &percentiles(&r.answers))?;
    let changes = count(r.view_changes, "view change");
    let (crashes, transfers) = (grouped(r.crashes), count(r.transfers, "state transfer"));
    row(out, "views", &format!("highest {}; {changes}, crashes: {crashes}, {transfers}", r.highest_view))?;
    row(out, "evidence", &grouped(r.evidence))?;
    let (events, deliveries) = (grouped(r.events), grouped(r.deliveries));
    row(out, "events", &format!("{events}, {deliveries} deliveries, {} of virtual time", span_us(r.end_us)))?;
    for (expectation, outcome) in plan.expectations.iter().zip(&r.expectations) {
        let word = if outcome.held { "held" } else { "BROKEN" };
        // As the file says it.
        let text =
            toml::Value::try_from(expectation).map_or_else(|_| outcome.expectation.clone(), |value| value.to_string());
        row(out, "expected", &format!("{word}: {text} ({})", outcome.found))?;
    }
    Ok(())
}

fn percentiles(times: &Percentiles) -> String {
    if times.count == 0 {
        return "none".to_owned();
    }
    let [p50, p99, max] = [times.p50_ns, times.p99_ns, times.max_ns].map(span);
    format!("median {p50}, 99 % within {p99}, at most {max}")
}

/// The verdict, the hash, and the command that repeats the run.
pub(super) fn verdict(out: &mut dyn Write, plan: &Plan, report: &RunReport, command: &str) -> io::Result<()> {
    let text = match (&plan.must_fail, report.verdict.failure()) {
        (Some(oracle), None) => format!("pass: {oracle} failed, as it has to"),
        _ => report.verdict.to_string(),
    };
    row(out, "verdict", &text)?;
    row(out, "hash", &report.hash)?;
    row(out, "repeat", command)
}
