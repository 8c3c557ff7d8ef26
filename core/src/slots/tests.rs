use super::*;
use crate::batch::{Batch, NULL_BATCH};
use crate::hashed::Hashed;
use crate::verify::testing::{World, claim, digest};
use std::collections::BTreeMap;

const N: u16 = 7;

fn vote(world: &World, signer: u16, byte: u8) -> Signed<Vote> {
    world.vote(signer, Phase::Commit, 1, &[(5, byte)])
}

/// A batch, told apart from others by its time.
fn batch(ts: u64) -> Arc<HashedBatch> {
    Arc::new(Hashed::new(Batch { ts: Instant(ts), vertices: Vec::new() }))
}

fn certificate(world: &World, digest: Digest) -> Arc<Certificate> {
    Arc::new(world.certificate(Phase::Commit, Claim { digest, ..claim(5, 1, 0) }))
}

// Rule M4: of all orders in which some replicas say this and that, the first vote of each is the one that counts.
#[test]
fn the_first_vote_of_a_replica_counts_and_no_other() {
    let world = World::new(N);
    let committee = world.chain.committee;
    for seed in 0..200_u64 {
        let (mut set, mut first, mut named) = (VoteSet::default(), BTreeMap::new(), Vec::new());
        for turn in 0..12 {
            let roll = (seed * 12 + turn).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let (signer, byte) = (u16::try_from(roll % u64::from(N)).unwrap(), u8::from(roll / 7 % 4 == 0));
            let supporters = |first: &BTreeMap<u16, u8>, byte| {
                first.iter().filter(|(_, said)| **said == byte).fold(0, |set, (id, _)| set | singleton(ReplicaId(*id)))
            };
            let counted = set.add(N, digest(byte), &vote(&world, signer, byte));
            let expected = match first.get(&signer) {
                Some(said) if *said == byte => Counted::Duplicate,
                Some(_) => Counted::Conflict,
                None => {
                    first.insert(signer, byte);
                    if !named.contains(&byte) {
                        named.push(byte);
                    }
                    Counted::New(supporters(&first, byte))
                }
            };
            assert_eq!(counted, expected);
            assert_eq!((set.len(), set.is_empty()), (first.len(), false));
            assert!(set.votes().map(|vote| vote.signer.0).eq(first.keys().copied()));
            for id in 0..N {
                let said = set.vote_of(ReplicaId(id)).map(|vote| vote.body.entries.clone());
                assert_eq!(said, first.get(&id).map(|byte| vote(&world, id, *byte).body.entries));
            }
            let with_quorum = [0, 1].into_iter().find(|byte| committee.is_quorum(supporters(&first, *byte)));
            assert_eq!(set.quorum(committee), with_quorum.map(digest));
            for byte in [0, 1] {
                assert_eq!(set.supporters(digest(byte)), supporters(&first, byte));
                let made = set.certificate(committee, Phase::Commit, claim(5, 1, byte));
                assert_eq!(made.is_some(), with_quorum == Some(byte));
                if let Some(made) = made {
                    let lowest = first.iter().filter(|(_, said)| **said == byte).map(|(id, _)| *id).take(5);
                    assert!(made.is_sound(committee) && made.votes().iter().map(|vote| vote.signer.0).eq(lowest));
                }
            }
        }
        let tallies: Vec<_> = named.iter().map(|byte| (digest(*byte), set.supporters(digest(*byte)))).collect();
        assert_eq!(set.tallies(), tallies, "in the order in which each was first named");
    }
}

#[test]
fn a_ballot_holds_the_votes_of_both_phases() {
    let world = World::new(N);
    let mut ballot = Ballot::default();
    assert!(ballot.is_empty() && ballot.prepares.is_empty());
    assert_eq!((ballot.prepares.vote_of(ReplicaId(0)), ballot.prepares.votes().count()), (None, 0));
    ballot.phase_mut(Phase::Prepare).add(N, digest(1), &vote(&world, 0, 1));
    ballot.phase_mut(Phase::Commit).add(N, digest(1), &vote(&world, 1, 1));
    ballot.phase_mut(Phase::Commit).add(N, digest(1), &vote(&world, 2, 1));
    assert_eq!((ballot.prepares.len(), ballot.commits.len(), ballot.len()), (1, 2, 3));
    assert!(!ballot.is_empty());
}

// Rule N1: whatever names a batch has it kept, and nothing else is.
#[test]
fn a_batch_is_kept_as_long_as_something_names_it() {
    let world = World::new(4);
    let kept = batch(1);
    let digest = kept.digest();
    let proposal = |digest| Some(Proposal { digest, pre_prepare: None, standing: Standing::Waiting });
    let name: [fn(&World, &mut SlotState, Digest); 4] = [
        |_, state, digest| state.voted = Some((View(0), digest)),
        |world, state, digest| state.prepared = Some(certificate(world, digest)),
        |world, state, digest| state.committed = Some(certificate(world, digest)),
        |_, state, digest| state.want_batch(digest),
    ];
    for (by, name) in name.into_iter().enumerate() {
        let mut state = SlotState::default();
        state.keep_batch(&kept);
        assert!(state.batches.is_empty(), "nothing names it");
        name(&world, &mut state, digest);
        assert!(state.needs_batch(digest) && !state.needs_batch(NULL_BATCH), "name {by}");
        state.keep_batch(&kept);
        state.keep_batch(&kept);
        assert_eq!(state.batches.len(), 1);
        assert_eq!(state.batch(digest), Some(&kept));
        assert_eq!(state.batch(NULL_BATCH), None);
        assert!(state.wanted.is_empty(), "what is there is not wanted any more");
        // What was only wanted gives way to the next one that comes.
        state.proposal = proposal(batch(2).digest());
        state.keep_batch(&batch(2));
        assert_eq!(state.batches.len(), if by == 3 { 1 } else { 2 });
    }
}

