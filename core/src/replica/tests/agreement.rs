//! What one replica takes for proposed, prepared and decided, alone among statements that others may have made.

use super::recollection::sent;
use super::*;
use crate::batch::{Batch, HashedBatch, NULL_BATCH};
use crate::certificate::{CertificateSet, Claim};
use crate::hashed::Hashed;
use crate::input::Ignored;
use crate::message::{NewViewMessage, PrePrepare, ViewChangeMessage};
use crate::verify::testing::{claim, digest};
use crate::vote::{Phase, Vote};

/// r3 of a committee of four, its outbox, and what it is told.
pub(super) struct Lone {
    pub(super) world: World,
    pub(super) replica: Replica,
    pub(super) out: Outbox,
}

impl Lone {
    pub(super) fn new() -> Self {
        let world = World::new(4);
        let replica = alone(&world, 3);
        Self { world, replica, out: Outbox::default() }
    }

    pub(super) fn hear(&mut self, from: u16, message: Message) -> Result<(), Ignored> {
        let message = self.world.verifier.message(message).expect("valid");
        self.replica.step(Instant(1), Input::Message(ReplicaId(from), &message), &mut self.out)
    }

    pub(super) fn vote(
        &mut self,
        signer: u16,
        phase: Phase,
        view: u64,
        (slot, of): (u64, Digest),
    ) -> Result<(), Ignored> {
        let vote = self.world.sign(signer, Vote::one(phase, View(view), Slot(slot), of));
        self.hear(signer, Message::Vote(vote))
    }

    pub(super) fn certificate(&mut self, phase: Phase, claim: Claim) -> Result<(), Ignored> {
        let certificate = Arc::new(self.world.certificate(phase, claim));
        self.hear(0, Message::Certificates(Arc::new(CertificateSet(vec![certificate]))))
    }

    pub(super) fn decide(&mut self, slot: u64, view: u64, of: Digest) -> Result<(), Ignored> {
        self.certificate(Phase::Commit, Claim { slot: Slot(slot), view: View(view), digest: of })
    }

    /// The first primary proposes a vertex of r2 that this replica holds.
    pub(super) fn propose(&mut self, slot: u64, op: &[u8]) -> (Result<(), Ignored>, Digest) {
        let vertex = self.world.sign_vertex(self.world.vertex(2, op));
        let _ = self.hear(2, Message::Vertex(vertex.clone()));
        let batch = Arc::new(Hashed::new(Batch { ts: Instant(1), vertices: vec![vertex.id()] }));
        (self.pre_prepare(0, slot, &batch), batch.digest())
    }

    pub(super) fn pre_prepare(&mut self, view: u64, slot: u64, batch: &Arc<HashedBatch>) -> Result<(), Ignored> {
        let primary = u16::try_from(view % 4).unwrap();
        let vote = Vote::one(Phase::Prepare, View(view), Slot(slot), batch.digest());
        let vote = self.world.sign(primary, vote);
        self.hear(primary, Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch.clone()] })))
    }

    /// What follows from claims that one of three others makes.
    pub(super) fn new_view(&self, view: u64, stable: u64, claims: &[Claim]) -> NewViewMessage {
        let bodies = [0, 1, 2].map(|id| self.world.view_change(id, view, stable, if id == 0 { claims } else { &[] }));
        self.world.new_view_message(&bodies)
    }

    pub(super) fn install(&mut self, view: u64, stable: u64, claims: &[Claim]) -> Result<(), Ignored> {
        let message = Message::NewView(Arc::new(self.new_view(view, stable, claims)));
        self.hear(u16::try_from(view % 4).unwrap(), message)
    }

    /// The votes that this replica sent since it was asked last.
    pub(super) fn votes(&mut self) -> Vec<(Phase, u64)> {
        let own = |message| match message {
            Message::Vote(vote) if vote.signer == ReplicaId(3) => {
                vote.body.entries.iter().next().map(|(slot, _)| (vote.body.phase, slot.0))
            }
            _ => None,
        };
        sent(&mut self.out).into_iter().filter_map(own).collect()
    }
}

