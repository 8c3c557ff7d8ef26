//! What an operator gets wrong is named in one line: the file, the key, its value, the limit, and the way out.

use super::cluster::Cluster;
use super::process::{Folder, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Expects exit code 64 and one line with all of these in it.
fn refused(args: &[&str], said: &[&str]) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    for part in said {
        assert!(text.contains(part), "{args:?}: {part} is not in: {text}");
    }
}

#[test]
fn a_wrong_configuration_is_named_with_its_key_its_value_and_the_remedy() {
    let cluster = Cluster::new("wrong", "ed25519", 4);
    let path = cluster.config(0);
    let shown = path.to_string_lossy().into_owned();
    let right = fs::read_to_string(&path).expect("it was written");
    let api = right.lines().find(|line| line.starts_with("api = ")).expect("an API").to_owned();
    let cases: [(&str, &str, &[&str]); 9] = [
        ("queued_requests = 16384", "queued = 1", &["queued", "unknown field", "correct or remove it"]),
        ("queued_requests = 16384", "queued_requests = \"x\"", &["queued_requests = \"x\"", "invalid type"]),
        ("queued_requests = 16384", "queued_requests = 0", &["queued_requests = 0", "must be at least 1"]),
        ("base_ms = 1000", "base_ms = 0", &["timeouts.base_ms = 0", "between 1 and 86400000"]),
        ("base_ms = 1000", "base_ms = 1000\nmax_ms = 10", &["timeouts.max_ms = 10", "at least timeouts.base"]),
        ("body_bytes = 4194304", "body_bytes = 1", &["limits.body_bytes = 1", "between 4096", "set 4194304"]),
        ("cache_mib = 64", "cache_mib = 1", &["storage.cache_mib = 1", "between 8 and 65536"]),
        ("level = \"info\"", "level = \"a=b=c\"", &["log.level", "use error, warn, info"]),
        (&api, "api = \"nowhere\"", &["api = \"nowhere\"", "invalid socket address"]),
    ];
    for (from, to, said) in cases {
        assert!(right.contains(from), "{from} is in {right}");
        fs::write(&path, right.replace(from, to)).expect("it is ours");
        let mut all = if to.contains("a=b=c") { Vec::new() } else { vec![shown.as_str()] };
        all.extend(said);
        refused(&["start", "--config", &shown], &all);
    }
    let first_peer = right.lines().position(|line| line.starts_with("peers")).expect("peers") + 1;
    let fewer: Vec<&str> =
        right.lines().enumerate().filter(|(at, _)| *at != first_peer).map(|(_, line)| line).collect();
    fs::write(&path, fewer.join("\n")).expect("it is ours");
    refused(&["start", "--config", &shown], &[&shown, "peers = ", "3 addresses", "4 replicas"]);
}

#[test]
fn a_wrong_genesis_is_named_too() {
    let cluster = Cluster::new("genesis", "ed25519", 4);
    let path = cluster.folder.file("net/genesis.toml");
    let right = fs::read_to_string(&path).expect("it was written");
    let config = cluster.config(0);
    let config = config.to_string_lossy();
    for (from, to, said) in [
        ("window = 64", "window = 63", vec!["window = 63", "a multiple of the checkpoint interval"]),
        ("lifetime_ms = 30000", "lifetime_ms = 0", vec!["limits.lifetime_ms = 0", "more than 0"]),
        ("scheme = \"ed25519\"", "scheme = \"rsa\"", vec!["scheme = \"rsa\"", "unknown variant"]),
        ("keys = [\n    \"", "keys = [\n    \"zz", vec!["keys[0] = ", "hexadecimal", "keygen"]),
        ("keys = [\n    \"", "keys = [\n    \"00", vec!["keys[0]"]),
    ] {
        assert!(right.contains(from), "{from} is in {right}");
        fs::write(&path, right.replace(from, to)).expect("it is ours");
        refused(&["start", "--config", &config], &said);
    }
    // Another genesis is another chain, and its store is not this one's.
    fs::write(&path, right.replace("name = \"testnet\"", "name = \"other\"")).expect("it is ours");
    refused(&["start", "--config", &config], &["belongs to", "name another folder"]);
}

#[test]
fn a_key_that_others_can_read_and_a_disk_that_is_gone_are_refused() {
    let cluster = Cluster::new("exposed", "ed25519", 4);
    let config = cluster.config(0);
    let config = config.to_string_lossy();
    let key = cluster.folder.file("net/node0/key");
    assert_eq!(fs::metadata(&key).expect("a key").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    refused(&["start", "--config", &config], &["mode 644", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::remove_dir_all(cluster.folder.file("net/node0/data")).expect("it is ours");
    refused(&["start", "--config", &config], &["data = ", "holds no store", "--new"]);
}

#[test]
fn a_committee_that_tolerates_no_fault_has_to_be_asked_for() {
    let folder = Folder::new("small");
    let out = folder.file("net");
    let out = out.to_string_lossy();
    refused(&["testnet", "--replicas", "3", "--out", &out], &["--replicas 3", "at least 4", "--allow-intolerant"]);
    refused(&["testnet", "--replicas", "200", "--out", &out], &["--replicas 200", "between 1 and 128"]);
    let base = ["testnet", "--base-port", "65500", "--out", &out];
    refused(&base, &["--base-port 65500", "between 1 and 65535"]);
    let args = ["testnet", "--replicas", "3", "--allow-intolerant", "--scheme", "ed25519", "--base-port", "0"];
    let made = run(&[&args[..], &["--out", &out]].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    refused(&["testnet", "--replicas", "4", "--out", &out], &["node0", "new folder"]);
}

#[test]
fn a_key_file_is_made_once_and_shows_only_its_public_half() {
    let folder = Folder::new("keygen");
    let path = folder.file("key");
    let shown = path.to_string_lossy();
    let made = run(&["keygen", "--scheme", "ed25519", "--out", &shown]);
    assert!(made.status.success());
    let public = String::from_utf8(made.stdout).expect("text");
    assert_eq!(public.trim().len(), 64, "{public}");
    assert!(!fs::read_to_string(&path).expect("a key").contains(public.trim()), "the file holds the secret half");
    refused(&["keygen", "--out", &shown], &["exists", "never overwritten"]);
}

#[test]
fn a_node_that_does_not_answer_is_named() {
    let output = run(&["status", "--api", "http://127.0.0.1:9", "--timeout", "1s"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("http://127.0.0.1:9") && text.contains("is the node running"), "{text}");
    refused(&["status", "--api", "nowhere"], &["--api nowhere", "http://HOST:PORT"]);
    let version = run(&["version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains("cretoai/v1"));
}
