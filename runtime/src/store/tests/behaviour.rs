//! Each behaviour, on an empty store.

use super::{digest, final_slot, record, signed, snapshot, vertex};
use crate::store::{FinalizedSlot, Store, StoredSnapshot};
use cretoai_core::ledger::{Verdict, chunk_hash};
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, Lsn, ReplicaId, Slot};
use cretoai_core::vertex::{SignedVertex, VertexId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const ALL: usize = usize::MAX;

fn records(range: std::ops::RangeInclusive<u64>) -> Vec<(Lsn, Record)> {
    range.map(|number| (Lsn(number), record(number))).collect()
}

fn positions(store: &impl Store) -> Vec<u64> {
    store.recover().unwrap().records.iter().map(|(lsn, _)| lsn.0).collect()
}

fn snapshots(store: &impl Store) -> Vec<StoredSnapshot> {
    store.recover().unwrap().snapshots
}

pub(super) fn an_empty_store_holds_nothing(store: &impl Store) {
    let recovered = store.recover().unwrap();
    assert_eq!(recovered.records, []);
    assert_eq!(recovered.snapshots, []);
    assert_eq!((recovered.end, recovered.is_distrusted), (Lsn(0), true));
    assert_eq!(store.last_finalized().unwrap(), Slot(0));
    assert_eq!(store.tips().unwrap(), []);
    assert_eq!(store.vertex(digest(1)).unwrap(), None);
    assert_eq!(store.chunk(Slot(4), digest(1)).unwrap(), None);
    store.append(&[], &[]).unwrap();
    store.finalize(&[]).unwrap();
    store.drop_snapshots(&[Slot(4)]).unwrap();
    assert_eq!(store.recover().unwrap().end, Lsn(0));
}

pub(super) fn records_come_back_in_order(store: &impl Store) {
    // Beyond 256, so that the order of bytes would show if it were not that of numbers.
    store.append(&records(1..=200), &[]).unwrap();
    store.append(&records(201..=300), &[]).unwrap();
    let recovered = store.recover().unwrap();
    assert_eq!(recovered.records, records(1..=300));
    assert_eq!(recovered.end, Lsn(300));
}

pub(super) fn deleted_records_are_gone(store: &impl Store) {
    store.append(&records(1..=5), &[]).unwrap();
    store.append(&[], &[Lsn(2), Lsn(4), Lsn(77)]).unwrap();
    assert_eq!(positions(store), [1, 3, 5]);
}

pub(super) fn the_end_outlives_the_last_record(store: &impl Store) {
    store.append(&records(1..=3), &[]).unwrap();
    store.append(&[], &[Lsn(1), Lsn(2), Lsn(3)]).unwrap();
    let recovered = store.recover().unwrap();
    assert_eq!((recovered.records, recovered.end), (Vec::new(), Lsn(3)));
}

pub(super) fn a_record_may_be_appended_and_another_deleted_in_one_write(store: &impl Store) {
    store.append(&records(1..=2), &[]).unwrap();
    store.append(&records(3..=4), &[Lsn(1), Lsn(3)]).unwrap();
    assert_eq!(positions(store), [2, 4]);
}

pub(super) fn nothing_is_appended_over_a_record(store: &impl Store) {
    store.append(&records(1..=2), &[]).unwrap();
    let again = catch_unwind(AssertUnwindSafe(|| store.append(&records(2..=2), &[])));
    assert!(again.is_err(), "record 2 was written over: {again:?}");
}

pub(super) fn snapshots_come_back_ascending(store: &impl Store) {
    let (four, eight) = (snapshot(4, &[b"a", b"b"], &[b"c"]), snapshot(8, &[b"a"], &[]));
    let big = snapshot(255, &[b"z"], &[b"a", b"a"]);
    for snapshot in [&eight, &big, &four] {
        store.put_snapshot(snapshot).unwrap();
    }
    assert_eq!(snapshots(store), [four, eight, big]);
}

pub(super) fn a_snapshot_replaces_one_of_its_slot(store: &impl Store) {
    store.put_snapshot(&snapshot(4, &[b"old", b"kept"], &[])).unwrap();
    let new = snapshot(4, &[b"kept"], &[b"new"]);
    store.put_snapshot(&new).unwrap();
    assert_eq!(store.chunk(Slot(4), chunk_hash(b"old")).unwrap(), None);
    assert_eq!(snapshots(store), [new]);
}

pub(super) fn chunks_outlive_a_snapshot_that_shared_them(store: &impl Store) {
    let (four, eight) = (snapshot(4, &[b"a", b"b"], &[b"c"]), snapshot(8, &[b"b"], &[b"c", b"d"]));
    let twelve = snapshot(12, &[b"e"], &[b"c"]);
    for snapshot in [&four, &eight, &twelve] {
        store.put_snapshot(snapshot).unwrap();
    }
    store.drop_snapshots(&[Slot(12), Slot(4)]).unwrap();
    assert_eq!(snapshots(store), [eight]);
    store.drop_snapshots(&[Slot(8)]).unwrap();
    assert_eq!(snapshots(store), []);
    // What was shared is written anew.
    store.put_snapshot(&four).unwrap();
    assert_eq!(snapshots(store), [four]);
}

pub(super) fn chunks_are_found_by_slot_and_hash(store: &impl Store) {
    store.put_snapshot(&snapshot(4, &[b"core"], &[b"app"])).unwrap();
    store.put_snapshot(&snapshot(8, &[b"core"], &[b"later"])).unwrap();
    let chunk = |slot, bytes: &[u8]| store.chunk(Slot(slot), chunk_hash(bytes)).unwrap().map(|chunk| chunk.0.clone());
    assert_eq!(chunk(4, b"core").as_deref(), Some(&b"core"[..]));
    assert_eq!(chunk(4, b"app").as_deref(), Some(&b"app"[..]));
    assert_eq!(chunk(8, b"later").as_deref(), Some(&b"later"[..]));
    assert_eq!(chunk(8, b"app"), None);
    assert_eq!(chunk(5, b"app"), None);
    store.drop_snapshots(&[Slot(4)]).unwrap();
    assert_eq!(chunk(4, b"core"), None);
}

/// Four slots: two vertices; one that follows both, with two that do not become final; none; one more.
struct History {
    a1: Arc<SignedVertex>,
    b1: Arc<SignedVertex>,
    a2: Arc<SignedVertex>,
    b2: Arc<SignedVertex>,
    orphan: Arc<SignedVertex>,
    slots: Vec<FinalizedSlot>,
}

fn history(store: &impl Store) -> History {
    let (a1, b1) = (vertex(0, 1, &[]), vertex(1, 1, &[]));
    let a2 = vertex(0, 2, &[&a1, &b1]);
    let orphan = vertex(2, 2, &[&a1]);
    let b2 = vertex(1, 300, &[&a2, &b1]);
    let mut second = final_slot(2, 20, &[&a2]);
    second.listed.insert(0, (Arc::clone(&b1), Verdict::Duplicate));
    second.listed.insert(1, (Arc::clone(&orphan), Verdict::Missing));
    let slots = vec![final_slot(1, 10, &[&a1, &b1]), second, final_slot(3, 30, &[]), final_slot(4, 1000, &[&b2])];
    store.finalize(&slots[..1]).unwrap();
    store.finalize(&slots[1..]).unwrap();
    History { a1, b1, a2, b2, orphan, slots }
}

fn ids(vertices: &[&Arc<SignedVertex>]) -> Vec<VertexId> {
    vertices.iter().map(|vertex| vertex.id()).collect()
}

pub(super) fn final_vertices_come_back_in_order(store: &impl Store) {
    let History { a1, b1, a2, b2, .. } = history(store);
    let all = store.finalized(Slot(0)..=Slot(u64::MAX), ALL).unwrap();
    let found: Vec<_> = all.iter().map(|vertex| (vertex.slot.0, vertex.position, vertex.time.0)).collect();
    assert_eq!(found, [(1, 0, 10), (1, 1, 10), (2, 2, 20), (4, 0, 1000)]);
    let vertices: Vec<_> = all.iter().map(|finalized| &finalized.vertex).collect();
    assert_eq!(vertices, [&a1, &b1, &a2, &b2]);
    // The signature is not part of what makes two vertices equal.
    assert_eq!(all[3].vertex.signature.bytes(), [9; 64]);

    let some = store.finalized(Slot(2)..=Slot(3), ALL).unwrap();
    assert_eq!(some, all[2..3]);
    assert_eq!(store.vertex(b2.id()).unwrap().as_ref(), Some(&all[3]));
    assert_eq!(store.last_finalized().unwrap(), Slot(4));
    store.finalize(&[final_slot(7, 1001, &[])]).unwrap();
    assert_eq!(store.last_finalized().unwrap(), Slot(7), "a slot without vertices counts too");
}

pub(super) fn other_verdicts_leave_nothing(store: &impl Store) {
    let History { b1, orphan, .. } = history(store);
    assert_eq!(store.vertex(orphan.id()).unwrap(), None);
    assert_eq!(store.vertex(b1.id()).unwrap().map(|vertex| vertex.slot), Some(Slot(1)));
}

pub(super) fn vertices_are_found_by_height(store: &impl Store) {
    let History { a1, b1, a2, b2, .. } = history(store);
    let found = |from, to| store.by_height(Height(from)..=Height(to), ALL).unwrap();
    assert_eq!(found(0, u64::MAX), ids(&[&a1, &b1, &a2, &b2]));
    assert_eq!(found(1, 1), ids(&[&a1, &b1]));
    assert_eq!(found(2, 299), ids(&[&a2]));
    assert_eq!(found(301, u64::MAX), []);
}

pub(super) fn vertices_are_found_by_time_even_if_two_have_the_same(store: &impl Store) {
    let History { a1, b1, a2, b2, .. } = history(store);
    let found = |from, to| store.by_time(Instant(from)..=Instant(to), ALL).unwrap();
    assert_eq!(found(10, 10), ids(&[&a1, &b1]));
    assert_eq!(found(11, 1000), ids(&[&a2, &b2]));
    assert_eq!(found(0, 9), []);
}

pub(super) fn children_are_found_and_parents_are_in_the_vertex(store: &impl Store) {
    let History { a1, b1, a2, b2, .. } = history(store);
    assert_eq!(store.children(a1.id(), ALL).unwrap(), ids(&[&a2]));
    assert_eq!(store.children(b1.id(), ALL).unwrap(), ids(&[&a2, &b2]));
    assert_eq!(store.children(b2.id(), ALL).unwrap(), []);
    assert_eq!(store.children(digest(0xc0), ALL).unwrap(), ids(&[&a1, &b1]), "the first vertices");
    let child = store.vertex(a2.id()).unwrap().unwrap().vertex;
    assert_eq!(store.vertex(child.body.prev.id).unwrap().unwrap().vertex, a1);
    assert_eq!(store.vertex(child.body.refs[0].id).unwrap().unwrap().vertex, b1);
}

pub(super) fn tips_are_the_last_of_each_author(store: &impl Store) {
    let History { a2, b2, slots, .. } = history(store);
    let tips = [(ReplicaId(0), a2.id()), (ReplicaId(1), b2.id())];
    assert_eq!(store.tips().unwrap(), tips);
    store.finalize(&slots[..1]).unwrap();
    assert_eq!(store.tips().unwrap(), tips, "an older slot does not bring them back");
    let far = signed(300, 1, &[], b"from far");
    store.finalize(&[final_slot(5, 1001, &[&far])]).unwrap();
    assert_eq!(store.tips().unwrap()[2], (ReplicaId(300), far.id()));
}

pub(super) fn finalizing_a_slot_again_changes_nothing(store: &impl Store) {
    let History { b1, slots, .. } = history(store);
    let look = || {
        let order = store.finalized(Slot(0)..=Slot(9), ALL).unwrap();
        let heights = store.by_height(Height(0)..=Height(999), ALL).unwrap();
        let times = store.by_time(Instant(0)..=Instant(9999), ALL).unwrap();
        let children = store.children(b1.id(), ALL).unwrap();
        (order, heights, times, children, store.tips().unwrap(), store.last_finalized().unwrap())
    };
    let before = look();
    store.finalize(&slots[1..3]).unwrap();
    assert_eq!(look(), before);
    store.finalize(&slots).unwrap();
    assert_eq!(look(), before);
}

pub(super) fn limits_are_kept(store: &impl Store) {
    let History { a1, b1, a2, .. } = history(store);
    let order = store.finalized(Slot(1)..=Slot(9), 3).unwrap();
    assert_eq!(order.iter().map(|vertex| vertex.vertex.id()).collect::<Vec<_>>(), ids(&[&a1, &b1, &a2]));
    assert_eq!(store.by_height(Height(1)..=Height(9), 1).unwrap(), ids(&[&a1]));
    assert_eq!(store.by_time(Instant(0)..=Instant(99), 2).unwrap(), ids(&[&a1, &b1]));
    assert_eq!(store.children(b1.id(), 1).unwrap(), ids(&[&a2]));
    assert_eq!(store.finalized(Slot(1)..=Slot(9), 0).unwrap(), []);
    assert_eq!(store.by_height(Height(1)..=Height(9), 0).unwrap(), []);
    assert_eq!(store.children(b1.id(), 0).unwrap(), []);
}

#[allow(clippy::reversed_empty_ranges, reason = "it is what a careless caller passes")]
pub(super) fn a_range_that_ends_before_it_begins_is_empty(store: &impl Store) {
    history(store);
    assert_eq!(store.finalized(Slot(4)..=Slot(1), ALL).unwrap(), []);
    assert_eq!(store.by_height(Height(2)..=Height(1), ALL).unwrap(), []);
    assert_eq!(store.by_time(Instant(1000)..=Instant(10), ALL).unwrap(), []);
}

pub(super) fn a_new_store_is_distrusted_until_others_told_what_they_hold(store: &impl Store) {
    store.append(&records(1..=2), &[]).unwrap();
    assert!(store.recover().unwrap().is_distrusted, "what is written into it does not make it whole");
    store.trust().unwrap();
    assert!(!store.recover().unwrap().is_distrusted);
    assert_eq!(positions(store), [1, 2]);
}
