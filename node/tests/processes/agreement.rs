//! Clusters without faults, and with replicas that are simply not there.

use super::cluster::{Cluster, get, post, until};
use super::judge::{assert_lies_are_noticed, chain, told};
use super::load::Load;
use super::process::{Folder, Process, run};
use cretoai_core::bundle::Bundle;
use cretoai_core::config::Chain;
use cretoai_core::message::Message;
use cretoai_core::record::Record;
use cretoai_core::vote::Phase;
use cretoai_node::events::{Entry, Stamped};
use cretoai_sim::audit::Auditor;
use cretoai_sim::crypto::Keys;
use serde_json::Value;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_takes_all_show_also_after_a_restart_of_all() {
    let mut cluster = Cluster::new("agree", "ml-dsa-87", 4);
    cluster.start_up().await;
    cluster.agrees(0, "hello", &[0, 1, 2, 3]).await;
    let before = cluster.applied(0).await;
    assert!(1 <= before);

    cluster.stop_all().await;
    cluster.start_up().await;
    for id in 0..4 {
        cluster.shows(id, "hello", "agreed").await;
    }
    cluster.agrees(3, "again", &[0, 1, 2]).await;
    let after = cluster.applied(0).await;
    assert!(before < after, "slot {before} before, {after} after");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_replicas_do_without_two_and_take_them_back() {
    let mut cluster = Cluster::new("seven", "ml-dsa-87", 7);
    cluster.start_up().await;
    let mut load = Load::start(&cluster, &[1, 2, 3, 4, 5], 3);
    load.goes_on(&cluster, 10).await;
    // The primary of the first view, and another one.
    cluster.kill_together(&[0, 6]);
    load.goes_on(&cluster, 10).await;
    assert_ne!(cluster.status(1).await["view"], 0, "the others changed views");
    cluster.start(0);
    cluster.start(6);
    cluster.catches_up(0).await;
    cluster.catches_up(6).await;
    load.end(&cluster, &[0, 1, 2, 3, 4, 5, 6]).await;
    cluster.agrees(0, "all", &[0, 1, 2, 3, 4, 5, 6]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_replica_can_prove_convinces_whoever_has_nothing_but_the_file() {
    let mut cluster = Cluster::new("proof", "ml-dsa-87", 4);
    cluster.start_up().await;
    cluster.agrees(0, "proven", &[2]).await;
    let folder = Folder::new("proof-out");
    let file = folder.file("proof");
    let (config, out) = (cluster.config(2).display().to_string(), file.display().to_string());
    let prove = ["proof", "--config", &config, "--out", &out];
    let refused = run(&prove);
    assert_eq!(refused.status.code(), Some(64), "while it runs: {}", String::from_utf8_lossy(&refused.stderr));

    cluster.stop_all().await;
    let written = run(&prove);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let bundle = Bundle::decode(&std::fs::read(&file).expect("it was written")).expect("a bundle");
    let signatures = Keys::verifier_of(&bundle.genesis, None).expect("keys of a known scheme");
    let auditor = Auditor::new(chain_of(&bundle), signatures);
    assert!(!bundle.decided.is_empty() && bundle.evidence.is_empty());
    assert!(bundle.decided.iter().all(|certificate| auditor.certificate(certificate, Phase::Commit).is_ok()));
    cluster.finish().await;
}

/// The chain that a bundle names. Nobody else is asked.
fn chain_of(bundle: &Bundle) -> Arc<Chain> {
    Arc::new(Chain::new(bundle.genesis.clone(), false).expect("four replicas"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_does_without_one_and_not_without_two() {
    let mut cluster = Cluster::new("without", "ed25519", 4);
    cluster.start_up().await;
    // The primary of view 0: the others have to change views.
    cluster.kill(0);
    cluster.agrees(1, "less", &[3]).await;
    until("a view change", async || (cluster.status(1).await["view"] != 0).then_some(()), String::new).await;
    cluster.kill(3);
    let url = cluster.api(1);
    let unready = async || get(&url, "/health/ready").await.filter(|answer| answer.status.as_u16() == 503);
    let answer = until("a replica that is in touch with one other only is not ready", unready, String::new).await;
    assert!(answer.text().contains("not ready: "), "{}", answer.text());
    let body = br#"{"wait":"finalized","timeout_ms":500,"request":{"put":{"key":"two","value":"less"}}}"#;
    let answer = post(&url, "/v1/requests", "application/json", body).await;
    assert_ne!(answer.json()["results"][0]["outcome"], "executed", "{}", answer.text());
    assert_eq!(get(&url, "/health/live").await.expect("an answer").text(), "live\n");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_wrong_in_the_files_of_events_is_noticed() {
    let mut cluster = Cluster::new("events", "ed25519", 4);
    cluster.start_up().await;
    cluster.agrees(0, "hello", &[0, 1, 2, 3]).await;
    cluster.agrees(0, "again", &[0, 1, 2, 3]).await;
    cluster.stop_all().await;

    let events = cluster.events();
    let entries: Vec<Stamped> = told(&events[0]).collect();
    assert!(matches!(entries[0].entry, Entry::Started { .. }), "{:?}", entries[0]);
    assert!(entries.windows(2).all(|pair| pair[0].at <= pair[1].at), "time went backwards");
    let place = |is_it: fn(&Entry) -> bool| entries.iter().position(|stamped| is_it(&stamped.entry));
    let recorded = place(|entry| matches!(entry, Entry::Recorded(_, Record::OwnVertex(_))));
    let said = place(|entry| matches!(entry, Entry::Released(_, Message::Vertex(_))));
    let executed = place(|entry| matches!(entry, Entry::Executes { .. }));
    let replied = place(|entry| matches!(entry, Entry::Replied { .. }));
    assert!(recorded.is_some() && recorded < said, "recorded at {recorded:?}, said at {said:?}");
    assert!(executed.is_some() && executed < replied, "executed at {executed:?}, replied at {replied:?}");
    assert_lies_are_noticed(&chain(&cluster.folder.file("net/genesis.toml")), &events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_generator_reports_what_became_of_its_requests() {
    let mut cluster = Cluster::new("load", "ed25519", 4);
    cluster.start_up().await;
    let apis = [0, 1, 2, 3].map(|id| cluster.api(id)).join(",");
    let load = run(&["load", "--api", &apis, "--rate", "400", "--batch", "4", "--for", "2s", "--timeout", "30s"]);
    let report = String::from_utf8(load.stdout).expect("text");
    assert_eq!(load.status.code(), Some(0), "{report}");
    let report: Value = serde_json::from_str(report.lines().last().expect("a last line")).expect("JSON");
    assert_eq!(report["executed"], report["submitted"], "{report}");
    assert!(report["finality_ms"]["p99"].is_number(), "{report}");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_one_process_runs_until_it_is_interrupted() {
    let folder = Folder::new("dev");
    let output = folder.file("dev.out");
    let mut dev = Process::spawn(&["dev", "--scheme", "ed25519"], &output);
    let line = || async {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        text.contains("try: curl").then_some(text)
    };
    let text = until("the cluster starts", line, String::new).await;
    let apis: Vec<&str> = text.split_whitespace().filter_map(|word| word.strip_prefix("api=")).collect();
    assert_eq!(apis.len(), 4, "{text}");
    let ready = || async { run(&["health", "--api", apis[3]]).status.success().then_some(()) };
    until("it is ready", ready, String::new).await;
    let put = run(&["submit", "--api", apis[0], "put", "a key", "a value"]);
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let shown = || async { (run(&["get", "--api", apis[3], "a key"]).stdout == b"a value\n").then_some(()) };
    until("it is shown", shown, String::new).await;
    let at = text.split_whitespace().nth(6).expect("a folder").to_owned();
    assert!(std::path::Path::new(&at).exists(), "{text}");
    dev.signal("-INT");
    let status = dev.ended(std::time::Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "after Ctrl-C");
    assert!(!std::path::Path::new(&at).exists(), "its folder is gone");
}
