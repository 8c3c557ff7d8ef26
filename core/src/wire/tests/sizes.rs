//! How large a message can be that verification takes, and how much larger the bound is (`docs/protocol.md` M6).

use super::*;

/// A chain with the widest window.
fn world(n: u16, scheme: Scheme, open_vertices: u64) -> World {
    let keys = (0..n).map(|id| id.to_be_bytes().to_vec()).collect();
    let genesis = Genesis::new("wide", scheme, keys);
    let mut genesis = Genesis { checkpoint_interval: 32, window: 64, ..genesis };
    genesis.limits.open_vertices = open_vertices;
    World::of(Arc::new(Chain::new(genesis, false).unwrap()))
}

/// The last 64 slots of all, or the first few of them.
fn slots(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|distance| u64::MAX - 100 + distance)
}

/// A NEW-VIEW for all slots of the window, with a certificate for each. Every vote in them covers so many slots.
fn new_view(world: &World, entries: u64) -> NewViewMessage {
    let signature = Signature::new(&vec![255; world.chain.genesis.scheme.signature_bytes()]);
    let quorum = || (0..world.chain.committee.quorum()).map(ReplicaId);
    let claims: Vec<_> = slots(64).map(|slot| claim(slot, slot - 20, 1)).collect();
    let left = |signer| {
        let body = world.view_change(0, u64::MAX - 1, u64::MAX - 100, &claims).body.clone();
        Arc::new(Signed { signer, body, signature: signature.clone() })
    };
    let view_changes: Vec<_> = quorum().map(left).collect();
    let certificate = |claim: &Claim| {
        let around = if entries == 1 { vec![claim.slot] } else { slots(entries).map(Slot).collect() };
        let entries: Vec<_> = around.into_iter().map(|slot| (slot, claim.digest)).collect();
        let vote = Vote { phase: Phase::Prepare, view: claim.view, entries: Entries::new(&entries) };
        let votes = quorum().map(|signer| Signed { signer, body: vote.clone(), signature: signature.clone() });
        Arc::new(Certificate::from_votes(Phase::Prepare, *claim, votes.collect()))
    };
    let vote = CheckpointVote { slot: Slot(u64::MAX - 100), state: digest(1) };
    let votes = quorum().map(|signer| Signed { signer, body: vote, signature: signature.clone() }).collect();
    NewViewMessage {
        signed: Signed { signature: signature.clone(), ..world.sign_new_view(world.new_view(&view_changes)) },
        view_changes,
        stable: Some(Arc::new(CheckpointCertificate { vote, votes })),
        certificates: CertificateSet(claims.iter().map(certificate).collect()),
    }
}

#[test]
fn a_new_view_with_the_longest_votes_fits_into_a_frame_and_a_frame_is_no_more_than_twice_the_usual() {
    for scheme in [Scheme::Simulated, Scheme::MlDsa87] {
        let world = world(31, scheme, 8);
        let limit = max_frame(&world.chain);
        let size = |entries| encode(&Message::NewView(Arc::new(new_view(&world, entries)))).len();
        let (largest, usual) = (size(64), size(1).max(MAX_CHUNKS * 33));
        assert!(largest <= limit, "{scheme:?}: {largest} bytes, of {limit}");
        assert!(limit <= 2 * usual, "{scheme:?}: {usual} bytes, of {limit}");
    }
}

#[test]
fn a_pre_prepare_of_the_largest_batches_fits_into_a_frame() {
    let world = world(16, Scheme::Simulated, 64);
    let vertices = vec![digest(1); world.chain.max_batch()];
    assert_eq!(vertices.len(), crate::config::MAX_BATCH);
    let batch = Arc::new(Hashed::new(Batch { ts: Instant(u64::MAX), vertices }));
    let entries: Vec<_> = slots(64).map(|slot| (Slot(slot), batch.digest())).collect();
    let vote = Vote { phase: Phase::Prepare, view: View(u64::MAX), entries: Entries::new(&entries) };
    let message = Message::PrePrepare(Arc::new(PrePrepare { vote: world.sign(15, vote), batches: vec![batch; 64] }));
    let (size, limit) = (encode(&message).len(), max_frame(&world.chain));
    assert!(size <= limit, "{size} bytes, of {limit}");
    assert!(MAX_CHUNKS * 33 < size, "a list of chunks is smaller");
}
