//! Plans from seeds. Each family of faults is off in about half of the runs, and then has a level; what all runs have
//! in common is that they are small, end in a calm phase, and owe progress there (swarm testing, after Groce et al.).

mod byzantine;
mod faults;
mod themes;

use crate::oracles::Bound;
use crate::plan::{
    Calm, Clock, Cpu, Disk, Entry, Fault, Latency, Link, Load, Network, Phases, Plan, TimeoutPlan, Workload,
};
use crate::rng::{Concern, Rng};
use cretoai_core::committee::Committee;

/// The plan of a seed.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    themes::plan(seed).unwrap_or_else(|| plan_without_theme(seed))
}

/// The plan of a seed if it has no theme.
#[must_use]
pub(crate) fn plan_without_theme(seed: u64) -> Plan {
    let mut rng = Rng::new(seed, Concern::Swarm);
    let n = size(&mut rng);
    sized(seed, n, &mut rng)
}

/// The plan of a seed in which no family of faults is off.
#[must_use]
pub(crate) fn everything(seed: u64) -> Plan {
    let mut rng = Rng::new(seed, Concern::Swarm);
    let n = size(&mut rng);
    let mut plan = sized(seed, n, &mut rng);
    let mut some = |levels: &[u32]| *rng.pick(levels);
    let link = &mut plan.network.default;
    link.loss_per_mille = some(&[5, 20, 50, 100]);
    link.duplicate_per_mille = some(&[10, 50, 100]);
    link.reorder_per_mille = some(&[50, 100, 300]);
    plan.network.shuffle = true;
    plan.faults.retain(|at| matches!(at.fault, Fault::FlipState { .. }));
    plan.rules.clear();
    faults::all(&mut rng, &mut plan);
    plan
}

fn size(rng: &mut Rng) -> u16 {
    u16::try_from(*rng.pick(&[4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10])).expect("small")
}

/// Half of the runs.
fn half(rng: &mut Rng) -> bool {
    rng.chance(500)
}

fn sized(seed: u64, n: u16, rng: &mut Rng) -> Plan {
    let checkpoint_interval = *rng.pick(&[1, 2, 4, 4, 8, 8, 16]);
    let most = (64 / checkpoint_interval).min(4);
    let window = checkpoint_interval * rng.between(2, most);
    let delay_us = *rng.pick(&[1_000, 2_000, 5_000, 10_000]);
    let mut plan = Plan {
        name: "swarm".to_owned(),
        seed,
        n,
        checkpoint_interval,
        window,
        pipeline: rng.between(1, window),
        open_vertices: rng.between(1, 8),
        timeouts: timeouts(rng, delay_us),
        network: network(rng, delay_us),
        ..Plan::default()
    };
    plan.workload = workload(rng, delay_us);
    let ops = plan.workload.ops;
    let interval = match plan.workload.load {
        Load::Open { interval_us, .. } => interval_us,
        Load::Closed { .. } => 6 * delay_us,
    };
    let safety_until_us = (ops * interval).max(4 * plan.timeouts.base_us) + 10 * delay_us;
    plan.phases = Phases {
        safety_until_us,
        calm: Some(Calm { core: Vec::new(), delay_us, heal_all: half(rng), transfer_us: 0 }),
        end_us: 0,
        stop_when_done: true,
        linger_us: 0,
    };
    environment(rng, &mut plan, delay_us);
    faults::add(rng, &mut plan);
    byzantine::add(rng, &mut plan, delay_us);
    faults::flip(rng, &mut plan, delay_us);
    bound(rng, &mut plan, delay_us);
    plan
}

fn timeouts(rng: &mut Rng, delay_us: u64) -> TimeoutPlan {
    // The shortest is too short for a view change, until it has been doubled. The longest is not, on the slowest disk.
    let base_us = delay_us * *rng.pick(&[3, 14, 14, 20, 20, 20, 20, 40]);
    let max_us = (base_us * *rng.pick(&[4, 16, 64])).max(56 * delay_us);
    let usual = TimeoutPlan::from_base(base_us);
    TimeoutPlan { max_us, status_us: usual.status_us.max(2 * delay_us), ..usual }
}

fn network(rng: &mut Rng, us: u64) -> Network {
    let latency = match rng.below(5) {
        0 | 1 => Latency::Constant { us },
        2 => Latency::Uniform { min_us: us / 10, max_us: us },
        3 => Latency::Normal { mean_us: us, sigma_us: us / 4, min_us: us / 10 },
        _ => Latency::LogNormal { median_us: us / 2, sigma_per_mille: 600 },
    };
    let mut level = |levels: &[u32]| if half(rng) { *rng.pick(levels) } else { 0 };
    let default = Link {
        latency,
        loss_per_mille: level(&[5, 20, 100, 300]),
        duplicate_per_mille: level(&[10, 100]),
        reorder_per_mille: level(&[50, 300]),
        reorder_us: 5 * us,
        bandwidth: None,
    };
    let client = Link { latency, ..Link::default() };
    Network { default, client: Some(client), shuffle: half(rng), ..Network::default() }
}