fn null(slot: u64, view: u64) -> Claim {
    Claim { slot: Slot(slot), view: View(view), digest: NULL_BATCH }
}

// Rule N2: the log ends at H + K = 12.
#[test]
fn votes_proposals_and_certificates_are_taken_up_to_the_end_of_the_log() {
    let mut lone = Lone::new();
    for (slot, expected) in [(11, Ok(())), (12, Ok(())), (13, Err(Ignored::OutOfWindow))] {
        assert_eq!(lone.vote(2, Phase::Commit, 0, (slot, digest(1))), expected, "a COMMIT for {slot}");
        let proposed = lone.propose(slot, b"a").0;
        let refused = if expected.is_ok() { Err(Ignored::OutOfWindow) } else { expected };
        assert_eq!(proposed, refused, "a vote for {slot} waits for h");
        assert_eq!(lone.replica.log.get(Slot(slot)).is_some_and(|state| state.proposal.is_some()), expected.is_ok());
        assert_eq!(lone.decide(slot, 0, digest(1)), expected, "a certificate for {slot}");
    }
    assert_eq!(lone.votes(), []);
}

// Rules N5 and N15.
#[test]
fn what_is_executed_is_never_voted_against() {
    let mut lone = Lone::new();
    for slot in [1, 2] {
        assert_eq!(lone.decide(slot, 0, NULL_BATCH), Ok(()));
    }
    assert_eq!(lone.replica.executed(), Slot(2));
    for slot in [1, 2] {
        assert_eq!(lone.propose(slot, b"a").0, Err(Ignored::Settled), "{slot}");
    }
    assert_eq!(lone.votes(), []);
    assert_eq!(lone.propose(3, b"b").0, Ok(()));
    assert_eq!(lone.votes(), [(Phase::Prepare, 3)]);
}

// Rules V19 and V22: the slots were decided in view 3, and the NEW-VIEW of view 1 comes late.
#[test]
fn a_late_new_view_is_installed_and_voted_for_where_nothing_else_is_executed() {
    let mut lone = Lone::new();
    let (first, second) = (lone.propose(1, b"a").1, lone.propose(2, b"b").1);
    for (slot, of) in [(1, first), (2, second)] {
        assert_eq!(lone.decide(slot, 3, of), Ok(()));
    }
    assert_eq!((lone.replica.executed(), lone.votes()), (Slot(2), vec![(Phase::Prepare, 1), (Phase::Prepare, 2)]));
    let claims = [null(1, 0), Claim { slot: Slot(2), view: View(0), digest: second }];
    assert_eq!(lone.install(1, 0, &claims), Ok(()));
    assert_eq!((lone.replica.view(), lone.replica.halted()), (View(1), None));
    assert_eq!(lone.votes(), [(Phase::Prepare, 2)], "so that others can commit; and not for NULL in slot 1");
}

// Rule N12.
#[test]
fn a_decision_of_an_earlier_view_that_the_new_view_leaves_out_or_changes_stops_the_replica() {
    let stopped = |slot| (Err(Ignored::Stopped), Some(Halt::ContradictingNewView(Slot(slot))));
    let cases = [
        ("proposed as it was decided", 0, 1, NULL_BATCH, (Ok(()), None)),
        ("proposed otherwise", 0, 1, digest(9), stopped(1)),
        ("not proposed", 0, 3, digest(9), stopped(3)),
        ("decided in that very view", 1, 3, digest(9), (Ok(()), None)),
        ("decided in a later view", 2, 1, digest(9), (Ok(()), None)),
    ];
    for (what, view, slot, of, expected) in cases {
        let mut lone = Lone::new();
        assert_eq!(lone.install(1, 0, &[null(1, 0), null(2, 0)]), Ok(()));
        assert_eq!((lone.decide(slot, view, of), lone.replica.halted()), expected, "{what}");
    }
    // At and below the checkpoint from which the view begins nothing is proposed, and nothing is left out.
    let mut lone = Lone::new();
    assert_eq!(lone.install(1, 4, &[]), Ok(()));
    assert_eq!((lone.decide(4, 0, digest(9)), lone.replica.halted()), (Ok(()), None));
    assert_eq!((lone.decide(5, 0, digest(9)), lone.replica.halted()), stopped(5));
}

