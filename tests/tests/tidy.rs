//! The shape of the source tree: who may depend on whom, how long a file may grow, which rules and which
//! reasons exist. What a reviewer would have to remember, a test remembers here.
//!
//! Each check returns its complaints as sentences, and a test fails with all of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use source::{citations, has_word, names_path, numbered_lines, rules_in, test_code, variants_of};

#[path = "tidy/source.rs"]
mod source;

/// Which packages of the workspace each package may depend on, for whatever purpose:
///
/// ```text
/// node ──► runtime ──► core ◄── sim      tests ──► everything      benches ──► core, sim, runtime
/// ```
///
/// The tests of `node` may use `sim`, for its oracles: see [`FOR_TESTS`].
const ARROWS: &[(&str, &[&str])] = &[
    ("cretoai-core", &[]),
    ("cretoai-runtime", &["cretoai-core"]),
    ("cretoai-sim", &["cretoai-core"]),
    ("cretoai-node", &["cretoai-core", "cretoai-runtime"]),
    ("cretoai-tests", &["cretoai-core", "cretoai-runtime", "cretoai-sim", "cretoai-node"]),
    ("cretoai-benches", &["cretoai-core", "cretoai-runtime", "cretoai-sim"]),
];

/// Which more a package may use in its tests.
const FOR_TESTS: &[(&str, &str)] = &[("cretoai-node", "cretoai-sim")];

/// All that the protocol may need besides the standard library.
const CORE_DEPENDENCIES: &[&str] = &["blake3", "postcard", "serde", "thiserror"];

/// What may not be anywhere below the simulator, and why.
const BANNED_BELOW_SIM: &[(&str, &str)] = &[
    ("ahash", "a hash seeded by the operating system: runs would differ"),
    ("getrandom", "a source of randomness besides the seed"),
    ("librocksdb-sys", "minutes of C++, and threads of its own"),
    ("aws-lc-sys", "needs more than Rust and a C compiler on some machines"),
    ("rayon-core", "a thread pool with an order of its own"),
    ("tokio", "a scheduler with an order of its own"),
    ("mio", "real network I/O"),
];

/// How many lines a source file may have.
const MAX_LINES: usize = 600;

/// Files that are longer, with the length they may have. This list only shrinks.
const LONG_FILES: &[(&str, usize)] = &[];

/// Absolute paths that only mean something on one person's machine.
const PRIVATE_PATHS: &[&str] =
    &[concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me"), concat!("/Us", "ers")];

/// Hosts of package registries. Which mirror to use is the builder's choice, not the project's.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".com"),
    concat!("npmjs", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

// ------------------------------------------------------------------------------------------------------------
// Dependencies

#[test]
fn dependencies_between_packages_follow_the_picture() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut complaints = Vec::new();

    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(allowed) = arrows.get(name) else {
            complaints.push(format!("{name} is not in the picture: add it to ARROWS, with its arrows"));
            continue;
        };
        for dependency in &package.dependencies {
            let target = dependency.name.as_str();
            let for_tests = dependency.kind == DependencyKind::Development && FOR_TESTS.contains(&(name, target));
            if members.contains(target) && !allowed.contains(&target) && !for_tests {
                complaints.push(format!("{name} must not depend on {target}"));
            }
        }
    }
    for (name, _) in ARROWS {
        if !members.contains(name) {
            complaints.push(format!("{name} is in the picture, but not in the workspace"));
        }
    }
    none(&complaints);
}

#[test]
fn the_core_depends_on_a_handful_of_crates() {
    let metadata = metadata();
    let core = metadata.packages.iter().find(|package| package.name.as_str() == "cretoai-core");
    let core = core.expect("cretoai-core is a package of the workspace");
    let complaints: Vec<String> = core
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .filter(|dependency| !CORE_DEPENDENCIES.contains(&dependency.name.as_str()))
        .map(|dependency| format!("cretoai-core must not depend on {}", dependency.name))
        .collect();
    none(&complaints);
}

