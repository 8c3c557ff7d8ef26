//! Which replicas are Byzantine, and how.

use crate::plan::{Behaviour, Byzantine, Kind, NewViewLie, Plan, ViewChangeLie};
use crate::rng::Rng;

/// Up to f Byzantine replicas, in most runs.
pub(super) fn add(rng: &mut Rng, plan: &mut Plan, delay_us: u64) {
    let f = (plan.n - 1) / 3;
    if rng.chance(200) {
        return;
    }
    let count = rng.between(1, u64::from(f));
    let mut ids: Vec<u16> = (0..plan.n).collect();
    // The first primaries more often than not: what they do matters most.
    if rng.chance(400) {
        rng.shuffle(&mut ids);
    }
    for id in ids.into_iter().take(usize::try_from(count).expect("small")) {
        let behaviour = behaviour(rng, plan, delay_us);
        plan.byzantine.push(Byzantine { replica: id, behaviour });
    }
}

fn kinds(rng: &mut Rng, of: &[Kind]) -> Vec<Kind> {
    if rng.chance(300) { Vec::new() } else { vec![*rng.pick(of)] }
}

fn some_replicas(rng: &mut Rng, plan: &Plan) -> Vec<u16> {
    let chosen = (0..plan.n).filter(|_| rng.chance(500)).collect::<Vec<_>>();
    if chosen.is_empty() { vec![0] } else { chosen }
}

fn behaviour(rng: &mut Rng, plan: &Plan, delay_us: u64) -> Behaviour {
    const VOTES: [Kind; 5] = [Kind::PrePrepare, Kind::Prepare, Kind::Commit, Kind::ViewChange, Kind::NewView];
    const LIES: [ViewChangeLie; 8] = [
        ViewChangeLie::Invent,
        ViewChangeLie::InventThin,
        ViewChangeLie::Forget,
        ViewChangeLie::Two,
        ViewChangeLie::OutOfWindow,
        ViewChangeLie::FutureView,
        ViewChangeLie::OldStable,
        ViewChangeLie::FutureStable,
    ];
    const NEW_VIEW_LIES: [NewViewLie; 11] = [
        NewViewLie::OmitSlot,
        NewViewLie::ExtraSlot,
        NewViewLie::OtherDigest,
        NewViewLie::Nullify,
        NewViewLie::WrongStable,
        NewViewLie::DuplicateSigner,
        NewViewLie::OtherView,
        NewViewLie::NoCertificate,
        NewViewLie::ThinCertificate,
        NewViewLie::Two,
        NewViewLie::Withhold,
    ];
    let base_us = plan.timeouts.base_us;
    match rng.below(22) {
        0 => Behaviour::Silent,
        1 => Behaviour::CrashStop { at_us: rng.below(plan.phases.safety_until_us) },
        2..=4 => Behaviour::EquivocatingPrimary { per_mille: *rng.pick(&[100, 500, 1000]), half: Vec::new() },
        5 => Behaviour::DoubleVoter,
        6..=8 => Behaviour::Twin {
            first: Vec::new(),
            change_every_us: *rng.pick(&[0, base_us, 3 * base_us]),
            turns: Vec::new(),
            both_per_mille: *rng.pick(&[0, 300]),
        },
        9 => Behaviour::Delayer { kinds: kinds(rng, &VOTES), delay_us: rng.below(2 * base_us), jitter_us: delay_us },
        10..=12 => Behaviour::Mutator { per_mille: *rng.pick(&[20, 100, 500]), limit: 0, kinds: kinds(rng, &VOTES) },
        13 | 14 => Behaviour::Withholder { kinds: kinds(rng, &VOTES), from: some_replicas(rng, plan) },
        15 => Behaviour::Censor { authors: some_replicas(rng, plan) },
        16 => Behaviour::TimeLiar {
            offset_us: *rng.pick(&[None, Some(i64::try_from(10 * base_us).expect("small")), Some(-3_000_000)]),
        },
        17 => Behaviour::NewViewLiar { lie: *rng.pick(&NEW_VIEW_LIES) },
        18 => Behaviour::ViewChangeLiar { lie: *rng.pick(&LIES) },
        19 => match rng.below(4) {
            0 => Behaviour::ViewSpammer { period_us: base_us / 2 },
            1 => Behaviour::Flooder { per_second: 500, to: Vec::new(), kinds: Vec::new(), forged_per_mille: 300 },
            2 => Behaviour::FalseAccuser { period_us: base_us / 4 },
            _ => Behaviour::Forger { per_mille: 100 },
        },
        20 => Behaviour::Replayer { per_mille: 100, delay_us: 3 * base_us },
        _ => Behaviour::DagLiar { per_mille: *rng.pick(&[200, 700]) },
    }
}
