//! Replicas that are killed without warning, at any moment, and come back.

use super::cluster::{Cluster, LONG};
use super::lab::has_tools;
use super::load::Load;
use cretoai_core::types::ReplicaId;
use cretoai_sim::rng::{Concern, Rng};
use std::os::unix::process::ExitStatusExt;

/// The number of a signal that nobody can catch.
const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_for_ten_windows_takes_over_the_state() {
    let mut cluster = Cluster::new("away", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 3], 4);
    load.goes_on(&cluster, 10).await;
    cluster.kill(2);
    let window = chain_window(&cluster);
    let goal = cluster.applied(0).await + 10 * window;
    cluster.passes(0, goal).await;
    cluster.start(2);
    cluster.passes(2, goal).await;
    cluster.catches_up(2).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(2, "back", &[0]).await;
    let judge = cluster.finish().await;
    assert!(1 <= judge.transfers(), "nobody took over a state");
}

fn chain_window(cluster: &Cluster) -> u64 {
    super::judge::chain(&cluster.folder.file("net/genesis.toml")).window()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_killed_at_once_under_load_and_nothing_final_is_lost() {
    let mut cluster = Cluster::new("power", "ml-dsa-87", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2, 3], 4);
    for _ in 0..3 {
        load.goes_on(&cluster, 20).await;
        cluster.kill_together(&[0, 1, 2, 3]);
        cluster.start_all();
    }
    load.goes_on(&cluster, 20).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_primary_after_another_is_killed_under_load() {
    let mut cluster = Cluster::new("primaries", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2, 3], 4);
    for round in 0..3 {
        load.goes_on(&cluster, 20).await;
        let asked = (round + 1) % 4;
        let primary = cluster.status(asked).await["primary"].as_u64().expect("a number");
        let primary = usize::try_from(primary).expect("small");
        cluster.kill(primary);
        load.goes_on(&cluster, 20).await;
        cluster.start(primary);
        cluster.catches_up(primary).await;
    }
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_killed_at_one_sync_of_its_disk_after_another() {
    if !has_tools(a_replica_is_killed_at_one_sync_of_its_disk_after_another, &["strace"]) {
        return;
    }
    let mut cluster = Cluster::new("sync", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2], 3);
    // The first few fall into the opening of the store, later ones into the work.
    for (call, number) in
        [("fdatasync", 1), ("fdatasync", 2), ("fsync", 1), ("fsync", 4), ("fdatasync", 9), ("fdatasync", 30)]
    {
        cluster.kill(3);
        let inject = format!("inject={call}:signal=KILL:when={number}");
        cluster.start_under(3, &[&STRACE[..], &["-e", &inject]].concat(), &[]);
        load.goes_on(&cluster, 5).await;
        let status = cluster.process(3).ended(LONG).await;
        assert_eq!(status.signal(), Some(SIGKILL), "{inject}: {status}\n{}", cluster.log(3));
        cluster.start(3);
        cluster.catches_up(3).await;
    }
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(3, "back", &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

/// Follows all threads and says nothing. Without `--seccomp-bpf`, with which it sends no signals.
pub(crate) const STRACE: [&str; 5] = ["strace", "-f", "-o", "/dev/null", "--trace=fsync,fdatasync"];

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_killed_at_random_under_load_and_nothing_final_is_lost() {
    let cycles = number("CRETOAI_KILL_CYCLES", 5);
    let seed = number("CRETOAI_KILL_SEED", 1);
    let mut rng = Rng::new(seed, Concern::Faults);
    let mut cluster = Cluster::new("cycles", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2, 3], 4);
    let mut kills = 0;
    for _ in 0..cycles {
        load.goes_on(&cluster, rng.below(30)).await;
        let first = rng.index(4);
        let second = (first + 1 + rng.index(3)) % 4;
        let victims = if rng.chance(250) { vec![first, second] } else { vec![first] };
        cluster.kill_together(&victims);
        kills += victims.len();
        // Three go on without one; with two less they wait.
        if victims.len() == 1 {
            load.goes_on(&cluster, rng.below(60)).await;
        }
        for id in &victims {
            cluster.start(*id);
        }
        // Sometimes the next one is killed before this one is back.
        if rng.chance(600) {
            for id in victims {
                cluster.catches_up(id).await;
            }
        }
    }
    load.goes_on(&cluster, 10).await;
    let steps = load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(0, "survived", &[0, 1, 2, 3]).await;
    let judge = cluster.finish().await;
    let slots: Vec<u64> = (0..4).map(|id| judge.last_of(ReplicaId(id)).0).collect();
    eprintln!(
        "seed {seed}: {cycles} cycles, {kills} kills, {steps} steps, slots {slots:?}, {} transfers",
        judge.transfers()
    );
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
