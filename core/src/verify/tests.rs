use super::testing::{World, chain, claim, digest};
use super::*;
use crate::batch::HashedBatch;
use crate::bytes::Bytes;
use crate::certificate::{Certificate, CertificateSet, Claim};
use crate::checkpoint::CheckpointCertificate;
use crate::hashed::Hashed;
use crate::ledger::Manifest;
use crate::message::{FetchItem, NewView, NewViewMessage, Progress, ViewChange, ViewChangeMessage};
use crate::request::Request;
use crate::time::Instant;
use crate::types::{Height, View};
use crate::vertex::{Link, Payload, Reference, SignedHeader, Vertex, VertexHeader};
use crate::vote::Entries;

mod attachments;
mod certificates;
mod dag;
mod order;

fn world() -> World {
    World::new(4)
}

/// Why a message is rejected.
fn reason(world: &World, message: Message) -> Rejected {
    let kind = message.kind();
    match world.verifier.message(message) {
        Ok(_) => panic!("{kind} is verified"),
        Err(rejected) => rejected,
    }
}

fn batch(vertices: &[u8]) -> Arc<HashedBatch> {
    let vertices = vertices.iter().map(|byte| digest(*byte)).collect();
    Arc::new(Hashed::new(Batch { ts: Instant(3), vertices }))
}

#[test]
fn a_right_vote_is_verified_and_is_the_same_as_before() {
    let world = world();
    let message = Message::Vote(world.vote(2, Phase::Commit, 7, &[(5, 1), (6, 2)]));
    let verified = world.verifier.message(message.clone()).unwrap();
    assert_eq!(*verified.get(), message);
    assert_eq!(verified.into_inner(), message);
}

#[test]
fn a_vote_changed_in_any_part_is_rejected() {
    let world = world();
    let vote = world.vote(2, Phase::Commit, 7, &[(5, 1)]);
    let body = |change: fn(&mut Vote)| {
        let mut changed = vote.clone();
        change(&mut changed.body);
        changed
    };
    for changed in [
        body(|vote| vote.phase = Phase::Prepare),
        body(|vote| vote.view = View(8)),
        body(|vote| vote.entries = Entries::One(Slot(6), digest(1))),
        body(|vote| vote.entries = Entries::One(Slot(5), digest(2))),
        Signed { signature: Signature::new(&[0; 16]), ..vote.clone() },
        Signed { signature: Signature::new(&[]), ..vote.clone() },
    ] {
        assert_eq!(reason(&world, Message::Vote(changed)), Rejected::Signature(ReplicaId(2)));
    }
    let other = Signed { signer: ReplicaId(3), ..vote };
    assert_eq!(reason(&world, Message::Vote(other)), Rejected::Signature(ReplicaId(3)));
}

#[test]
fn a_message_of_one_signer_is_rejected_with_the_signature_of_another_of_its_statements() {
    // Rules M3 and M13.
    let world = world();
    let borrowed = || world.checkpoint(1, 96, 9).signature;
    let bodies = [0, 1, 2].map(|id| world.view_change(id, 1, 4, &[]));
    let (view, stable, executed, progress, pending) = (View(0), Slot(0), Slot(0), vec![], vec![]);
    let status = world.sign(1, Status { view, target: None, stable, executed, progress, pending });
    let proposed = batch(&[1]);
    let proposal = world.sign(1, Vote::one(Phase::Prepare, View(1), Slot(1), proposed.digest()));
    let (left, new_view) = (world.view_change(1, 1, 4, &[]), world.new_view_message(&bodies));
    let vertex = world.sign_vertex(world.vertex(1, b"op"));
    let all = |is_right: bool| {
        let of = |own: &Signature| if is_right { own.clone() } else { borrowed() };
        let signed = Arc::new(Signed { signature: of(&left.signature), ..Signed::clone(&left) });
        let vote = Signed { signature: of(&proposal.signature), ..proposal.clone() };
        let checkpoint = world.checkpoint(1, 4, 1);
        let certificates = CertificateSet::default();
        [
            Message::Vertex(Arc::new(Signed { signature: of(&vertex.signature), ..Signed::clone(&vertex) })),
            Message::Vote(vote.clone()),
            Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![Arc::clone(&proposed)] })),
            Message::Checkpoint(Signed { signature: of(&checkpoint.signature), ..checkpoint }),
            Message::ViewChange(Arc::new(ViewChangeMessage { signed, stable: None, certificates })),
            Message::NewView(Arc::new(NewViewMessage {
                signed: Signed { signature: of(&new_view.signed.signature), ..new_view.signed.clone() },
                ..new_view.clone()
            })),
            Message::Status(Arc::new(Signed { signature: of(&status.signature), ..status.clone() })),
        ]
    };
    for (right, wrong) in all(true).into_iter().zip(all(false)) {
        assert!(world.verifier.message(right).is_ok());
        assert_eq!(reason(&world, wrong), Rejected::Signature(ReplicaId(1)));
    }
    let reply = world.sign(1, ReplyStatement { slot: Slot(1), root: digest(1) });
    assert!(world.verifier.reply(reply.clone()).is_ok());
    let wrong = Signed { signature: borrowed(), ..reply };
    assert_eq!(world.verifier.reply(wrong), Err(Rejected::Signature(ReplicaId(1))));
}

