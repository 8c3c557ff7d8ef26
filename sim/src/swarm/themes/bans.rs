//! Replicas that are proven to be faulty, and otherwise do what they should.

use super::{BASE, Quiet};
use crate::plan::{Behaviour, Expectation, Fault, Phases, ScriptAction, ScriptBatch, ScriptStep};
use cretoai_core::vote::Phase;
use std::ops::RangeInclusive;

/// One is banned; then as many others are cut off as may be faulty, and nothing is decided without the banned one's
/// votes (X14).
pub(super) fn banned_counts(quiet: &mut Quiet<'_>) {
    quiet.tight();
    quiet.slots(&[1, 2, 4], 4);
    let banned = quiet.one(&[]);
    let cut = quiet.some(quiet.f(), &[banned]);
    let core = quiet.without(&[&cut[..], &[banned]].concat());
    quiet.clients_at(&core);
    let (phase, slot) = (*quiet.rng.pick(&[Phase::Prepare, Phase::Commit]), quiet.rng.between(1, 2));
    votes_twice(quiet, banned, phase, slot..=slot + 2);
    // Whoever holds the evidence waits up to n T0 before it is put into a vertex (X13).
    let from = 2 * BASE + quiet.rng.between(20, 60);
    quiet.ops(from / 4 + 6, from / 4 + 12, 4, 4);
    cut.into_iter().for_each(|replica| quiet.at(from, Fault::Isolate { replica }));
    quiet.calm_after(from + 1);
    // The core is one short of a quorum. The banned one completes it: though it counts as Byzantine, it follows the
    // protocol by then (O10).
    quiet.plan.phases.calm.iter_mut().for_each(|calm| (calm.heal_all, calm.core) = (false, core.clone()));
    quiet.plan.phases.safety_until_us = (from + 1) * quiet.unit;
}

/// One more is proven to be faulty than may be: everybody else stops (X16).
pub(super) fn one_too_many(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 5, 7]);
    quiet.slots(&[4, 8], 4);
    quiet.ops(20, 30, 4, 5);
    let culprits = quiet.some(quiet.f() + 1, &[]);
    // In the same slot, which nobody finishes without them: so nobody can miss it.
    let (phase, slot) = (*quiet.rng.pick(&[Phase::Prepare, Phase::Commit]), quiet.rng.between(1, 8));
    culprits.iter().for_each(|culprit| votes_twice(quiet, *culprit, phase, slot..=slot));
    let replicas = quiet.without(&culprits);
    quiet.clients_at(&replicas);
    quiet.plan.expectations.push(Expectation::Stopped { replicas });
    let end_us = 12 * BASE * quiet.unit;
    quiet.plan.phases = Phases { end_us, stop_when_done: false, linger_us: 0, ..Phases::default() };
}

/// A replica that follows the protocol, apart from votes of view 0 for what nobody proposed.
fn votes_twice(quiet: &mut Quiet<'_>, replica: u16, phase: Phase, slots: RangeInclusive<u64>) {
    let batch = || "one".to_owned();
    let say = |slot| match phase {
        Phase::Prepare => ScriptAction::Prepare { view: 0, slot, batch: batch(), hand: 0 },
        Phase::Commit => ScriptAction::Commit { view: 0, slot, batch: batch(), hand: 0 },
    };
    let steps = slots.map(|slot| ScriptStep { at_us: 1, to: Vec::new(), say: say(slot) }).collect();
    let batches = vec![ScriptBatch { name: batch(), vertices: Vec::new(), invented: 1, ts_offset_us: 0 }];
    quiet.byzantine(replica, Behaviour::Script { steps, batches, honest: true });
}
