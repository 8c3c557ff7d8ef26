use super::*;
use crate::certificate::Claim;
use crate::hash::Digest;
use crate::signature::Signature;
use crate::types::Height;
use crate::verify::testing::{World, claim, digest};
use crate::vote::Phase::{Commit, Prepare};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod history;
mod new_view;

fn world() -> World {
    World::new(4)
}

/// Expects evidence against r1 that anybody can check, and that survives being stored.
fn convicts(world: &World, evidence: Option<Evidence>, kind: EvidenceKind, view: u64, at: u64) {
    let evidence = evidence.unwrap_or_else(|| panic!("no evidence of {kind:?}"));
    assert_eq!(evidence.accused(), ReplicaId(1));
    assert_eq!(evidence.key(), (kind, View(view), at));
    assert!(evidence.holds(&world.chain), "{kind:?} does not hold");
    let bytes = postcard::to_stdvec(&evidence).unwrap();
    assert_eq!(postcard::from_bytes::<Evidence>(&bytes).unwrap(), evidence);
    assert!(world.verifier.evidence(Arc::new(evidence)).is_ok(), "{kind:?} is not verified");
}

#[test]
fn two_votes_that_give_a_slot_different_batches_convict() {
    let world = world();
    for (phase, kind) in [(Prepare, EvidenceKind::E1), (Commit, EvidenceKind::E2)] {
        let one = world.vote(1, phase, 3, &[(5, 1), (6, 1), (7, 1)]);
        let other = world.vote(1, phase, 3, &[(6, 2), (7, 2)]);
        convicts(&world, Evidence::from_votes(&one, &other), kind, 3, 6);
    }
}

#[test]
fn votes_that_agree_where_they_meet_are_no_evidence() {
    let world = world();
    let vote = world.vote(1, Prepare, 3, &[(5, 1), (6, 2)]);
    let innocent = [
        ("the same vote", world.vote(1, Prepare, 3, &[(5, 1), (6, 2)])),
        ("another cut", world.vote(1, Prepare, 3, &[(6, 2), (7, 3)])),
        ("one entry of it", world.vote(1, Prepare, 3, &[(6, 2)])),
        ("other slots", world.vote(1, Prepare, 3, &[(7, 9), (8, 9)])),
        ("the other phase", world.vote(1, Commit, 3, &[(5, 9)])),
        ("another view", world.vote(1, Prepare, 4, &[(5, 9)])),
        ("another signer", world.vote(2, Prepare, 3, &[(5, 9)])),
        ("other signature bytes", Signed { signature: Signature::new(&[1; 16]), ..vote.clone() }),
    ];
    for (what, other) in innocent {
        assert_eq!(Evidence::from_votes(&vote, &other), None, "{what}");
        let forced = Evidence::Votes(vote.clone(), other);
        assert!(!forced.holds(&world.chain), "{what}");
    }
}

#[test]
fn a_vote_that_is_not_canonical_convicts_nobody() {
    let world = world();
    let one = world.vote(1, Prepare, 3, &[(6, 1), (5, 1)]);
    let other = world.vote(1, Prepare, 3, &[(5, 2)]);
    assert!(!Evidence::Votes(one, other).holds(&world.chain));
}

#[test]
fn two_view_changes_for_one_view_convict() {
    let world = world();
    let one = world.view_change(1, 2, 0, &[]);
    let other = world.view_change(1, 2, 0, &[claim(1, 0, 1)]);
    convicts(&world, Evidence::from_view_changes(&one, &other), EvidenceKind::E3, 2, 0);
    assert_eq!(Evidence::from_view_changes(&one, &world.view_change(1, 2, 0, &[])), None, "sent again");
    assert_eq!(Evidence::from_view_changes(&one, &world.view_change(1, 3, 4, &[])), None, "for the next view");
    assert_eq!(Evidence::from_view_changes(&one, &world.view_change(2, 2, 4, &[])), None, "by another replica");
}

