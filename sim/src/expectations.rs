//! Whether what a plan expects was found.

use crate::facts::NEVER;
use crate::plan::{Expectation, SlotContent};
use crate::world::Run;
use cretoai_core::batch::NULL_BATCH;

/// What was found, and whether it is what was expected.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) held: bool,
    pub(crate) found: String,
}

fn found(held: bool, found: impl Into<String>) -> Found {
    Found { held, found: found.into() }
}

/// The first complaint, if there is one.
fn none(mut complaints: impl Iterator<Item = String>) -> Found {
    complaints.next().map_or_else(|| found(true, "as expected"), |complaint| found(false, complaint))
}

fn ms(ns: u64) -> String {
    if ns == NEVER { "never".to_owned() } else { format!("at {}.{:03} ms", ns / 1_000_000, ns / 1000 % 1000) }
}

fn deadline(by_us: Option<u64>) -> u64 {
    by_us.map_or(NEVER - 1, |us| us.saturating_mul(1000))
}

/// Checks one expectation; `index` is its place in the plan.
pub(crate) fn check(run: &Run<'_>, index: usize, expectation: &Expectation) -> Found {
    let executed_at = |id: u16, slot: u64| run.facts.executed_at(id, slot);
    match expectation {
        Expectation::Executed { slot, by_us, replicas } => none(run.meant(replicas).into_iter().filter_map(|id| {
            let at = executed_at(id, *slot);
            (deadline(*by_us) < at).then(|| format!("r{id} executed slot {slot} {}", ms(at)))
        })),
        Expectation::ExecutedAtMost { slot, replicas } => none(run.meant(replicas).into_iter().filter_map(|id| {
            let last = run.facts.executed_by(id);
            (*slot < last).then(|| format!("r{id} executed slot {last}"))
        })),
        Expectation::Slot { slot, is } => slot_content(run, *slot, is),
        Expectation::Once { op, by_us, replicas } => once(run, op, deadline(*by_us), &run.meant(replicas)),
        Expectation::Never { op } => {
            let slot = run.clients.number_of(op).and_then(|number| run.clients.ops[number as usize].slot);
            found(
                slot.is_none(),
                slot.map_or("nobody executed it".to_owned(), |slot| format!("slot {slot} executed it")),
            )
        }
        Expectation::Order { ops } => order(run, ops),
        Expectation::AllOps { by_us } => all_ops(run, deadline(*by_us)),
        Expectation::AllAnswered { by_us } => {
            let late = |op: &crate::workload::Op| op.answered.is_none_or(|at| deadline(*by_us) < at);
            let missing = run.clients.ops.iter().filter(|op| late(op)).count();
            found(missing == 0, format!("{missing} of {} operations have no answer in time", run.clients.ops.len()))
        }
        Expectation::View { at_least, at_most, replicas } => {
            none(run.meant(replicas).into_iter().filter_map(|id| match run.view_of(id) {
                None => Some(format!("r{id} is in no view")),
                Some(view) if view < *at_least || *at_most < view => Some(format!("r{id} is in view {view}")),
                Some(_) => None,
            }))
        }
        Expectation::NoViewChange => {
            let count = run.tallies.view_changes;
            found(count == 0, format!("{count} view changes were begun"))
        }
        Expectation::Sent { at_least, at_most, .. } => {
            let count = run.tallies.watched(index);
            found(*at_least <= count && at_most.is_none_or(|most| count <= most), format!("{count} were sent"))
        }
        Expectation::MessagesPerSlot { first, last } => {
            let n = u64::from(run.plan.n);
            let due = (n - 1) + (n - 1) * (n - 1) + n * (n - 1);
            none((*first..=*last).filter_map(|slot| {
                let count = run.facts.get(slot).map_or(0, |facts| u64::from(facts.messages));
                (count != due).then(|| format!("{count} instead of {due} for slot {slot}"))
            }))
        }
        Expectation::Evidence { against, kind, by_at_least } => {
            let is_meant =
                |(_, accused, found): &&(_, cretoai_core::types::ReplicaId, cretoai_core::evidence::EvidenceKind)| {
                    accused.0 == *against && kind.as_ref().is_none_or(|kind| format!("{found:?}") == *kind)
                };
            let mut holders: Vec<_> =
                run.tallies.evidence.iter().filter(is_meant).map(|(holder, ..)| *holder).collect();
            holders.sort_unstable();
            holders.dedup();
            found(usize::from(*by_at_least) <= holders.len(), format!("{holders:?} hold such evidence"))
        }
        Expectation::NoEvidence => found(run.tallies.evidence.is_empty(), format!("{:?}", run.tallies.evidence)),
        Expectation::Standing { of, thousandths, replicas } => none(run.meant(replicas).into_iter().filter_map(|id| {
            let standing = run.standing_of(*of, id);
            let words = standing.map_or("nothing".to_owned(), |standing| standing.to_string());
            (standing != Some(*thousandths)).then(|| format!("r{id} gives it {words}"))
        })),
        Expectation::FinalityDelays { first, last, delays, delay_us } => {
            let due = delays * delay_us * 1000;
            let replicas = run.meant(&[]);
            let pairs = (*first..=*last).flat_map(|slot| replicas.iter().map(move |id| (slot, *id)));
            none(pairs.filter_map(|(slot, id)| {
                let proposed = run.facts.get(slot).and_then(|facts| facts.proposed).map_or(0, |(_, at)| at);
                let took = executed_at(id, slot).saturating_sub(proposed);
                (took != due).then(|| format!("slot {slot} took {} ns at r{id}", took))
            }))
        }
        Expectation::AnsweredAfter { op, us } => {
            let op = run.clients.number_of(op).map(|number| &run.clients.ops[number as usize]);
            let took = op.and_then(|op| Some(op.answered? - op.submitted));
            found(took == Some(us * 1000), took.map_or("no answer".to_owned(), |took| format!("after {took} ns")))
        }
        Expectation::Transferred { replicas } => none(
            replicas.iter().filter(|id| run.tallies.transferred >> **id & 1 == 0).map(|id| format!("r{id} did not")),
        ),
        Expectation::Stopped { replicas } => {
            none(replicas.iter().filter(|id| !run.has_stopped(**id)).map(|id| format!("r{id} goes on")))
        }
        Expectation::Metric { metric, at_least, at_most } => {
            let value = run.metric(*metric);
            found(*at_least <= value && at_most.is_none_or(|most| value <= most), format!("{value}"))
        }
        Expectation::Probe { name, at_least } => match run.probes.count(name) {
            Some(count) => found(*at_least <= count, format!("{count} times")),
            None => found(false, "there is no such probe"),
        },
    }
}

