//! Plans whose runs are spelled out, and what may be left out of them.

use super::receiver;
use crate::plan::{
    Behaviour, Byzantine, Clock, Cpu, Disk, Happening, Kind, Load, Network, Phases, Plan, Step, Transcript, Workload,
};
use crate::report::{RunReport, Verdict};
use std::ops::Range;

/// Time between two steps that nothing waits for.
const MOMENT_NS: u64 = 1000;

pub(super) fn plain_disk(plan: &Plan) -> Disk {
    Disk { prune: plan.disk.prune, bytes: plan.disk.bytes, ..Disk::default() }
}

/// A plan that does what one did, and in which nothing is left to chance.
pub(super) fn spelled(plan: &Plan, report: &RunReport, mut transcript: Transcript) -> Plan {
    let mut plan = plan.clone();
    let fails_at = report.verdict.failure().map_or(u64::MAX, |failure| failure.at_ns);
    transcript.steps.retain(|step| step.at_ns <= fails_at);
    plan.network = Network { shuffle: false, ..plan.network };
    plan.workload = Workload { ops: 0, scripted: Vec::new(), load: no_load(), timeout_us: None, ..plan.workload };
    for Byzantine { behaviour, .. } in &mut plan.byzantine {
        *behaviour = Behaviour::Silent;
    }
    plan.crash_points.iter_mut().for_each(|point| point.restart_after_us = None);
    (plan.rules, plan.faults, plan.triggers) = (Vec::new(), Vec::new(), Vec::new());
    // What fails before it is calm needs no calm.
    let needs_calm = matches!(report.verdict, Verdict::Liveness(_))
        || report.verdict.failure().is_some_and(|failure| plan.phases.safety_until_us * 1000 <= failure.at_ns);
    if !needs_calm {
        plan.phases = Phases { calm: None, safety_until_us: 0, ..plan.phases };
        plan.phases.end_us = fails_at / 1000 + 1;
    }
    plan.phases = Phases { stop_when_done: false, linger_us: 0, ..plan.phases };
    plan.transcript = Some(transcript);
    plan
}

fn no_load() -> Load {
    Workload::default().load
}

/// A plan without what no step of its transcript speaks of.
pub(super) fn tidied(plan: &Plan) -> Plan {
    Plan { transcript: plan.transcript.as_ref().map(Transcript::tidied), ..plan.clone() }
}

/// What a plan with a transcript may do without.
pub(super) const PLAINER: &[fn(&mut Plan)] = &[
    |plan| plan.cpu = Cpu::default(),
    |plan| plan.clocks = Vec::<Clock>::new(),
    |plan| plan.disk = Disk::default(),
    |plan| plan.disk = plain_disk(plan),
    |plan| plan.network = Network::default(),
    |plan| plan.workload = Workload::default(),
    |plan| plan.timeouts_of.clear(),
    |plan| plan.phases.end_us = plan.phases.end_us.min(end_of_steps(plan)),
];

/// The end of a run that has nothing behind its last step.
fn end_of_steps(plan: &Plan) -> u64 {
    let steps = plan.transcript.iter().flat_map(|transcript| &transcript.steps);
    steps.map(|step| step.at_ns / 1000 + 1).max().unwrap_or(0).max(plan.phases.safety_until_us)
}

/// Steps of a kind, which may go together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Family {
    /// Messages of a kind.
    Kind(Kind),
    /// Whatever is handed to a replica.
    To(u16),
    /// Messages of a replica.
    From(u16),
    /// Messages of a view.
    View(u64),
    /// Faults.
    Faults,
}

impl Family {
    pub(super) fn has(self, step: &Step) -> bool {
        match (self, &step.what) {
            (Self::To(id), _) => receiver(step) == Some(id),
            (Self::Kind(kind), Happening::Deliver { message, .. }) => message.kind == kind,
            (Self::View(view), Happening::Deliver { message, .. }) => message.view == Some(view),
            (Self::From(id), Happening::Deliver { message, .. }) => message.from == id,
            (Self::From(id), Happening::Said { from, .. }) => *from == id,
            (Self::Faults, what) => matches!(what, Happening::Fault(_)),
            _ => false,
        }
    }
}

/// The families of a plan's steps: first what only helps those who are behind.
pub(super) fn families(plan: &Plan) -> Vec<Family> {
    const HELP: [Kind; 6] =
        [Kind::Status, Kind::Fetch, Kind::Data, Kind::Certificates, Kind::StableCheckpoint, Kind::Checkpoint];
    let steps = plan.transcript.iter().flat_map(|transcript| &transcript.steps);
    let view = |step: &Step| match &step.what {
        Happening::Deliver { message, .. } => message.view,
        _ => None,
    };
    let views = steps.filter_map(view).max().unwrap_or(0).min(64);
    let kinds = HELP.into_iter().map(Family::Kind);
    let replicas = (0..plan.n).flat_map(|id| [Family::To(id), Family::From(id)]);
    kinds.chain([Family::Faults]).chain(replicas).chain((0..=views).rev().map(Family::View)).collect()
}

/// Takes out the time between steps. Whether there was any.
pub(super) fn squeeze(plan: &mut Plan, range: Range<usize>) -> bool {
    let Some(transcript) = &mut plan.transcript else { return false };
    let (mut cut, mut before) = (0, 0);
    for (at, step) in transcript.steps.iter_mut().enumerate() {
        let gap = step.at_ns.saturating_sub(before);
        before = step.at_ns;
        if range.contains(&at) {
            cut += gap.saturating_sub(MOMENT_NS);
        }
        step.at_ns -= cut;
    }
    if plan.phases.calm.is_none() {
        plan.phases.end_us -= (cut / 1000).min(plan.phases.end_us);
    }
    cut > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_taken_out_between_the_steps_that_are_named() {
        let step = |at_ns| Step { at_ns, what: Happening::Fault(crate::plan::Fault::Heal) };
        let transcript =
            Transcript { steps: [5_000, 9_000, 9_500, 20_000].map(step).to_vec(), ..Transcript::default() };
        let mut plan = Plan { transcript: Some(transcript), ..Plan::default() };
        assert!(squeeze(&mut plan, 1..4));
        let times: Vec<u64> = plan.transcript.iter().flat_map(|t| &t.steps).map(|step| step.at_ns).collect();
        assert_eq!(times, [5_000, 6_000, 6_500, 7_500]);
        assert!(!squeeze(&mut plan, 1..4), "there is nothing left to take out");
    }
}