#[test]
fn a_vote_of_another_chain_or_epoch_is_rejected() {
    let (world, other) = (world(), World::new(5));
    let vote = other.vote(2, Phase::Commit, 7, &[(5, 1)]);
    assert_eq!(reason(&world, Message::Vote(vote)), Rejected::Signature(ReplicaId(2)));
    let mut later = world.clone();
    later.scheme.context.epoch = 1;
    let vote = later.vote(2, Phase::Commit, 7, &[(5, 1)]);
    assert_eq!(reason(&world, Message::Vote(vote)), Rejected::Signature(ReplicaId(2)));
}

#[test]
fn a_vote_that_is_not_canonical_is_rejected() {
    let world = world();
    let too_many: Vec<_> = (1..=65).map(|slot| (slot, 1)).collect();
    for entries in
        [&[][..], &[(0, 1)], &[(0, 1), (1, 1)], &[(5, 1), (5, 1)], &[(6, 1), (5, 1)], &[(1, 1), (9, 1)], &too_many]
    {
        let vote = world.vote(1, Phase::Prepare, 0, entries);
        assert_eq!(reason(&world, Message::Vote(vote)), Rejected::NotCanonical("a vote"), "{entries:?}");
    }
}

#[test]
fn a_pre_prepare_carries_exactly_the_batches_that_it_names() {
    let world = world();
    let batches = [batch(&[1]), batch(&[2, 3])];
    let entries = [(Slot(5), batches[0].digest()), (Slot(6), batches[1].digest())];
    let vote = |phase| world.sign(0, Vote { phase, view: View(0), entries: Entries::new(&entries) });
    let message = |phase, batches: &[Arc<HashedBatch>]| {
        Message::PrePrepare(Arc::new(PrePrepare { vote: vote(phase), batches: batches.to_vec() }))
    };
    assert!(world.verifier.message(message(Phase::Prepare, &batches)).is_ok());
    for wrong in
        [&[][..], &batches[..1], &[batches[1].clone(), batches[0].clone()], &[&batches[..], &[batch(&[4])]].concat()]
    {
        assert_eq!(reason(&world, message(Phase::Prepare, wrong)), Rejected::Batches);
    }
    assert_eq!(reason(&world, message(Phase::Commit, &batches)), Rejected::Batches, "a COMMIT proposes nothing");
}

#[test]
fn a_proposal_has_the_form_of_a_vote() {
    let world = world();
    let batches = [batch(&[1]), batch(&[2])];
    for slots in [[6, 5], [5, 5], [0, 1], [1, 9]] {
        let entries: Vec<_> = slots.into_iter().map(Slot).zip(batches.iter().map(|batch| batch.digest())).collect();
        let vote = world.sign(0, Vote { phase: Phase::Prepare, view: View(0), entries: Entries::new(&entries) });
        let message = Message::PrePrepare(Arc::new(PrePrepare { vote, batches: batches.to_vec() }));
        assert_eq!(reason(&world, message), Rejected::NotCanonical("a vote"), "{slots:?}");
    }
}

