//! From two certificates that contradict each other to those who signed both (`docs/protocol.md` X12).
//!
//! Two quorums share at least f+1 replicas, so this convicts at least f+1 when the votes are of one view, and when they
//! are of two as long as the NEW-VIEW that let go of the earlier one is at hand.

use super::Evidence;
use crate::certificate::Certificate;
use crate::checkpoint::CheckpointCertificate;
use crate::message::{NewViewMessage, Signed, ViewChange};
use crate::types::ReplicaId;
use std::sync::Arc;

/// The statement of a replica in a list of one statement each.
fn of<T>(votes: &[Signed<T>], signer: ReplicaId) -> Option<&Signed<T>> {
    votes.iter().find(|vote| vote.signer == signer)
}

/// Who voted for both, if the certificates are of one phase and view (kinds E1, E2).
#[must_use]
pub fn voted_twice(a: &Certificate, b: &Certificate) -> Vec<Evidence> {
    let both = a.votes().iter().filter_map(|vote| Some((vote, of(b.votes(), vote.signer)?)));
    both.filter_map(|(vote, other)| Evidence::from_votes(vote, other)).collect()
}

/// Who committed and did not own up to it when it left the view (kind E4).
#[must_use]
pub fn hid_a_commit(commits: &Certificate, view_changes: &[Arc<Signed<ViewChange>>]) -> Vec<Evidence> {
    let both = view_changes.iter().filter_map(|left| Some((of(commits.votes(), left.signer)?, left)));
    both.filter_map(|(vote, left)| Evidence::from_left_out(vote, left)).collect()
}

/// Who signed two states of one checkpoint (kind E8).
#[must_use]
pub fn signed_two_states(a: &CheckpointCertificate, b: &CheckpointCertificate) -> Vec<Evidence> {
    let both = a.votes.iter().filter_map(|vote| Some((vote, of(&b.votes, vote.signer)?)));
    both.filter_map(|(vote, other)| Evidence::from_checkpoints(vote, other)).collect()
}