/// A VIEW-CHANGE for view 5 of r1, stable at 4, with these claims.
fn leaving(prepared: &[Claim], voted: &[Claim]) -> Arc<Signed<ViewChange>> {
    let (stable, view, state) = (Slot(4), View(5), digest(0));
    let body = ViewChange { view, stable, state, prepared: prepared.to_vec(), voted: voted.to_vec() };
    world().sign_view_change(1, body)
}

#[test]
fn a_commit_that_the_view_change_leaves_out_convicts() {
    let world = world();
    let commit = world.vote(1, Commit, 2, &[(4, 1), (6, 1)]);
    let voted = [claim(6, 2, 1)];
    for hidden in [&[][..], &[claim(5, 2, 1)], &[claim(6, 1, 1)], &[claim(6, 2, 9)]] {
        let evidence = Evidence::from_left_out(&commit, &leaving(hidden, &voted));
        convicts(&world, evidence, EvidenceKind::E4, 2, 6);
    }
    for shown in [claim(6, 2, 1), claim(6, 3, 9)] {
        let view_change = leaving(&[shown], &[]);
        assert_eq!(Evidence::from_left_out(&commit, &view_change), None, "{shown:?}: slot 4 is stable");
        assert!(!Evidence::LeftOut(commit.clone(), view_change).holds(&world.chain), "{shown:?}");
    }
}

#[test]
fn a_prepare_is_looked_for_in_the_votes_and_not_in_the_prepared() {
    let world = world();
    let prepare = world.vote(1, Prepare, 2, &[(6, 1)]);
    let evidence = Evidence::from_left_out(&prepare, &leaving(&[claim(6, 2, 1)], &[]));
    convicts(&world, evidence, EvidenceKind::E5, 2, 6);
    let evidence = Evidence::from_left_out(&prepare, &leaving(&[], &[claim(6, 2, 9)]));
    convicts(&world, evidence, EvidenceKind::E5, 2, 6);
    assert_eq!(Evidence::from_left_out(&prepare, &leaving(&[], &[claim(6, 2, 1)])), None, "owned up to");
    assert_eq!(Evidence::from_left_out(&prepare, &leaving(&[], &[claim(6, 4, 9)])), None, "voted again since");
}

#[test]
fn a_vote_of_the_new_view_or_of_another_replica_is_no_evidence() {
    let world = world();
    let leaves_out_all = leaving(&[], &[]);
    for vote in [
        world.vote(1, Commit, 5, &[(6, 1)]),
        world.vote(1, Commit, 6, &[(6, 1)]),
        world.vote(2, Commit, 2, &[(6, 1)]),
        world.vote(1, Commit, 2, &[(4, 1)]),
    ] {
        assert_eq!(Evidence::from_left_out(&vote, &leaves_out_all), None, "{vote:?}");
    }
}

#[test]
fn two_states_of_one_checkpoint_convict() {
    let world = world();
    let one = world.checkpoint(1, 4, 1);
    convicts(&world, Evidence::from_checkpoints(&one, &world.checkpoint(1, 4, 2)), EvidenceKind::E8, 0, 4);
    for other in [world.checkpoint(1, 4, 1), world.checkpoint(1, 8, 2), world.checkpoint(2, 4, 2)] {
        assert_eq!(Evidence::from_checkpoints(&one, &other), None, "{other:?}");
    }
}

#[test]
fn two_vertices_of_one_height_convict() {
    let world = world();
    let one = world.sign_vertex(world.vertex(1, b"a"));
    let other = world.sign_vertex(world.vertex(1, b"b"));
    convicts(&world, Evidence::from_vertices(&one, &other), EvidenceKind::E9, 0, 1);
    assert_eq!(Evidence::from_vertices(&one, &world.sign_vertex(world.vertex(1, b"a"))), None, "the same");
    assert_eq!(Evidence::from_vertices(&one, &world.sign_vertex(world.vertex(2, b"b"))), None, "another author");
    let mut higher = world.vertex(1, b"b");
    higher.height = Height(2);
    assert_eq!(Evidence::from_vertices(&one, &world.sign_vertex(higher)), None, "another height");
}