#[test]
fn a_batch_lists_one_to_so_many_different_vertices() {
    let world = world();
    // A proposal and an answer with the batch, each for itself.
    let judge = |batch: Arc<HashedBatch>| {
        let vote = world.sign(0, Vote::one(Phase::Prepare, View(0), Slot(1), batch.digest()));
        let proposal = Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch.clone()] }));
        let answer = Message::Data(Arc::new(Data::Batch(batch)));
        [proposal, answer].map(|message| world.verifier.message(message).map(|_| ()))
    };
    let limit = world.chain.max_batch();
    let up_to = |count: usize| (0..count).map(|byte| u8::try_from(byte).unwrap()).collect::<Vec<_>>();
    let too_many = Rejected::TooMany { what: "vertices of a batch", count: limit + 1, limit };
    assert_eq!(judge(batch(&up_to(limit))), [Ok(()); 2]);
    assert_eq!(judge(batch(&up_to(limit + 1))), [Err(too_many); 2]);
    assert_eq!(judge(batch(&[])), [Err(Rejected::Empty("vertices of a batch")); 2]);
    assert_eq!(judge(batch(&[1, 2, 1])), [Err(Rejected::RepeatedVertex(digest(1))); 2]);
}

#[test]
fn a_checkpoint_is_taken_after_every_fourth_slot_only() {
    let world = world();
    assert!(world.verifier.message(Message::Checkpoint(world.checkpoint(1, 8, 1))).is_ok());
    for slot in [0, 1, 6, u64::MAX] {
        let vote = world.checkpoint(1, slot, 1);
        assert_eq!(reason(&world, Message::Checkpoint(vote)), Rejected::NotACheckpoint(Slot(slot)));
    }
}

fn certificates(certificates: &[Certificate]) -> Message {
    Message::Certificates(Arc::new(CertificateSet(certificates.iter().cloned().map(Arc::new).collect())))
}

#[test]
fn certificates_of_both_phases_are_verified() {
    let world = world();
    let message = certificates(&[
        world.certificate(Phase::Commit, claim(5, 1, 1)),
        world.certificate(Phase::Prepare, claim(6, 1, 1)),
    ]);
    assert!(world.verifier.message(message).is_ok());
}

#[test]
fn a_certificate_that_is_no_quorum_of_like_votes_is_rejected() {
    let world = world();
    let at = claim(5, 1, 1);
    let votes = |changes: &[(usize, Signed<Vote>)]| {
        let mut votes = world.certificate(Phase::Commit, at).votes().to_vec();
        changes.iter().for_each(|(index, vote)| votes[*index] = vote.clone());
        Certificate::from_votes(Phase::Commit, at, votes)
    };
    let vote = |signer, phase, view, entry| world.vote(signer, phase, view, &[entry]);
    let right = |signer| vote(signer, Phase::Commit, 1, (5, 1));
    let quorum = world.certificate(Phase::Commit, at).votes().to_vec();
    let wrong = [
        ("too few votes", Certificate::from_votes(Phase::Commit, at, quorum[..2].to_vec())),
        ("no votes", Certificate::from_votes(Phase::Commit, at, vec![])),
        ("one signer twice", votes(&[(1, right(0))])),
        ("one signer thrice", Certificate::from_votes(Phase::Commit, at, vec![right(1); 3])),
        ("signers out of order", votes(&[(0, right(1)), (1, right(0))])),
        ("a signer out of range", votes(&[(2, right(4))])),
        ("a signer no set can hold", votes(&[(2, right(u16::MAX))])),
        ("mixed views", votes(&[(1, vote(1, Phase::Commit, 2, (5, 1)))])),
        ("mixed phases", votes(&[(1, vote(1, Phase::Prepare, 1, (5, 1)))])),
        ("mixed batches", votes(&[(1, vote(1, Phase::Commit, 1, (5, 2)))])),
        ("mixed slots", votes(&[(1, vote(1, Phase::Commit, 1, (6, 1)))])),
        ("votes for another claim", Certificate::from_votes(Phase::Commit, claim(5, 1, 2), quorum.clone())),
        ("votes of the other phase", Certificate::from_votes(Phase::Prepare, at, quorum.clone())),
    ];
    for (why, certificate) in wrong {
        assert_eq!(reason(&world, certificates(&[certificate])), Rejected::Certificate, "{why}");
    }
    let forged = Signed { signature: Signature::new(&[0; 16]), ..right(2) };
    let last_is_forged = votes(&[(2, forged)]);
    assert_eq!(reason(&world, certificates(&[last_is_forged])), Rejected::Signature(ReplicaId(2)));
    assert_eq!(reason(&world, certificates(&[])), Rejected::Empty("certificates"));
    let sprawling = (0..3).map(|id| world.vote(id, Phase::Commit, 1, &[(5, 1), (99, 1)])).collect();
    let sprawling = Certificate::from_votes(Phase::Commit, at, sprawling);
    assert_eq!(reason(&world, certificates(&[sprawling])), Rejected::NotCanonical("a vote"), "vectors over 95 slots");
}

