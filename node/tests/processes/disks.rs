//! Disks that fail, fill up, or are slow.

use super::cluster::{Cluster, LONG};
use super::crashes::STRACE;
use super::lab::{entered, has_tools, shell};
use super::load::Load;

/// A replica ends with the code and the line for a disk that failed.
async fn ends_for_its_disk(cluster: &mut Cluster, id: usize) {
    let status = cluster.process(id).ended(LONG).await;
    let log = cluster.log(id);
    assert_eq!(status.code(), Some(70), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("cretoai-node: replica {id} stops: storage: ")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_log_cannot_grow_ends_with_a_clear_line_and_the_others_go_on() {
    let mut cluster = Cluster::new("growth", "ed25519", 4);
    // No file may become larger than half a mebibyte: then the log cannot be written any further.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""];
    // Its file of events may end earlier: then the oracles see less of it.
    cluster.start_under(3, &limited, &[]);
    (0..3).for_each(|id| cluster.start(id));
    cluster.all_ready().await;
    let mut load = Load::start(&cluster, &[0, 1, 2], 8);
    ends_for_its_disk(&mut cluster, 3).await;
    load.goes_on(&cluster, 10).await;
    load.end(&cluster, &[0, 1, 2]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_sync_fails_says_nothing_more_and_comes_back_when_the_disk_does() {
    if !has_tools(a_replica_whose_sync_fails_says_nothing_more_and_comes_back_when_the_disk_does, &["strace"]) {
        return;
    }
    let mut cluster = Cluster::new("failing", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2], 3);
    cluster.kill(0);
    let inject = [&STRACE[..], &["-e", "inject=fdatasync:error=EIO:when=20"]].concat();
    cluster.start_under(0, &inject, &[]);
    ends_for_its_disk(&mut cluster, 0).await;
    load.goes_on(&cluster, 10).await;
    cluster.start(0);
    cluster.catches_up(0).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(0, "back", &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_disk_is_full_ends_and_comes_back_when_there_is_room() {
    if !entered(a_replica_whose_disk_is_full_ends_and_comes_back_when_there_is_room, &["mount"]) {
        return;
    }
    let mut cluster = Cluster::new("full", "ed25519", 4);
    // Seen by nobody else, and gone with the namespace.
    shell("mount -t tmpfs -o size=3m none /run");
    cluster.start_under(3, &[], &["--data", "/run/data", "--new"]);
    (0..3).for_each(|id| cluster.start(id));
    cluster.all_ready().await;
    let mut load = Load::start(&cluster, &[0, 1, 2], 8);
    ends_for_its_disk(&mut cluster, 3).await;
    load.goes_on(&cluster, 10).await;
    shell("mount -o remount,size=200m /run");
    cluster.start_under(3, &[], &["--data", "/run/data"]);
    cluster.catches_up(3).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(3, "room", &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_slow_disk_holds_nobody_up() {
    if !has_tools(a_replica_with_a_slow_disk_holds_nobody_up, &["strace"]) {
        return;
    }
    let mut cluster = Cluster::new("slow", "ed25519", 4);
    (0..3).for_each(|id| cluster.start(id));
    // 100 ms.
    let inject = [&STRACE[..], &["-e", "inject=fdatasync:delay_enter=100000"]].concat();
    cluster.start_under(3, &inject, &[]);
    cluster.all_ready().await;
    let mut load = Load::start(&cluster, &[0, 1, 2], 4);
    load.goes_on(&cluster, 100).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.finish().await;
}
