//! Small scope (after Winter et al., OOPSLA'23): a few phases at the beginning of a run, in a few of which links
//! between some replicas fail, and in a few of which one replica says something a little different to some others, or
//! nothing, or what it said before.

use super::{BASE_US, DELAY_US, Strategy, brief};
use crate::oracles::Bound;
use crate::plan::{Behaviour, Byzantine, Instead, Kind, MessageRule, Mutation, Plan, RuleAction};
use crate::rng::{Concern, Rng};
use cretoai_core::committee::Committee;

/// How small the scope is: `d`, `c` and `r` of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Phases in which links fail, at the most. Without any, the first primary does not fall silent either.
    pub(crate) link_faults: u64,
    /// Mutations, at the most.
    pub(crate) mutations: u64,
    /// Rounds of the protocol that may be touched, at least one: the first so many slots, and as many views, but at least two.
    pub(crate) rounds: u64,
}

impl Default for Scope {
    fn default() -> Self {
        Self { link_faults: 4, mutations: 4, rounds: 4 }
    }
}

/// A phase: what is said in it, about which slot, in which view.
#[derive(Clone, Copy, Debug)]
struct Phase {
    kind: Kind,
    view: u64,
    slot: Option<u64>,
}

/// The plan of a seed.
#[must_use]
pub(crate) fn plan(seed: u64, scope: Scope) -> Plan {
    let mut rng = Rng::new(seed, Concern::Swarm);
    let n = *rng.pick(&[4, 4, 4, 4, 5, 6, 7]);
    let ops = rng.between(4, 12);
    let interval_us = *rng.pick(&[2, 4, 8]) * DELAY_US;
    let safety_until_us = ops * interval_us + 8 * BASE_US;
    let mut plan = brief(Strategy::SmallScope, seed, n, ops, interval_us);
    plan.checkpoint_interval = *rng.pick(&[1, 2, 4]);
    plan.timeouts.max_us = 4 * BASE_US;
    plan.phases.safety_until_us = safety_until_us;
    for _ in 0..rng.between(0, scope.link_faults) {
        let phase = phase(&mut rng, scope);
        split(&mut rng, &mut plan, phase);
    }
    if rng.chance(500) && 0 < scope.link_faults {
        // So that there are view changes to disturb: the first primary falls silent.
        let from_us = rng.between(2, ops * 2) * DELAY_US;
        let rule =
            MessageRule { kinds: vec![Kind::PrePrepare], views: Some([0, 0]), from_us, ..MessageRule::default() };
        plan.rules.push(rule);
    }
    let mutations = (0..rng.between(0, scope.mutations)).map(|_| {
        let Phase { kind, view, slot } = phase(&mut rng, scope);
        Mutation { kind, view: Some(view), slot, to: some(&mut rng, n), instead: Instead::Changed }
    });
    let mut mutations: Vec<Mutation> = mutations.collect();
    let first = if rng.chance(700) { 2 } else { n.into() };
    let replica = u16::try_from(rng.below(first)).expect("below n");
    // A correct replica may seem to leave out or to repeat something, too: what it never says is what finds most.
    for mutation in &mut mutations {
        mutation.instead = match rng.below(8) {
            0 => Instead::Nothing,
            1 => Instead::Earlier,
            _ => Instead::Changed,
        };
    }
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

fn phase(rng: &mut Rng, scope: Scope) -> Phase {
    let slot = Some(rng.between(1, scope.rounds));
    // Slots are proposed in all of the views but the last, and view changes lead to all but the first.
    let changes = (scope.rounds - 1).max(1);
    match rng.below(5) {
        0 => Phase { kind: Kind::PrePrepare, view: rng.below(changes), slot },
        1 => Phase { kind: Kind::Prepare, view: rng.below(changes), slot },
        2 => Phase { kind: Kind::Commit, view: rng.below(changes), slot },
        3 => Phase { kind: Kind::ViewChange, view: rng.between(1, changes), slot: None },
        _ => Phase { kind: Kind::NewView, view: rng.between(1, changes), slot: None },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mutations(plan: &Plan) -> Vec<Mutation> {
        let of = |entry: &Byzantine| match &entry.behaviour {
            Behaviour::SmallScope { mutations } => mutations.clone(),
            other => panic!("{other:?}"),
        };
        plan.byzantine.iter().flat_map(of).collect()
    }

    #[test]
    fn a_scope_is_as_small_as_it_says_and_its_bounds_are_reached() {
        for (link_faults, most, rounds) in [(0, 0, 1), (1, 1, 1), (0, 4, 2), (4, 0, 4), (16, 16, 8)] {
            let scope = Scope { link_faults, mutations: most, rounds };
            let (mut splits, mut mutants, mut slots, mut views) = (0, 0, 0, 0);
            for seed in 0..1000 {
                let plan = plan(seed, scope);
                assert_eq!(plan.validate(), Ok(()), "{scope:?} {seed}");
                // The first rule of two directions; the primary that falls silent has no bound on its slots.
                let cuts = plan.rules.iter().filter(|rule| !rule.from.is_empty());
                splits = splits.max(cuts.clone().count().div_ceil(2));
                assert!(0 < link_faults || plan.rules.is_empty(), "{scope:?} {seed}");
                mutants = mutants.max(mutations(&plan).len());
                for (slot, view) in cuts
                    .map(|rule| (rule.slots.map(|[_, last]| last), rule.views.map(|[_, last]| last)))
                    .chain(mutations(&plan).iter().map(|mutation| (mutation.slot, mutation.view)))
                {
                    slots = slots.max(slot.unwrap_or(0));
                    views = views.max(view.unwrap_or(0));
                }
            }
            let bounds = (link_faults, most);
            assert_eq!((splits as u64, mutants as u64), bounds, "{scope:?}");
            let touched = if bounds == (0, 0) { (0, 0) } else { (rounds, (rounds - 1).max(1)) };
            assert_eq!((slots, views), touched, "{scope:?}");
        }
    }

    #[test]
    fn small_scopes_have_every_mutation() {
        let seen: Vec<Mutation> = (0..100).flat_map(|seed| mutations(&plan(seed, Scope::default()))).collect();
        for instead in [Instead::Changed, Instead::Nothing, Instead::Earlier] {
            assert!(seen.iter().any(|mutation| mutation.instead == instead), "{instead:?}");
        }
    }
}
