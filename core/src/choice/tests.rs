use super::*;
use crate::verify::testing::{World, claim, digest};
use proptest::prelude::*;

fn body(view: u64, stable: u64, prepared: &[Claim]) -> ViewChange {
    World::new(4).view_change(0, view, stable, prepared).body.clone()
}

fn selected(bodies: &[ViewChange]) -> Result<Selection, Contradiction> {
    select(bodies.iter())
}

#[test]
fn claims_of_both_lists_inside_the_window_are_well_formed() {
    let chain = World::new(4).chain;
    let mut fine = body(3, 4, &[claim(5, 0, 1), claim(12, 2, 2)]);
    assert!(is_well_formed(&fine, &chain));
    fine.voted = vec![claim(5, 2, 9), claim(6, 0, 3), claim(12, 2, 2)];
    assert!(is_well_formed(&fine, &chain), "a vote may be newer than what is prepared, or without it");
}

#[test]
fn each_broken_rule_makes_a_body_ill_formed() {
    let chain = World::new(4).chain;
    let voted = |voted: &[Claim]| ViewChange { voted: voted.to_vec(), ..body(3, 4, &[claim(6, 1, 1)]) };
    let ill_formed = [
        ("view 0", body(0, 4, &[])),
        ("stable between two checkpoints", body(3, 6, &[])),
        ("a claim at the stable checkpoint", body(3, 4, &[claim(4, 0, 1)])),
        ("a claim above the window", body(3, 4, &[claim(13, 0, 1)])),
        ("a claim of the view itself", body(3, 4, &[claim(5, 3, 1)])),
        ("two claims for a slot", body(3, 4, &[claim(5, 0, 1), claim(5, 1, 1)])),
        ("claims out of order", body(3, 4, &[claim(6, 0, 1), claim(5, 0, 1)])),
        ("prepared without a vote", voted(&[])),
        ("prepared after the last vote", voted(&[claim(6, 0, 1)])),
        ("voted above the window", voted(&[claim(6, 1, 1), claim(13, 1, 1)])),
        ("voted in the view itself", voted(&[claim(6, 3, 1)])),
        ("votes out of order", voted(&[claim(7, 1, 1), claim(6, 1, 1)])),
    ];
    for (why, body) in ill_formed {
        assert!(!is_well_formed(&body, &chain), "{why}");
    }
}

#[test]
fn the_highest_view_wins_each_slot_whoever_claims_it_first() {
    // Choosing the lowest view, or the first claim, forks with whoever executed B in view 2.
    let bodies = [body(4, 0, &[claim(1, 0, 1)]), body(4, 0, &[claim(1, 2, 2)]), body(4, 0, &[claim(1, 1, 3)])];
    let selection = selected(&bodies).unwrap();
    assert_eq!(selection.proposals, [(Slot(1), digest(2))]);
    assert_eq!(selection.selected, [claim(1, 2, 2)]);
}

#[test]
fn gaps_become_null_and_nothing_is_proposed_after_the_last_claim() {
    let selection = selected(&[body(1, 0, &[claim(2, 0, 1), claim(5, 0, 2)]), body(1, 0, &[])]).unwrap();
    let null = NULL_BATCH;
    let expected = [(1, null), (2, digest(1)), (3, null), (4, null), (5, digest(2))].map(|(s, d)| (Slot(s), d));
    assert_eq!(selection.proposals, expected);
    assert_eq!(selection.selected, [claim(2, 0, 1), claim(5, 0, 2)], "NULL needs no certificate");
}

#[test]
fn claims_up_to_the_highest_stable_checkpoint_are_not_looked_at() {
    let behind = body(3, 0, &[claim(4, 1, 1), claim(5, 1, 2)]);
    let liar = body(3, 0, &[claim(4, 1, 9)]);
    let ahead = body(3, 4, &[]);
    let selection = selected(&[behind, liar, ahead]).unwrap();
    assert_eq!(selection.stable, Slot(4));
    assert_eq!(selection.proposals, [(Slot(5), digest(2))]);
}

#[test]
fn two_batches_in_the_highest_view_of_a_slot_contradict_each_other() {
    let bodies = [body(4, 0, &[claim(1, 2, 1)]), body(4, 0, &[claim(1, 2, 2)])];
    assert_eq!(selected(&bodies), Err(Contradiction::Digests { slot: Slot(1), view: View(2) }));
}

#[test]
fn two_batches_below_the_highest_view_are_no_contradiction() {
    let (one, other) = (body(4, 0, &[claim(1, 1, 1)]), body(4, 0, &[claim(1, 1, 2)]));
    let highest = body(4, 0, &[claim(1, 2, 3)]);
    assert_eq!(selected(&[one, other, highest]).unwrap().selected, [claim(1, 2, 3)]);
}