#[test]
fn a_vertex_that_names_another_author_convicts_nobody() {
    let world = world();
    let forged = |op: &[u8]| {
        let signed = Signed::clone(&world.sign_vertex(world.vertex(1, op)));
        Arc::new(Signed { signer: ReplicaId(2), ..signed })
    };
    assert_eq!(Evidence::from_vertices(&forged(b"a"), &forged(b"b")), None);
}

#[test]
fn an_ill_formed_view_change_convicts() {
    let world = world();
    for ill_formed in [
        leaving(&[claim(13, 0, 1)], &[claim(13, 0, 1)]),
        leaving(&[claim(6, 5, 1)], &[claim(6, 5, 1)]),
        leaving(&[claim(6, 1, 1)], &[]),
        leaving(&[claim(6, 1, 1)], &[claim(6, 0, 1)]),
        world.view_change(1, 5, 3, &[]),
    ] {
        convicts(&world, Evidence::from_view_change(&world.chain, &ill_formed), EvidenceKind::E11, 5, 0);
    }
}

#[test]
fn a_view_change_that_is_well_formed_or_not_even_canonical_is_no_evidence() {
    let world = world();
    for view_change in [
        leaving(&[claim(6, 1, 1)], &[claim(6, 1, 1)]),
        leaving(&[], &[claim(7, 0, 1), claim(6, 0, 1)]),
        leaving(&[], &[claim(6, 0, 1), claim(6, 9, 1)]),
        world.view_change(1, 0, 3, &[]),
    ] {
        assert_eq!(Evidence::from_view_change(&world.chain, &view_change), None, "{view_change:?}");
        assert!(!Evidence::ViewChange(view_change).holds(&world.chain));
    }
}

#[test]
fn a_stranger_is_accused_of_nothing() {
    let world = world();
    let (one, other) = (world.checkpoint(9, 4, 1), world.checkpoint(9, 4, 2));
    assert!(!Evidence::Checkpoints(one, other).holds(&world.chain));
}

#[test]
fn a_forged_signature_proves_nothing() {
    let world = world();
    let one = world.checkpoint(1, 4, 1);
    let forged = Signed { signature: one.signature.clone(), ..world.checkpoint(1, 4, 2) };
    let evidence = Arc::new(Evidence::Checkpoints(one, forged));
    assert!(evidence.holds(&world.chain), "the predicate is not about signatures");
    assert!(world.verifier.evidence(evidence).is_err());
}

#[test]
fn the_store_keeps_four_pieces_a_replica_and_one_of_each() {
    let world = world();
    let piece = |id: u16, slot: u64, byte: u8| {
        let (one, other) = (world.checkpoint(id, slot, 1), world.checkpoint(id, slot, byte));
        Arc::new(Evidence::from_checkpoints(&one, &other).unwrap())
    };
    let mut store = EvidenceStore::default();
    assert!(store.insert(piece(1, 4, 2)));
    assert!(!store.insert(piece(1, 4, 3)), "the same kind and slot");
    assert!([8, 12, 16].into_iter().all(|slot| store.insert(piece(1, slot, 2))));
    assert!(!store.insert(piece(1, 20, 2)), "a fifth piece");
    assert!(store.insert(piece(2, 20, 2)), "against another replica");
    assert_eq!(store.against(ReplicaId(1)).count(), MAX_PIECES);
    assert_eq!(store.accused().collect::<Vec<_>>(), [ReplicaId(1), ReplicaId(2)]);
    assert_eq!(store.iter().count(), 5);
}