// Rule N12, the other way round: the decisions are there first.
#[test]
fn a_new_view_stops_a_replica_over_what_it_leaves_out_above_its_checkpoint_and_over_nothing_else() {
    let halted = |decided: (u64, u64), stable: u64| {
        let mut lone = Lone::new();
        let _ = lone.decide(decided.0, decided.1, digest(9));
        let _ = lone.install(1, stable, &[null(stable + 1, 0)]);
        (lone.replica.view(), lone.replica.halted())
    };
    let contradicts = |slot| (View(0), Some(Halt::ContradictingNewView(Slot(slot))));
    assert_eq!(halted((4, 0), 4), (View(1), None), "the checkpoint's own slot");
    assert_eq!(halted((3, 0), 4), (View(1), None));
    assert_eq!(halted((5, 0), 4), contradicts(5), "proposed otherwise");
    assert_eq!(halted((6, 0), 4), contradicts(6), "not proposed");
    assert_eq!(halted((6, 1), 4), (View(1), None), "of the same view");
}

// Rule V14.
#[test]
fn a_replica_on_its_way_to_a_view_enters_that_one_or_a_later_one_and_none_before() {
    for (view, expected) in [(1, Err(Ignored::WrongView)), (4, Ok(())), (5, Ok(()))] {
        let mut lone = Lone::new();
        lone.replica.start_view_change(View(4), &mut lone.out);
        assert_eq!(lone.install(view, 0, &[]), expected, "{view}");
        let entered = if expected.is_ok() { View(view) } else { View(0) };
        assert_eq!((lone.replica.view(), lone.replica.target()), (entered, expected.err().map(|_| View(4))));
    }
}

// Rule V17.
#[test]
fn a_new_view_is_installed_with_a_certificate_of_prepares_for_each_claim_and_with_no_other() {
    let mut lone = Lone::new();
    let claims = [claim(1, 0, 1), claim(2, 0, 2)];
    let complete = lone.new_view(1, 0, &claims);
    let mut with = |certificates: &[(Phase, Claim)]| {
        let certificate = |(phase, claim): &(Phase, Claim)| Arc::new(lone.world.certificate(*phase, *claim));
        let certificates = CertificateSet(certificates.iter().map(certificate).collect());
        let message = NewViewMessage { certificates, ..complete.clone() };
        lone.hear(1, Message::NewView(Arc::new(message)))
    };
    let (prepared, first) = (|at: usize| (Phase::Prepare, claims[at]), (Phase::Commit, claims[0]));
    assert_eq!(with(&[]), Err(Ignored::Unproven));
    assert_eq!(with(&[prepared(0)]), Err(Ignored::Unproven));
    assert_eq!(with(&[prepared(0), (Phase::Prepare, claim(2, 0, 3))]), Err(Ignored::Unproven));
    assert_eq!(with(&[first, prepared(1)]), Err(Ignored::Unproven), "COMMITs");
    assert_eq!(with(&[prepared(0), prepared(1)]), Ok(()));
}

// Rule V18.
#[test]
fn a_new_view_whose_checkpoint_ends_the_replica_is_not_installed() {
    let mut lone = Lone::new();
    let proof = Message::StableCheckpoint(Arc::new(lone.world.checkpoint_certificate(4, 1)));
    assert_eq!(lone.hear(0, proof), Ok(()));
    let _ = lone.install(1, 4, &[]);
    assert_eq!(lone.replica.halted(), Some(Halt::ContradictingCheckpoints(Slot(4))));
    assert_eq!(lone.replica.view(), View(0));
}

