//! `docs/scenarios.md` says what the program does: all keys, their ranges and defaults, and examples that work.
//!
//! Which keys and names there are is read off the decoder's own complaints about one that does not exist.

use super::parse::{Swarm, Values};
use super::ranges::{Range, range_of};
use super::{LoadError, Scenario};
use crate::plan::{
    Behaviour, Boundary, Byzantine, Calm, CheckpointLie, Clock, Condition, Cpu, CrashPoint, Crypto, Disk, Entry,
    Expectation, Fault, Instead, Kind, Latency, Link, LinkOverride, Load, MessageRule, Metric, Mutation, Network,
    NewViewLie, Origin, Phases, Plan, Regions, RuleAction, ScriptAction, ScriptBatch, ScriptStep, SlotContent, Submit,
    TimedFault, TimeoutPlan, TimeoutsOf, TransferLie, Trigger, VertexFlaw, ViewChangeLie, Workload,
};
use crate::strategy::Strategy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md"));

/// A heading of the document, and the rows of the table below it.
type Sections = BTreeMap<&'static str, Vec<Vec<&'static str>>>;

fn sections() -> Sections {
    let mut sections = Sections::new();
    let mut heading = "";
    for line in DOCUMENT.lines() {
        if let Some(text) = line.trim_start_matches('#').strip_prefix(' ')
            && line.starts_with("##")
        {
            heading = text.trim_matches('`');
        } else if let Some(row) = line.strip_prefix("| ") {
            let row = row.strip_suffix(" |").unwrap_or_else(|| panic!("a row does not end: {line}"));
            let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
            if cells[0].starts_with('`') {
                sections.entry(heading).or_default().push(cells);
            }
        }
    }
    sections
}

