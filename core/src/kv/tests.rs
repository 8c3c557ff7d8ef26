use super::*;
use crate::request::{ClientRequest, Request};
use crate::time::Instant;
use crate::types::Slot;
use proptest::prelude::*;
use std::sync::Arc;

fn bytes(text: &str) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

fn put(store: &mut KvStore, key: &str, value: &str) {
    assert_eq!(store.apply(KvOp::Put { key: bytes(key), value: bytes(value) }), KvResult::Stored);
}

fn restored(chunks: &[Bytes]) -> Result<KvStore, RestoreError> {
    let mut store = KvStore::new();
    put(&mut store, "left over", "from before");
    let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.0.as_slice()).collect();
    store.restore(&chunks).map(|()| store)
}

#[test]
fn operations_read_write_and_compare() {
    let mut store = KvStore::new();
    let (key, one, two) = (bytes("key"), bytes("1"), bytes("2"));
    let swap = |expected: Option<&Bytes>, value: Option<&Bytes>| KvOp::CompareAndSwap {
        key: key.clone(),
        expected: expected.cloned(),
        value: value.cloned(),
    };
    let steps = [
        (KvOp::Get { key: key.clone() }, KvResult::Value(None)),
        (KvOp::Delete { key: key.clone() }, KvResult::Deleted(false)),
        (swap(Some(&one), Some(&two)), KvResult::Differs(None)),
        (swap(None, Some(&one)), KvResult::Swapped),
        (KvOp::Get { key: key.clone() }, KvResult::Value(Some(one.clone()))),
        (swap(None, Some(&two)), KvResult::Differs(Some(one.clone()))),
        (KvOp::Put { key: key.clone(), value: two.clone() }, KvResult::Stored),
        (swap(Some(&two), None), KvResult::Swapped),
        (KvOp::Put { key: key.clone(), value: one }, KvResult::Stored),
        (KvOp::Delete { key: key.clone() }, KvResult::Deleted(true)),
        (KvOp::Get { key: key.clone() }, KvResult::Value(None)),
    ];
    for (at, (op, expected)) in steps.into_iter().enumerate() {
        assert_eq!(store.apply(op), expected, "step {at}");
    }
    assert!(store.is_empty());
}

#[test]
fn keys_and_values_are_bounded() {
    let mut store = KvStore::new();
    let op = |key, value| KvOp::Put { key: Bytes(vec![1; key]), value: Bytes(vec![1; value]) };
    assert_eq!(store.apply(op(MAX_KEY, MAX_VALUE)), KvResult::Stored);
    assert_eq!(store.apply(op(MAX_KEY + 1, 0)), KvResult::TooLong);
    assert_eq!(store.apply(op(0, MAX_VALUE + 1)), KvResult::TooLong);
    assert_eq!((store.len(), store.is_empty()), (1, false));
}

#[test]
fn every_request_has_a_result_even_one_that_is_no_operation() {
    let request = |op: Bytes| {
        let (chain_id, expires, nonce) = (Default::default(), Instant(1), [0; 16]);
        Arc::new(ClientRequest::anonymous(Request { chain_id, expires, nonce, caller: None, op }))
    };
    let put = KvOp::Put { key: bytes("a"), value: bytes("b") }.encode();
    let trailing = Bytes([put.0.as_slice(), &[0]].concat());
    let get = KvOp::Get { key: bytes("a") }.encode();
    let requests = [Bytes(vec![99]), get.clone(), put, trailing, get].map(request).to_vec();
    let results = KvStore::new().execute(&Execution { slot: Slot(1), time: Instant(0), requests, listed: Vec::new() });
    let results: Vec<_> = results.iter().map(|result| KvResult::decode(&result.0).unwrap()).collect();
    let value = KvResult::Value(Some(bytes("b")));
    assert_eq!(results, [KvResult::Malformed, KvResult::Value(None), KvResult::Stored, KvResult::Malformed, value]);
}

#[test]
fn a_changed_key_changes_one_chunk() {
    let mut store = KvStore::new();
    (0..1000).for_each(|key| put(&mut store, &format!("key {key}"), "value"));
    let before = store.snapshot();
    assert!(before.len() > 200, "the keys are spread over the buckets: {}", before.len());
    put(&mut store, "key 7", "another value");
    let after = store.snapshot();
    assert_eq!(before.len(), after.len());
    assert_eq!(before.iter().zip(&after).filter(|(old, new)| old != new).count(), 1);
}

#[test]
fn a_key_that_comes_and_goes_leaves_no_trace() {
    let mut store = KvStore::new();
    put(&mut store, "stays", "1");
    let before = store.snapshot();
    put(&mut store, "goes", "1");
    assert_ne!(store.snapshot(), before);
    store.apply(KvOp::Delete { key: bytes("goes") });
    assert_eq!(store.snapshot(), before);
    assert_eq!(KvStore::new().snapshot(), []);
}

