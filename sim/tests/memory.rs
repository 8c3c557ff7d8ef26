//! What a flood costs the whole process, whatever the replicas themselves think they hold.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const FLOOD: &str = include_str!("../scenarios/flood-of-votes-and-vertices.toml");

/// What a process may have more than without the flood: 64 MiB. What it sends comes to gigabytes.
const ALLOWED_KIB: u64 = 64 << 10;

/// The most memory that a process had which ran a scenario, in KiB; none where the system does not say.
fn peak_kib(name: &str, text: &str) -> Option<u64> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (scenario, summary) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.json")));
    fs::write(&scenario, text).expect("the scenario can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cretoai-sim"));
    command.arg("campaign").arg(&scenario).args(["--seeds", "0..1", "--jobs", "1", "--json"]).arg(&summary);
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let summary = fs::read_to_string(&summary).expect("the summary is written");
    let summary: Value = serde_json::from_str(&summary).expect("the summary is JSON");
    summary["measured"]["peak_memory_kib"].as_u64()
}

#[test]
fn a_flood_of_votes_and_vertices_does_not_fill_the_memory_of_a_process() {
    let (calm, flood) = FLOOD.split_once("[[plan.byzantine]]").expect("the scenario has a flooder");
    let (flood, _) = flood.split_once("\n\n").expect("something follows the flooder");
    // Slow code has less to do: a fifth of the flood is still 300,000 messages.
    let ops = if cfg!(debug_assertions) { "ops = 300" } else { "ops = 1_500" };
    let calm = calm.replace("ops = 1_500", ops);
    let flood = format!("{calm}[[plan.byzantine]]{flood}\n");
    let (Some(calm), Some(flood)) = (peak_kib("calm", &calm), peak_kib("flood", &flood)) else { return };
    assert!(flood < calm + ALLOWED_KIB, "{flood} KiB with the flood, {calm} KiB without it");
}
