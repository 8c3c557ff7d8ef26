//! Every scenario of the library goes as it says.

use cretoai_sim::report::{RunReport, Verdict};
use cretoai_sim::scenario::{LIBRARY, Scenario};
use cretoai_sim::world::World;

/// What went wrong in a run, and how to see it again.
fn complaint(name: &str, seed: u64, report: &RunReport) -> String {
    let failure = report.verdict.failure().map_or("", |failure| failure.sentence.as_str());
    let oracle = report.verdict.failure().map_or("", |failure| failure.oracle.as_str());
    let at_us = report.verdict.failure().map_or(0, |failure| failure.at_ns / 1000);
    let broken = report.expectations.iter().filter(|outcome| !outcome.held);
    let broken: String =
        broken.map(|outcome| format!("\n    broken: {}: {}", outcome.expectation, outcome.found)).collect();
    format!(
        "\n  {name}, seed {seed}: {oracle} at {at_us} us: {failure}{broken}\n    cretoai-sim run {name} --seed {seed}"
    )
}

#[test]
fn every_scenario_of_the_library_passes() {
    let mut world = World::new();
    let mut complaints = String::new();
    for (name, _) in LIBRARY {
        let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
        // The second seed is for schedules that only seem to be fixed. Slow code goes without it.
        let seeds = [scenario.default_seed(), 2];
        let seeds = if cfg!(debug_assertions) { &seeds[..1] } else { &seeds };
        for &seed in seeds {
            let plan = scenario.plan(seed).unwrap_or_else(|error| panic!("{error}"));
            let report = world.run(&plan);
            if report.verdict != Verdict::Pass {
                complaints += &complaint(name, seed, &report);
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn the_documentation_says_what_each_scenario_is_for() {
    let document = include_str!("../../docs/scenarios.md");
    let (_, behind) = document.split_once("\n## What the library covers\n").expect("there is such a chapter");
    let chapter = behind.split("\n## ").next().unwrap_or_default();
    let rows = chapter.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let named: Vec<&str> = rows.flat_map(|(_, names)| names.split('`').skip(1).step_by(2)).collect();
    let known: Vec<&str> = LIBRARY.iter().map(|(name, _)| *name).collect();
    let missing = known.iter().filter(|name| !named.contains(name));
    let missing = missing.map(|name| format!("docs/scenarios.md does not say what {name} is for"));
    let strangers = named.iter().filter(|name| !known.contains(name));
    let strangers = strangers.map(|name| format!("docs/scenarios.md speaks of {name}, which does not exist"));
    let complaints: Vec<String> = missing.chain(strangers).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