#[test]
fn a_batch_is_wanted_once() {
    let mut state = SlotState::default();
    [1, 2, 1].into_iter().for_each(|byte| state.want_batch(digest(byte)));
    assert_eq!(state.wanted, [digest(1), digest(2)]);
}

// Rules N1 and N9.
#[test]
fn a_new_view_begins_with_the_votes_that_came_early_and_forgets_those_of_the_old_one() {
    let world = World::new(4);
    let [old, own, decided] = [1, 2, 3].map(batch);
    let early = Arc::new(PrePrepare { vote: vote(&world, 1, 1), batches: vec![] });
    for early_counts in [false, true] {
        let mut state = SlotState {
            proposal: Some(Proposal { digest: old.digest(), pre_prepare: None, standing: Standing::Accepted }),
            voted: Some((View(0), own.digest())),
            committed: Some(certificate(&world, decided.digest())),
            batches: vec![old.clone(), own.clone()],
            wanted: vec![digest(9), decided.digest()],
            early_proposal: Some((early.clone(), true)),
            ..SlotState::default()
        };
        for signer in 0..3 {
            state.ballot.prepares.add(4, digest(1), &vote(&world, signer, 1));
            state.ballot.commits.add(4, digest(1), &vote(&world, signer, 1));
        }
        state.early.get_or_insert_default().prepares.add(4, digest(2), &vote(&world, 3, 2));
        let proposal = state.enter_view(early_counts);
        assert_eq!(proposal.is_some(), early_counts);
        assert!(state.proposal.is_none() && state.early.is_none() && state.early_proposal.is_none());
        assert_eq!(state.batches, std::slice::from_ref(&own), "a batch of the old view alone goes");
        assert_eq!(state.wanted, [decided.digest()], "what is decided is still wanted");
        assert_eq!(state.ballot.prepares.supporters(digest(1)), 0);
        assert_eq!(state.ballot.len(), usize::from(early_counts));
        assert_eq!(state.ballot.prepares.vote_of(ReplicaId(0)), None);
    }
}

// Rules N3 and C8, with K = 4 and L = 8.
#[test]
fn the_ring_holds_a_window_with_an_interval_on_both_sides() {
    let mut log = SlotLog::new(4, 8);
    let mut said = BTreeMap::new();
    for low in [0, 4, 8, 20, 24, 400] {
        if low > 0 {
            log.advance(Slot(low));
        }
        assert_eq!((log.low(), log.high(), log.end()), (Slot(low), Slot(low + 8), Slot(low + 12)));
        assert_eq!(log.floor(), Slot(low.saturating_sub(4)));
        let first = (low + 1).saturating_sub(4).max(1);
        said.retain(|slot, _| first <= *slot);
        for slot in 0..low + 20 {
            let held = first <= slot && slot <= low + 12;
            assert_eq!((log.get(Slot(slot)).is_some(), log.get_mut(Slot(slot)).is_some()), (held, held), "slot {slot}");
            let Some(state) = log.get_mut(Slot(slot)) else { continue };
            assert_eq!((state.slot, state.voted), (Slot(slot), said.get(&slot).copied()), "what was said is kept");
            let view = (View(low), digest(1));
            state.voted = Some(view);
            said.insert(slot, view);
        }
        assert!(log.window().map(|state| state.slot.0).eq(low + 1..=low + 8));
        assert_eq!((log.all().count(), log.all_mut().count()), (16, 16));
    }
}

#[test]
fn nothing_is_left_of_a_slot_whose_place_another_takes() {
    let world = World::new(4);
    let mut log = SlotLog::new(4, 8);
    let state = log.get_mut(Slot(1)).expect("held");
    *state = SlotState {
        slot: Slot(1),
        proposal: Some(Proposal { digest: digest(1), pre_prepare: None, standing: Standing::Accepted }),
        early: Some(Box::default()),
        early_proposal: Some((Arc::new(PrePrepare { vote: vote(&world, 1, 1), batches: vec![] }), true)),
        voted: Some((View(0), digest(1))),
        prepared: Some(certificate(&world, digest(1))),
        committed: Some(certificate(&world, digest(1))),
        batches: vec![batch(1)],
        wanted: vec![digest(2)],
        recorded: vec![digest(1)],
        known_since: Some(Instant(1)),
        ballot: Ballot::default(),
    };
    state.ballot.commits.add(4, digest(1), &vote(&world, 3, 1));
    log.advance(Slot(8));
    let empty = SlotState { slot: Slot(17), ..SlotState::default() };
    let mut found = log.get(Slot(17)).expect("held").clone();
    assert_eq!((found.ballot.len(), found.ballot.commits.votes().count()), (0, 0));
    found.ballot = Ballot::default();
    assert_eq!(format!("{found:?}"), format!("{empty:?}"));
}

#[test]
#[should_panic(expected = "the low watermark only rises")]
fn the_low_watermark_does_not_stay() {
    SlotLog::new(4, 8).advance(Slot(0));
}
