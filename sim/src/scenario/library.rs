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
    "random"
    "twins"
    "small-scope"
    "canary"
    "driver"
    "accused-primary-hides-the-evidence"
    "aged-reference"
    "banned-primary-is-left-at-once"
    "banned-replica-still-counts"
    "batch-of-nothing"
    "batch-of-too-many-vertices"
    "batch-with-a-forged-author"
    "batch-with-a-forged-client"
    "batch-with-a-vertex-twice"
    "batch-with-an-oversized-vertex"
    "censored-author"
    "checkpoints-lost"
    "child-before-parent"
    "claim-of-a-future-view"
    "claim-outside-the-window"
    "dead-link"
    "dead-link-from-the-primary"
    "decided-during-the-view-change"
    "every-view-change-lost-once"
    "evidence-that-proves-nothing"
    "excluded-replica"
    "executed-by-an-isolated-replica"
    "executed-exactly-once"
    "first-two-primaries-dead"
    "flipped-bit"
    "flood-against-one-replica"
    "flood-of-votes-and-vertices"
    "forged-votes"
    "forked-author"
    "forked-author-keeps-some-standing"
    "gap-before-a-prepared-slot"
    "highest-view-wins"
    "invented-claim"
    "invented-claim-with-forged-votes"
    "invented-claim-with-one-vote"
    "invented-claim-with-one-vote-thrice"
    "lone-suspecter"
    "long-absence"
    "missing-parent"
    "new-view-adds-a-slot"
    "new-view-invents-a-digest"
    "new-view-nullifies-a-claim"
    "new-view-of-the-wrong-primary"
    "new-view-omits-a-claim"
    "new-view-with-a-doubled-signer"
    "new-view-with-a-low-checkpoint"
    "new-view-with-a-stranger"
    "new-view-with-a-wrong-checkpoint"
    "new-view-with-another-chain"
    "new-view-with-another-view"
    "new-view-with-mixed-certificates"
    "old-batch-proposed-again"
    "one-batch-in-two-slots"
    "one-culprit-too-many"
    "one-fault-proven-again-and-again"
    "one-vote-many-times"
    "one-way-ring"
    "only-one-replica-prepared"
    "parent-finalized-later"
    "parent-in-the-same-batch-after-its-child"
    "prepares-passed-off-as-commits"
    "primary-ahead-of-time"
    "primary-behind-time"
    "primary-dead-from-the-start"
    "primary-stops-the-clock"
    "proposal-reached-one-replica"
    "replayed-messages"
    "resent-at-the-edge-of-expiry"
    "resent-beyond-the-edge-of-expiry"
    "restart-between-new-view-and-vote"
    "restart-during-a-view-change"
    "slow-and-disorderly-network"
    "slow-primary"
    "small-flood-of-vertices"
    "split-vote-among-eight"
    "split-vote-among-five"
    "split-vote-among-six"
    "star-until-the-timers-fired"
    "star-with-relays"
    "three-delays-with-a-hundred-replicas"
    "three-delays-with-four-replicas"
    "three-delays-with-seven-replicas"
    "three-delays-with-thirty-one-replicas"
    "time-outs-convict-nobody"
    "twin-primary"
    "two-flipped-bits"
    "two-lone-suspecters"
    "two-view-changes-for-one-view"
    "vertex-behind-a-dead-one"
    "vertex-with-a-wrong-height"
    "views-without-end"
    "votes-passed-off-as-of-the-next-view"
    "wiped-disk-with-its-old-key"
    "withheld-body"
    "withheld-vertex"
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
        let missing: Vec<_> = files.symmetric_difference(&known).collect();
        assert!(missing.is_empty(), "only in the folder, or only in the list above: {missing:?}");
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