#[test]
fn the_simulator_needs_only_rust_and_a_c_compiler_and_draws_on_no_entropy() {
    let mut complaints = Vec::new();
    let below: BTreeSet<String> = output(
        Command::new(cargo())
            .args(["tree", "--locked", "--package", "cretoai-sim", "--edges", "normal,build"])
            .args(["--prefix", "none", "--format", "{p}"]),
    )
    .lines()
    .filter_map(|line| line.split(' ').next().map(str::to_owned))
    .collect();
    assert!(below.contains("blake3"), "cargo tree printed something else than a tree: {below:?}");
    for (name, reason) in BANNED_BELOW_SIM {
        if below.contains(*name) {
            complaints.push(format!("{name} is below cretoai-sim: {reason}"));
        }
    }
    none(&complaints);
}

// ------------------------------------------------------------------------------------------------------------
// Files

#[test]
fn no_source_file_grows_beyond_its_limit() {
    let long: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for file in tracked() {
        if !file.path.ends_with(".rs") {
            continue;
        }
        let lines = file.text.lines().count();
        let limit = long.get(file.path.as_str()).copied().unwrap_or(MAX_LINES);
        if lines > limit {
            complaints.push(format!("{} has {lines} lines, and {limit} are allowed: split it", file.path));
        }
        if lines > MAX_LINES {
            seen.insert(file.path);
        }
    }
    for (path, _) in LONG_FILES {
        if !seen.contains(*path) {
            complaints.push(format!("{path} is no longer long: take it out of LONG_FILES"));
        }
    }
    none(&complaints);
}

