//! Smaller plans that fail in the same way, before the run is spelled out.

use super::Search;
use super::plans::plain_disk;
use crate::plan::{Cpu, Crypto, Latency, Link, Load, Network, Phases, Plan, Workload};
use crate::report::{RunReport, Verdict};
use crate::scenario::without_replicas;
use cretoai_core::committee::Committee;

/// Seeds that are tried for each smaller plan, its own included. Another seed is another run, and the failure is often
/// in that one too.
const SEEDS: u64 = 30;

/// Events that the seeds of one smaller plan may have; a plan that fails at all mostly does so in the first few.
const EVENTS_OF_ONE: u64 = 120_000;

/// Seeds that are tried for the plan that was found in the end: the run that fails soonest is the one to spell out.
const SEEDS_AT_LAST: u64 = 200;

/// A way in which a plan becomes smaller, and the plan.
type Smaller = (&'static str, Plan);

impl Search<'_> {
    /// A smaller plan that fails in the same way, if one is found, and the ways in which it did not become smaller.
    pub(super) fn smaller_plan(&mut self, plan: &Plan, report: &RunReport, events: u64) -> (Plan, Vec<&'static str>) {
        let end = self.events + events;
        let is_endless = matches!(report.verdict, Verdict::Liveness(_));
        let mut best = (plan.clone(), report.deliveries);
        let mut tried = Vec::new();
        let mut is_better = true;
        while is_better {
            is_better = false;
            tried.clear();
            for (way, candidate) in smaller(&best.0, is_endless) {
                if end <= self.events {
                    continue;
                }
                if let Some(found) = self.soonest(&candidate, SEEDS, end.min(self.events + EVENTS_OF_ONE)) {
                    best = found;
                    is_better = true;
                    break;
                }
                tried.push(way);
            }
        }
        tried.dedup();
        match self.soonest(&best.0, SEEDS_AT_LAST, end) {
            Some(found) if found.1 < best.1 => (found.0, tried),
            _ => (best.0, tried),
        }
    }

    /// The seed with which a plan fails after the fewest deliveries.
    fn soonest(&mut self, plan: &Plan, seeds: u64, end: u64) -> Option<(Plan, u64)> {
        let mut best: Option<(Plan, u64)> = None;
        for seed in (0..seeds).map(|step| plan.seed.saturating_add(step)) {
            if end <= self.events {
                break;
            }
            let candidate = Plan { seed, ..plan.clone() };
            if let Some(report) = self.fails(&candidate)
                && best.as_ref().is_none_or(|(_, least)| report.deliveries < *least)
            {
                best = Some((candidate, report.deliveries));
            }
        }
        best
    }
}

/// Plans that are a step smaller, the largest steps first. What arrives in the calm is not for choice, so only a failure
/// of liveness, which happens there alone, comes to it sooner, and any other is to do without.
fn smaller(plan: &Plan, is_endless: bool) -> Vec<Smaller> {
    let mut found = Vec::new();
    let mut add = |way, candidate: Plan| {
        if candidate != *plan {
            found.push((way, candidate));
        }
    };
    for n in 4..plan.n {
        fewer_replicas(plan, n).into_iter().for_each(|candidate| add("replicas", candidate));
    }
    add("real signatures", Plan { crypto: Crypto::Simulated, signed_requests: false, ..plan.clone() });
    for at in 0..plan.byzantine.len() {
        let mut byzantine = plan.byzantine.clone();
        byzantine.remove(at);
        add("Byzantine replicas", Plan { byzantine, ..plan.clone() });
    }
    add("clocks and processors", Plan { cpu: Cpu::default(), clocks: vec![], timeouts_of: vec![], ..plan.clone() });
    add("faults of disks", Plan { disk: plain_disk(plan), ..plan.clone() });
    add("faults", Plan { faults: vec![], triggers: vec![], crash_points: vec![], ..plan.clone() });
    add("rules for messages", Plan { rules: vec![], ..plan.clone() });
    let (half, rest) = plan.faults.split_at(plan.faults.len() / 2);
    add("faults", Plan { faults: half.to_vec(), ..plan.clone() });
    add("faults", Plan { faults: rest.to_vec(), ..plan.clone() });
    add("faults of links", Plan { network: even(plan), ..plan.clone() });
    less_work(plan).into_iter().for_each(|workload| add("operations", Plan { workload, ..plan.clone() }));
    add("slots at a time", Plan { pipeline: 1, ..plan.clone() });
    add("vertices at a time", Plan { open_vertices: 1, ..plan.clone() });
    add("checkpoints", Plan { checkpoint_interval: 32, window: 64, ..plan.clone() });
    let mut phases = plan.phases.clone();
    if is_endless {
        phases.safety_until_us /= 2;
    } else {
        phases = Phases { calm: None, safety_until_us: 0, ..phases };
    }
    add("time", Plan { phases: phases.clone(), ..sooner(plan) });
    add("time", Plan { phases, ..plan.clone() });
    add("time", sooner(plan));
    found.retain(|(_, candidate)| candidate.validate().is_ok());
    found
}

