//! Four real processes: they agree, they come back, and they obey.

mod cluster;

use cluster::{Cluster, LONG, Process, get, post, run, until};
use cretoai_node::api::{BinaryAnswer, BinaryStatus, encode_ops};
use cretoai_node::events::{Entry, read};
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_takes_all_show_also_after_a_restart_of_all() {
    let mut cluster = Cluster::new("agree", "ml-dsa-87");
    cluster.start_all();
    cluster.all_ready().await;
    cluster.put(0, "hello", "world").await;
    for id in 0..4 {
        cluster.shows(id, "hello", "world").await;
    }
    let before = cluster.status(0).await["applied"].as_u64().expect("a number");
    assert!(1 <= before);

    cluster.stop_all().await;
    cluster.start_all();
    cluster.all_ready().await;
    for id in 0..4 {
        cluster.shows(id, "hello", "world").await;
    }
    cluster.put(3, "again", "and again").await;
    cluster.shows(1, "again", "and again").await;
    let after = cluster.status(0).await["applied"].as_u64().expect("a number");
    assert!(before < after, "slot {before} before, {after} after");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_under_load_catches_up() {
    let mut cluster = Cluster::new("killed", "ed25519");
    cluster.start_all();
    cluster.all_ready().await;
    let apis = [0, 1, 3].map(|id| cluster.api(id)).join(",");
    let args = ["load", "--api", &apis, "--rate", "400", "--batch", "4", "--for", "15s", "--timeout", "30s"];
    let mut load = Process::spawn(&args, &cluster.folder.file("load.out"));
    let applied = async |cluster: &Cluster, id| cluster.status(id).await["applied"].as_u64().expect("a number");
    let url = cluster.api(2);
    let passes = async |url: &str, slot: u64| {
        let status = get(url, "/v1/status").await?.json();
        status["applied"].as_u64().filter(|applied| slot <= *applied)
    };
    until("slot 20", async || passes(&url, 20).await, String::new).await;
    cluster.kill(2);

    let down_at = applied(&cluster, 0).await;
    let other = cluster.api(0);
    // More than two windows: the killed one needs a state transfer, not only certificates.
    until("others go on", async || passes(&other, down_at + 150).await, String::new).await;
    cluster.start(2, &[]);
    let back_at = applied(&cluster, 0).await;
    until("the killed one is there too", async || passes(&url, back_at).await, String::new).await;
    cluster.ready(2).await;
    let figures = get(&cluster.metrics(2), "/metrics").await.expect("an answer").text();
    assert!(figures.contains("\ncretoai_state_transfers_total 1\n"), "{figures}");

    let status = load.ended(LONG).await;
    let report = std::fs::read_to_string(cluster.folder.file("load.out")).expect("it reported");
    assert_eq!(status.code(), Some(0), "{report}");
    let report: Value = serde_json::from_str(report.lines().last().expect("a last line")).expect("JSON");
    assert_eq!(report["executed"], report["submitted"], "{report}");
    assert!(report["finality_ms"]["p99"].is_number(), "{report}");
    cluster.put(2, "back", "again").await;
    cluster.shows(0, "back", "again").await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_does_without_one_and_not_without_two() {
    let mut cluster = Cluster::new("without", "ed25519");
    cluster.start_all();
    cluster.all_ready().await;
    // The primary of view 0: the others have to change views.
    cluster.kill(0);
    cluster.put(1, "one", "less").await;
    cluster.shows(3, "one", "less").await;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_both_forms_and_says_what_is_wrong_with_others() {
    let mut cluster = Cluster::new("api", "ed25519");
    cluster.start_all();
    cluster.all_ready().await;
    let url = cluster.api(1);

    let ops: Vec<Vec<u8>> = (0..300_u32).map(|number| number.to_be_bytes().to_vec()).collect();
    let body = encode_ops(ops.iter().map(Vec::as_slice));
    let answer = post(&url, "/v1/requests?wait=finalized", "application/octet-stream", &body).await;
    let answer = BinaryAnswer::decode(&answer.body).expect("a binary answer");
    assert_eq!((answer.statuses.len(), answer.count(BinaryStatus::Executed)), (300, 300));

    let body = br#"{"wait":"finalized","requests":[{"put":{"key":"k","value":{"hex":"ff00"}}},{"get":"k"},
        {"compare_and_swap":{"key":"k","expected":"x","value":"y"}},{"delete":"k"},{"op_base64":"AA=="}]}"#;
    let answer = post(&url, "/v1/requests", "application/json", body).await.json();
    let outcomes: Vec<&str> = (0..5).filter_map(|at| answer["results"][at]["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["executed"; 5], "{answer}");
    assert_eq!(answer["results"][1]["result"]["value"]["hex"], "ff00", "{answer}");
    assert_eq!(answer["results"][2]["result"]["swapped"], false, "{answer}");

    // The same request twice executes once.
    let expires = cluster.status(1).await["clock_ns"].as_u64().expect("a number") + 10_000_000_000;
    let body = format!(
        r#"{{"wait":"accepted","request":{{"get":"k","nonce":"{}","expires_ns":{expires}}}}}"#,
        "00".repeat(16)
    );
    let first = post(&url, "/v1/requests", "application/json", body.as_bytes()).await.json();
    let second = post(&url, "/v1/requests", "application/json", body.as_bytes()).await.json();
    assert_eq!(first["results"][0]["id"], second["results"][0]["id"]);

    for (kind, body, complaint) in [
        ("application/json", r#"{"request":{"put":{"key":"k"}}}"#, "request.put: missing field `value`"),
        ("application/json", r#"{"request":{}}"#, "requests[0].op: nothing to do"),
        ("application/json", r#"{"request":{"op_hex":"0"}}"#, "requests[0].op_hex: must be hexadecimal digits"),
        ("application/json", r#"{"request":{"get":"k","nonce":"1"}}"#, "requests[0].nonce: must be 32"),
        ("application/json", r#"{"requests":[]}"#, "requests: 0 of them; must be between 1 and 16384"),
        ("application/json", r#"{"request":{"get":"k"},"timeout_ms":0}"#, "timeout_ms = 0: must be between"),
        ("application/json", r#"{"wants":1}"#, "unknown field `wants`"),
        ("application/octet-stream", "abc", "byte 0: 3 bytes are left"),
    ] {
        let answer = post(&url, "/v1/requests", kind, body.as_bytes()).await;
        assert_eq!(answer.status.as_u16(), 400, "{body}: {}", answer.text());
        assert!(answer.text().contains(complaint), "{body}: {}", answer.text());
    }
    let large = vec![0; 5 << 20];
    assert_eq!(post(&url, "/v1/requests", "application/octet-stream", &large).await.status.as_u16(), 413);
    assert_eq!(post(&url, "/v1/requests", "text/html", b"").await.status.as_u16(), 415);

    let page = get(&url, "/v1/finalized?from=1&limit=5").await.expect("an answer").json();
    let vertex = &page["vertices"][0];
    let path = format!("/v1/vertices/{}", vertex["id"].as_str().expect("an id"));
    assert_eq!(&get(&url, &path).await.expect("an answer").json(), vertex);
    for (path, status) in [("/v1/vertices/00", 400), ("/v1/finalized?limit=0", 400), ("/v1/kv/none", 404), ("/v2", 404)]
    {
        assert_eq!(get(&url, path).await.expect("an answer").status.as_u16(), status, "{path}");
    }
    figures_of(&cluster, 1).await;
    cluster.stop_all().await;
}

/// The figures that an operator needs are there.
async fn figures_of(cluster: &Cluster, id: usize) {
    let text = get(&cluster.metrics(id), "/metrics").await.expect("an answer").text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> = lines.filter_map(|line| line.split(['{', ' ']).next()).collect();
    for name in [
        "finality_seconds_count",
        "view",
        "view_changes_total",
        "executed_slot",
        "applied_slot",
        "stable_slot",
        "pending_vertices",
        "requests_submitted_total",
        "requests_executed_total",
        "messages_sent_total",
        "messages_received_total",
        "inputs_ignored_total",
        "halted",
        "diverged",
        "back_off",
        "timeout_seconds",
        "network_connected",
        "network_sent_bytes_total",
        "process_resident_bytes",
        "process_cpu_seconds_total",
        "process_open_files",
        "process_uptime_seconds",
    ] {
        assert!(names.contains(format!("cretoai_{name}").as_str()), "{name} is missing: {names:?}");
    }
    let storage = names.iter().filter(|name| name.starts_with("cretoai_storage_")).count();
    assert!(12 <= storage, "{storage} figures of storage");
    let executed = text.lines().find_map(|line| line.strip_prefix("cretoai_requests_executed_total "));
    assert!(305 <= executed.and_then(|count| count.parse().ok()).unwrap_or(0), "{executed:?} executed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_events_tells_what_was_recorded_before_it_was_said() {
    let mut cluster = Cluster::new("events", "ed25519");
    let events = cluster.folder.file("events");
    cluster.start(0, &["--events", &events.to_string_lossy()]);
    (1..4).for_each(|id| cluster.start(id, &[]));
    cluster.all_ready().await;
    cluster.put(0, "hello", "world").await;
    cluster.stop_all().await;

    let entries = read(&events).expect("well-formed");
    assert!(matches!(entries[0].entry, Entry::Started { .. }), "{:?}", entries[0]);
    assert!(entries.windows(2).all(|pair| pair[0].at <= pair[1].at), "time went backwards");
    let place = |is_it: fn(&Entry) -> bool| entries.iter().position(|stamped| is_it(&stamped.entry));
    use cretoai_core::message::Message;
    use cretoai_core::record::Record;
    let recorded = place(|entry| matches!(entry, Entry::Recorded(Record::OwnVertex(_))));
    let said = place(|entry| matches!(entry, Entry::Released(_, Message::Vertex(_))));
    let executed = place(|entry| matches!(entry, Entry::Executes { .. }));
    let replied = place(|entry| matches!(entry, Entry::Replied { .. }));
    assert!(recorded.is_some() && recorded < said, "recorded at {recorded:?}, said at {said:?}");
    assert!(executed.is_some() && executed < replied, "executed at {executed:?}, replied at {replied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_disk_fails_ends_with_a_clear_line_and_the_others_go_on() {
    let mut cluster = Cluster::new("disk", "ed25519");
    // No file may become larger than half a mebibyte: then the log cannot be written any further.
    cluster.start_with_file_limit(3, 1024);
    (0..3).for_each(|id| cluster.start(id, &[]));
    cluster.all_ready().await;
    let load = run(&["load", "--api", &cluster.api(0), "--rate", "2000", "--for", "3s"]);
    assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    let status = cluster.process(3).ended(LONG).await;
    let log = std::fs::read_to_string(cluster.folder.file("node3.err")).expect("it was written");
    assert_eq!(status.code(), Some(70), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("cretoai-node: replica 3 stops: storage: "), "{log}");
    cluster.put(1, "three", "are enough").await;
    cluster.shows(2, "three", "are enough").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_one_process_runs_until_it_is_interrupted() {
    let folder = cluster::Folder::new("dev");
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
