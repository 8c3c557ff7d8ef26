use super::*;
use crate::batch::Batch;
use crate::bytes::Bytes;
use crate::certificate::{Certificate, CertificateSet, Claim};
use crate::checkpoint::{CheckpointCertificate, CheckpointVote};
use crate::config::{Genesis, Scheme};
use crate::evidence::Evidence;
use crate::hash::Digest;
use crate::hashed::Hashed;
use crate::ledger::Manifest;
use crate::message::{
    Data, FetchItem, NewView, NewViewMessage, PrePrepare, Progress, Signed, Status, ViewChange, ViewChangeMessage,
};
use crate::replica::Halt;
use crate::request::{Caller, ClientRequest, Request};
use crate::signature::Signature;
use crate::time::Instant;
use crate::types::{Height, ReplicaId, Slot, View};
use crate::verify::testing::{World, claim, digest};
use crate::vertex::{Link, Payload, Reference, SignedVertex, Vertex, VertexHeader};
use crate::vote::{Entries, Phase, Vote};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

mod arbitrary;
mod log;
mod sizes;

/// More than any message of these tests has.
const PLENTY: usize = 1 << 20;

fn vote() -> Message {
    Message::Vote(World::new(4).vote(2, Phase::Commit, 300, &[(5, 1)]))
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was(message in arbitrary::message()) {
        let bytes = encode(&message);
        prop_assert_eq!(decode(&bytes, PLENTY), Ok(message));
    }

    #[test]
    fn every_record_comes_back_as_it_was(record in arbitrary::record()) {
        prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }

    #[test]
    fn no_end_of_a_message_is_a_message(message in arbitrary::message(), cut in any::<proptest::sample::Index>()) {
        let bytes = encode(&message);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())], PLENTY).is_err());
    }

    #[test]
    fn what_decodes_is_encoded_to_the_same_bytes(
        message in arbitrary::message(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&message);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(changed) = decode(&bytes, PLENTY) {
            prop_assert_eq!(encode(&changed), bytes);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&[&[VERSION], bytes.as_slice()].concat(), PLENTY);
        let _ = decode_record(&[&[VERSION], bytes.as_slice()].concat());
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let bytes = [encode(&vote()), vec![0]].concat();
    assert_eq!(decode(&bytes, PLENTY), Err(DecodeError::Trailing(1)));
}

#[test]
fn an_over_long_number_is_refused() {
    // Version, kind, signer, phase, then the view: 300 is ac 02, or ac 82 00 with a byte that it does not need.
    let bytes = encode(&vote());
    assert_eq!(bytes[..6], [VERSION, 2, 2, 1, 0xac, 0x02]);
    let longer = [&bytes[..5], &[0x82, 0x00], &bytes[6..]].concat();
    assert_eq!(decode(&longer, PLENTY), Err(DecodeError::NotCanonical));
}

