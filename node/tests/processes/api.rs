//! What may be asked of a node, and what it shows.

use super::cluster::{Cluster, get, post};
use cretoai_node::api::{BinaryAnswer, BinaryStatus, encode_ops};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_both_forms_and_says_what_is_wrong_with_others() {
    let mut cluster = Cluster::new("api", "ed25519", 4);
    cluster.start_up().await;
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
    cluster.finish().await;
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
