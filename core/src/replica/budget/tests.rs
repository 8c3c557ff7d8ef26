use super::*;
use crate::batch::Batch;
use crate::bytes::Bytes;
use crate::certificate::CertificateSet;
use crate::evidence::Evidence;
use crate::hashed::Hashed;
use crate::ledger::Manifest;
use crate::message::{FetchItem, PrePrepare, Recollection, Status, ViewChange, ViewChangeMessage};
use crate::request::ClientRequest;
use crate::time::Instant;
use crate::types::{Height, ReplicaId, Slot, View};
use crate::verify::testing::{World, claim, digest};
use crate::vertex::{Reference, Vertex};
use crate::vote::Phase;
use std::sync::Arc;

/// All kinds of messages, and of what their weight consists: signed statements, 64 bytes each of which a digest or a
/// claim takes about as many, and bytes that are counted one by one.
fn weights(world: &World) -> Vec<(Message, usize, usize, usize)> {
    let requests = [&b"12345"[..], b"123"].map(|op| Arc::new(ClientRequest::anonymous(world.request(op)))).to_vec();
    let refs =
        [0, 2, 3].map(|author| Reference { author: ReplicaId(author), height: Height(1), id: digest(1) }).to_vec();
    let vertex = Vertex { refs, payload: Payload::Requests(requests), ..world.vertex(1, b"") };
    let forked = [b"a", b"b"].map(|op| world.sign_vertex(world.vertex(2, op)));
    let evidence = Arc::new(Evidence::from_vertices(&forked[0], &forked[1]).expect("a fork"));
    let proof = encoded_size(&evidence);
    let accusing = Vertex { payload: Payload::Evidence(evidence), ..world.vertex(1, b"") };
    let batch = |count: usize| Arc::new(Hashed::new(Batch { ts: Instant(1), vertices: vec![digest(1); count] }));
    let vote = world.vote(0, Phase::Prepare, 0, &[(1, 1), (2, 2)]);
    let pre_prepare = PrePrepare { vote: vote.clone(), batches: vec![batch(3), batch(4)] };
    let certificate = |slot| Arc::new(world.certificate(Phase::Prepare, claim(slot, 0, 1)));
    let (one, two) = (claim(5, 0, 1), claim(6, 0, 1));
    let left = |id, voted: &[_]| {
        let body = ViewChange { voted: voted.to_vec(), ..world.view_change(id, 1, 4, &[two]).body.clone() };
        world.sign_view_change(id, body)
    };
    let leaving = ViewChangeMessage {
        signed: left(0, &[one, two]),
        stable: None,
        certificates: CertificateSet(vec![certificate(5), certificate(6)]),
    };
    let bodies = [left(0, &[two]), left(1, &[one, two]), left(2, &[two])];
    let new_view = world.new_view_message(&bodies);
    let status = Status {
        view: View(0),
        target: None,
        stable: Slot(0),
        executed: Slot(0),
        progress: Vec::new(),
        pending: Vec::new(),
    };
    let manifest =
        Manifest { slot: Slot(4), epoch: 0, order: digest(1), core: vec![digest(1); 3], app: vec![digest(1); 4] };
    let recollection = Recollection { votes: vec![vote.clone(); 3], ..Recollection::default() };
    vec![
        (Message::Vertex(world.sign_vertex(vertex)), 1, 3 + 2 * 2, 5 + 3),
        (Message::Vertex(world.sign_vertex(accusing)), 1, 0, proof),
        (Message::PrePrepare(Arc::new(pre_prepare)), 1, 2 + 3 + 4, 0),
        (Message::Vote(vote), 1, 2, 0),
        (Message::Checkpoint(world.checkpoint(1, 4, 1)), 1, 0, 0),
        (Message::ViewChange(Arc::new(leaving)), 1 + 2 * 3, 1 + 1 + 2, 0),
        (Message::NewView(Arc::new(new_view)), 1 + 3 + 3, 2 + 3 + 3 + 4, 0),
        (Message::Certificates(Arc::new(CertificateSet(vec![certificate(5), certificate(6)]))), 2 * 3, 0, 0),
        (Message::StableCheckpoint(Arc::new(world.checkpoint_certificate(4, 1))), 3, 0, 0),
        (Message::Status(Arc::new(world.sign(1, status))), 1, 64, 0),
        (Message::Fetch(Arc::new(vec![FetchItem::Recollection])), 1, 64, 0),
        (Message::Data(Arc::new(Data::Batch(batch(5)))), 0, 1 + 5, 0),
        (Message::Data(Arc::new(Data::Manifest(Arc::new(manifest)))), 0, 3 + 4, 0),
        (Message::Data(Arc::new(Data::Chunk(Arc::new(Bytes(vec![0; 777]))))), 0, 0, 777),
        (Message::Recollection(Arc::new(recollection)), 4 + 3, 0, 0),
    ]
}

#[test]
fn a_message_weighs_what_it_has_of_signed_statements_names_and_bytes() {
    for (message, statements, names, bytes) in weights(&World::new(4)) {
        let weight = statements * (64 + 1000) + names * 64 + bytes;
        assert_eq!(size(&message, 1000), weight, "{}", message.kind());
    }
}

#[test]
fn an_answer_has_four_mebibytes_and_a_peer_fetches_sixteen() {
    // Rules T13 and T14.
    assert_eq!((ANSWER_BYTES, FETCH_BYTES), (4 * 1024 * 1024, 16 * 1024 * 1024));
}