#[test]
fn six_replicas_need_four_votes_and_not_three() {
    let world = World::new(6);
    let right = world.certificate(Phase::Commit, claim(5, 1, 1));
    assert_eq!(right.votes().len(), 4);
    let short = Certificate::from_votes(Phase::Commit, right.claim, right.votes()[..3].to_vec());
    assert_eq!(reason(&world, certificates(&[short])), Rejected::Certificate);
}

#[test]
fn a_certificate_that_stands_twice_in_a_message_is_not_verified_twice() {
    let world = world();
    let certificate = Arc::new(world.certificate(Phase::Commit, claim(5, 0, 1)));
    let twice = CertificateSet(vec![certificate; 2]);
    assert_eq!(reason(&world, Message::Certificates(Arc::new(twice))), Rejected::RepeatedCertificate);
}

#[test]
fn a_vector_in_several_certificates_is_verified_once_and_in_each_that_it_fits() {
    #[derive(Debug)]
    #[allow(clippy::disallowed_types, reason = "a verifier is shared, and this one counts")]
    struct Counting(testing::FakeScheme, std::sync::atomic::AtomicU64);
    impl SignatureVerifier for Counting {
        fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.0.verify(signer, statement, signature)
        }
        fn verify_caller(&self, _: &crate::request::Caller, _: crate::request::RequestId, _: &Signature) -> bool {
            false
        }
    }
    let world = world();
    let vectors: Vec<_> = (0..3).map(|id| world.vote(id, Phase::Commit, 1, &[(5, 1), (6, 2)])).collect();
    let set = |claims: &[Claim]| {
        let certificate = |claim| Certificate::from_votes(Phase::Commit, claim, vectors.clone());
        certificates(&claims.iter().copied().map(certificate).collect::<Vec<_>>())
    };
    let counting = Arc::new(Counting(world.scheme, Default::default()));
    let verifier = Verifier::new(Arc::clone(&world.chain), Arc::<Counting>::clone(&counting));
    assert!(verifier.message(set(&[claim(5, 1, 1), claim(6, 1, 2)])).is_ok());
    assert_eq!(counting.1.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(reason(&world, set(&[claim(5, 1, 1), claim(6, 1, 1)])), Rejected::Certificate);
}

#[test]
fn a_checkpoint_certificate_is_a_quorum_for_one_state_where_one_is_due() {
    let world = world();
    let message = |certificate| Message::StableCheckpoint(Arc::new(certificate));
    let right = world.checkpoint_certificate(8, 1);
    assert!(world.verifier.message(message(right.clone())).is_ok());
    let with = |index: usize, vote| {
        let mut changed = right.clone();
        changed.votes[index] = vote;
        changed
    };
    let wrong = [
        ("too few", CheckpointCertificate { votes: right.votes[..2].to_vec(), ..right.clone() }),
        ("one signer twice", with(1, world.checkpoint(0, 8, 1))),
        ("another state", with(1, world.checkpoint(1, 8, 2))),
        ("another slot", with(1, world.checkpoint(1, 4, 1))),
        ("a stranger", with(2, world.checkpoint(4, 8, 1))),
        ("for another state", CheckpointCertificate { vote: world.checkpoint(0, 8, 2).body, ..right.clone() }),
    ];
    for (why, certificate) in wrong {
        assert_eq!(reason(&world, message(certificate)), Rejected::CheckpointCertificate, "{why}");
    }
    let undue = world.checkpoint_certificate(6, 1);
    assert_eq!(reason(&world, message(undue)), Rejected::NotACheckpoint(Slot(6)));
    let forged = Signed { signature: Signature::new(&[0; 16]), ..world.checkpoint(2, 8, 1) };
    assert_eq!(reason(&world, message(with(2, forged))), Rejected::Signature(ReplicaId(2)));
}

