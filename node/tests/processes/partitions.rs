//! Networks that part, on one side or on both, and are mended.

use super::cluster::{Cluster, get, post, until};
use super::lab::entered;
use super::load::Load;

const TOOLS: [&str; 2] = ["nft", "mount"];

/// Nothing becomes final through a replica within a second.
async fn takes_nothing(cluster: &Cluster, id: usize) {
    let body = br#"{"wait":"finalized","timeout_ms":1000,"request":{"put":{"key":"cut","value":"off"}}}"#;
    let answer = post(&cluster.api(id), "/v1/requests", "application/json", body).await;
    assert_ne!(answer.json()["results"][0]["outcome"], "executed", "replica {id}: {}", answer.text());
}

/// A replica notices that it is not in touch with enough others.
async fn is_out_of_touch(cluster: &Cluster, id: usize) {
    let url = cluster.api(id);
    let unready = async || get(&url, "/health/ready").await.filter(|answer| answer.status.as_u16() == 503);
    until(&format!("replica {id} is out of touch"), unready, || cluster.logs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_cut_off_takes_nothing_and_catches_up_when_it_is_back() {
    if !entered(a_replica_that_is_cut_off_takes_nothing_and_catches_up_when_it_is_back, &TOOLS) {
        return;
    }
    let (mut cluster, switch) = Cluster::on_hosts("off", "ml-dsa-87", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[1, 2, 3], 3);
    load.goes_on(&cluster, 10).await;
    // The primary.
    switch.part(&[0], &[1, 2, 3]);
    load.goes_on(&cluster, 20).await;
    takes_nothing(&cluster, 0).await;
    is_out_of_touch(&cluster, 0).await;
    assert!(0 < switch.dropped(), "the cut does nothing");
    switch.heal();
    cluster.catches_up(0).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(0, "healed", &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_take_nothing_and_go_on_when_they_are_joined() {
    if !entered(two_halves_take_nothing_and_go_on_when_they_are_joined, &TOOLS) {
        return;
    }
    let (mut cluster, switch) = Cluster::on_hosts("halves", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2, 3], 4);
    load.goes_on(&cluster, 20).await;
    switch.part(&[0, 1], &[2, 3]);
    for id in 0..4 {
        is_out_of_touch(&cluster, id).await;
    }
    for id in 0..4 {
        takes_nothing(&cluster, id).await;
    }
    switch.heal();
    load.goes_on(&cluster, 20).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hears_and_is_not_heard_is_replaced() {
    if !entered(a_primary_that_hears_and_is_not_heard_is_replaced, &TOOLS) {
        return;
    }
    let (mut cluster, switch) = Cluster::on_hosts("unheard", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[1, 2, 3], 3);
    load.goes_on(&cluster, 10).await;
    switch.cut(&[0], &[1, 2, 3]);
    load.goes_on(&cluster, 20).await;
    assert_ne!(cluster.status(1).await["view"], 0, "the others changed views");
    switch.heal();
    cluster.catches_up(0).await;
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.agrees(0, "heard", &[0, 1, 2, 3]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replica_is_deaf_to_one_other_and_all_go_on() {
    if !entered(each_replica_is_deaf_to_one_other_and_all_go_on, &TOOLS) {
        return;
    }
    let (mut cluster, switch) = Cluster::on_hosts("deaf", "ed25519", 4);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[0, 1, 2, 3], 4);
    load.goes_on(&cluster, 10).await;
    // A link needs both ways, so 0 and 1 lose each other, and so do 2 and 3.
    switch.cut(&[0], &[1]);
    switch.cut(&[3], &[2]);
    load.goes_on(&cluster, 20).await;
    switch.heal();
    load.end(&cluster, &[0, 1, 2, 3]).await;
    cluster.finish().await;
}