/// The same delays, without anything that goes wrong.
fn even(plan: &Plan) -> Network {
    let latency = match plan.network.default.latency {
        Latency::Uniform { max_us: us, .. } | Latency::Normal { mean_us: us, .. } => Latency::Constant { us },
        other => other,
    };
    Network { default: Link { latency, ..Link::default() }, ..plan.network.clone() }
}

/// Fewer operations, one after another, of one client.
fn less_work(plan: &Plan) -> Vec<Workload> {
    let was = &plan.workload;
    if was.ops == 0 {
        return Vec::new();
    }
    let rarer = match was.load {
        Load::Open { interval_us, jitter_per_mille } => Load::Open { interval_us: 2 * interval_us, jitter_per_mille },
        Load::Closed { .. } => Load::Closed { outstanding: 1, think_us: 0 },
    };
    let ops = was.ops / 2;
    // Half as many in the same time come first: fewer slots are over when something goes wrong.
    let mut less = vec![Workload { ops, load: rarer, ..was.clone() }, Workload { ops, ..was.clone() }];
    less.push(Workload { ops: was.ops - 1, ..was.clone() });
    less.push(Workload { clients: 1, ..was.clone() });
    less
}

/// Everything that happens at a time happens in half of it.
fn sooner(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.faults.iter_mut().for_each(|fault| fault.at_us /= 2);
    for rule in &mut plan.rules {
        rule.from_us /= 2;
        rule.until_us.iter_mut().for_each(|until| *until /= 2);
    }
    plan
}

/// Plans of `n` replicas: without the last ones, and without the last ones that are not Byzantine. No more of those
/// that are left may be Byzantine than the protocol bears, unless that was so before.
fn fewer_replicas(plan: &Plan, n: u16) -> Vec<Plan> {
    let f = |n| Committee::intolerant(n).map_or(0, Committee::f);
    let excess = |plan: &Plan| plan.byzantine.len().saturating_sub(usize::from(f(plan.n)));
    let last: Vec<u16> = (n..plan.n).collect();
    let honest: Vec<u16> = (0..plan.n).rev().filter(|id| !plan.is_byzantine(*id)).take(last.len()).collect();
    let candidates = [last, honest].into_iter().filter_map(|gone| without_replicas(plan, &gone));
    candidates.filter(|candidate| candidate.n == n && excess(candidate) <= excess(plan)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm;

    #[test]
    fn a_plan_with_fewer_replicas_speaks_of_those_only() {
        let mut tried = 0;
        for plan in (0..200).map(swarm::plan).filter(|plan| plan.n > 4) {
            for smaller in fewer_replicas(&plan, 4) {
                assert_eq!((smaller.n, smaller.validate()), (4, Ok(())), "seed {}", plan.seed);
                tried += 1;
            }
        }
        assert!(tried > 40, "only {tried} plans");
    }

    #[test]
    fn every_smaller_plan_is_valid_and_becomes_smaller_until_nothing_is_left() {
        for seed in 0..100 {
            let mut plan = swarm::plan(seed);
            let mut steps = 0;
            while let Some((_, next)) = smaller(&plan, seed % 2 == 0).pop() {
                assert_eq!(next.validate(), Ok(()), "seed {seed}");
                plan = next;
                steps += 1;
                assert!(steps < 300, "seed {seed} goes on for ever: {:?}", smaller(&plan, false));
            }
            assert!(plan.faults.is_empty() && plan.byzantine.is_empty() && plan.workload.ops == 0, "seed {seed}");
        }
    }
}
