//! What one replica does, as text: each script in `tests/scripts/` is a test, and its name is a sentence. See
//! `src/script.rs` for how they are read, and `UPDATE_EXPECT=1 cargo test -p cretoai-tests --test scripts` to rewrite
//! what they expect.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                cretoai_tests::script::check(&folder().join(concat!(stringify!($name), ".txt")));
            }
        )*

        #[test]
        fn every_script_is_run() {
            let run: BTreeSet<String> = [$(stringify!($name)),*].into_iter().map(str::to_owned).collect();
            let files = std::fs::read_dir(folder()).expect("the folder of scripts is there");
            let names = files.map(|file| file.expect("an entry").path());
            let there: BTreeSet<String> = names
                .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
                .collect();
            assert_eq!(there, run, "the files in tests/scripts, and those named in tests/tests/scripts.rs");
        }
    };
}

scripts! {
    a_backup_fetches_a_missing_body_and_votes_then
    a_checkpoint_is_signed_after_the_snapshot_is_durable
    a_checkpoint_lost_in_a_crash_is_signed_after_the_restart
    a_child_listed_before_its_parent_is_missing_and_then_final
    a_claim_goes_to_the_new_primary_with_its_certificate
    a_claim_to_be_ahead_is_not_believed_for_ever
    a_first_vote_stands_when_an_invalid_one_follows
    a_flood_of_names_that_nobody_holds_does_not_stop_a_vote
    a_fork_is_noticed_after_the_first_vertex_was_finalized
    a_forked_author_loses_the_second_vertex_and_what_builds_on_it
    a_lone_liar_s_claim_is_never_used
    a_new_view_against_a_decided_slot_stops_the_replica
    a_new_view_beyond_the_bound_is_refused
    a_new_view_of_another_signer_is_nothing
    a_new_view_that_names_a_stranger_is_guilty
    a_new_view_that_omits_a_claim_is_guilty
    a_new_view_with_a_digest_that_nobody_claims_is_guilty
    a_new_view_with_a_gap_is_guilty
    a_new_view_with_a_signer_twice_is_guilty
    a_new_view_with_a_view_change_for_another_view_is_guilty
    a_new_view_with_a_wrong_checkpoint_is_guilty
    a_new_view_with_an_extra_slot_is_guilty
    a_new_view_with_an_ill_formed_view_change_is_guilty
    a_new_view_with_too_few_view_changes_is_guilty
    a_new_view_with_two_bodies_of_one_signer_is_guilty
    a_prepare_waits_for_its_record
    a_proposal_that_came_before_its_view_was_timely_when_it_came
    a_proposal_that_came_while_the_state_was_wrong_is_voted_for_afterwards
    a_replica_far_behind_has_the_state_transferred
    a_replica_restarted_in_a_new_view_votes_for_what_it_proposes
    a_replica_restarted_while_changing_views_sends_the_same_bytes
    a_replica_that_leaves_a_view_lets_go_of_what_it_asked_for
    a_replica_that_left_a_view_never_votes_in_it_again
    a_replica_that_stopped_for_good_stays_stopped_after_a_restart
    a_replica_whose_state_differs_stops_voting_and_transfers
    a_request_executes_before_it_expires_or_never
    a_request_executes_once
    a_request_not_executed_in_time_moves_the_replica
    a_restarted_primary_sends_its_proposal_again_and_uses_the_next_slot
    a_restarted_replica_does_not_vote_twice
    a_slot_is_decided_by_a_certificate_without_being_prepared
    a_snapshot_that_is_being_made_is_not_dropped
    a_status_is_answered_with_what_its_sender_lacks
    a_valid_new_view_is_installed_and_voted_in
    a_vertex_listed_twice_finalizes_once
    a_view_begins_at_the_highest_certified_checkpoint
    a_view_begins_when_the_certificate_of_its_checkpoint_comes
    a_vote_counts_once_whatever_its_signature_bytes
    a_vote_for_several_slots_is_judged_slot_by_slot
    a_wrong_state_at_the_checkpoint_before_is_noticed
    an_answer_to_a_status_repeats_no_vote_of_a_view_that_was_left
    an_early_proposal_for_several_slots_is_its_primary_s_vote
    an_executed_request_is_answered_with_its_result_though_it_expired_since
    an_author_s_quota_bounds_what_is_held
    an_idle_system_takes_requests_that_expire_soon
    an_incomplete_new_view_is_asked_for_again_and_accuses_nobody
    claims_that_contradict_each_other_form_no_view
    early_votes_are_kept_for_their_proposal
    effective_time_rises_whatever_the_primary_s_clock_says
    h_follows_the_certificate_before_execution
    joining_in_a_committee_of_seven_needs_three
    joining_takes_the_view_that_a_correct_replica_vouches_for
    one_huge_view_moves_nobody
    only_the_primary_may_propose
    progress_for_others_does_not_hide_the_starvation_of_one
    proposals_outside_the_watermarks_wait_or_are_refused
    replayed_messages_are_refused
    requests_become_vertices_of_their_entry_replica
    signers_outside_the_committee_are_refused
    the_new_primary_picks_the_highest_certified_claim
    the_reason_why_a_proposal_is_moot_is_told
    two_certificates_for_one_slot_stop_the_replica
    two_checkpoints_of_one_slot_are_evidence
    untimely_proposals_are_not_voted_for
    vertices_that_lie_about_their_place_are_refused
    view_changes_that_break_their_own_form_are_evidence
    votes_are_counted_for_their_digest
    what_a_proposal_needs_is_fetched_until_it_is_found
    what_came_while_a_replica_kept_silent_is_voted_for_afterwards
    what_was_not_durable_is_forgotten_and_was_never_said
}
