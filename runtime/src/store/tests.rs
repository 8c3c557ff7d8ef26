//! What every store does, on each of them.

mod behaviour;
mod values;

pub(super) use values::{digest, final_slot, record, signed, snapshot, vertex};

/// Runs each behaviour on a new, empty store of each kind.
macro_rules! on_each_store {
    ($($behaviour:ident)*) => {
        mod in_memory {
            $(
                #[test]
                fn $behaviour() {
                    super::behaviour::$behaviour(&crate::store::MemoryStore::new());
                }
            )*
        }

        #[cfg(feature = "rocksdb")]
        mod on_rocksdb {
            $(
                #[test]
                fn $behaviour() {
                    let folder = tempfile::tempdir().expect("a folder for temporary files");
                    super::behaviour::$behaviour(&crate::store::rocks::tests::create(folder.path()));
                }
            )*
        }
    };
}

on_each_store! {
    an_empty_store_holds_nothing
    records_come_back_in_order
    deleted_records_are_gone
    the_end_outlives_the_last_record
    a_record_may_be_appended_and_another_deleted_in_one_write
    nothing_is_appended_over_a_record
    snapshots_come_back_ascending
    a_snapshot_replaces_one_of_its_slot
    chunks_outlive_a_snapshot_that_shared_them
    chunks_are_found_by_slot_and_hash
    final_vertices_come_back_in_order
    other_verdicts_leave_nothing
    vertices_are_found_by_height
    vertices_are_found_by_time_even_if_two_have_the_same
    children_are_found_and_parents_are_in_the_vertex
    tips_are_the_last_of_each_author
    finalizing_a_slot_again_changes_nothing
    limits_are_kept
    a_range_that_ends_before_it_begins_is_empty
    a_new_store_is_distrusted_until_others_told_what_they_hold
}
