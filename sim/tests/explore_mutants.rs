//! Broken rules are found by exploring, each within a second or a few: `cargo test --release -p cretoai-sim --features
//! mutants --test explore_mutants`.
#![cfg(feature = "mutants")]

use cretoai_core::mutant::{Mutant, switch};
use cretoai_core::types::ReplicaId;
use cretoai_sim::explore::{Bounds, Found, Orders, explore, retrace};

/// What the exploration finds with a rule broken. Each bound is the smallest that shows it.
fn find(mutant: Mutant, byzantine: u16, views: u64, restarts: u32) -> Option<Found> {
    let byzantine = ReplicaId(byzantine);
    let bounds =
        Bounds { byzantine, views, slots: 1, restarts, orders: Orders::Reduced, states: 400_000, memory: 2 << 30 };
    switch(Some(mutant));
    let found = explore(bounds).found;
    // What is found can be done again, step by step, and is no violation where no rule is broken.
    if let Some(found) = &found {
        let again = retrace(bounds, &found.steps).expect("every step can be taken");
        assert_eq!((again.violation.as_ref(), &again.steps), (Some(&found.sentence), &found.steps), "{mutant:?}");
    }
    switch(None);
    if let Some(found) = &found {
        let unbroken = retrace(bounds, &found.steps);
        assert!(unbroken.is_err() || unbroken.is_ok_and(|again| again.violation.is_none()), "{mutant:?}");
    }
    found
}

#[test]
fn broken_quorums_and_votes_are_found_within_one_view() {
    let mutants = [
        (Mutant::PreparedByTooFew, 0),
        (Mutant::DecidedByTooFew, 0),
        (Mutant::VotesTwice, 0),
        (Mutant::VoteNotRecorded, 1),
        (Mutant::PreparedNotRecorded, 1),
        (Mutant::ForgetsVotes, 1),
    ];
    for (mutant, restarts) in mutants {
        let found = find(mutant, 0, 1, restarts);
        assert!(found.is_some_and(|found| found.steps.len() < 10), "{mutant:?}");
    }
}

#[test]
fn broken_view_changes_are_found_within_two_views() {
    let mutants = [
        (Mutant::VotesAfterLeaving, 0, 0),
        (Mutant::PreparedHidden, 0, 0),
        (Mutant::VotesHidden, 0, 0),
        (Mutant::VotesOfAnyView, 0, 0),
        (Mutant::NewViewByTooFew, 0, 0),
        (Mutant::NewViewTrusted, 1, 0),
        (Mutant::ClaimsUnproven, 1, 0),
        (Mutant::ThinCertificate, 1, 0),
        (Mutant::ViewChangeNotRecorded, 0, 0),
        (Mutant::NewViewNotRecorded, 0, 0),
        (Mutant::ForgetsTarget, 0, 1),
        (Mutant::ForgetsPrepared, 0, 1),
    ];
    for (mutant, byzantine, restarts) in mutants {
        let found = find(mutant, byzantine, 2, restarts);
        assert!(found.is_some_and(|found| found.steps.len() < 15), "{mutant:?}");
    }
}

#[test]
fn a_claim_of_the_wrong_view_is_found_within_three_views() {
    for mutant in [Mutant::LowestView, Mutant::LastViewOnly, Mutant::GoesBack] {
        assert!(find(mutant, 3, 3, 0).is_some(), "{mutant:?}");
    }
}