#[test]
fn a_table_with_a_vote_too_many_or_twice_is_refused() {
    #[derive(serde::Serialize)]
    struct Row(Phase, Claim, Vec<u16>);
    let world = World::new(4);
    let votes: Vec<_> = (0..3).map(|signer| world.vote(signer, Phase::Commit, 1, &[(5, 1)])).collect();
    let of = |votes: &[Signed<Vote>], indices: &[u16]| {
        let rows = vec![Row(Phase::Commit, claim(5, 1, 1), indices.to_vec())];
        decode(&postcard::to_stdvec(&(VERSION, 7_u8, votes, rows)).unwrap(), PLENTY)
    };
    assert_eq!(of(&votes, &[0, 1, 2]).map(|message| message.kind()), Ok("CERTIFICATES"));
    assert_eq!(of(&[&votes[..], &votes[..1]].concat(), &[0, 1, 2]), Err(DecodeError::NotCanonical), "one is unused");
    assert_eq!(of(&[&votes[..2], &votes[..1]].concat(), &[0, 1, 2]), Err(DecodeError::NotCanonical), "one is repeated");
    assert_eq!(of(&votes, &[2, 1, 0]), Err(DecodeError::NotCanonical), "out of order");
    assert!(matches!(of(&votes, &[0, 1, 3]), Err(DecodeError::Malformed(_))), "one is missing");
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_anything_is_decoded() {
    let bytes = encode(&vote());
    let (length, limit) = (bytes.len(), bytes.len() - 1);
    assert_eq!(decode(&bytes, limit), Err(DecodeError::TooLong { length, limit }));
    assert_eq!(decode(&[99; 10], 9), Err(DecodeError::TooLong { length: 10, limit: 9 }), "not even the version");
    assert!(decode(&bytes, length).is_ok());
}

#[test]
fn other_versions_and_no_bytes_are_refused() {
    let mut bytes = encode(&vote());
    bytes[0] = VERSION + 1;
    assert_eq!(decode(&bytes, PLENTY), Err(DecodeError::Version(VERSION + 1)));
    assert_eq!(decode(&[], PLENTY), Err(DecodeError::Empty));
    assert_eq!(decode_record(&[]), Err(DecodeError::Empty));
}

#[test]
fn a_length_that_the_bytes_do_not_hold_allocates_nothing_and_is_refused() {
    // FETCH of 2^60 items, in ten bytes.
    let huge = [VERSION, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert!(matches!(decode(&huge, PLENTY), Err(DecodeError::Malformed(_))));
}

#[test]
fn the_largest_evidence_fits_into_a_vertex_and_that_into_a_frame() {
    let keys = (0..128_u16).map(|id| id.to_be_bytes().to_vec()).collect();
    let genesis = Genesis::new("large", Scheme::MlDsa87, keys);
    let genesis = Genesis { checkpoint_interval: 32, window: 64, ..genesis };
    let world = World::of(Arc::new(Chain::new(genesis, false).unwrap()));
    let signature = Signature::new(&vec![255; Scheme::MlDsa87.signature_bytes()]);
    let claims: Vec<_> = (1..=64).map(|distance| claim(u64::MAX - 100 + distance, u64::MAX - 2, 1)).collect();
    let left = |id| {
        let body = world.view_change(id, u64::MAX - 1, u64::MAX - 100, &claims).body.clone();
        Arc::new(Signed { signer: ReplicaId(id), body, signature: signature.clone() })
    };
    let bodies: Vec<_> = (0..world.chain.committee.n()).map(left).collect();
    let signed = Signed { signature: signature.clone(), ..world.sign_new_view(world.new_view(&bodies)) };
    let payload = Payload::Evidence(Arc::new(Evidence::NewView(signed, bodies)));
    let vertex = Vertex { payload, ..world.vertex(1, b"") };
    let (size, limit) = (encoded_size(&vertex), max_accusing_vertex(&world.chain));
    assert!(size <= limit && limit < 2 << 20, "{size} bytes, of {limit}");
    let vertex = Signed { signature, ..Signed::clone(&world.sign_vertex(vertex)) };
    assert!(encode(&Message::Vertex(Arc::new(vertex))).len() <= max_frame(&world.chain));
}

#[test]
fn the_largest_messages_fit_into_a_frame() {
    for n in [4, 31] {
        let world = World::new(n);
        let limit = max_frame(&world.chain);
        let claims: Vec<_> = (1..=8).map(|distance| claim(u64::MAX - 20 + distance, u64::MAX - 2, 1)).collect();
        let far = |id| world.view_change(id, u64::MAX - 1, u64::MAX - 20, &claims);
        let bodies: Vec<_> = (0..world.chain.committee.quorum()).map(far).collect();
        let mut new_view = world.new_view_message(&bodies);
        new_view.stable = Some(Arc::new(world.checkpoint_certificate(u64::MAX - 3, 1)));
        assert!(encode(&Message::NewView(Arc::new(new_view))).len() <= limit, "NEW-VIEW, n = {n}");

        let all = (1..=64).map(|slot| Arc::new(world.certificate(Phase::Commit, claim(u64::MAX - slot, u64::MAX, 1))));
        let certificates = Message::Certificates(Arc::new(CertificateSet(all.collect())));
        assert!(encode(&certificates).len() <= limit, "CERTIFICATES, n = {n}");

        let chunk = Message::Data(Arc::new(Data::Chunk(Arc::new(Bytes(vec![255; MAX_CHUNK])))));
        assert!(encode(&chunk).len() <= limit, "a chunk, n = {n}");
        let (core, app) = (vec![], vec![digest(1); MAX_CHUNKS]);
        let manifest = Manifest { slot: Slot(u64::MAX), epoch: u64::MAX, order: digest(1), core, app };
        assert!(encode(&Message::Data(Arc::new(Data::Manifest(Arc::new(manifest))))).len() <= limit, "a manifest");
    }
}
