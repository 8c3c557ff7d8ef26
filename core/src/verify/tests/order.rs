//! Members, forms and counts come before any signature (`docs/protocol.md` M6).

use super::*;

#[derive(Debug)]
struct Untouchable;

impl SignatureVerifier for Untouchable {
    fn verify(&self, signer: ReplicaId, _: Statement<'_>, _: &Signature) -> bool {
        panic!("the signature of {signer} was checked")
    }

    fn verify_caller(&self, _: &crate::request::Caller, _: crate::request::RequestId, _: &Signature) -> bool {
        panic!("a caller's signature was checked")
    }
}

fn verifier(world: &World) -> Verifier {
    Verifier::new(Arc::clone(&world.chain), Arc::new(Untouchable))
}

#[test]
fn a_signer_outside_the_committee_is_rejected_before_any_signature_is_checked() {
    let world = world();
    let verifier = verifier(&world);
    for id in [4, 127, 128, u16::MAX] {
        let stranger = Rejected::NotAMember(ReplicaId(id));
        let vote = world.vote(id, Phase::Prepare, 0, &[(1, 1)]);
        assert_eq!(verifier.message(Message::Vote(vote)), Err(stranger));
        assert_eq!(verifier.message(Message::Checkpoint(world.checkpoint(id, 4, 1))), Err(stranger));
        let vertex = world.sign_vertex(world.vertex(id, b"op"));
        assert_eq!(verifier.message(Message::Vertex(vertex)), Err(stranger));
    }
}

#[test]
fn what_is_too_long_or_has_no_form_is_rejected_before_any_signature_is_checked() {
    let world = world();
    let vote = |batches: &[Arc<HashedBatch>]| {
        let entries: Vec<_> = (1..).map(Slot).zip(batches.iter().map(|batch| batch.digest())).collect();
        world.sign(0, Vote { phase: Phase::Prepare, view: View(0), entries: Entries::new(&entries) })
    };
    let many = batch(&(0..=world.chain.max_batch()).map(|byte| u8::try_from(byte).unwrap()).collect::<Vec<_>>());
    let batches = vec![batch(&[1]), many];
    let nine: Vec<_> = (5..14).map(|slot| claim(slot, 0, 1)).collect();
    let bodies = [0, 1, 2].map(|id| world.view_change(id, 1, 4, &[]));
    let mut new_view = world.new_view_message(&bodies);
    new_view.signed = world.sign_new_view(NewView { view_changes: vec![digest(1); 5], ..world.new_view(&bodies) });
    let (view, stable, executed) = (View(0), Slot(0), Slot(0));
    let (progress, pending) = (vec![Progress::Nothing; 65], vec![]);
    let status = Status { view, target: None, stable, executed, progress, pending };
    let right = world.certificate(Phase::Commit, claim(5, 1, 1));
    let formless = (0..3).map(|id| world.vote(id, Phase::Commit, 1, &[(5, 1), (99, 1)])).collect();
    let mut checkpoints = world.checkpoint_certificate(4, 1);
    checkpoints.votes[2] = world.checkpoint(2, 4, 2);
    let long = vec![0; usize::try_from(world.chain.genesis.limits.vertex_bytes).unwrap()];
    for message in [
        Message::Vote(world.vote(1, Phase::Prepare, 0, &[(6, 1), (5, 1)])),
        Message::PrePrepare(Arc::new(PrePrepare { vote: vote(&batches), batches })),
        Message::Checkpoint(world.checkpoint(1, 5, 1)),
        Message::ViewChange(Arc::new(ViewChangeMessage {
            signed: world.view_change(1, 1, 4, &nine),
            stable: None,
            certificates: CertificateSet::default(),
        })),
        Message::NewView(Arc::new(new_view)),
        Message::Status(Arc::new(world.sign(1, status))),
        certificates(&[right.clone(), right.clone()]),
        certificates(&[Certificate::from_votes(Phase::Commit, claim(5, 1, 1), formless)]),
        certificates(&[Certificate::from_votes(Phase::Commit, claim(5, 1, 2), right.votes().to_vec())]),
        Message::StableCheckpoint(Arc::new(checkpoints)),
        Message::Vertex(world.sign_vertex(world.vertex(1, &long))),
    ] {
        let kind = message.kind();
        assert!(verifier(&world).message(message).is_err(), "{kind}");
    }
    let vote = world.vote(1, Phase::Prepare, 0, &[(5, 1)]);
    let innocent = Arc::new(Evidence::Votes(vote.clone(), vote));
    assert_eq!(verifier(&world).evidence(innocent).map(|_| ()), Err(Rejected::Predicate));
}
