//! Two states of a replica are told apart by what it will say, and not by how it came to them.

use super::agreement::Lone;
use super::*;
use crate::batch::NULL_BATCH;
use crate::certificate::Claim;
use crate::verify::testing::digest;
use crate::vote::Phase;

#[test]
fn whatever_changes_what_a_replica_will_say_changes_its_essence() {
    let mut lone = Lone::new();
    let mut last = lone.replica.essence();
    let mut changes = |lone: &Lone, what| {
        let now = lone.replica.essence();
        assert_ne!(now, last, "{what}");
        last = now;
    };
    let _ = lone.replica.step(Instant(1), Input::Tick, &mut lone.out);
    changes(&lone, "the first step");
    let _ = lone.vote(1, Phase::Commit, 0, (2, digest(1)));
    changes(&lone, "a COMMIT");
    let _ = lone.vote(2, Phase::Commit, 0, (2, digest(1)));
    changes(&lone, "another one");
    let (_, of) = lone.propose(1, b"a");
    changes(&lone, "a proposal");
    let _ = lone.vote(2, Phase::Prepare, 0, (1, of));
    changes(&lone, "a PREPARE, and so the certificate");
    let _ = lone.decide(1, 0, of);
    changes(&lone, "a decision");
    let _ = lone.install(1, 0, &[Claim { slot: Slot(1), view: View(0), digest: of }]);
    changes(&lone, "a view that proposes something");
    lone.replica.start_view_change(View(2), &mut lone.out);
    changes(&lone, "leaving it");
    let _ = lone.vote(1, Phase::Prepare, 2, (3, NULL_BATCH));
    changes(&lone, "an early PREPARE");
}

#[test]
fn the_order_of_votes_and_who_relayed_them_leave_nothing_in_the_essence() {
    let hear = |signers: [u16; 2]| {
        let mut lone = Lone::new();
        for signer in signers {
            for slot in [1, 2] {
                let of = digest(if signer == 0 { 1 } else { 2 });
                assert_eq!(lone.vote(signer, Phase::Commit, 0, (slot, of)), Ok(()));
            }
        }
        lone.replica.essence()
    };
    assert_eq!(hear([0, 1]), hear([1, 0]));
    // Once a slot is decided it does not matter by whose votes, nor which came late.
    let decided = |late: bool| {
        let mut lone = Lone::new();
        if late {
            assert_eq!(lone.vote(2, Phase::Commit, 0, (1, NULL_BATCH)), Ok(()));
        }
        assert_eq!(lone.decide(1, 0, NULL_BATCH), Ok(()));
        lone.replica.essence()
    };
    assert_eq!(decided(true), decided(false));
}