#[test]
fn a_second_state_at_the_stable_checkpoint_spoils_nothing() {
    let (honest, mut liar) = (body(1, 4, &[]), body(1, 4, &[]));
    liar.state = digest(66);
    let selection = selected(&[liar, honest]).unwrap();
    assert!(selection.claims_state(digest(0)));
    assert!(selection.claims_state(digest(66)));
    assert!(!selection.claims_state(digest(1)));
    // A state at a lower slot is not one at h*.
    let behind = ViewChange { state: digest(7), ..body(1, 0, &[]) };
    assert!(!selected(&[behind, body(1, 4, &[])]).unwrap().claims_state(digest(7)));
}

#[test]
fn claims_beyond_any_window_cost_no_memory() {
    let far = claim(u64::MAX, 0, 1);
    assert_eq!(selected(&[body(1, 0, &[far])]), Err(Contradiction::Reach { slot: far.slot }));
    assert_eq!(selected(&[body(1, u64::MAX, &[far])]).unwrap().proposals, []);
}

const OWN: ReplicaId = ReplicaId(1);

/// Chooses with slots 0 and 4 certified at state 0, and every claim of batches below 50 backed.
fn chosen(world: &World, received: &[Arc<Signed<ViewChange>>]) -> Option<Vec<u16>> {
    let is_certified = |slot, state| slot == Slot(0) || slot == Slot(4) && state == digest(0);
    let set = choose(world.chain.committee, OWN, received, is_certified, |claim| claim.digest.0[0] < 50)?;
    Some(set.iter().map(|signed| signed.signer.0).collect())
}

#[test]
fn a_quorum_with_the_own_body_and_the_lowest_ids_is_chosen() {
    let world = World::new(7);
    let received: Vec<_> = (0..7).rev().map(|id| world.view_change(id, 1, 0, &[])).collect();
    assert_eq!(chosen(&world, &received), Some(vec![0, 1, 2, 3, 4]));
    assert_eq!(chosen(&world, &received[..4]), None, "four of seven are no quorum");
}

#[test]
fn whoever_has_the_highest_certified_checkpoint_is_always_among_the_chosen() {
    let world = World::new(7);
    let stable = |id| if id == 6 { 4 } else { 0 };
    let received: Vec<_> = (0..7).map(|id| world.view_change(id, 1, stable(id), &[])).collect();
    assert_eq!(chosen(&world, &received), Some(vec![0, 1, 2, 3, 6]));
}

#[test]
fn without_the_own_body_nothing_is_chosen() {
    let world = World::new(4);
    let received: Vec<_> = [0, 2, 3].map(|id| world.view_change(id, 1, 0, &[])).into();
    assert_eq!(chosen(&world, &received), None);
}

#[test]
fn a_body_with_an_unbacked_claim_is_left_out() {
    let world = World::new(4);
    let mut received: Vec<_> = (0..3).map(|id| world.view_change(id, 1, 0, &[])).collect();
    received[0] = world.view_change(0, 1, 0, &[claim(1, 0, 99)]);
    assert_eq!(chosen(&world, &received), None, "only two are left");
    received.push(world.view_change(3, 1, 0, &[claim(1, 0, 1)]));
    assert_eq!(chosen(&world, &received), Some(vec![1, 2, 3]));
}

#[test]
fn an_unbacked_claim_below_the_checkpoint_does_no_harm() {
    let world = World::new(4);
    let old = |id| world.view_change(id, 1, 0, &[claim(4, 0, 99)]);
    let received = [old(0), world.view_change(1, 1, 4, &[]), old(2)];
    assert_eq!(chosen(&world, &received), Some(vec![0, 1, 2]));
}

#[test]
fn an_uncertified_checkpoint_is_passed_over() {
    let world = World::new(4);
    let invented = world.view_change(0, 1, 8, &[]);
    let honest: Vec<_> = (1..4).map(|id| world.view_change(id, 1, 4, &[])).collect();
    let received = [&[invented][..], &honest].concat();
    assert_eq!(chosen(&world, &received), Some(vec![1, 2, 3]));
}

#[test]
fn a_false_state_at_a_certified_slot_does_not_anchor_the_choice() {
    let world = World::new(4);
    let liar = ViewChange { state: digest(66), ..world.view_change(0, 1, 4, &[]).body.clone() };
    let liar = world.sign_view_change(0, liar);
    let behind: Vec<_> = (1..4).map(|id| world.view_change(id, 1, 0, &[])).collect();
    assert_eq!(chosen(&world, &[&[Arc::clone(&liar)][..], &behind].concat()), Some(vec![1, 2, 3]));
    // Nor when the only one that is right about the state cannot be used itself.
    let unusable = world.view_change(3, 1, 4, &[claim(6, 0, 99)]);
    let behind = [Arc::clone(&behind[0]), Arc::clone(&behind[1])];
    let received = [&[Arc::clone(&liar), unusable][..], &behind].concat();
    assert_eq!(chosen(&world, &received), None, "r1 and r2 are no quorum without r0, which is ahead of them");
    // With an honest one beside it, it may come along.
    let received = [liar, world.view_change(1, 1, 0, &[]), world.view_change(3, 1, 4, &[])];
    assert_eq!(chosen(&world, &received), Some(vec![0, 1, 3]));
}