#[test]
fn statements_that_do_not_conflict_or_have_no_canonical_form_convict_nobody_in_either_place() {
    let world = world();
    let unordered = [claim(7, 0, 1), claim(6, 0, 1)];
    let (vote, other) = (world.vote(1, Prepare, 2, &[(6, 1)]), world.vote(1, Prepare, 2, &[(6, 2)]));
    let formless_vote = world.vote(1, Prepare, 2, &[(7, 1), (6, 2)]);
    let (left, formless) = (leaving(&[], &[]), leaving(&[], &unordered));
    let checkpoint = world.checkpoint(1, 4, 1);
    let bodies: Vec<_> = [0, 1, 2].map(|id| world.view_change(id, 1, 4, &[])).to_vec();
    let new_view = world.sign_new_view(world.new_view(&bodies));
    let vertex = Arc::new(world.sign_vertex(world.vertex(1, b"a")).header());
    for (what, innocent) in [
        ("one vote", Evidence::Votes(vote.clone(), vote.clone())),
        ("a first vote of no form", Evidence::Votes(formless_vote.clone(), vote.clone())),
        ("a second vote of no form", Evidence::Votes(vote.clone(), formless_vote.clone())),
        ("one VIEW-CHANGE", Evidence::ViewChanges(Arc::clone(&left), Arc::clone(&left))),
        ("a first VIEW-CHANGE of no form", Evidence::ViewChanges(Arc::clone(&formless), Arc::clone(&left))),
        ("a second VIEW-CHANGE of no form", Evidence::ViewChanges(Arc::clone(&left), Arc::clone(&formless))),
        ("a vote of no form, left out", Evidence::LeftOut(formless_vote, Arc::clone(&left))),
        ("a vote left out by what has no form", Evidence::LeftOut(vote.clone(), formless)),
        ("a vote owned up to", Evidence::LeftOut(vote.clone(), leaving(&[], &[claim(6, 2, 1)]))),
        ("one CHECKPOINT", Evidence::Checkpoints(checkpoint.clone(), checkpoint)),
        ("one vertex", Evidence::Vertices(Arc::clone(&vertex), vertex)),
        ("a right NEW-VIEW", Evidence::NewView(new_view.clone(), bodies)),
        ("one NEW-VIEW", Evidence::NewViews(new_view.clone(), new_view)),
    ] {
        assert!(!innocent.holds(&world.chain), "{what}");
    }
    assert!(Evidence::Votes(vote.clone(), other).holds(&world.chain));
    assert!(Evidence::LeftOut(vote, left).holds(&world.chain));
}

#[test]
fn one_of_two_vertices_that_names_another_author_convicts_nobody() {
    let world = world();
    let own = world.sign_vertex(world.vertex(2, b"a"));
    let of_another = Signed::clone(&world.sign_vertex(world.vertex(1, b"b")));
    let of_another = Arc::new(Signed { signer: ReplicaId(2), ..of_another });
    assert_eq!(Evidence::from_vertices(&own, &of_another), None);
    assert_eq!(Evidence::from_vertices(&of_another, &own), None);
}

#[test]
fn a_piece_that_is_kept_is_found_by_what_it_accuses_of() {
    let world = world();
    let piece = Arc::new(Evidence::Checkpoints(world.checkpoint(1, 4, 1), world.checkpoint(1, 4, 2)));
    let (accused, key) = (piece.accused(), piece.key());
    let mut store = EvidenceStore::default();
    assert!(store.wants(accused, key) && store.insert(Arc::clone(&piece)) && !store.wants(accused, key));
    assert_eq!(store.get(&(accused, key)), Some(&piece));
    assert_eq!(store.get(&(ReplicaId(2), key)), None);
    assert_eq!(store.get(&(accused, (EvidenceKind::E8, View(0), 8))), None);
    assert_eq!(store.against(accused).collect::<Vec<_>>(), [&piece]);
    assert_eq!(store.iter().collect::<Vec<_>>(), [&piece]);
}
