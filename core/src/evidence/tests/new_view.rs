//! Kinds E7 and E12, against r1 as primary of view 1.

use super::*;

type Bodies = Vec<Arc<Signed<ViewChange>>>;

/// What r0, r1 and r2 leave view 0 with: slot 5 prepared at two of them, slot 7 at one.
fn bodies(world: &World) -> Bodies {
    vec![
        world.view_change(0, 1, 4, &[claim(5, 0, 1), claim(7, 0, 2)]),
        world.view_change(1, 1, 0, &[claim(4, 0, 9), claim(5, 0, 1)]),
        world.view_change(2, 1, 4, &[]),
    ]
}

#[test]
fn a_new_view_that_follows_from_its_bodies_is_innocent_with_any_of_them() {
    let world = world();
    let bodies = bodies(&world);
    let signed = world.sign_new_view(world.new_view(&bodies));
    for bits in 0..8 {
        let shown: Bodies = (0..3).filter(|at| bits >> at & 1 == 1).map(|at| Arc::clone(&bodies[at])).collect();
        assert!(!new_view_is_guilty(&world.chain, &signed, &shown), "{bits:03b}");
    }
}

#[test]
fn each_departure_from_the_bodies_convicts_the_primary() {
    let world = world();
    let honest = bodies(&world);
    let right = world.new_view(&honest);
    let with = |id: usize, body: Arc<Signed<ViewChange>>| {
        let mut bodies = honest.clone();
        bodies[id] = body;
        bodies
    };
    let named =
        |bodies: &Bodies| NewView { view_changes: bodies.iter().map(|body| body.id()).collect(), ..right.clone() };
    let proposing = |proposals: &[(u64, Digest)]| NewView {
        proposals: proposals.iter().map(|(slot, digest)| (Slot(*slot), *digest)).collect(),
        ..right.clone()
    };
    let null = crate::batch::NULL_BATCH;
    let other_view = with(2, world.view_change(2, 2, 4, &[]));
    let twice = with(2, world.view_change(0, 1, 4, &[]));
    let ill_formed = with(2, world.view_change(2, 1, 4, &[claim(99, 0, 1)]));
    let unvoted = ViewChange { voted: vec![], ..world.view_change(2, 1, 4, &[claim(5, 0, 1)]).body.clone() };
    let unvoted = with(2, world.sign_view_change(2, unvoted));
    let contradicting = with(2, world.view_change(2, 1, 4, &[claim(5, 0, 66)]));
    let higher = with(2, world.view_change(2, 1, 8, &[]));
    let stranger =
        with(2, Arc::new(Signed { signer: ReplicaId(9), ..Signed::clone(&world.view_change(2, 1, 4, &[])) }));
    let unordered = ViewChange {
        prepared: vec![claim(7, 0, 1), claim(5, 0, 1)],
        ..world.view_change(2, 1, 4, &[claim(5, 0, 1), claim(7, 0, 1)]).body.clone()
    };
    let unordered = with(2, world.sign_view_change(2, unordered));

    let guilty = [
        ("a claim is omitted", proposing(&[(5, digest(1))]), honest.clone()),
        ("a claim becomes NULL", proposing(&[(5, digest(1)), (6, null), (7, null)]), honest.clone()),
        ("an unclaimed batch", proposing(&[(5, digest(1)), (6, digest(3)), (7, digest(2))]), honest.clone()),
        ("a slot too many", proposing(&[(5, digest(1)), (6, null), (7, digest(2)), (8, null)]), honest.clone()),
        ("a gap", proposing(&[(5, digest(1)), (7, digest(2))]), honest.clone()),
        ("another h*", NewView { stable: Slot(0), ..right.clone() }, honest.clone()),
        ("an h* that nobody has", NewView { stable: Slot(8), proposals: vec![], ..right.clone() }, honest.clone()),
        ("too few bodies", NewView { view_changes: right.view_changes[..2].to_vec(), ..right.clone() }, honest.clone()),
        ("a body for another view", named(&other_view), other_view.clone()),
        ("two bodies of one replica", named(&twice), twice.clone()),
        ("an ill-formed body", named(&ill_formed), ill_formed.clone()),
        ("a body that prepared without a vote", named(&unvoted), unvoted.clone()),
        ("two batches in one view", named(&contradicting), contradicting.clone()),
        ("a body with a higher h", named(&higher), higher.clone()),
        ("a body of no member", named(&stranger), stranger.clone()),
        ("a body of no form", named(&unordered), unordered.clone()),
    ];
    for (why, body, bodies) in guilty {
        let signed = world.sign_new_view(body);
        assert!(new_view_is_guilty(&world.chain, &signed, &bodies), "{why}");
        convicts(&world, Evidence::from_new_view(&world.chain, &signed, &bodies), EvidenceKind::E7, 1, 0);
    }
}