// Rule N9.
#[test]
fn commits_that_came_before_their_view_decide_as_soon_as_it_is_installed() {
    let mut lone = Lone::new();
    lone.replica.start_view_change(View(1), &mut lone.out);
    for signer in 0..3 {
        assert_eq!(lone.vote(signer, Phase::Commit, 1, (1, NULL_BATCH)), Ok(()));
        assert_eq!(lone.vote(signer, Phase::Commit, 1, (3, digest(9))), Ok(()));
    }
    assert_eq!(lone.replica.executed(), Slot(0), "in a view that is not installed");
    assert_eq!(lone.install(1, 0, &[null(1, 0)]), Ok(()));
    assert_eq!(lone.replica.executed(), Slot(1));
    assert!(lone.replica.log.get(Slot(3)).is_some_and(|state| state.committed.is_some()));
}

// Rule M12.
#[test]
fn a_certificate_prepares_as_a_whole_even_if_a_signer_said_something_else_first() {
    let mut lone = Lone::new();
    assert_eq!(lone.vote(1, Phase::Prepare, 0, (1, digest(9))), Ok(()));
    let (accepted, of) = lone.propose(1, b"a");
    assert_eq!((accepted, lone.votes()), (Ok(()), vec![(Phase::Prepare, 1)]));
    let claim = Claim { slot: Slot(1), view: View(0), digest: of };
    assert_eq!(lone.certificate(Phase::Prepare, claim), Ok(()));
    assert_eq!(lone.votes(), [(Phase::Commit, 1)]);
    assert_eq!(lone.certificate(Phase::Prepare, claim), Ok(()));
    assert_eq!(lone.votes(), [], "once");
    assert_eq!(lone.replica.log.get(Slot(1)).unwrap().prepared.as_ref().map(|proof| proof.claim), Some(claim));
}

// Rules N3 and N8.
#[test]
fn a_certificate_prepares_nothing_that_was_not_voted_for_here_or_is_stable_or_of_another_view() {
    let mut lone = Lone::new();
    let of = [1, 4, 5].map(|slot| (slot, lone.propose(slot, &[slot.to_le_bytes()[0]]).1));
    let prepared = |lone: &mut Lone, slot, view, digest| {
        let _ = lone.certificate(Phase::Prepare, Claim { slot: Slot(slot), view: View(view), digest });
        lone.votes().contains(&(Phase::Commit, slot))
    };
    let _ = lone.votes();
    assert!(!prepared(&mut lone, 1, 0, digest(9)), "another digest");
    assert!(!prepared(&mut lone, 2, 0, of[0].1), "not proposed");
    assert!(!prepared(&mut lone, 1, 1, of[0].1), "another view");
    let proof = Message::StableCheckpoint(Arc::new(lone.world.checkpoint_certificate(4, 1)));
    assert_eq!(lone.hear(0, proof), Ok(()));
    assert!(!prepared(&mut lone, 4, 0, of[1].1), "stable");
    assert!(prepared(&mut lone, 5, 0, of[2].1));
    lone.replica.start_view_change(View(1), &mut lone.out);
    assert!(!prepared(&mut lone, 5, 0, of[2].1), "after leaving");
}

// Rule X11.
#[test]
fn a_replica_that_stopped_does_not_commit_to_what_it_voted_for() {
    let mut lone = Lone::new();
    let (_, of) = lone.propose(1, b"a");
    assert_eq!(lone.votes(), [(Phase::Prepare, 1)]);
    assert_eq!(lone.decide(2, 0, digest(1)), Ok(()));
    assert_eq!(lone.decide(2, 0, digest(2)), Err(Ignored::Stopped));
    assert_eq!(lone.replica.halted(), Some(Halt::ContradictingCommits(Slot(2))));
    for signer in 1..3 {
        let _ = lone.vote(signer, Phase::Prepare, 0, (1, of));
    }
    let _ = lone.certificate(Phase::Prepare, Claim { slot: Slot(1), view: View(0), digest: of });
    assert_eq!(lone.votes(), []);
    assert_eq!(lone.propose(3, b"b").0, Err(Ignored::Stopped));
}

