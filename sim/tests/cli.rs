//! The command line, as a user meets it: what it prints, and what it exits with.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a command did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

#[track_caller]
fn sim(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_cretoai-sim")).args(arguments).output();
    let Output { status, stdout, stderr } = output.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    Ran { code: status.code().expect("no signal ended it"), out: text(stdout), err: text(stderr) }
}

impl Ran {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Refused: exit code 64, nothing on the standard output, one line on the other.
    #[track_caller]
    fn refuses_with(self, line: &str) {
        let Self { out, err, .. } = self.exits(64);
        assert_eq!(err, format!("error: {line}\n"));
        assert_eq!(out, "");
    }

    #[track_caller]
    fn says(self, what: &str) -> Self {
        assert!(self.out.contains(what), "`{what}` is not in\n{}", self.out);
        self
    }

    /// What follows a head at the start of a line.
    #[track_caller]
    fn row(&self, head: &str) -> &str {
        let row = self.out.lines().find_map(|line| line.strip_prefix(head));
        row.unwrap_or_else(|| panic!("no row `{head}` in\n{}", self.out)).trim()
    }
}

#[cfg(not(feature = "mutants"))]
#[test]
fn a_program_without_mutants_says_how_to_get_one_with_them() {
    sim(&["mutants", "--only", "votes-twice"]).refuses_with(
        "mutants: no rule can be broken in this program; \
         build it with `cargo build --release -p cretoai-sim --features mutants`",
    );
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).expect("the folder of an earlier test can be removed");
    }
    fs::create_dir_all(&path).expect("a folder can be made");
    path
}

