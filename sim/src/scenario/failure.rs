//! Failure files: all that is needed to see a failure again.

use super::error::LoadError;
use super::{Scenario, parse};
use crate::plan::Plan;
use crate::report::{RunReport, Verdict};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The version of failure files that this program reads and writes.
pub const FORMAT: u64 = 1;

/// What to do about a file that is none of these.
const WRITTEN: &str = "give a failure file that `cretoai-sim campaign` wrote";

/// A run that failed, and everything it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureFile {
    /// The version of the format.
    pub format: u64,
    /// The program that wrote it.
    pub build: String,
    /// The name of the scenario.
    pub scenario: String,
    /// The text of the scenario.
    pub scenario_text: String,
    /// The seed.
    pub seed: u64,
    /// How it went.
    pub verdict: Verdict,
    /// The hash over all events.
    pub hash: String,
    /// How many there were.
    pub events: u64,
    /// What was run: the scenario and the seed, expanded. This is what a replay runs.
    pub plan: Plan,
    /// The rule of the protocol that was broken on purpose, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutant: Option<String>,
}

impl FailureFile {
    /// Of a run.
    #[must_use]
    pub fn new(scenario: &Scenario, plan: &Plan, report: &RunReport) -> Self {
        Self {
            format: FORMAT,
            build: build(),
            scenario: scenario.name.clone(),
            scenario_text: scenario.text.clone(),
            seed: plan.seed,
            verdict: report.verdict.clone(),
            hash: report.hash.clone(),
            events: report.events,
            plan: plan.clone(),
            mutant: None,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError`] in one line, if the file cannot be read, is of a newer format, or cannot be run.
    pub fn read(file: &str) -> Result<Self, LoadError> {
        let text = fs::read_to_string(file)
            .map_err(|error| LoadError::whole(file, format!("cannot be read: {error}"), WRITTEN))?;
        Self::parse(&text).map_err(|error| error.in_file(file))
    }

    fn parse(text: &str) -> Result<Self, LoadError> {
        let again = "repeat the run with its scenario and seed";
        let failure: Self = parse::json_of(FORMAT, text, WRITTEN, again)?;
        // The scenario says whether more than f Byzantine replicas are meant.
        let scenario = Scenario::parse(&failure.scenario, "scenario_text", &failure.scenario_text)
            .map_err(|error| LoadError::at("scenario_text", None, error.to_string()))?;
        scenario.check(&failure.plan)?;
        Ok(failure)
    }

    /// Writes it into a folder, which is made if it is not there. Where it is now.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let stem = self.scenario.rsplit(['/', '\\']).next().unwrap_or("run");
        let stem = stem.strip_suffix(".toml").unwrap_or(stem);
        let path = folder.join(format!("{stem}-{}.json", self.seed));
        self.save(&path)?;
        Ok(path)
    }

    /// Writes it as this file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }
}

/// This program.
#[must_use]
pub fn build() -> String {
    concat!("cretoai-sim ", env!("CARGO_PKG_VERSION")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Failure;

    fn failure() -> FailureFile {
        let scenario = Scenario::load("demo").unwrap();
        let plan = scenario.plan(7).unwrap();
        let what = Failure { oracle: "O1".into(), sentence: "two batches in s1".into(), at_ns: 5, event: 9 };
        FailureFile {
            format: FORMAT,
            build: build(),
            scenario: "demo".into(),
            scenario_text: scenario.text,
            seed: 7,
            verdict: Verdict::Safety(what),
            hash: "00ff".into(),
            events: 10,
            plan,
            mutant: Some("votes-twice".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = serde_json::to_string_pretty(&failure()).unwrap();
        assert_eq!(FailureFile::parse(&text), Ok(failure()));
    }

    #[test]
    fn what_the_seed_chooses_goes_beyond_f_only_where_it_expects_replicas_to_stop() {
        let scenario = Scenario::load("swarm").unwrap();
        let mut themed = 0;
        for seed in 0..600 {
            let mut plan = scenario.plan(seed).unwrap();
            assert_eq!(scenario.check(&plan), Ok(()), "seed {seed}");
            plan.expectations.clear();
            let Err(error) = scenario.check(&plan) else { continue };
            assert_eq!(error.key, "plan.byzantine");
            themed += 1;
        }
        assert!((2..20).contains(&themed), "{themed} of 600 seeds");
    }

    #[test]
    fn newer_and_broken_files_are_refused_in_one_line() {
        let text = serde_json::to_string_pretty(&failure()).unwrap();
        let said = |text: &str| FailureFile::parse(text).unwrap_err().in_file("f.json").to_string();
        let newer = text.replace("\"format\": 1", "\"format\": 2, \"nobody\": \"knows\"");
        assert!(said(&newer).starts_with("f.json: format = 2: newer than this program"), "{}", said(&newer));
        assert!(said(&text[..text.len() / 2]).contains("not JSON"), "{}", said(&text[..text.len() / 2]));
        let unknown = text.replace("\"seed\": 7", "\"sead\": 7");
        assert!(said(&unknown).contains(": sead: unknown key; did you mean `seed`?"), "{}", said(&unknown));
        let outside = text.replace("\"n\": 4", "\"n\": 400");
        assert!(said(&outside).contains("plan.n = 400: must be from 1 to 128"), "{}", said(&outside));
        assert_eq!(said("[]").lines().count(), 1);
    }
}