// Rule X7.
#[test]
fn who_contradicts_itself_after_the_certificate_is_there_is_found_out_too() {
    let mut lone = Lone::new();
    let (_, of) = lone.propose(1, b"a");
    // With the primary's PREPARE and the own one that is a quorum.
    assert_eq!(lone.vote(1, Phase::Prepare, 0, (1, of)), Ok(()));
    assert_eq!(lone.votes(), [(Phase::Prepare, 1), (Phase::Commit, 1)]);
    assert_eq!(lone.vote(2, Phase::Prepare, 0, (1, of)), Err(Ignored::Duplicate), "it holds without that");
    assert_eq!(lone.vote(1, Phase::Prepare, 0, (1, digest(9))), Err(Ignored::Conflict));
    for signer in [0, 2] {
        assert_eq!(lone.vote(signer, Phase::Commit, 0, (1, of)), Ok(()));
    }
    assert_eq!(lone.replica.executed(), Slot(1));
    assert_eq!(lone.vote(2, Phase::Commit, 0, (1, digest(9))), Err(Ignored::Conflict));
    let accused: Vec<_> = lone.replica.evidence().iter().map(|evidence| evidence.accused().0).collect();
    assert_eq!(accused, [1, 2]);
}

// Rules V19 and N6.
#[test]
fn a_proposal_of_the_new_view_is_voted_for_when_a_pre_prepare_brings_its_batch() {
    let mut lone = Lone::new();
    let vertex = lone.world.sign_vertex(lone.world.vertex(2, b"a"));
    let _ = lone.hear(2, Message::Vertex(vertex.clone()));
    let batch = Arc::new(Hashed::new(Batch { ts: Instant(1), vertices: vec![vertex.id()] }));
    let of = Claim { slot: Slot(1), view: View(0), digest: batch.digest() };
    assert_eq!((lone.install(1, 0, &[of]), lone.votes()), (Ok(()), vec![]), "the batch is missing");
    assert_eq!((lone.pre_prepare(1, 1, &batch), lone.votes()), (Ok(()), vec![(Phase::Prepare, 1)]));
    assert_eq!((lone.pre_prepare(1, 1, &batch), lone.votes()), (Err(Ignored::Duplicate), vec![]));
}

// Rule V8, and kind E3.
#[test]
fn of_a_sender_the_highest_view_change_counts_and_that_for_the_own_target() {
    let mut lone = Lone::new();
    let left = |lone: &mut Lone, id, view| {
        let signed = lone.world.view_change(id, view, 0, &[]);
        let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        lone.hear(id, Message::ViewChange(Arc::new(message)))
    };
    let heard = |lone: &Lone, view| lone.replica.change.for_view(View(view)).len();
    assert_eq!(left(&mut lone, 0, 6), Ok(()));
    assert_eq!(left(&mut lone, 0, 2), Ok(()), "older, and of no use now");
    assert_eq!(lone.replica.target(), None);
    assert_eq!([2, 6].map(|view| heard(&lone, view)), [0, 1]);
    assert_eq!(left(&mut lone, 1, 2), Ok(()));
    assert_eq!(lone.replica.target(), Some(View(2)), "f + 1 others want 2 or higher");
    assert_eq!(left(&mut lone, 0, 2), Ok(()), "for the own target");
    assert_eq!([2, 6].map(|view| heard(&lone, view)), [3, 1]);
    assert_eq!(left(&mut lone, 0, 2), Err(Ignored::Duplicate));
}