/// A scenario file with this below its title, and its path.
fn scenario(name: &str, text: &str) -> String {
    let path = folder(name).join("s.toml");
    fs::write(&path, format!("version = 1\ntitle = \"A test\"\ndescription = \"It is run.\"\n{text}")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Two replicas too many collude, and nobody says that this has to fail.
fn broken(name: &str) -> String {
    let canary = include_str!("../scenarios/canary.toml");
    let path = folder(name).join("broken.toml");
    fs::write(&path, canary.replace("must_fail = \"O1\"\n", "")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn without_arguments_the_demo_runs_and_says_how_to_repeat_it() {
    let ran = sim(&[]).exits(0).says("demo, seed 1: ").says("Byzantine   r0 equivocates").says("r2: crashes");
    assert_eq!(ran.row("verdict"), "pass");
    assert_eq!(ran.row("hash").len(), 16);
    assert_eq!(ran.row("repeat"), "cretoai-sim run demo --seed 1");
    assert_eq!(ran.err, "");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_gives_another() {
    let first = sim(&["run", "demo", "--seed", "7"]).exits(0);
    let again = sim(&["run", "--seed", "7"]).exits(0);
    assert_eq!(first.out, again.out);
    let other = sim(&["run", "--seed", "8"]).exits(0);
    assert_ne!(first.row("hash"), other.row("hash"));
}

#[test]
fn the_canary_fails_with_its_oracle_and_therefore_passes() {
    let ran = sim(&["run", "canary"]).exits(0);
    assert_eq!(ran.row("verdict"), "pass: O1 failed, as it has to");
    sim(&["campaign", "canary", "--seeds", "0..50"]).exits(0);
}

#[test]
fn a_canary_that_does_not_fail_is_a_failure() {
    let sleeping = scenario("sleeping", "must_fail = \"O1\"\n[plan]\nworkload = { ops = 1 }\n");
    let ran = sim(&["run", &sleeping]).exits(1);
    assert!(ran.row("verdict").starts_with("SAFETY expectation: O1 had to fail"), "{}", ran.out);
}

#[test]
fn a_fork_exits_with_1_and_a_missed_expectation_with_2() {
    let ran = sim(&["run", &broken("fork")]).exits(1);
    assert!(ran.row("verdict").starts_with("SAFETY O1: "), "{}", ran.out);
    let missed = scenario("missed", "[plan]\nworkload = { ops = 1 }\nexpectations = [{ never = { op = \"#0\" } }]\n");
    let ran = sim(&["run", &missed]).exits(2);
    assert!(ran.row("verdict").starts_with("LIVENESS expectation: "), "{}", ran.out);
}

#[test]
fn a_mistake_in_a_scenario_is_one_line_with_file_key_value_and_remedy() {
    let cases = [
        ("[plan]\nm = 4\n", ":5: plan.m = 4: unknown key; did you mean `n`?"),
        ("[plan]\nn = 129\n", ":5: plan.n = 129: must be from 1 to 128; the nearest value allowed is 128"),
        ("[plan]\nn = -1\n", ":5: plan.n = -1: must be a whole number from 1 to 128"),
        ("[plan]\nn = \"four\"\n", ":5: plan.n = \"four\": must be a whole number from 1 to 128"),
        (
            "[plan]\nn = 3\n",
            ":5: plan.n = 3: fewer than 4 replicas tolerate no fault (f = 0); use at least 4, or set plan.allow_intolerant = true",
        ),
        (
            "[plan]\nbyzantine = [{ replica = 0, behaviour = \"silent\" }, { replica = 2, behaviour = \"silent\" }]\n",
            ":5: plan.byzantine = [0, 2]: 2 Byzantine replicas are more than f = 1 of n = 4; set allow_more_than_f = true at \
             the top of the scenario, or name fewer (a disk that loses what was durable counts)",
        ),
        (
            "[plan]\nfaults = [{ at_us = 5, fault = { crash = { replica = 4 } } }]\n",
            ":5: plan.faults[0].fault.crash.replica = 4: there is no such replica among 4; name one from 0 to 3, or raise plan.n",
        ),
        ("[plan]\nfaults = [{ fault = \"heal\" }]\n", ":5: plan.faults[0].at_us: is missing; add it"),
        (
            "[plan]\nfaults = [{ at_us = 5, fault = \"heel\" }]\n",
            ":5: plan.faults[0].fault = \"heel\": unknown value; did you mean `heal`?",
        ),
        (
            "[plan]\nwindow = 40\n",
            ":5: plan.window = 40: must be a multiple of the checkpoint interval, at least twice it, at most 64",
        ),
        (
            "[plan]\nname = \"x\"\n",
            ":5: plan.name: a scenario does not say this about its plan; leave it out: a plan is called like its file",
        ),
        (
            "must_fail = \"O99\"\n[plan]\n",
            ":4: must_fail = \"O99\": no oracle has this name; the oracles are O1 to O18 but O13",
        ),
        ("", ": plan: is missing; write a table [plan] with what differs from the default, or [swarm]"),
        ("plan = 5 5\n", ":4: not TOML: "),
    ];
    for (text, expected) in cases {
        let path = scenario("mistake", text);
        let Ran { err, out, .. } = sim(&["run", &path]).exits(64);
        assert_eq!((err.lines().count(), out.as_str()), (1, ""), "{err}{out}");
        let line = err.trim_end().strip_prefix(&format!("error: {path}")).unwrap_or_else(|| panic!("{err}"));
        assert!(line.starts_with(expected), "\n{text}\nsays     {line}\nand not  {expected}");
    }
}

#[test]
fn a_scenario_of_another_version_is_refused_before_anything_else_in_it() {
    let path = folder("version").join("s.toml");
    let name = path.to_str().unwrap();
    fs::write(&path, "# newer\nversion = 2\nunheard = \"of\"\n").unwrap();
    let newer = "version = 2: newer than this program, which reads version 1; use a newer cretoai-sim";
    sim(&["run", name]).refuses_with(&format!("{name}:2: {newer}"));
    fs::write(&path, "title = \"x\"\n").unwrap();
    sim(&["run", name]).refuses_with(&format!("{name}: version: is missing; write `version = 1` at the top"));
}

#[test]
fn flags_allow_what_is_otherwise_refused() {
    let three = scenario("three", "[plan]\nn = 3\nallow_intolerant = true\nworkload = { ops = 3 }\n");
    sim(&["run", &three]).exits(0).says("3, f = 0, quorum 2");
    let silent = "byzantine = [{ replica = 0, behaviour = \"silent\" }, { replica = 2, behaviour = \"silent\" }]";
    let two = scenario("two", &format!("allow_more_than_f = true\n[plan]\nphases = {{ end_us = 1000 }}\n{silent}\n"));
    sim(&["run", &two]).exits(0);
}

#[test]
fn what_cannot_be_found_or_read_is_refused_in_one_line() {
    let remedy = "`cretoai-sim scenarios` lists them; a path has a slash or ends in .toml";
    sim(&["run", "dmeo"]).refuses_with(&format!("dmeo: no scenario of the library has this name; {remedy}"));
    let gone = "./gone.toml: cannot be read: No such file or directory (os error 2); give a file that can be read";
    sim(&["campaign", "./gone.toml"]).refuses_with(gone);
    for arguments in [["replay", "gone.json"], ["trace", "gone.json"]] {
        let Ran { err, .. } = sim(&arguments).exits(64);
        assert!(err.starts_with("error: gone.json: cannot be read: ") && err.lines().count() == 1, "{err}");
    }
    let Ran { err, .. } = sim(&["campaign", "canary", "--seeds", "0..1", "--json", "/nowhere/at/all"]).exits(64);
    assert!(err.starts_with("error: --json /nowhere/at/all: cannot be written: ") && err.lines().count() == 1, "{err}");
}

#[test]
fn a_wrong_command_line_exits_with_64_and_help_with_0() {
    for wrong in
        [&["bogus"][..], &["run", "--sed", "1"], &["campaign", "--seeds", "5"], &["replay"], &["run", "--seed", "x"]]
    {
        let Ran { err, .. } = sim(wrong).exits(64);
        assert!(err.starts_with("error: "), "{wrong:?}: {err}");
    }
    sim(&["campaign", "--jobs", "0"]).exits(64);
    sim(&["--help"])
        .exits(0)
        .says("Exit codes: 0 pass, 1 safety violated, 2 liveness violated, 3 nondeterminism, 64 usage");
    sim(&["--version"]).exits(0).says(concat!("cretoai-sim ", env!("CARGO_PKG_VERSION")));
    sim(&["trace", "canary", "--replica", "4"])
        .refuses_with("--replica 4: there is no such replica among 4; name one from 0 to 3");
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the file is there")).expect("it is JSON")
}

#[test]
fn the_summary_of_a_campaign_does_not_depend_on_the_number_of_threads() {
    let folder = folder("threads");
    let summary = |jobs: &str| {
        let path = folder.join(jobs);
        let json = path.to_str().unwrap();
        sim(&["campaign", "swarm", "canary", "--seeds", "100..160", "--jobs", jobs, "--json", json]).exits(0);
        let mut summary = read(&path);
        for measured in ["measured", "jobs"] {
            summary.as_object_mut().unwrap().remove(measured).expect("it is in the summary");
        }
        summary
    };
    let one = summary("1");
    assert_eq!(one["scenarios"][0]["runs"], 60);
    assert_eq!(one["scenarios"][1]["name"], "canary");
    assert_eq!(one, summary("5"));
}

#[test]
fn a_failing_seed_leaves_a_file_that_replays_to_the_same_verdict_and_hash() {
    let path = broken("failing");
    let out = folder("failing-out");
    let ran = sim(&["campaign", &path, "--seeds", "3..5", "--out", out.to_str().unwrap()]).exits(1);
    let file = out.join("broken-3.json");
    let replay = format!("cretoai-sim replay {}", file.display());
    let ran = ran.says(&format!("FAILED {path}, seed 3: SAFETY O1: ")).says(&replay);
    assert_eq!(ran.row("verdict"), "2 failures in 2 runs");
    let failure = read(&file);
    assert_eq!((&failure["format"], &failure["seed"]), (&1.into(), &3.into()));
    assert_eq!(failure["build"], concat!("cretoai-sim ", env!("CARGO_PKG_VERSION")));

    let name = file.to_str().unwrap();
    let ran = sim(&["replay", name]).exits(1).says("the same verdict and the same hash as recorded");
    assert_eq!(ran.row("hash"), failure["hash"]);
    assert_eq!(ran.row("repeat"), replay);
    assert!(ran.out.lines().any(|line| line.starts_with("O1: ")), "the violation's sentence is missing:\n{}", ran.out);
    let early = sim(&["replay", name, "--replica", "2", "--until", "35ms"]).exits(1);
    // The number of an event, its time, and whose it is.
    let head = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    let heads: Vec<_> =
        early.out.lines().map(head).filter(|head| head.len() == 3 && head[1].starts_with("0.0")).collect();
    assert!(!heads.is_empty() && heads.iter().all(|head| head[2] == "r2"), "{heads:?}");
    assert!(heads.iter().all(|head| *head[1] <= *"0.035000"), "{heads:?}");
}

#[test]
fn a_failure_shrinks_to_a_file_that_replays_to_the_same_failure() {
    let out = folder("shrink-out");
    sim(&["campaign", &broken("shrink-in"), "--seeds", "3..4", "--out", out.to_str().unwrap()]).exits(1);
    let (file, shrunk) = (out.join("broken-3.json"), out.join("broken-3-shrunk.json"));
    let ran = sim(&["shrink", file.to_str().unwrap()])
        .exits(0)
        .says("verified    twice")
        .says("steps are ")
        .says("they pass ");
    assert!(ran.row("verdict").starts_with("SAFETY O1: "), "{}", ran.out);
    assert_eq!(ran.row("repeat"), format!("cretoai-sim replay {}", shrunk.display()));
    let deliveries: Vec<u64> = ran.row("deliveries").split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(deliveries[1] < deliveries[0] && deliveries[1] <= 20, "{}", ran.out);
    sim(&["replay", shrunk.to_str().unwrap()]).exits(1).says("the same verdict and the same hash as recorded");
    assert_eq!(read(&shrunk)["plan"]["transcript"]["said"].as_array().map(|said| !said.is_empty()), Some(true));
}

#[test]
fn a_failure_that_is_not_as_recorded_is_told_apart_from_one_that_is() {
    let out = folder("altered");
    sim(&["campaign", &broken("altered-in"), "--seeds", "0..1", "--out", out.to_str().unwrap()]).exits(1);
    let file = out.join("broken-0.json");
    let mut failure = read(&file);
    failure["hash"] = "0123456789abcdef".into();
    fs::write(&file, failure.to_string()).unwrap();
    sim(&["replay", file.to_str().unwrap()]).exits(1).says("NOT as recorded, the program has changed since");
}

#[test]
fn newer_and_damaged_failure_files_are_refused_in_one_line() {
    let out = folder("damaged");
    sim(&["campaign", &broken("damaged-in"), "--seeds", "0..1", "--out", out.to_str().unwrap()]).exits(1);
    let file = out.join("broken-0.json");
    let name = file.to_str().unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    let newer = whole.replacen("\"format\": 1", "\"format\": 2", 1);
    let damaged = &whole[..whole.len() / 3];
    let outside = whole.replacen("\"n\": 4", "\"n\": 4000", 1);
    let mutant = whole.replacen("\"format\": 1", "\"format\": 1, \"mutant\": \"unheard-of\"", 1);
    let cases = [
        (newer.as_str(), ": format = 2: newer than this program, which reads format 1; use a newer cretoai-sim, or "),
        (damaged, ": not JSON: "),
        (&outside, ": plan.n = 4000: must be from 1 to 128; "),
        (&mutant, ": mutant = unheard-of: "),
    ];
    for (text, expected) in cases {
        fs::write(&file, text).unwrap();
        for command in ["replay", "trace"] {
            let Ran { err, out, .. } = sim(&[command, name]).exits(64);
            assert!(err.starts_with(&format!("error: {name}")) && err.contains(expected), "{err}");
            assert_eq!((err.lines().count(), out.as_str()), (1, ""), "{err}");
        }
    }
}

#[test]
fn a_campaign_stops_after_enough_failures_and_always_at_the_same_seed() {
    let path = broken("enough");
    let out = folder("enough-out");
    let out = out.to_str().unwrap();
    for jobs in ["1", "4"] {
        let arguments = ["campaign", &path, "--seeds", "0..1000", "--max-failures", "3", "--jobs", jobs, "--out", out];
        let ran = sim(&arguments).exits(1);
        assert_eq!(ran.row("verdict"), "3 failures in 3 runs");
        assert_eq!(ran.row("repeat"), format!("cretoai-sim campaign {path} --seeds 0..3"));
    }
    assert_eq!(fs::read_dir(out).unwrap().count(), 3);
}

#[test]
fn a_campaign_can_be_limited_by_time() {
    let ran = sim(&["campaign", "canary", "--for", "200ms", "--jobs", "2"]).exits(0);
    assert!(ran.row("repeat").starts_with("cretoai-sim campaign canary --seeds 0.."), "{}", ran.out);
}

#[test]
fn test_tools_get_a_report_with_every_failure() {
    let folder = folder("junit");
    let file = folder.join("report.xml");
    let (xml, out) = (file.to_str().unwrap(), folder.to_str().unwrap());
    let path = broken("junit-in");
    sim(&["campaign", &path, "canary", "--seeds", "0..2", "--junit", xml, "--out", out]).exits(1);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("<testsuites name=\"cretoai-sim\" tests=\"4\" failures=\"2\""), "{text}");
    assert!(text.contains("name=\"2 of the seeds 0..2 pass\"/>"), "{text}");
    assert_eq!(text.matches("<failure type=\"O1\" message=\"SAFETY O1: ").count(), 2, "{text}");
    assert_eq!(text.matches("<testcase ").count(), 4, "{text}");
}

#[test]
fn two_runs_are_compared_event_by_event() {
    sim(&["diff", "canary:1", "canary"]).exits(0).says("canary:1 and canary are the same in every event");
    let ran = sim(&["diff", "canary:1", "canary:2"]).exits(0).says(" events, and then differ");
    let marked = |mark| ran.out.lines().filter(|line| line.starts_with(mark)).count();
    assert!(marked("< ") > 0 && marked("> ") > 0, "{}", ran.out);
}

#[test]
fn a_trace_has_columns_for_people_and_objects_for_programs() {
    let text = sim(&["trace", "canary:1"]).exits(0);
    assert!(text.out.starts_with("     time, s    who    view  stable   exec  event\n"), "{}", text.out);
    let lines = sim(&["trace", "canary:1", "--format", "jsonl"]).exits(0).out;
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let (end, events) = events.split_last().unwrap();
    assert_eq!((&end["what"], &end["verdict"]), (&"end".into(), &"pass".into()));
    assert_eq!(events.len() + 2, text.out.lines().count());
    let executes = events.iter().find(|event| event["what"] == "executes").expect("something is executed");
    assert_eq!((&executes["slot"], &executes["text"]), (&1.into(), &"executes s1 (1 requests)".into()));
    assert_eq!(events.last().unwrap()["hash"], end["hash"]);
}

#[test]
fn a_bundle_of_proof_convicts_whoever_reads_it_and_a_changed_one_does_not() {
    let file = folder("proof").join("bundle");
    let path = file.to_str().unwrap();
    sim(&["run", "canary", "--bundle", path]).exits(0).says(&format!("cretoai-sim verify {path} --seed 1"));
    let ran = sim(&["verify", path, "--seed", "1"]).exits(0).says("FORK         s1 was decided as ");
    assert!(ran.row("faulty").starts_with("r0, r1: more than f"), "{}", ran.out);
    assert_eq!(ran.row("verdict"), "everything in it proves what it says");
    sim(&["verify", path, "--seed", "2"]).refuses_with(&format!("{path}: seed 2 is of another run"));
    let unknown = "simulated signatures cannot be checked without the seed of their run: add --seed";
    sim(&["verify", path]).refuses_with(&format!("{path}: {unknown}"));

    // The last byte is of a signature in a certificate.
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let ran = sim(&["verify", path, "--seed", "1"]).exits(1);
    assert!(ran.row("NOT proven").contains("signature of"), "{}", ran.out);
    assert_eq!(ran.row("verdict"), "one thing in it proves nothing");
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    sim(&["verify", path, "--seed", "1"]).exits(64);
}

#[test]
fn the_library_is_listed_one_line_each() {
    let ran = sim(&["scenarios"]).exits(0);
    for name in ["demo", "swarm", "canary"] {
        assert!(ran.out.lines().any(|line| line.split(' ').next() == Some(name)), "{}", ran.out);
    }
}

#[cfg(feature = "mutants")]
#[test]
fn a_violation_that_an_exploration_found_is_replayed_from_its_file() {
    let folder = folder("explored");
    let out = folder.to_str().expect("a path of ASCII");
    let bounds = ["explore", "--byzantine", "0", "--views", "1", "--mutant", "decided-by-too-few", "--out", out];
    sim(&bounds).exits(1).says("VIOLATED with Byzantine r0").says("cretoai-sim explore --replay ");
    let file = folder.join("explore-decided-by-too-few-r0.json");
    let path = file.to_str().expect("a path of ASCII");
    sim(&["explore", "--replay", path]).exits(1).says("the same steps and the same violation as recorded");
    let text = fs::read_to_string(&file).expect("it was written");
    let mut recorded: Value = serde_json::from_str(&text).expect("it is JSON");
    recorded["steps"][0]["event"] = "NEW-VIEW".into();
    fs::write(&file, recorded.to_string()).expect("it can be written");
    let refused = format!("{path}: steps[0].event = NEW-VIEW: cannot happen to ");
    let ran = sim(&["explore", "--replay", path]).exits(64);
    assert!(ran.err.starts_with(&format!("error: {refused}")), "{}", ran.err);
    recorded["bounds"]["byzantine"] = 4.into();
    fs::write(&file, recorded.to_string()).expect("it can be written");
    let ran = sim(&["explore", "--replay", path]).exits(64);
    let refused = format!("{path}: bounds.byzantine = 4: cannot be explored; give 0 to 3");
    assert!(ran.err.starts_with(&format!("error: {refused}")), "{}", ran.err);
}

#[test]
fn an_exploration_that_needs_more_memory_than_it_may_take_says_so() {
    sim(&["explore", "--byzantine", "3", "--memory", "1"])
        .exits(64)
        .says("NOT COVERED with Byzantine r3: no violation so far, but they take more than 1 MiB; raise --memory");
}
