//! Small scope (after Winter et al., OOPSLA'23): a few phases at the beginning of a run, in a few of which links
//! between some replicas fail, and in a few of which one replica says something a little different to some others.

use super::{BASE_US, DELAY_US, Strategy, brief};
use crate::oracles::Bound;
use crate::plan::{Behaviour, Byzantine, Kind, MessageRule, Mutation, Plan, RuleAction};
use crate::rng::{Concern, Rng};
use cretoai_core::committee::Committee;

/// Slots whose phases may be touched, from the first on.
const SLOTS: u64 = 4;

/// Faults of links, at the most.
const LINK_FAULTS: u64 = 4;

/// Mutations, at the most.
const MUTATIONS: u64 = 4;

/// A phase: what is said in it, about which slot, in which view.
#[derive(Clone, Copy, Debug)]
struct Phase {
    kind: Kind,
    view: u64,
    slot: Option<u64>,
}

/// The plan of a seed.
#[must_use]
pub(super) fn plan(seed: u64) -> Plan {
    let mut rng = Rng::new(seed, Concern::Swarm);
    let n = *rng.pick(&[4, 4, 4, 4, 5, 6, 7]);
    let ops = rng.between(4, 12);
    let interval_us = *rng.pick(&[2, 4, 8]) * DELAY_US;
    let safety_until_us = ops * interval_us + 8 * BASE_US;
    let mut plan = brief(Strategy::SmallScope, seed, n, ops, interval_us);
    plan.checkpoint_interval = *rng.pick(&[1, 2, 4]);
    plan.timeouts.max_us = 4 * BASE_US;
    plan.phases.safety_until_us = safety_until_us;
    for _ in 0..rng.between(0, LINK_FAULTS) {
        let phase = phase(&mut rng);
        split(&mut rng, &mut plan, phase);
    }
    if rng.chance(500) {
        // So that there are view changes to disturb: the first primary falls silent.
        let from_us = rng.between(2, ops * 2) * DELAY_US;
        let rule =
            MessageRule { kinds: vec![Kind::PrePrepare], views: Some([0, 0]), from_us, ..MessageRule::default() };
        plan.rules.push(rule);
    }
    let mutations = (0..rng.between(0, MUTATIONS)).map(|_| {
        let Phase { kind, view, slot } = phase(&mut rng);
        Mutation { kind, view: Some(view), slot, to: some(&mut rng, n) }
    });
    let mutations: Vec<Mutation> = mutations.collect();
    let first = if rng.chance(700) { 2 } else { n.into() };
    let replica = u16::try_from(rng.below(first)).expect("below n");
    if !mutations.is_empty() {
        plan.byzantine.push(Byzantine { replica, behaviour: Behaviour::SmallScope { mutations } });
    }
    let committee = Committee::new(n).expect("at least four");
    let Bound(bound_ns) = Bound::new(&plan, committee, 6, 4 * DELAY_US * 1000);
    let life_us = safety_until_us + bound_ns / 1000;
    plan.workload.expiry_us = life_us;
    plan.lifetime_us = 2 * life_us;
    plan.phases.end_us = life_us + BASE_US;
    plan
}

fn phase(rng: &mut Rng) -> Phase {
    let slot = Some(rng.between(1, SLOTS));
    match rng.below(5) {
        0 => Phase { kind: Kind::PrePrepare, view: rng.below(3), slot },
        1 => Phase { kind: Kind::Prepare, view: rng.below(3), slot },
        2 => Phase { kind: Kind::Commit, view: rng.below(3), slot },
        3 => Phase { kind: Kind::ViewChange, view: rng.between(1, 3), slot: None },
        _ => Phase { kind: Kind::NewView, view: rng.between(1, 3), slot: None },
    }
}

fn some(rng: &mut Rng, n: u16) -> Vec<u16> {
    let chosen: Vec<u16> = (0..n).filter(|_| rng.chance(500)).collect();
    if chosen.is_empty() { vec![u16::try_from(rng.below(n.into())).expect("below n")] } else { chosen }
}

/// In one phase some replicas and all others do not hear one another.
fn split(rng: &mut Rng, plan: &mut Plan, Phase { kind, view, slot }: Phase) {
    let one = some(rng, plan.n);
    let other: Vec<u16> = (0..plan.n).filter(|id| !one.contains(id)).collect();
    for (from, to) in [(&one, &other), (&other, &one)] {
        if !from.is_empty() && !to.is_empty() {
            plan.rules.push(MessageRule {
                kinds: vec![kind],
                from: from.clone(),
                to: to.clone(),
                views: Some([view, view]),
                slots: slot.map(|slot| [slot, slot]),
                action: RuleAction::Drop,
                ..MessageRule::default()
            });
        }
    }
}