#[test]
fn a_lower_checkpoint_serves_when_nobody_can_vouch_for_the_highest() {
    let world = World::new(4);
    // Only r3 is stable at slot 4, and its claim above is not backed.
    let received = [
        world.view_change(0, 1, 0, &[]),
        world.view_change(1, 1, 0, &[]),
        world.view_change(2, 1, 0, &[]),
        world.view_change(3, 1, 4, &[claim(6, 0, 99)]),
    ];
    assert_eq!(chosen(&world, &received), Some(vec![0, 1, 2]));
}

#[test]
fn one_signer_counts_once_and_a_stranger_not_at_all() {
    let world = World::new(4);
    let twice = [0, 1, 0, 9].map(|id| world.view_change(id, 1, 0, &[]));
    assert_eq!(chosen(&world, &twice), None);
}

/// A few claims for slots 1 to 8 in views 0 to 2, with ten batches of which half are backed.
fn some_claims(stable: u64) -> impl Strategy<Value = Vec<Claim>> {
    let one = (1..=8_u64, 0..3_u64, 45..55_u8).prop_map(move |(at, view, byte)| claim(stable + at, view, byte));
    proptest::collection::btree_map(0..8_u64, one, 0..3).prop_map(|claims| {
        let by_slot: BTreeMap<Slot, Claim> = claims.into_values().map(|claim| (claim.slot, claim)).collect();
        by_slot.into_values().collect()
    })
}

fn some_bodies() -> impl Strategy<Value = Vec<Arc<Signed<ViewChange>>>> {
    let one = (0..3_u64, 0..2_u8).prop_flat_map(|(checkpoint, lie)| {
        let stable = checkpoint * 4;
        some_claims(stable)
            .prop_map(move |prepared| ViewChange { state: digest(u8::from(lie == 0)), ..body(3, stable, &prepared) })
    });
    proptest::collection::vec(one, 3..=4).prop_map(|bodies| {
        let world = World::new(4);
        (0..).zip(bodies).map(|(id, body)| world.sign_view_change(id, body)).collect()
    })
}

proptest! {
    #[test]
    fn a_set_is_chosen_exactly_when_there_is_an_admissible_one(received in some_bodies()) {
        let committee = World::new(4).chain.committee;
        let is_certified = |slot: Slot, state| slot <= Slot(4) && state == digest(0);
        let is_backed = |claim: &Claim| claim.digest.0[0] < 50;
        let highest = |set: &[Arc<Signed<ViewChange>>]| set.iter().map(|signed| signed.body.stable).max();
        let is_admissible = |set: &[Arc<Signed<ViewChange>>]| {
            let Some(stable) = highest(set) else { return false };
            set.len() == 3
                && set.iter().any(|signed| signed.signer == OWN)
                && set.iter().any(|signed| signed.body.stable == stable && is_certified(stable, signed.body.state))
                && set.iter().flat_map(|signed| &signed.body.prepared).all(|claim| claim.slot <= stable || is_backed(claim))
        };
        let subsets = (0..1_u32 << received.len()).map(|bits| {
            let chosen = (0..received.len()).filter(|index| bits >> index & 1 == 1);
            chosen.map(|index| Arc::clone(&received[index])).collect::<Vec<_>>()
        });
        let best = subsets.filter(|set| is_admissible(set)).filter_map(|set| highest(&set)).max();
        let set = choose(committee, OWN, &received, is_certified, is_backed);
        prop_assert_eq!(set.as_deref().and_then(highest), best, "the highest checkpoint possible, or none at all");
        if let Some(set) = set {
            prop_assert!(is_admissible(&set));
            prop_assert!(set.is_sorted_by_key(|signed| signed.signer));
        }
    }

    #[test]
    fn what_follows_does_not_depend_on_the_order_of_the_bodies(received in some_bodies(), turn in 0..4_usize) {
        let bodies: Vec<ViewChange> = received.iter().map(|signed| signed.body.clone()).collect();
        let mut turned = bodies.clone();
        turned.rotate_left(turn % bodies.len());
        prop_assert_eq!(selected(&bodies).ok(), selected(&turned).ok());
    }
}