fn labels(run: &Run<'_>, numbers: &[u32]) -> String {
    let label = |number: &u32| {
        let known = run.clients.labels.iter().find(|(_, other)| other == number);
        known.map_or_else(|| format!("#{number}"), |(label, _)| label.clone())
    };
    numbers.iter().map(label).collect::<Vec<_>>().join(", ")
}

fn slot_content(run: &Run<'_>, slot: u64, is: &SlotContent) -> Found {
    let decided = run.facts.get(slot).filter(|facts| facts.execution.is_some()).and_then(|facts| facts.decided);
    let Some(decided) = decided else { return found(false, "nobody executed it") };
    let is_null = decided == NULL_BATCH;
    let ops = run.facts.ops_of(slot);
    let held = match is {
        SlotContent::Null => is_null,
        SlotContent::Some => !is_null,
        SlotContent::Same => true, // Agreement is an oracle.
        SlotContent::Ops(due) => {
            let due: Vec<_> = due.iter().map(|label| run.clients.number_of(label)).collect();
            due == ops.iter().copied().map(Some).collect::<Vec<_>>()
        }
    };
    found(held, if is_null { "NULL".to_owned() } else { format!("operations [{}]", labels(run, ops)) })
}

fn once(run: &Run<'_>, op: &str, by: u64, replicas: &[u16]) -> Found {
    let Some(number) = run.clients.number_of(op) else { return found(false, "it was never submitted") };
    let Some(slot) = run.clients.ops[number as usize].slot else { return found(false, "nobody executed it") };
    let times = run.facts.executed.iter().filter(|other| **other == number).count();
    if times != 1 {
        return found(false, format!("it was executed {times} times"));
    }
    none(replicas.iter().filter_map(|id| {
        let at = run.facts.executed_at(*id, slot);
        (by < at).then(|| format!("r{id} executed it, in slot {slot}, {}", ms(at)))
    }))
}

fn order(run: &Run<'_>, ops: &[String]) -> Found {
    let place = |label: &String| {
        let number = run.clients.number_of(label)?;
        let slot = run.clients.ops[number as usize].slot?;
        let within = run.facts.ops_of(slot).iter().position(|other| *other == number)?;
        Some((slot, within))
    };
    let places: Vec<_> = ops.iter().map(place).collect();
    let held = places.iter().all(Option::is_some) && places.is_sorted();
    found(held, format!("slots and places: {places:?}"))
}

fn all_ops(run: &Run<'_>, by: u64) -> Found {
    let replicas = run.meant(&[]);
    none((0..).zip(&run.clients.ops).filter_map(|(number, op)| {
        let Some(slot) = op.slot else { return Some(format!("operation {} was not executed", labels(run, &[number]))) };
        let late = replicas.iter().map(|id| run.facts.executed_at(*id, slot)).max().filter(|at| by < *at)?;
        Some(format!("operation {} was executed by all {}", labels(run, &[number]), ms(late)))
    }))
}
