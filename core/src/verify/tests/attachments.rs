//! VIEW-CHANGE and NEW-VIEW: the signer answers for the body alone.

use super::*;

fn view_change(world: &World) -> ViewChangeMessage {
    let claims = [claim(5, 0, 1), claim(6, 1, 2)];
    let proofs = claims.iter().map(|claim| Arc::new(world.certificate(Phase::Prepare, *claim))).collect();
    ViewChangeMessage {
        signed: world.view_change(1, 2, 4, &claims),
        stable: Some(Arc::new(world.checkpoint_certificate(4, 0))),
        certificates: CertificateSet(proofs),
    }
}

fn kept_of(world: &World, message: ViewChangeMessage) -> Arc<ViewChangeMessage> {
    match world.verifier.message(Message::ViewChange(Arc::new(message))).map(Verified::into_inner) {
        Ok(Message::ViewChange(kept)) => kept,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_view_change_with_right_attachments_is_kept_as_it_is() {
    let world = world();
    let message = Arc::new(view_change(&world));
    let verified = world.verifier.message(Message::ViewChange(Arc::clone(&message))).unwrap();
    let Message::ViewChange(kept) = verified.into_inner() else { panic!("another kind") };
    assert!(Arc::ptr_eq(&kept, &message), "nothing was dropped, so nothing is copied");
}

#[test]
fn a_bad_certificate_beside_a_view_change_is_dropped_alone() {
    let world = world();
    let right = view_change(&world);
    let with = |certificate: Certificate| {
        let mut message = view_change(&world);
        message.certificates.0[0] = Arc::new(certificate);
        message
    };
    let short = world.certificate(Phase::Prepare, claim(5, 0, 1)).votes()[..2].to_vec();
    let mut forged = world.certificate(Phase::Prepare, claim(5, 0, 1)).votes().to_vec();
    forged[2].signature = Signature::new(&[0; 16]);
    for (why, certificate) in [
        ("too few votes", Certificate::from_votes(Phase::Prepare, claim(5, 0, 1), short)),
        ("a forged vote", Certificate::from_votes(Phase::Prepare, claim(5, 0, 1), forged)),
        ("of COMMITs", world.certificate(Phase::Commit, claim(5, 0, 1))),
        ("for an unclaimed slot", world.certificate(Phase::Prepare, claim(7, 0, 1))),
        ("for an unclaimed batch", world.certificate(Phase::Prepare, claim(5, 0, 9))),
        ("for an unclaimed view", world.certificate(Phase::Prepare, claim(5, 1, 1))),
    ] {
        let kept = kept_of(&world, with(certificate));
        assert_eq!(kept.certificates.0, right.certificates.0[1..], "{why}");
        assert_eq!(kept.signed, right.signed, "{why}");
        assert_eq!(kept.stable, right.stable, "{why}");
    }
}

#[test]
fn a_certificate_for_what_was_voted_for_and_not_prepared_is_dropped() {
    let world = world();
    let right = view_change(&world);
    let mut body = right.signed.body.clone();
    body.voted.push(claim(7, 1, 3));
    let mut message = ViewChangeMessage { signed: world.sign_view_change(1, body), ..right.clone() };
    message.certificates.0.push(Arc::new(world.certificate(Phase::Prepare, claim(7, 1, 3))));
    assert_eq!(kept_of(&world, message).certificates, right.certificates);
}

#[test]
fn of_several_certificates_for_a_claim_one_is_looked_at() {
    let world = world();
    let mut message = view_change(&world);
    let right = Arc::clone(&message.certificates.0[0]);
    message.certificates.0.extend(vec![right; 100]);
    assert_eq!(kept_of(&world, message).certificates, view_change(&world).certificates);
}

#[test]
fn a_bad_checkpoint_certificate_beside_a_view_change_is_dropped_alone() {
    let world = world();
    let mut short = world.checkpoint_certificate(4, 0);
    short.votes.pop();
    for (why, stable) in [
        ("for another slot", world.checkpoint_certificate(8, 0)),
        ("for another state", world.checkpoint_certificate(4, 1)),
        ("too few votes", short),
    ] {
        let kept = kept_of(&world, ViewChangeMessage { stable: Some(Arc::new(stable)), ..view_change(&world) });
        assert_eq!(kept.stable, None, "{why}");
        assert_eq!(kept.certificates, view_change(&world).certificates, "{why}");
    }
}

#[test]
fn a_malformed_body_with_a_right_signature_is_verified_for_it_is_evidence() {
    let world = world();
    let malformed = world.view_change(1, 2, 3, &[claim(99, 7, 1)]);
    let bare = ViewChangeMessage { signed: malformed, stable: None, certificates: CertificateSet::default() };
    assert_eq!(kept_of(&world, bare.clone()), Arc::new(bare));
}

#[test]
fn a_view_change_that_is_too_long_unordered_or_forged_is_rejected() {
    let world = world();
    let why = |signed: Signed<ViewChange>| {
        let bare =
            ViewChangeMessage { signed: Arc::new(signed), stable: None, certificates: CertificateSet::default() };
        reason(&world, Message::ViewChange(Arc::new(bare)))
    };
    let of = |prepared: &[Claim]| Signed::clone(&world.view_change(1, 2, 4, prepared));
    let nine: Vec<_> = (5..14).map(|slot| claim(slot, 0, 1)).collect();
    let body = of(&[]).body;
    let (prepared, voted) = (nine.clone(), nine);
    for (what, long) in
        [("prepared claims", ViewChange { prepared, ..body.clone() }), ("voted claims", ViewChange { voted, ..body })]
    {
        let long = Signed::clone(&world.sign_view_change(1, long));
        assert_eq!(why(long), Rejected::TooMany { what, count: 9, limit: 8 });
    }
    assert_eq!(why(of(&[claim(6, 0, 1), claim(5, 0, 1)])), Rejected::NotCanonical("a VIEW-CHANGE"));
    assert_eq!(why(Signed::clone(&world.view_change(1, 0, 4, &[]))), Rejected::NotCanonical("a VIEW-CHANGE"));
    assert_eq!(why(Signed { signer: ReplicaId(2), ..of(&[]) }), Rejected::Signature(ReplicaId(2)));
    assert_eq!(why(Signed { signer: ReplicaId(4), ..of(&[]) }), Rejected::NotAMember(ReplicaId(4)));
}

/// A NEW-VIEW for view 2 that rests on r0, r1 and r2, with slots 5 and 7 claimed.
fn new_view(world: &World) -> NewViewMessage {
    world.new_view_message(&[
        world.view_change(0, 2, 4, &[claim(5, 0, 1)]),
        world.view_change(1, 2, 4, &[claim(5, 1, 3), claim(7, 0, 2)]),
        world.view_change(2, 2, 0, &[claim(3, 0, 9)]),
    ])
}

fn kept_new_view(world: &World, message: NewViewMessage) -> Arc<NewViewMessage> {
    match world.verifier.message(Message::NewView(Arc::new(message))).map(Verified::into_inner) {
        Ok(Message::NewView(kept)) => kept,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_right_new_view_is_kept_as_it_is() {
    let world = world();
    let message = Arc::new(new_view(&world));
    let verified = world.verifier.message(Message::NewView(Arc::clone(&message))).unwrap();
    let Message::NewView(kept) = verified.into_inner() else { panic!("another kind") };
    assert!(Arc::ptr_eq(&kept, &message));
}

#[test]
fn bodies_that_a_new_view_does_not_name_or_that_are_forged_are_dropped_alone() {
    let world = world();
    let right = new_view(&world);
    let mut padded = right.clone();
    padded.view_changes.push(world.view_change(3, 2, 0, &[]));
    padded.view_changes.push(Arc::clone(&padded.view_changes[0]));
    assert_eq!(*kept_new_view(&world, padded), right);

    let mut forged = right.clone();
    forged.view_changes[1] =
        Arc::new(Signed { signature: Signature::new(&[0; 16]), ..Signed::clone(&right.view_changes[1]) });
    let kept = kept_new_view(&world, forged);
    assert_eq!(kept.view_changes, [Arc::clone(&right.view_changes[0]), Arc::clone(&right.view_changes[2])]);
    assert_eq!(kept.signed, right.signed);
}

#[test]
fn bodies_that_no_signature_makes_valid_are_kept_for_the_primary_named_them() {
    let world = world();
    let right = new_view(&world);
    let last = Signed::clone(&right.view_changes[2]);
    let stranger = Signed { signer: ReplicaId(4), ..last.clone() };
    let prepared = vec![claim(4, 0, 9), claim(3, 0, 9)];
    let unordered = Signed { body: ViewChange { prepared, ..last.body.clone() }, ..last };
    for misfit in [stranger, unordered] {
        let mut message = right.clone();
        message.view_changes[2] = Arc::new(misfit);
        let view_changes = message.view_changes.iter().map(|signed| signed.id()).collect();
        message.signed = world.sign_new_view(NewView { view_changes, ..right.signed.body.clone() });
        let kept = kept_new_view(&world, message.clone());
        assert_eq!(kept.view_changes, message.view_changes);
        let evidence = Evidence::from_new_view(&world.chain, &kept.signed, &kept.view_changes);
        let evidence = Arc::new(evidence.expect("the primary named it"));
        assert!(world.verifier.evidence(evidence).is_ok(), "anyone can check it");
    }
}

#[test]
fn bodies_come_out_in_the_order_of_their_names() {
    let world = world();
    let mut turned = new_view(&world);
    turned.view_changes.rotate_left(1);
    assert_eq!(*kept_new_view(&world, turned), new_view(&world));
}

#[test]
fn bad_proofs_beside_a_new_view_are_dropped_alone() {
    let world = world();
    let right = new_view(&world);
    for (why, certificate) in [
        ("of COMMITs", world.certificate(Phase::Commit, claim(5, 1, 3))),
        ("for a claim that lost", world.certificate(Phase::Prepare, claim(5, 0, 1))),
        ("for a claim of nobody", world.certificate(Phase::Prepare, claim(5, 0, 3))),
        ("for a slot up to h*", world.certificate(Phase::Prepare, claim(3, 0, 9))),
    ] {
        let mut message = right.clone();
        message.certificates.0[0] = Arc::new(certificate);
        let kept = kept_new_view(&world, message);
        assert_eq!(kept.certificates.0, right.certificates.0[1..], "{why}");
        assert_eq!(
            (&kept.signed, &kept.view_changes, &kept.stable),
            (&right.signed, &right.view_changes, &right.stable)
        );
    }
    let other = NewViewMessage { stable: Some(Arc::new(world.checkpoint_certificate(8, 0))), ..right.clone() };
    let kept = kept_new_view(&world, other);
    assert_eq!(kept.stable, None);
    assert_eq!(kept.certificates, right.certificates);
}

#[test]
fn a_wrong_new_view_with_a_right_signature_is_verified_for_it_is_evidence() {
    let world = world();
    let mut message = new_view(&world);
    message.signed = world.sign_new_view(NewView { proposals: vec![], ..message.signed.body.clone() });
    message.certificates = CertificateSet::default();
    assert_eq!(*kept_new_view(&world, message.clone()), message);
}

#[test]
fn a_new_view_that_is_too_long_or_forged_is_rejected() {
    let world = world();
    let body = new_view(&world).signed.body;
    let why = |signed| reason(&world, Message::NewView(Arc::new(NewViewMessage { signed, ..new_view(&world) })));
    let nine = (5..14).map(|slot| (Slot(slot), digest(1))).collect();
    let long = world.sign_new_view(NewView { proposals: nine, ..body.clone() });
    assert!(matches!(why(long), Rejected::TooMany { count: 9, limit: 8, .. }));
    let crowded = world.sign_new_view(NewView { view_changes: vec![digest(1); 5], ..body.clone() });
    assert!(matches!(why(crowded), Rejected::TooMany { count: 5, limit: 4, .. }));
    let forged = Signed { signer: ReplicaId(3), ..world.sign_new_view(body) };
    assert_eq!(why(forged), Rejected::Signature(ReplicaId(3)));
}
