//! Certificates that stand in one message.

use super::*;

#[test]
fn a_claim_may_be_certified_in_both_phases() {
    let world = world();
    let at = claim(5, 1, 1);
    let both = [Phase::Prepare, Phase::Commit].map(|phase| world.certificate(phase, at));
    assert!(world.verifier.message(certificates(&both)).is_ok());
}

#[test]
fn there_are_no_more_certificates_than_slots_in_the_widest_window() {
    let world = world();
    let of = |count: u64| {
        let all: Vec<_> = (1..=count).map(|slot| world.certificate(Phase::Commit, claim(slot, 1, 1))).collect();
        world.verifier.message(certificates(&all)).map(|_| ())
    };
    assert_eq!(of(64), Ok(()));
    assert_eq!(of(65), Err(Rejected::TooMany { what: "certificates", count: 65, limit: 64 }));
}

#[test]
fn a_vector_that_was_found_right_vouches_for_no_other() {
    let world = world();
    let signed = |entries| (0..3).map(|id| world.vote(id, Phase::Commit, 1, entries)).collect::<Vec<_>>();
    let (vectors, others) = (signed(&[(5, 1), (6, 2)]), signed(&[(6, 2), (7, 3)]));
    let first = Certificate::from_votes(Phase::Commit, claim(5, 1, 1), vectors.clone());
    let behind = |votes| certificates(&[first.clone(), Certificate::from_votes(Phase::Commit, claim(6, 1, 2), votes)]);
    assert!(world.verifier.message(behind(vectors.clone())).is_ok());
    assert!(world.verifier.message(behind(others.clone())).is_ok());
    let wrong = Rejected::Signature(ReplicaId(0));
    let forged = vectors.iter().map(|vote| Signed { signature: Signature::new(&[0; 16]), ..vote.clone() });
    assert_eq!(reason(&world, behind(forged.collect())), wrong, "the same votes, with other signatures");
    let borrowed = others.iter().zip(&vectors);
    let borrowed = borrowed.map(|(vote, from)| Signed { signature: from.signature.clone(), ..vote.clone() });
    assert_eq!(reason(&world, behind(borrowed.collect())), wrong, "other votes, with the same signatures");
}