#[test]
fn a_large_bucket_is_cut_into_chunks_within_the_limit() {
    let mut store = KvStore::new();
    let same_bucket = (0..).map(|key| bytes(&format!("{key}"))).filter(|key| bucket_of(key) == 7).take(9);
    let value = Bytes(vec![3; MAX_VALUE]);
    same_bucket.for_each(|key| assert_eq!(store.apply(KvOp::Put { key, value: value.clone() }), KvResult::Stored));
    let chunks = store.snapshot();
    assert_eq!(chunks.len(), 9, "two values of half a chunk and their keys do not fit into one");
    assert!(chunks.iter().all(|chunk| chunk.0.len() <= MAX_CHUNK));
    assert_eq!(restored(&chunks).unwrap().snapshot(), chunks);
}

#[test]
fn a_bucket_goes_on_in_another_chunk_only_when_an_entry_does_not_fit() {
    let chunks_of = |sizes: &[usize]| {
        let mut store = KvStore::new();
        let same_bucket = (0..).map(|key| bytes(&format!("{key}"))).filter(|key| bucket_of(key) == 7);
        for (key, size) in same_bucket.zip(sizes) {
            // A length of one byte before the key, and one of three before a value of more than 16 KiB.
            let value = Bytes(vec![3; size.checked_sub(1 + key.0.len() + 3).expect("room for the key")]);
            assert_eq!(encoded_size(&(&key, &value)), *size);
            assert_eq!(store.apply(KvOp::Put { key, value }), KvResult::Stored);
        }
        store.snapshot().len()
    };
    let room = MAX_CHUNK - CHUNK_HEAD;
    assert_eq!([chunks_of(&[20_000; 20]), chunks_of(&[20_000; 60])], [1, 2]);
    assert_eq!(chunks_of(&[room / 2, room - room / 2]), 1, "they fill it");
    assert_eq!(chunks_of(&[room / 2, room - room / 2 + 1]), 2, "one byte too many");
}

#[test]
fn chunks_that_no_store_writes_are_refused() {
    let mut store = KvStore::new();
    (0..50).for_each(|key| put(&mut store, &format!("key {key}"), "value"));
    let chunks = store.snapshot();
    let changed = |change: fn(&mut Vec<Bytes>)| {
        let mut chunks = chunks.clone();
        change(&mut chunks);
        restored(&chunks).map_err(|error| error.chunk)
    };
    assert!(changed(|_| {}).is_ok());
    assert_eq!(changed(|chunks| chunks[3].0.push(0)).err(), Some(3), "a byte left over");
    assert_eq!(changed(|chunks| chunks[3].0.truncate(5)).err(), Some(3), "a byte missing");
    assert_eq!(changed(|chunks| chunks.swap(2, 4)).err(), Some(2), "out of order");
    assert_eq!(changed(|chunks| chunks[3].0[0] ^= 1).err(), Some(3), "entries in another bucket");
    assert_eq!(changed(|chunks| chunks.insert(3, chunks[3].clone())).err(), Some(4), "a chunk twice");
    assert_eq!(changed(|chunks| chunks.push(Bytes(vec![255, 0]))).err(), Some(chunks.len()), "an empty chunk");
}

#[test]
fn a_failed_restore_changes_nothing() {
    let mut store = KvStore::new();
    put(&mut store, "key", "value");
    assert!(store.restore(&[&[1, 2, 3]]).is_err());
    assert_eq!(store.get(&bytes("key")), Some(&bytes("value")));
}

fn some_op() -> impl Strategy<Value = KvOp> {
    let key = || (0..20_u8).prop_map(|key| Bytes(vec![key]));
    let value = || (0..3_u8).prop_map(|value| Bytes(vec![value]));
    prop_oneof![
        (key(), value()).prop_map(|(key, value)| KvOp::Put { key, value }),
        key().prop_map(|key| KvOp::Delete { key }),
        key().prop_map(|key| KvOp::Get { key }),
        (key(), proptest::option::of(value()), proptest::option::of(value()))
            .prop_map(|(key, expected, value)| KvOp::CompareAndSwap { key, expected, value }),
    ]
}

proptest! {
    #[test]
    fn a_restored_store_goes_on_like_the_original(
        before in proptest::collection::vec(some_op(), 0..40),
        after in proptest::collection::vec(some_op(), 0..40),
    ) {
        let mut store = KvStore::new();
        before.into_iter().for_each(|op| drop(store.apply(op)));
        let mut copy = restored(&store.snapshot()).unwrap();
        for op in after {
            prop_assert_eq!(KvOp::decode(&op.encode().0), Ok(op.clone()));
            prop_assert_eq!(store.apply(op.clone()), copy.apply(op));
            prop_assert_eq!(store.snapshot(), copy.snapshot());
        }
    }

    #[test]
    fn equal_states_have_equal_chunks_whatever_led_to_them(ops in proptest::collection::vec(some_op(), 0..40)) {
        let mut store = KvStore::new();
        for op in ops {
            store.apply(op);
            store.snapshot();
        }
        let mut rebuilt = KvStore::new();
        for key in (0..20_u8).rev().map(|key| Bytes(vec![key])) {
            if let Some(value) = store.get(&key).cloned() {
                rebuilt.apply(KvOp::Put { key, value });
            }
        }
        prop_assert_eq!(store.snapshot(), rebuilt.snapshot());
    }
}