// Rule V7: what is for the installed view or before it is of no use any more, and what is for a later one stays.
#[test]
fn a_view_that_is_installed_ends_the_view_changes_for_it_and_leaves_those_for_later_views() {
    let mut lone = Lone::new();
    for (id, view) in [(0, 6), (1, 2), (2, 2)] {
        let signed = lone.world.view_change(id, view, 0, &[]);
        let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        assert_eq!(lone.hear(id, Message::ViewChange(Arc::new(message))), Ok(()));
    }
    let heard = |lone: &Lone| [2, 6].map(|view| lone.replica.change.for_view(View(view)).len());
    assert_eq!((lone.replica.target(), heard(&lone)), (Some(View(2)), [3, 1]));
    assert_eq!(lone.install(2, 0, &[]), Ok(()));
    assert_eq!((lone.replica.view(), heard(&lone)), (View(2), [0, 1]));
    assert_eq!(lone.replica.footprint().view_changes, 1);
    // One more for a higher view, and f + 1 others want one.
    let signed = lone.world.view_change(1, 5, 0, &[]);
    let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
    assert_eq!(lone.hear(1, Message::ViewChange(Arc::new(message))), Ok(()));
    assert_eq!(lone.replica.target(), Some(View(5)));
}

// Rules X7 and X2, kinds E4 and E5: the votes may come before the VIEW-CHANGE that leaves them out, or after it.
#[test]
fn a_view_change_that_leaves_out_what_its_sender_voted_for_is_found_out_whichever_comes_first() {
    for view_change_first in [true, false] {
        let mut lone = Lone::new();
        let signed = lone.world.view_change(2, 1, 0, &[]);
        let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        let message = Message::ViewChange(Arc::new(message));
        if view_change_first {
            assert_eq!(lone.hear(2, message.clone()), Ok(()));
        }
        assert_eq!(lone.vote(2, Phase::Prepare, 0, (1, digest(1))), Ok(()));
        assert_eq!(lone.vote(2, Phase::Commit, 0, (2, digest(2))), Ok(()));
        if !view_change_first {
            assert_eq!(lone.hear(2, message), Ok(()));
        }
        let accused: Vec<_> = lone.replica.evidence().iter().map(|evidence| evidence.accused().0).collect();
        assert_eq!(accused, [2, 2], "VIEW-CHANGE first: {view_change_first}");
    }
}

// Rule V23.
#[test]
fn a_view_change_reaches_at_most_so_far_above_the_installed_view() {
    let most = 1 << 32;
    for (view, expected) in [(most - 1, Ok(())), (most, Ok(())), (most + 1, Err(Ignored::WrongView))] {
        let mut lone = Lone::new();
        let signed = lone.world.view_change(1, view, 0, &[]);
        let message = ViewChangeMessage { signed, stable: None, certificates: CertificateSet::default() };
        assert_eq!(lone.hear(1, Message::ViewChange(Arc::new(message))), expected, "{view}");
    }
}

// Rules V6 and V11: r3 is the primary of the views 3 and 7.
#[test]
fn proof_of_claims_is_kept_for_the_highest_view_of_its_sender_until_that_view_is_wanted() {
    let mut lone = Lone::new();
    let left = |lone: &mut Lone, view, of| {
        let signed = lone.world.view_change(0, view, 0, &[of]);
        let certificates = CertificateSet(vec![Arc::new(lone.world.certificate(Phase::Prepare, of))]);
        lone.hear(0, Message::ViewChange(Arc::new(ViewChangeMessage { signed, stable: None, certificates })))
    };
    assert_eq!(left(&mut lone, 3, claim(1, 0, 1)), Ok(()));
    assert_eq!(left(&mut lone, 7, claim(2, 0, 2)), Ok(()));
    assert_eq!(lone.install(2, 0, &[]), Ok(()));
    lone.replica.start_view_change(View(7), &mut lone.out);
    let proven: Vec<_> = lone.replica.change.certificates.keys().copied().collect();
    assert_eq!(proven, [claim(2, 0, 2)]);
}

// Rule D15.
#[test]
fn what_a_slot_proposed_and_did_not_decide_can_be_proposed_again() {
    let mut lone = Lone::new();
    let proposable = |lone: &Lone| lone.replica.pool.proposable().len();
    assert_eq!(lone.propose(1, b"a").0, Ok(()));
    assert_eq!(proposable(&lone), 0);
    assert_eq!(lone.decide(1, 0, NULL_BATCH), Ok(()));
    assert_eq!((lone.replica.executed(), proposable(&lone)), (Slot(1), 1));
}
