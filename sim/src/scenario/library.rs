//! The scenarios that are part of the program.

macro_rules! library {
    ($($name:literal)*) => {
        /// The names of the scenarios that are part of the program, and their files. In the order in which they
        /// are listed.
        pub const LIBRARY: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/", $name, ".toml")))),*];
    };
}

// One line for each file in `sim/scenarios`. A test looks whether one was forgotten.
library! {
    "demo"
    "swarm"
    "canary"
}

/// The file of a scenario, for messages.
pub(super) fn file_of(name: &str) -> String {
    format!("sim/scenarios/{name}.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_in_the_folder_is_in_the_library() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let files = std::fs::read_dir(folder).expect("there is a folder of scenarios");
        let files: BTreeSet<String> = files
            .map(|file| file.expect("it can be listed").file_name().into_string().expect("names are text"))
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        let known: BTreeSet<String> = LIBRARY.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, known, "left: files, right: the list in scenario/library.rs");
        assert_eq!(known.len(), LIBRARY.len(), "a name is in the list twice");
    }

    #[test]
    fn every_scenario_of_the_library_is_in_order() {
        for (name, _) in LIBRARY {
            let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(scenario.title.len() <= 60, "{name}: the title is longer than 60 letters");
            let ends_well = scenario.description.ends_with('.');
            assert!(ends_well, "{name}: the description is a sentence and ends with a full stop");
            for seed in 0..20 {
                scenario.plan(seed).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}
