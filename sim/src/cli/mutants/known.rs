//! What is known of each mutant: which way finds it soonest, or what it would take to find it.

use super::super::Stop;
use super::hunt::{Bounds, Hunted, Kill, Task, Way};
use cretoai_core::mutant::Mutant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What was known when this program was built.
const TEXT: &str = include_str!("../../../mutants.toml");

const HEAD: &str =
    "# Which way finds each mutant soonest, and within how many seeds it is to be found; or why it survives.
# Written by `cretoai-sim mutants --update`, which keeps the reasons.

";

/// Seeds that `--check` has for a mutant at the least.
const LEAST_SEEDS: u64 = 20;

/// How many times as many seeds as nine in ten campaigns needed: one in ten thousand needs more.
const AMPLE: u64 = 4;

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Known(BTreeMap<String, Entry>);

/// What is known of a mutant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The way that finds it soonest.
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<Way>,
    /// Within how many seeds from 0 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<u64>,
    /// The scenario that finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<String>,
    /// What it would take to find it in the default campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    survives: Option<String>,
}

impl Known {
    pub(super) fn read() -> Result<Self, Stop> {
        toml::from_str(TEXT).map_err(|error| Stop::Usage(format!("sim/mutants.toml: {error}")))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What it would take to find a mutant.
    pub(super) fn needs(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.survives.as_deref()
    }

    /// For each mutant that something finds, the hunt that is expected to.
    pub(super) fn tasks(&self, mutants: &[Option<Mutant>], cpu_ns: u64) -> Vec<Task> {
        let task = |mutant: &Option<Mutant>| {
            let entry = self.0.get(mutant.as_ref()?.name())?;
            let bounds = Bounds { campaigns: 1, seeds: entry.seeds.unwrap_or(LEAST_SEEDS), cpu_ns };
            Some(Task {
                mutant: *mutant,
                way: entry.strategy?,
                bounds,
                scenario: entry.scenario.clone(),
                failures: None,
            })
        };
        mutants.iter().filter_map(task).collect()
    }

    /// What is known after these hunts.
    pub(super) fn updated(&self, hunted: &[Hunted]) -> Self {
        let mut known = self.clone();
        let names = Mutant::ALL.iter().map(|mutant| mutant.name());
        known.0.retain(|name, _| names.clone().any(|known| known == name));
        for name in names {
            let of_it: Vec<&Hunted> = hunted.iter().filter(|hunted| hunted.mutant == Some(name)).collect();
            if of_it.is_empty() {
                continue;
            }
            let survives = known.0.get(name).and_then(|entry| entry.survives.clone());
            let found = of_it.iter().filter(|hunted| hunted.is_killed()).min_by_key(|hunted| cost(hunted));
            let entry = found.map_or_else(Entry::default, |hunted| expected(hunted));
            known.0.insert(name.to_owned(), Entry { survives, ..entry });
        }
        known
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Stop> {
        let text = toml::to_string(self).expect("names and numbers");
        let complaint = |error| Stop::Usage(format!("--update {}: cannot be written: {error}", path.display()));
        fs::write(path, format!("{HEAD}{text}")).map_err(complaint)
    }
}

/// The cheapest of the library's scenarios that kill, and of others what is usual.
fn cost(hunted: &Hunted) -> u64 {
    match cheapest(hunted) {
        Some(kill) => kill.cpu_us,
        None => hunted.spread(|kill| kill.cpu_us).map_or(u64::MAX, |[_, median, _]| median),
    }
}

fn cheapest(hunted: &Hunted) -> Option<&Kill> {
    hunted.kills.iter().filter(|_| hunted.way == Way::Scenarios).min_by_key(|kill| kill.cpu_us)
}

fn expected(hunted: &Hunted) -> Entry {
    let scenario = cheapest(hunted).map(|kill| kill.scenario.clone());
    let ample = |[_, _, most]: [u64; 3]| (AMPLE * most).max(LEAST_SEEDS);
    let seeds = hunted.spread(|kill| kill.seeds).map(ample).filter(|_| scenario.is_none());
    Entry { strategy: Some(hunted.way), seeds, scenario, survives: None }
}