fn unquoted(cell: &'static str) -> &'static str {
    cell.trim_matches('`')
}

/// What the decoder of `T` names when it is given something that it does not know.
fn known<T: DeserializeOwned>(unknown: Value) -> Vec<String> {
    let Err(error) = serde_json::from_value::<T>(unknown) else { panic!("something unknown was accepted") };
    let error = error.to_string();
    if !error.starts_with("unknown") {
        return Vec::new();
    }
    error.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}

/// A table of values: its heading, its keys, and its defaults if all keys have one.
struct Table {
    heading: &'static str,
    keys: Vec<String>,
    defaults: Option<Value>,
}

fn table<T: DeserializeOwned>(heading: &'static str) -> Table {
    Table { heading, keys: known::<T>(json!({ "?": 0 })), defaults: None }
}

fn table_with_defaults<T: DeserializeOwned + Serialize + Default>(heading: &'static str) -> Table {
    Table { defaults: Some(serde_json::to_value(T::default()).unwrap()), ..table::<T>(heading) }
}

fn tables() -> Vec<Table> {
    vec![
        table::<Values>("The file"),
        table_with_defaults::<Swarm>("[swarm]"),
        table_with_defaults::<Plan>("[plan]"),
        table_with_defaults::<TimeoutPlan>("[plan.timeouts]"),
        table::<TimeoutsOf>("[[plan.timeouts_of]]"),
        table_with_defaults::<Network>("[plan.network]"),
        table_with_defaults::<Link>("[plan.network.default]"),
        table_with_defaults::<Regions>("[plan.network.regions]"),
        table_with_defaults::<LinkOverride>("[[plan.network.overrides]]"),
        table_with_defaults::<Clock>("[[plan.clocks]]"),
        table_with_defaults::<Cpu>("[plan.cpu]"),
        table_with_defaults::<Disk>("[plan.disk]"),
        table_with_defaults::<Workload>("[plan.workload]"),
        table_with_defaults::<Submit>("[[plan.workload.scripted]]"),
        table::<TimedFault>("[[plan.faults]]"),
        table::<Trigger>("[[plan.triggers]]"),
        table::<CrashPoint>("[[plan.crash_points]]"),
        table_with_defaults::<MessageRule>("[[plan.rules]]"),
        table::<Byzantine>("[[plan.byzantine]]"),
        table::<Mutation>("[[plan.byzantine.behaviour.small-scope.mutations]]"),
        table::<ScriptStep>("[[plan.byzantine.behaviour.script.steps]]"),
        table::<ScriptBatch>("[[plan.byzantine.behaviour.script.batches]]"),
        table_with_defaults::<Phases>("[plan.phases]"),
        table_with_defaults::<Calm>("[plan.phases.calm]"),
    ]
}

/// Values that are one of several names: the heading, where one stands in a plan, and the names with their keys.
struct Choice {
    heading: &'static str,
    place: &'static str,
    names: Vec<(String, Vec<String>)>,
}

fn choice<T: DeserializeOwned>(heading: &'static str, place: &'static str) -> Choice {
    let names = known::<T>(json!("?"));
    let keys = |name: &String| {
        let mut probe = serde_json::Map::new();
        probe.insert(name.clone(), json!({ "?": 0 }));
        known::<T>(Value::Object(probe))
    };
    Choice { heading, place, names: names.iter().map(|name| (name.clone(), keys(name))).collect() }
}

/// `@` is where the example goes.
fn choices() -> Vec<Choice> {
    vec![
        choice::<Strategy>("Values of `strategy", "[swarm] strategy = @"),
        choice::<Crypto>("Values of `crypto", "[plan] crypto = @"),
        choice::<Latency>("Values of `latency", "[plan.network.default] latency = @"),
        choice::<Load>("Values of `load", "[plan.workload] load = @"),
        choice::<Entry>("Values of `entry", "[plan.workload] entry = @"),
        choice::<Fault>("Values of `fault", "[[plan.faults]] fault = @"),
        choice::<Condition>("Values of `when", "[[plan.triggers]] when = @"),
        choice::<Boundary>("Values of `at", "[[plan.crash_points]] at = @"),
        choice::<RuleAction>("Values of `action", "[[plan.rules]] action = @"),
        choice::<Kind>("Kinds of messages", "[[plan.rules]] kinds = [@]"),
        choice::<Behaviour>("Values of `behaviour", "[[plan.byzantine]] behaviour = @"),
        choice::<NewViewLie>(
            "Values of `lie` of a `new-view-liar",
            "[[plan.byzantine]] behaviour = { new-view-liar = { lie = @ } }",
        ),
        choice::<ViewChangeLie>(
            "Values of `lie` of a `view-change-liar",
            "[[plan.byzantine]] behaviour = { view-change-liar = { lie = @ } }",
        ),
        choice::<Origin>(
            "Values of an entry of `moved` of a `replayer",
            "[[plan.byzantine]] behaviour = { replayer = { per_mille = 1, delay_us = 1, moved = [@] } }",
        ),
        choice::<CheckpointLie>(
            "Values of `lie` of a `checkpoint-liar",
            "[[plan.byzantine]] behaviour = { checkpoint-liar = { lie = @ } }",
        ),
        choice::<TransferLie>(
            "Values of `lie` of a `transfer-liar",
            "[[plan.byzantine]] behaviour = { transfer-liar = { lie = @ } }",
        ),
        choice::<Instead>("Values of `instead", "[[plan.byzantine.behaviour.small-scope.mutations]] instead = @"),
        choice::<ScriptAction>("Values of `say", "[[plan.byzantine.behaviour.script.steps]] say = @"),
        choice::<VertexFlaw>(
            "Values of `flaw",
            "[[plan.byzantine.behaviour.script.steps]] say = { author = { requests_of = [0], flaw = @ } }",
        ),
        choice::<Expectation>("Values of an expectation", "[plan] expectations = [@]"),
        choice::<SlotContent>("Values of `is", "[plan] expectations = [{ slot = { slot = 1, is = @ } }]"),
        choice::<Metric>("Values of `metric", "[plan] expectations = [{ metric = { metric = @ } }]"),
    ]
}

/// What examples rely on.
const AROUND: &str = r#"
version = 1
title = "An example"
description = "What an example relies on."
[plan.disk]
bytes = true
[plan.workload]
ops = 1
[[plan.workload.scripted]]
op = "a"
to = [0]
[[plan.rules]]
name = "quiet"
"#;

/// What an example in a script relies on.
const SCRIPT: &str = r#"
steps = []
batches = [{ name = "a", vertices = [] }]
"#;

/// Keys without a default beside the one of an example.
const BESIDE: &[(&str, &str)] = &[
    ("[swarm]", "strategy = \"small-scope\""),
    ("[[plan.timeouts_of]]", "replica = 0\ntimeouts = {}"),
    ("[plan.network.regions]", "of = [0, 0, 1, 1]\none_way_us = [[1, 2], [2, 1]]"),
    ("[[plan.workload.scripted]]", "to = [0]"),
    ("[[plan.faults]]", "at_us = 0\nfault = \"heal\""),
    ("[[plan.triggers]]", "when = { installed = { view = 1 } }\nthen = []"),
    ("[[plan.crash_points]]", "replica = 0\nat = \"after-send\"\nnth = 1"),
    ("[[plan.byzantine]]", "replica = 0\nbehaviour = \"silent\""),
    ("[[plan.byzantine.behaviour.small-scope.mutations]]", "kind = \"commit\""),
    ("[[plan.byzantine.behaviour.script.steps]]", "at_us = 0\nsay = { vertex = { vertex = 0 } }"),
    ("[[plan.byzantine.behaviour.script.batches]]", "name = \"a\"\nvertices = []"),
];

/// Reads a scenario with an example in it, such as `[plan.cpu] sign_ns = 5`.
fn try_example(heading: &str, example: &str) -> Result<(), LoadError> {
    let beside = BESIDE.iter().find(|(known, _)| *known == heading).map_or("", |(_, beside)| beside);
    let mut values: toml::Table = toml::from_str(beside).unwrap();
    values.extend(toml::from_str::<toml::Table>(example).unwrap_or_else(|error| panic!("{example}: {error}")));
    let mut file: toml::Table = toml::from_str(AROUND).unwrap();
    if heading == "[[plan.byzantine.behaviour.small-scope.mutations]]" {
        let mutations = toml::Value::Array(vec![toml::Value::Table(values)]);
        let small_scope = toml::Table::from_iter([("mutations".to_owned(), mutations)]);
        let behaviour = toml::Table::from_iter([("small-scope".to_owned(), toml::Value::Table(small_scope))]);
        let entry = [("replica".to_owned(), 0.into()), ("behaviour".to_owned(), toml::Value::Table(behaviour))];
        put(&mut file, "[[plan.byzantine]]", toml::Table::from_iter(entry));
    } else if let Some(list) = heading.strip_prefix("[[plan.byzantine.behaviour.script.") {
        let list = list.trim_end_matches(']');
        let entry = toml::Value::Array(vec![toml::Value::Table(values)]);
        let mut script: toml::Table = toml::from_str(SCRIPT).unwrap();
        script.insert(list.to_owned(), entry);
        let behaviour = toml::Table::from_iter([("script".to_owned(), toml::Value::Table(script))]);
        let entry = [("replica".to_owned(), 0.into()), ("behaviour".to_owned(), toml::Value::Table(behaviour))];
        put(&mut file, "[[plan.byzantine]]", toml::Table::from_iter(entry));
    } else {
        put(&mut file, heading, values);
    }
    let text = toml::to_string(&file).unwrap();
    Scenario::parse("example", "example.toml", &text).map(|_| ())
}

/// Puts values where a heading says.
fn put(file: &mut toml::Table, heading: &str, values: toml::Table) {
    let is_list = heading.starts_with("[[");
    let path: Vec<&str> = heading.trim_matches(['[', ']']).split('.').collect();
    let (last, before) = path.split_last().unwrap();
    let mut table = file;
    for step in before {
        let entry = table.entry(*step).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().unwrap();
    }
    if is_list {
        let entry = table.entry(*last).or_insert_with(|| toml::Value::Array(Vec::new()));
        entry.as_array_mut().unwrap().push(toml::Value::Table(values));
    } else {
        let entry = table.entry(*last).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        entry.as_table_mut().unwrap().extend(values);
    }
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n  {}\n", complaints.join("\n  "));
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let sections = sections();
    let mut complaints = Vec::new();
    for Table { heading, keys, .. } in tables() {
        assert!(!keys.is_empty(), "{heading}: the decoder names no keys");
        let rows = sections.get(heading).cloned().unwrap_or_default();
        let rows: BTreeSet<&str> = rows.iter().map(|row| unquoted(row[0]).trim_matches(['[', ']'])).collect();
        let path = heading.trim_matches(['[', ']']);
        for key in &keys {
            let (table, list) = (format!("[{path}.{key}]"), format!("[[{path}.{key}]]"));
            let has_table = DOCUMENT.contains(&format!("`{table}`")) || DOCUMENT.contains(&format!("`{list}`"));
            // Said about a scenario as a whole.
            let is_above = path == "plan" && ["name", "must_fail", "must_say"].contains(&key.as_str());
            if !rows.contains(key.as_str()) && !has_table && !is_above {
                complaints.push(format!("{heading} lacks a row for `{key}`"));
            }
        }
        let strangers = rows.iter().filter(|row| !keys.iter().any(|key| key == *row));
        complaints.extend(strangers.map(|row| format!("{heading} has a row for `{row}`, which does not exist")));
    }
    for Choice { heading, names, .. } in choices() {
        assert!(!names.is_empty(), "{heading}: the decoder names nothing");
        let rows = sections.get(heading).cloned().unwrap_or_default();
        for (name, keys) in &names {
            let Some(row) = rows.iter().find(|row| unquoted(row[0]).trim_matches('"') == name) else {
                complaints.push(format!("{heading} lacks a row for `{name}`"));
                continue;
            };
            let missing = keys.iter().filter(|key| !row.iter().any(|cell| cell.contains(&format!("`{key}`: "))));
            complaints.extend(missing.map(|key| format!("{heading}, {name}: does not say what `{key}` is")));
        }
        let strangers = rows.iter().map(|row| unquoted(row[0]).trim_matches('"'));
        let strangers = strangers.filter(|row| !names.iter().any(|(name, _)| name == row));
        complaints.extend(strangers.map(|row| format!("{heading} has a row for `{row}`, which does not exist")));
    }
    none(&complaints);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let sections = sections();
    let mut complaints = Vec::new();
    for Table { heading, defaults, .. } in tables() {
        let Some(defaults) = defaults else { continue };
        for row in &sections[heading] {
            let [key, _, _, range, shown, _] = row[..] else { panic!("{heading}: a row has not six cells: {row:?}") };
            let value = &defaults[unquoted(key)];
            let default = match value {
                Value::Null => "absent".to_owned(),
                Value::String(text) => format!("`\"{text}\"`"),
                Value::Array(_) => format!("`{value}`"),
                // Tables with tables in them are described where their keys are.
                Value::Object(_) if range == "a table" => continue,
                Value::Object(_) => format!("`{}`", toml::Value::try_from(value).unwrap()),
                _ => value.to_string(),
            };
            if shown != default {
                complaints.push(format!("{heading} {key}: the default is {default}, not {shown}"));
            }
        }
    }
    none(&complaints);
}

fn shown(min: i64, max: i64) -> String {
    let max = if max == i64::MAX { "2^63-1".to_owned() } else { max.to_string() };
    format!("{min} to {max}")
}

#[test]
fn the_documented_ranges_are_the_ranges() {
    let sections = sections();
    let mut complaints = Vec::new();
    for Table { heading, .. } in tables() {
        let path = heading.trim_matches(['[', ']']);
        for row in sections.get(heading).into_iter().flatten() {
            let key = unquoted(row[0]);
            let words = ["true, false", "text", "texts", "see below", "see text", "a table", "kinds", "faults"];
            let right = match range_of(&format!("{path}.{key}")) {
                _ if heading == "The file" || words.contains(&row[3]) => continue,
                Some(Range::Between(min, max)) => shown(min, max),
                Some(Range::Replica) if row[3] == "replicas" => continue,
                Some(Range::Replica) => "a replica".to_owned(),
                Some(Range::Elsewhere) => "see text".to_owned(),
                None => "no number".to_owned(),
            };
            if row[3] != right {
                complaints.push(format!("{heading} `{key}`: the range is {right}, not {}", row[3]));
            }
        }
    }
    for Choice { heading, place, names } in choices() {
        let (path, key) = place.split_once("] ").unwrap();
        let path = format!("{}.{}", path.trim_matches(['[', ']']), key.split(' ').next().unwrap());
        for (name, keys) in names {
            let row = sections[heading].iter().find(|row| unquoted(row[0]).trim_matches('"') == name);
            for key in keys {
                let Some(Range::Between(min, max)) = range_of(&format!("{path}.{name}.{key}")) else { continue };
                // What the head of the document says about all keys of such names.
                let is_common =
                    key.ends_with("us") && min == 0 || key.ends_with("per_mille") && (min, max) == (0, 1000);
                let is_any = max == i64::MAX && min == 0;
                let cell = row.map_or("", |row| row[2]);
                let part = cell.split("; `").find(|part| part.trim_start_matches('`').starts_with(&format!("{key}`:")));
                let right = shown(min, max);
                if !is_common && !is_any && !part.is_some_and(|part| part.contains(&right)) {
                    complaints.push(format!("{heading}, {name}: `{key}` does not say that its range is {right}"));
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn every_example_works() {
    let sections = sections();
    let mut complaints = Vec::new();
    let mut examples = 0;
    let mut attempt = |heading: &str, example: &str| {
        examples += 1;
        if let Err(error) = try_example(heading, example) {
            complaints.push(format!("{heading} {example}: {error}"));
        }
    };
    for Table { heading, .. } in tables() {
        for row in sections.get(heading).into_iter().flatten().filter(|_| heading != "The file") {
            let example = unquoted(row[5]);
            assert!(example.starts_with(&format!("{} = ", unquoted(row[0]))), "{heading}: {example} sets another key");
            attempt(heading, example);
        }
    }
    for Choice { heading, place, .. } in choices() {
        let (table, rest) = place.split_once("] ").unwrap();
        for row in sections.get(heading).into_iter().flatten() {
            let example = if row.len() == 2 { row[0] } else { row[3] };
            // Only a program has those.
            if unquoted(row[0]) == "own" {
                continue;
            }
            attempt(&format!("{table}]"), &rest.replace('@', unquoted(example)));
        }
    }
    none(&complaints);
    assert!(examples > 150, "only {examples} examples were found");
}

#[test]
fn every_whole_file_in_the_document_works() {
    let files: Vec<&str> = DOCUMENT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(files.len() >= 3, "only {} whole files were found", files.len());
    for text in files {
        let scenario =
            Scenario::parse("example", "example.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for seed in 0..50 {
            scenario.plan(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        }
    }
}