#[test]
fn no_file_names_a_private_path_or_the_host_of_a_registry() {
    let mut complaints = Vec::new();
    for file in tracked() {
        // Cargo writes this one, and names the registry in it.
        if file.path == "Cargo.lock" {
            continue;
        }
        for (number, line) in numbered_lines(&file.text) {
            for path in PRIVATE_PATHS {
                if names_path(line, path) {
                    complaints.push(format!("{}:{number} names {path}", file.path));
                }
            }
            let lower = line.to_lowercase();
            for host in REGISTRY_HOSTS {
                if lower.contains(host) {
                    complaints.push(format!("{}:{number} names {host}", file.path));
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn the_core_and_the_simulator_ask_for_documentation_and_forbid_unsafe_code() {
    let mut complaints = Vec::new();
    for path in ["core/src/lib.rs", "sim/src/lib.rs"] {
        let text = read(path);
        for attribute in ["#![forbid(unsafe_code)]", "#![warn(missing_docs)]"] {
            if !text.lines().any(|line| line == attribute) {
                complaints.push(format!("{path} lacks {attribute}"));
            }
        }
    }
    none(&complaints);
}

#[test]
fn every_package_takes_its_lints_from_the_workspace() {
    let complaints: Vec<String> = metadata()
        .packages
        .iter()
        .filter(|package| {
            let manifest = fs::read_to_string(&package.manifest_path).expect("a package has a manifest");
            !manifest.contains("[lints]\nworkspace = true\n")
        })
        .map(|package| format!("{} lacks `[lints]` with `workspace = true`", package.name))
        .collect();
    none(&complaints);
}

#[test]
fn every_ban_in_a_clippy_toml_says_why() {
    let mut complaints = Vec::new();
    for path in ["core/clippy.toml", "sim/clippy.toml"] {
        let text = read(path);
        let bans: Vec<_> = numbered_lines(&text).filter(|(_, line)| line.contains("path = ")).collect();
        assert!(!bans.is_empty(), "{path} bans nothing");
        for (number, line) in bans {
            if !line.contains("reason = \"") {
                complaints.push(format!("{path}:{number} gives no reason"));
            }
        }
    }
    none(&complaints);
}

// ------------------------------------------------------------------------------------------------------------
// Rules and reasons

#[test]
fn every_rule_that_is_cited_exists() {
    let rules = rules_in(&read("docs/protocol.md"));
    assert!(!rules.is_empty(), "docs/protocol.md defines no rule");
    let mut complaints = Vec::new();
    let mut cited = 0;
    for file in tracked() {
        let citing = [".rs", ".toml", ".md", ".sh"].iter().any(|ending| file.path.ends_with(ending));
        if !citing || file.path == "docs/protocol.md" || file.path.starts_with("tests/tests/tidy") {
            continue;
        }
        for (number, rule) in citations(&file.text) {
            cited += 1;
            if !rules.contains(&rule) {
                complaints.push(format!("{}:{number} cites {rule}, which docs/protocol.md lacks", file.path));
            }
        }
    }
    none(&complaints);
    assert!(cited > 0, "no rule is cited anywhere: the search for citations is broken");
}

#[test]
fn every_reason_to_ignore_an_input_is_named_in_a_test() {
    if !root().join("core/src/input.rs").exists() {
        return;
    }
    let files = tracked();
    let variants = files
        .iter()
        .filter(|file| file.path.starts_with("core/src/"))
        .find_map(|file| variants_of(&file.text, "Ignored"))
        .expect("core has an `enum Ignored`");
    assert!(!variants.is_empty(), "`enum Ignored` has no variants");
    let tests: Vec<(bool, &str)> = files.iter().filter_map(test_code).collect();
    let complaints: Vec<String> = variants
        .iter()
        .filter(|variant| {
            let path = format!("Ignored::{variant}");
            !tests.iter().any(|(is_rust, text)| has_word(text, if *is_rust { path.as_str() } else { variant }))
        })
        .map(|variant| format!("no test names Ignored::{variant}"))
        .collect();
    none(&complaints);
}

#[test]
fn every_mutant_breaks_a_rule_that_exists_at_some_place_and_it_is_known_whether_it_dies() {
    let rules = rules_in(&read("docs/protocol.md"));
    let known = read("sim/mutants.toml");
    let files = tracked();
    let is_core = |file: &&File| file.path.starts_with("core/src/") && file.path != "core/src/mutant.rs";
    let core: Vec<&File> = files.iter().filter(is_core).collect();
    let (mut names, mut complaints) = (BTreeSet::new(), Vec::new());
    // Lines such as `VotesTwice = "votes-twice", "M8"`.
    for (number, line) in numbered_lines(&read("core/src/mutant.rs")) {
        let Some((variant, rest)) = line.trim().split_once(" = \"") else { continue };
        if !variant.chars().all(char::is_alphanumeric) {
            continue; // an attribute
        }
        let [name, _, rule, _] = rest.splitn(4, '"').collect::<Vec<_>>()[..] else { continue };
        let here = format!("core/src/mutant.rs:{number}: {variant}");
        if !names.insert(name.to_owned()) {
            complaints.push(format!("{here} has the name of another"));
        }
        if !rules.contains(rule) {
            complaints.push(format!("{here} breaks {rule}, which docs/protocol.md lacks"));
        }
        if !core.iter().any(|file| has_word(&file.text, &format!("Mutant::{variant}"))) {
            complaints.push(format!("{here} is asked about nowhere"));
        }
        if !known.contains(&format!("[{name}]\n")) {
            complaints.push(format!("{here} is not in sim/mutants.toml"));
        }
    }
    none(&complaints);
    assert!(names.len() >= 40, "only {} mutants were found: the search for them is broken", names.len());
}

// ------------------------------------------------------------------------------------------------------------
// How it is looked up

/// A text file of the project; `path` is relative to the root.
struct File {
    path: String,
    text: String,
}

/// Fails with every complaint on a line of its own.
#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n  {}\n", complaints.join("\n  "));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in a workspace").to_owned()
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata runs")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a command at the root and returns what it printed.
fn output(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaint}", output.status);
    String::from_utf8(output.stdout).expect("the output is text")
}

/// The text files that are, or are about to be, in the repository.
fn tracked() -> Vec<File> {
    let list = output(
        // A clone may belong to another user than the one who tests it.
        Command::new("git").args(["-c", "safe.directory=*", "ls-files", "-z"]).args([
            "--cached",
            "--others",
            "--exclude-standard",
        ]),
    );
    let paths: BTreeSet<&str> = list.split('\0').filter(|path| !path.is_empty()).collect();
    let files: Vec<File> = paths
        .into_iter()
        .filter_map(|path| {
            // Files that are deleted but not yet committed as such, and files that are no text, are left out.
            let text = fs::read_to_string(root().join(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .collect();
    assert!(!files.is_empty(), "git lists no files");
    files
}