#[test]
fn some_faults_show_without_all_bodies() {
    let world = world();
    let bodies = bodies(&world);
    let right = world.new_view(&bodies);
    let is_guilty = |body: NewView, shown: &[usize]| {
        let shown: Bodies = shown.iter().map(|at| Arc::clone(&bodies[*at])).collect();
        new_view_is_guilty(&world.chain, &world.sign_new_view(body), &shown)
    };
    let repeated = [right.view_changes[0]; 3].to_vec();
    assert!(is_guilty(NewView { view_changes: repeated, ..right.clone() }, &[]), "one hash three times");
    assert!(is_guilty(NewView { stable: Slot(5), proposals: vec![], ..right.clone() }, &[]), "no checkpoint there");
    let short = NewView { proposals: right.proposals[..1].to_vec(), ..right.clone() };
    assert!(is_guilty(short.clone(), &[0]), "r0 claims slot 7");
    assert!(!is_guilty(short, &[1, 2]), "r0 might claim nothing");
    let low = NewView { stable: Slot(0), ..world.new_view(&bodies[1..2]) };
    let low = NewView { view_changes: right.view_changes.clone(), ..low };
    assert!(is_guilty(low.clone(), &[2]), "r2 is stable at 4");
    assert!(!is_guilty(low, &[1]), "the others might not be");
}

#[test]
fn bodies_that_the_primary_did_not_name_do_not_count() {
    let world = world();
    let bodies = bodies(&world);
    let signed = world.sign_new_view(world.new_view(&bodies));
    let stranger = world.view_change(3, 1, 8, &[claim(9, 0, 66)]);
    let shown = [&bodies[..], &[stranger]].concat();
    assert!(!new_view_is_guilty(&world.chain, &signed, &shown));
    // Nor may they pad a proof.
    let short = NewView { proposals: vec![], ..world.new_view(&bodies) };
    let padded = Evidence::NewView(world.sign_new_view(short), shown);
    assert!(!padded.holds(&world.chain));
}

#[test]
fn a_new_view_of_another_replica_than_the_primary_is_void_and_no_evidence() {
    let world = world();
    let body = NewView { view_changes: vec![], ..world.new_view(&bodies(&world)) };
    let signed = world.sign(2, body);
    assert!(!new_view_is_guilty(&world.chain, &signed, &[]));
    let other = world.sign(2, NewView { stable: Slot(0), ..signed.body.clone() });
    assert!(!Evidence::NewViews(signed, other).holds(&world.chain));
}

#[test]
fn two_new_views_of_one_view_convict() {
    let world = world();
    let one = world.sign_new_view(world.new_view(&bodies(&world)));
    let mut fewer = bodies(&world);
    fewer[2] = world.view_change(3, 1, 4, &[]);
    let other = world.sign_new_view(world.new_view(&fewer));
    convicts(&world, Evidence::from_new_views(&one, &other), EvidenceKind::E12, 1, 0);
    let signed_again = Signed { signature: Signature::new(b"another valid signature"), ..one.clone() };
    assert_eq!(Evidence::from_new_views(&one, &signed_again), None);
    assert_eq!(Evidence::from_new_views(&one, &world.sign(2, other.body)), None, "by another replica");
    let later = [0, 1, 2].map(|id| world.view_change(id, 5, 4, &[]));
    assert_eq!(Evidence::from_new_views(&one, &world.sign_new_view(world.new_view(&later))), None, "for another view");
}

/// Bodies of r0 to r2 with random claims, most of them well-formed.
fn some_bodies() -> impl Strategy<Value = Bodies> {
    let one = (0..2_u64, proptest::collection::btree_map(1..6_u64, (0..2_u64, 1..3_u8), 0..3));
    proptest::collection::vec(one, 3).prop_map(|bodies| {
        let world = world();
        let bodies = (0..).zip(bodies).map(|(id, (checkpoint, claims))| {
            let stable = checkpoint * 4;
            let claims: Vec<_> = claims.iter().map(|(at, (view, byte))| claim(stable + at, *view, *byte)).collect();
            world.view_change(id, 1, stable, &claims)
        });
        bodies.collect()
    })
}

