//! Exhaustive exploration at small scope: what is covered, and that the reductions lose nothing.

use cretoai_core::types::ReplicaId;
use cretoai_sim::explore::{Bounds, Limit, Orders, explore};

fn bounds(byzantine: u16) -> Bounds {
    let byzantine = ReplicaId(byzantine);
    Bounds { byzantine, views: 1, slots: 1, restarts: 0, orders: Orders::Reduced, states: 200_000, memory: 1 << 30 }
}

#[test]
fn no_order_of_deliveries_in_one_view_violates_an_oracle_whoever_is_byzantine() {
    for byzantine in 0..4 {
        for restarts in 0..2 {
            let report = explore(Bounds { restarts, ..bounds(byzantine) });
            assert!(report.limit.is_none() && report.found.is_none(), "{report:#?}");
        }
    }
}

#[test]
fn no_order_of_deliveries_in_two_views_violates_an_oracle_when_a_backup_is_byzantine() {
    let report = explore(Bounds { views: 2, ..bounds(3) });
    assert!(report.limit.is_none() && report.found.is_none(), "{report:#?}");
    assert!(1000 < report.said, "both views are reached: {report:#?}");
}

#[test]
fn no_order_of_deliveries_over_two_slots_violates_an_oracle_when_a_backup_is_byzantine() {
    let report = explore(Bounds { slots: 2, ..bounds(3) });
    assert!(report.limit.is_none() && report.found.is_none(), "{report:#?}");
}

#[test]
fn what_can_be_said_together_is_the_same_in_all_orders_and_in_the_reduced_ones() {
    for byzantine in 0..4 {
        let [all, reduced] =
            [Orders::All, Orders::Reduced].map(|orders| explore(Bounds { orders, ..bounds(byzantine) }));
        assert_eq!((all.said, all.fingerprint), (reduced.said, reduced.fingerprint), "Byzantine r{byzantine}");
        assert!(reduced.states < all.states, "{} of {}", reduced.states, all.states);
    }
}

/// What `cretoai-sim explore --byzantine 1 --all-orders` prints as what was said in two views. It takes a minute of
/// an optimized program, so it is not done here again.
const SAID_IN_TWO_VIEWS: (usize, u64) = (5583, 0x42e7_4d39_8a15_b784);

#[test]
fn in_two_views_the_reduced_orders_lead_to_everything_that_can_be_said_when_the_new_primary_is_byzantine() {
    let report = explore(Bounds { views: 2, ..bounds(1) });
    assert!(report.limit.is_none() && report.found.is_none(), "{report:#?}");
    assert_eq!((report.said, report.fingerprint), SAID_IN_TWO_VIEWS, "{report:#?}");
}

#[test]
fn an_exploration_that_takes_too_much_memory_stops_and_says_so() {
    let report = explore(Bounds { views: 2, memory: 1 << 20, ..bounds(3) });
    assert!(report.limit == Some(Limit::Memory) && report.bytes < 2 << 20, "{report:#?}");
}

#[test]
fn an_exploration_that_stops_early_says_so() {
    let report = explore(Bounds { states: 10, ..bounds(0) });
    assert!(report.limit == Some(Limit::States), "{report:#?}");
}