#[test]
fn a_status_is_bounded() {
    let world = world();
    let status = |slots, pending| {
        let (view, stable, executed) = (View(0), Slot(0), Slot(0));
        let (progress, pending) = (vec![Progress::Nothing; slots], vec![digest(1); pending]);
        Message::Status(Arc::new(world.sign(1, Status { view, target: None, stable, executed, progress, pending })))
    };
    assert!(world.verifier.message(status(64, 8)).is_ok());
    assert!(matches!(reason(&world, status(65, 0)), Rejected::TooMany { count: 65, limit: 64, .. }));
    assert!(matches!(reason(&world, status(0, 9)), Rejected::TooMany { count: 9, limit: 8, .. }));
}

#[test]
fn unsigned_messages_are_bounded() {
    let world = world();
    let fetch = |count: usize| Message::Fetch(Arc::new(vec![FetchItem::Vertex(digest(1)); count]));
    assert!(world.verifier.message(fetch(64)).is_ok());
    assert!(matches!(reason(&world, fetch(65)), Rejected::TooMany { count: 65, limit: 64, .. }));
    assert_eq!(reason(&world, fetch(0)), Rejected::Empty("items to fetch"));

    let chunk = |length: usize| Message::Data(Arc::new(Data::Chunk(Arc::new(Bytes(vec![0; length])))));
    assert!(world.verifier.message(chunk(MAX_CHUNK)).is_ok());
    assert!(matches!(reason(&world, chunk(MAX_CHUNK + 1)), Rejected::TooMany { .. }));

    let manifest = |slot, core: usize, app: usize| {
        let (core, app) = (vec![digest(1); core], vec![digest(1); app]);
        Message::Data(Arc::new(Data::Manifest(Arc::new(Manifest {
            slot: Slot(slot),
            epoch: 0,
            order: digest(1),
            core,
            app,
        }))))
    };
    assert!(world.verifier.message(manifest(8, 1, MAX_CHUNKS - 1)).is_ok());
    assert!(matches!(reason(&world, manifest(8, 1, MAX_CHUNKS)), Rejected::TooMany { .. }));
    assert_eq!(reason(&world, manifest(6, 1, 1)), Rejected::NotACheckpoint(Slot(6)));
}