/// Who is to blame for two decisions of one slot, as far as the NEW-VIEWs at hand show. In different views it is those
/// who hid the first decision from the first NEW-VIEW after it that proposes something else, or leaves the slot out.
#[must_use]
pub fn decided_twice<'a>(
    a: &Certificate,
    b: &Certificate,
    new_views: impl IntoIterator<Item = &'a Arc<NewViewMessage>>,
) -> Vec<Evidence> {
    let (first, second) = if a.claim.view <= b.claim.view { (a, b) } else { (b, a) };
    let (claim, until) = (first.claim, second.claim.view);
    if claim.view == until {
        return voted_twice(first, second);
    }
    let lets_go = |message: &&Arc<NewViewMessage>| {
        let body = &message.signed.body;
        let proposed = body.proposals.iter().find(|(slot, _)| *slot == claim.slot).map(|(_, digest)| *digest);
        claim.view < body.view && body.view <= until && body.stable < claim.slot && proposed != Some(claim.digest)
    };
    let culprit = new_views.into_iter().filter(lets_go).min_by_key(|message| message.signed.body.view);
    culprit.map_or_else(Vec::new, |message| hid_a_commit(first, &message.view_changes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::EvidenceKind;
    use crate::types::View;
    use crate::verify::testing::{World, claim, digest};
    use crate::vote::{Phase, Vote};

    /// A certificate of COMMITs by these replicas.
    fn commits(world: &World, view: u64, byte: u8, signers: &[u16]) -> Certificate {
        let claim = claim(5, view, byte);
        let vote = Vote::one(Phase::Commit, claim.view, claim.slot, claim.digest);
        let votes = signers.iter().map(|signer| world.sign(*signer, vote.clone())).collect();
        Certificate::from_votes(Phase::Commit, claim, votes)
    }

    fn named(found: &[Evidence]) -> Vec<(u16, EvidenceKind)> {
        found.iter().map(|evidence| (evidence.accused().0, evidence.kind())).collect()
    }

    #[test]
    fn two_decisions_of_one_view_name_all_who_signed_both() {
        let world = World::new(4);
        let (a, b) = (commits(&world, 1, 1, &[0, 1, 2]), commits(&world, 1, 2, &[1, 2, 3]));
        let found = decided_twice(&a, &b, []);
        assert_eq!(named(&found), [(1, EvidenceKind::E2), (2, EvidenceKind::E2)]);
        assert!(found.into_iter().all(|evidence| world.verifier.evidence(Arc::new(evidence)).is_ok()));
    }

    #[test]
    fn two_decisions_of_different_views_name_who_hid_the_first() {
        let world = World::new(4);
        let (a, b) = (commits(&world, 0, 1, &[0, 1, 2]), commits(&world, 2, 2, &[1, 2, 3]));
        let leave = |view| [1, 2, 3].map(|id| world.view_change(id, view, 4, &[]));
        // The later NEW-VIEW is not to blame: what it rests on was lost before.
        let late = leave(2).map(|left| {
            let lost = claim(5, 1, 7);
            let body = ViewChange { prepared: vec![lost], voted: vec![lost], ..left.body.clone() };
            world.sign_view_change(left.signer.0, body)
        });
        let new_views = [&late, &leave(1)].map(|bodies| Arc::new(world.new_view_message(bodies)));
        let found = decided_twice(&b, &a, &new_views);
        assert_eq!(named(&found), [(1, EvidenceKind::E4), (2, EvidenceKind::E4)]);
        assert!(found.iter().all(|evidence| evidence.key().1 == View(0)), "{found:?}");
        assert!(found.into_iter().all(|evidence| world.verifier.evidence(Arc::new(evidence)).is_ok()));
        assert_eq!(decided_twice(&a, &b, &new_views[..1]), [], "without it nobody is to blame");
    }

    #[test]
    fn a_new_view_that_keeps_the_decision_blames_nobody() {
        let world = World::new(4);
        let (a, b) = (commits(&world, 0, 1, &[0, 1, 2]), commits(&world, 2, 2, &[1, 2, 3]));
        let bodies = [1, 2, 3].map(|id| world.view_change(id, 1, 4, &[claim(5, 0, 1)]));
        assert_eq!(decided_twice(&a, &b, &[Arc::new(world.new_view_message(&bodies))]), []);
        // Who hid it did no harm while another showed it.
        let bodies = [(1, &[claim(5, 0, 1)][..]), (2, &[]), (3, &[])];
        let bodies = bodies.map(|(id, claims)| world.view_change(id, 1, 4, claims));
        assert_eq!(decided_twice(&a, &b, &[Arc::new(world.new_view_message(&bodies))]), []);
    }

    #[test]
    fn two_states_of_a_checkpoint_name_all_who_signed_both() {
        let world = World::new(4);
        let of = |byte, signers: [u16; 3]| CheckpointCertificate {
            vote: crate::checkpoint::CheckpointVote { slot: crate::types::Slot(4), state: digest(byte) },
            votes: signers.map(|signer| world.checkpoint(signer, 4, byte)).to_vec(),
        };
        let found = signed_two_states(&of(1, [0, 1, 2]), &of(2, [1, 2, 3]));
        assert_eq!(named(&found), [(1, EvidenceKind::E8), (2, EvidenceKind::E8)]);
    }

    #[test]
    fn only_new_views_that_had_to_keep_the_first_decision_are_to_blame() {
        let world = World::new(4);
        let decided = |slot, view, byte| {
            let claim = claim(slot, view, byte);
            let vote = Vote::one(Phase::Commit, claim.view, claim.slot, claim.digest);
            let votes = (0..3).map(|signer| world.sign(signer, vote.clone())).collect();
            Certificate::from_votes(Phase::Commit, claim, votes)
        };
        let leave = |view, stable| {
            let bodies = [0, 1, 2].map(|id| world.view_change(id, view, stable, &[]));
            [Arc::new(world.new_view_message(&bodies))]
        };
        let blamed =
            |slot, new_views: [_; 1]| decided_twice(&decided(slot, 2, 1), &decided(slot, 4, 2), &new_views).len();
        assert_eq!(blamed(8, leave(3, 4)), 3, "the next view");
        assert_eq!(blamed(8, leave(4, 4)), 3, "the view of the second decision");
        assert_eq!(blamed(8, leave(2, 4)), 0, "the view of the first decision");
        assert_eq!(blamed(8, leave(5, 4)), 0, "after both");
        assert_eq!(blamed(8, leave(3, 8)), 0, "the slot was stable");
        // A NEW-VIEW that is not to blame hides no later one that is.
        let both = |innocent: [Arc<NewViewMessage>; 1], guilty: [Arc<NewViewMessage>; 1]| {
            decided_twice(&decided(8, 2, 1), &decided(8, 5, 2), innocent.iter().chain(&guilty)).len()
        };
        assert_eq!(both(leave(2, 4), leave(4, 4)), 3, "the first decision's own view");
        assert_eq!(both(leave(3, 8), leave(4, 4)), 3, "stable at the slot");
        // The batch must be proposed in its own slot.
        let elsewhere = [0, 1, 2].map(|id| world.view_change(id, 3, 4, &[claim(7, 1, 1)]));
        assert_eq!(blamed(8, [Arc::new(world.new_view_message(&elsewhere))]), 3, "the same batch in another slot");
    }
}