proptest! {
    #[test]
    fn showing_more_bodies_never_makes_a_guilty_new_view_innocent(
        bodies in some_bodies(),
        stable in 0..3_u64,
        proposals in proptest::collection::vec(0..3_u8, 0..4),
        bits in 0..8_u32,
    ) {
        let world = world();
        let stable = Slot(stable * 4);
        let digest_of = |byte: u8| if byte == 0 { crate::batch::NULL_BATCH } else { digest(byte) };
        let signed = world.sign_new_view(NewView {
            view: View(1),
            view_changes: bodies.iter().map(|body| body.id()).collect(),
            stable,
            proposals: (1..).zip(proposals).map(|(at, byte)| (stable.plus(at), digest_of(byte))).collect(),
        });
        let shown: Bodies = (0..3).filter(|at| bits >> at & 1 == 1).map(|at| Arc::clone(&bodies[at])).collect();
        let early = new_view_is_guilty(&world.chain, &signed, &shown);
        prop_assert!(!early || new_view_is_guilty(&world.chain, &signed, &bodies));
    }
}

#[test]
fn what_no_bodies_lead_to_convicts_without_any() {
    let world = world();
    let right = world.new_view(&bodies(&world));
    let proposing = |slots: std::ops::RangeInclusive<u64>| NewView {
        proposals: slots.map(|slot| (Slot(slot), digest(1))).collect(),
        ..right.clone()
    };
    let named = |count: usize| NewView { view_changes: (1..).take(count).map(digest).collect(), ..right.clone() };
    for (what, is_guilty, body) in [
        ("as it should be", false, right.clone()),
        ("nothing is proposed", false, NewView { proposals: vec![], ..right.clone() }),
        ("a whole window", false, proposing(5..=12)),
        ("more than a window", true, proposing(5..=13)),
        ("a gap before the first slot", true, proposing(6..=7)),
        ("a slot that is stable", true, proposing(4..=7)),
        ("three others", false, named(3)),
        ("too few", true, named(2)),
        ("too many", true, named(4)),
        ("no checkpoint is due there", true, NewView { stable: Slot(3), proposals: vec![], ..right.clone() }),
    ] {
        let signed = world.sign_new_view(body);
        assert_eq!(new_view_is_guilty(&world.chain, &signed, &[]), is_guilty, "{what}");
    }
    let of_view_0 = world.sign_new_view(NewView { view: View(0), ..right });
    assert!(new_view_is_guilty(&world.chain, &of_view_0, &[]), "nobody leads to view 0");
}

#[test]
fn a_body_that_does_not_belong_convicts_without_the_others() {
    let world = world();
    let right = world.new_view(&bodies(&world));
    let fine = world.view_change(2, 1, 4, &[]);
    let stranger = Arc::new(Signed { signer: ReplicaId(9), ..Signed::clone(&fine) });
    let twice = world.view_change(2, 1, 0, &[]);
    for (what, is_guilty, shown) in [
        ("one that belongs", false, vec![Arc::clone(&fine)]),
        ("one that reaches as far as the last slot", false, vec![world.view_change(2, 1, 4, &[claim(7, 0, 2)])]),
        ("one that reaches farther", true, vec![world.view_change(2, 1, 4, &[claim(8, 0, 2)])]),
        ("one for another view", true, vec![world.view_change(2, 2, 4, &[])]),
        ("one that is stable above", true, vec![world.view_change(2, 1, 8, &[])]),
        ("an ill-formed one", true, vec![world.view_change(2, 1, 3, &[])]),
        ("one of no member", true, vec![stranger]),
        ("two of one replica", true, vec![fine, twice]),
    ] {
        let mut view_changes: Vec<_> = shown.iter().map(|body| body.id()).collect();
        view_changes.extend((1..).take(3 - shown.len()).map(digest));
        let signed = world.sign_new_view(NewView { view_changes, ..right.clone() });
        assert_eq!(new_view_is_guilty(&world.chain, &signed, &shown), is_guilty, "{what}");
    }
}

#[test]
fn a_stable_checkpoint_that_no_body_has_convicts_even_if_nothing_is_proposed() {
    let world = world();
    let bodies: Bodies = (0..3).map(|id| world.view_change(id, 1, 4, &[])).collect();
    let right = world.new_view(&bodies);
    assert!(right.proposals.is_empty());
    let signed = world.sign_new_view(NewView { stable: Slot(8), ..right });
    assert!(new_view_is_guilty(&world.chain, &signed, &bodies));
    assert!(!new_view_is_guilty(&world.chain, &signed, &bodies[..2]), "the third might be stable at 8");
}