#[test]
fn each_message_of_a_batch_is_judged_alone() {
    let world = world();
    let good = Message::Vote(world.vote(1, Phase::Prepare, 0, &[(1, 1)]));
    let bad = Message::Vote(world.vote(4, Phase::Prepare, 0, &[(1, 1)]));
    let results = world.verifier.messages([bad.clone(), good, bad]);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn of_a_recollection_that_which_verifies_is_kept() {
    let world = world();
    let forged = || Signature::new(&[0; 16]);
    let vote = world.vote(1, Phase::Commit, 0, &[(5, 1)]);
    let checkpoint = world.checkpoint(1, 8, 1);
    let view_change = world.view_change(1, 1, 4, &[]);
    let bodies = [0, 1, 2].map(|id| world.view_change(id, 1, 4, &[]));
    let new_view = world.sign_new_view(world.new_view(&bodies));
    let vertex = world.sign_vertex(world.vertex(1, b"a"));
    let right = Recollection {
        votes: vec![vote.clone(), world.vote(2, Phase::Prepare, 0, &[(6, 1)])],
        checkpoint: Some(checkpoint.clone()),
        view_change: Some(Arc::clone(&view_change)),
        new_view: Some(new_view.clone()),
        vertex: Some(Arc::clone(&vertex)),
    };
    let kept = |held: &Recollection| world.verifier.message(Message::Recollection(Arc::new(held.clone())));
    assert_eq!(kept(&right).map(Verified::into_inner), Ok(Message::Recollection(Arc::new(right.clone()))));
    let wrong = Recollection {
        votes: vec![Signed { signature: forged(), ..vote.clone() }, right.votes[1].clone()],
        checkpoint: Some(Signed { signature: forged(), ..checkpoint }),
        view_change: Some(Arc::new(Signed { signature: forged(), ..Signed::clone(&view_change) })),
        new_view: Some(Signed { signature: forged(), ..new_view }),
        vertex: Some(Arc::new(Signed { signature: forged(), ..Signed::clone(&vertex) })),
    };
    let rest = Recollection { votes: right.votes[1..].to_vec(), ..Recollection::default() };
    assert_eq!(kept(&wrong).map(Verified::into_inner), Ok(Message::Recollection(Arc::new(rest))));
    let many = |count| Recollection { votes: vec![vote.clone(); count], ..Recollection::default() };
    assert!(kept(&many(MAX_RECOLLECTED_VOTES)).is_ok());
    assert!(matches!(kept(&many(MAX_RECOLLECTED_VOTES + 1)), Err(Rejected::TooMany { count: 513, limit: 512, .. })));
}

#[test]
fn evidence_is_verified_with_every_signature_in_it() {
    let world = world();
    let forged = Signature::new(&[0; 16]);
    let view_changes = [&[][..], &[claim(5, 0, 1)]].map(|claims| world.view_change(1, 1, 4, claims));
    let ill_formed = world.view_change(1, 1, 3, &[]);
    let commit = world.vote(1, Phase::Commit, 0, &[(5, 1)]);
    let votes = [1, 2].map(|byte| world.vote(1, Phase::Prepare, 0, &[(5, byte)]));
    let checkpoints = [1, 2].map(|byte| world.checkpoint(1, 4, byte));
    let vertices = [b"a", b"b"].map(|op| Arc::new(world.sign_vertex(world.vertex(1, op)).header()));
    let bodies: Vec<_> = (0..3).map(|id| world.view_change(id, 1, 4, &[])).collect();
    let right = world.new_view(&bodies);
    let absurd = world.sign_new_view(NewView { stable: Slot(3), ..right.clone() });
    let new_views = [world.sign_new_view(right.clone()), absurd.clone()];
    let spoilt =
        |signed: &Arc<Signed<ViewChange>>| Arc::new(Signed { signature: forged.clone(), ..Signed::clone(signed) });
    let header = |signed: &Arc<SignedHeader>| Arc::new(Signed { signature: forged.clone(), ..Signed::clone(signed) });
    let [v, w] = votes;
    let [a, b] = view_changes;
    let [c, d] = checkpoints;
    let [h, i] = vertices;
    let [n, m] = new_views;
    let bad = |vote: &Signed<Vote>| Signed { signature: forged.clone(), ..vote.clone() };
    let bad_checkpoint = |vote: &Signed<CheckpointVote>| Signed { signature: forged.clone(), ..vote.clone() };
    let bad_new_view = |signed: &Signed<NewView>| Signed { signature: forged.clone(), ..signed.clone() };
    let spoilt_bodies = vec![bodies[0].clone(), spoilt(&bodies[1]), bodies[2].clone()];
    let pieces = [
        (Evidence::Votes(v.clone(), w.clone()), vec![Evidence::Votes(bad(&v), w.clone()), Evidence::Votes(v, bad(&w))]),
        (
            Evidence::ViewChanges(a.clone(), b.clone()),
            vec![Evidence::ViewChanges(spoilt(&a), b.clone()), Evidence::ViewChanges(a.clone(), spoilt(&b))],
        ),
        (
            Evidence::LeftOut(commit.clone(), a.clone()),
            vec![Evidence::LeftOut(bad(&commit), a.clone()), Evidence::LeftOut(commit, spoilt(&a))],
        ),
        (
            Evidence::NewView(absurd.clone(), bodies.clone()),
            vec![Evidence::NewView(bad_new_view(&absurd), bodies), Evidence::NewView(absurd, spoilt_bodies)],
        ),
        (
            Evidence::Checkpoints(c.clone(), d.clone()),
            vec![Evidence::Checkpoints(bad_checkpoint(&c), d.clone()), Evidence::Checkpoints(c, bad_checkpoint(&d))],
        ),
        (
            Evidence::Vertices(h.clone(), i.clone()),
            vec![Evidence::Vertices(header(&h), i.clone()), Evidence::Vertices(h, header(&i))],
        ),
        (Evidence::ViewChange(ill_formed.clone()), vec![Evidence::ViewChange(spoilt(&ill_formed))]),
        (
            Evidence::NewViews(n.clone(), m.clone()),
            vec![Evidence::NewViews(bad_new_view(&n), m.clone()), Evidence::NewViews(n, bad_new_view(&m))],
        ),
    ];
    for (right, wrong) in pieces {
        assert!(world.verifier.evidence(Arc::new(right.clone())).is_ok(), "{:?}", right.kind());
        for forged in wrong {
            let rejected = world.verifier.evidence(Arc::new(forged)).map(|_| ());
            assert!(matches!(rejected, Err(Rejected::Signature(_))), "{:?}: {rejected:?}", right.kind());
        }
    }
}
