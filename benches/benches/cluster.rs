//! The simulator as a whole: how much of a cluster's life fits into a second of one core.
//!
//! Oracles and the running hash are on, as in every run. What is counted is virtual, what is measured is real time.

use cretoai_sim::plan::{Entry, Latency, Load, Plan};
use cretoai_sim::report::{RunReport, Verdict};
use cretoai_sim::swarm;
use cretoai_sim::world::World;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::ops::Range;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of the swarm. Their plans change when the swarm does, and figures before and after cannot be compared then.
const SEEDS: Range<u64> = 0..50;

/// Finalized slots in a run without faults.
const SLOTS: u64 = 20_000;

fn passes(world: &mut World, plan: &Plan) -> RunReport {
    let report = world.run(plan);
    assert_eq!(report.verdict, Verdict::Pass, "{}, seed {}", plan.name, plan.seed);
    report
}

/// Deliveries per second over the plans of some seeds: crashes, partitions, Byzantine replicas and all.
fn deliveries(c: &mut Criterion) {
    let plans: Vec<Plan> = SEEDS.map(swarm::plan).collect();
    let mut world = World::new();
    let mut all = || plans.iter().map(|plan| passes(&mut world, plan).deliveries).sum::<u64>();
    let mut group = c.benchmark_group("cluster");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(all()));
    group.bench_function("swarm-deliveries", |b| b.iter(&mut all));
}

/// Four replicas without faults, 10 ms apart; one batch of one vertex of one request a slot, one slot every 2 ms.
fn steady() -> Plan {
    let mut plan = Plan { name: "steady".to_owned(), n: 4, ..Plan::default() };
    plan.network.default.latency = Latency::Constant { us: 10_000 };
    plan.disk.prune = true;
    plan.workload.clients = 4;
    plan.workload.ops = SLOTS;
    plan.workload.load = Load::Open { interval_us: 2_000, jitter_per_mille: 0 };
    plan.workload.entry = Entry::Spread;
    plan.workload.expiry_us = 2_000_000;
    plan
}

/// Finalized slots per second.
fn finality(c: &mut Criterion) {
    let plan = steady();
    let mut world = World::new();
    let report = passes(&mut world, &plan);
    assert_eq!(report.ops_executed, SLOTS, "every operation is executed");
    assert_eq!(report.slots_safety + report.slots_calm, SLOTS, "each in a slot of its own");
    assert_eq!(report.finality.max_ns, 30_000_000, "three delays after its proposal");
    let mut group = c.benchmark_group("cluster");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(SLOTS));
    group.bench_function("steady-slots", |b| b.iter(|| world.run(&plan)));
}

criterion_group!(benches, deliveries, finality);
criterion_main!(benches);