fn workload(rng: &mut Rng, delay_us: u64) -> Workload {
    let clients = u32::try_from(rng.between(1, 4)).expect("small");
    let load = if rng.chance(700) {
        Load::Open { interval_us: delay_us * rng.between(2, 5), jitter_per_mille: 500 }
    } else {
        Load::Closed { outstanding: u32::try_from(rng.between(1, 3)).expect("small"), think_us: 0 }
    };
    Workload {
        clients,
        ops: rng.between(20, 38),
        load,
        entry: if half(rng) { Entry::Spread } else { Entry::Random },
        timeout_us: Some(delay_us * 40),
        resend_to: u16::try_from(rng.between(1, 3)).expect("small"),
        ..Workload::default()
    }
}

/// Clocks, computing, disks.
fn environment(rng: &mut Rng, plan: &mut Plan, delay_us: u64) {
    if half(rng) {
        let most = plan.timeouts.precision_us / 2;
        let skewed = |replica| Clock {
            replica,
            skew_us: i64::try_from(rng.below(most)).expect("small") - i64::try_from(most / 2).expect("small"),
            drift_ppm: i64::try_from(rng.below(400)).expect("small") - 200,
        };
        plan.clocks = (0..plan.n).map(skewed).collect();
    }
    if rng.chance(250) {
        // Well below what answers to STATUS among all replicas would use up.
        let verify_ns = delay_us * 1000 / (40 * u64::from(plan.n));
        plan.cpu = Cpu { sign_ns: verify_ns / 2, verify_ns, step_ns: verify_ns / 10, ..Cpu::default() };
    }
    if rng.chance(250) {
        plan.cpu.execute_slot_ns = rng.below(delay_us * 1000);
        plan.cpu.snapshot_ns = rng.below(3 * delay_us * 1000);
    }
    plan.disk.prune = half(rng);
    if half(rng) {
        let bytes = rng.chance(200);
        plan.disk = Disk {
            sync_us: rng.between(1, delay_us),
            sync_jitter_us: rng.below(delay_us),
            keep_unsynced_per_mille: *rng.pick(&[0, 300, 1000]),
            torn_per_mille: if bytes { 500 } else { 0 },
            bytes,
            ..plan.disk
        };
    }
}

/// Requests that live long enough for the bound, and a run that does. Some expire early: that they may.
fn bound(rng: &mut Rng, plan: &mut Plan, delay_us: u64) {
    let life_us = life_us(plan, delay_us);
    plan.workload.expiry_us = if rng.chance(150) { 20 * delay_us } else { life_us };
    plan.lifetime_us = life_us * 2;
    plan.phases.end_us = life_us + plan.timeouts.base_us;
}

/// How long a request has to live so that it is executed before it expires, whenever it was submitted.
fn life_us(plan: &Plan, delay_us: u64) -> u64 {
    // Back-off rarely gets far: what the run may take if it does is the limit of the run, not its length.
    let committee = Committee::intolerant(plan.n).expect("a small committee");
    let Bound(bound_ns) = Bound::new(plan, committee, 6, 4 * delay_us * 1000);
    plan.phases.safety_until_us + bound_ns / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_valid_plan_and_always_the_same() {
        for seed in 0..500 {
            let plan = plan(seed);
            assert_eq!(plan.validate(), Ok(()), "seed {seed}");
            let text = serde_json::to_string(&plan).expect("a plan is data");
            let copy: Plan = serde_json::from_str(&text).expect("as it was written");
            assert_eq!(copy, super::plan(seed), "seed {seed}");
        }
    }

    #[test]
    fn families_of_faults_are_off_in_about_half_of_the_runs() {
        let plans: Vec<Plan> = (0..400).map(plan_without_theme).collect();
        let share = |is: fn(&Plan) -> bool| plans.iter().filter(|plan| is(plan)).count() / 4;
        for (name, share) in [
            ("loss", share(|plan| plan.network.default.loss_per_mille > 0)),
            ("slow disks", share(|plan| plan.disk.sync_us > 0)),
            ("wrong clocks", share(|plan| !plan.clocks.is_empty())),
            ("message rules", share(|plan| !plan.rules.is_empty())),
            ("crashes", share(|plan| plan.faults.iter().any(|at| matches!(at.fault, Fault::Crash { .. })))),
            ("pauses", share(|plan| plan.faults.iter().any(|at| matches!(at.fault, Fault::Pause { .. })))),
            ("duplicates", share(|plan| plan.network.default.duplicate_per_mille > 0)),
        ] {
            assert!((25..=65).contains(&share), "{name} in {share} % of the runs");
        }
        assert!(share(|plan| !plan.byzantine.is_empty()) > 60, "most runs have a Byzantine replica");
    }
}
