//! Which replicas are Byzantine, and how.

use crate::plan::{Behaviour, Byzantine, CheckpointLie, Kind, NewViewLie, Plan, TransferLie, ViewChangeLie};
use crate::rng::Rng;

const VOTES: [Kind; 5] = [Kind::PrePrepare, Kind::Prepare, Kind::Commit, Kind::ViewChange, Kind::NewView];
pub(super) const VIEW_CHANGE_LIES: [ViewChangeLie; 12] = [
    ViewChangeLie::Invent,
    ViewChangeLie::InventThin,
    ViewChangeLie::InventRepeated,
    ViewChangeLie::InventForged,
    ViewChangeLie::Forget,
    ViewChangeLie::OmitSlot,
    ViewChangeLie::BackDate,
    ViewChangeLie::Two,
    ViewChangeLie::OutOfWindow,
    ViewChangeLie::FutureView,
    ViewChangeLie::OldStable,
    ViewChangeLie::FutureStable,
];
pub(super) const NEW_VIEW_LIES: [NewViewLie; 17] = [
    NewViewLie::Unproven,
    NewViewLie::OmitSlot,
    NewViewLie::ExtraSlot,
    NewViewLie::OtherDigest,
    NewViewLie::Nullify,
    NewViewLie::LowestView,
    NewViewLie::WrongStable,
    NewViewLie::DuplicateSigner,
    NewViewLie::NonMember,
    NewViewLie::OtherChain,
    NewViewLie::OtherView,
    NewViewLie::NoCertificate,
    NewViewLie::ThinCertificate,
    NewViewLie::MixedCertificate,
    NewViewLie::Usurp,
    NewViewLie::Two,
    NewViewLie::Withhold,
];
const BODIES: [Kind; 3] = [Kind::Vertex, Kind::Data, Kind::Certificates];
const CHECKPOINT_LIES: [CheckpointLie; 6] = [
    CheckpointLie::OtherState,
    CheckpointLie::Two,
    CheckpointLie::Early,
    CheckpointLie::ThinProof,
    CheckpointLie::RepeatedProof,
    CheckpointLie::Withhold,
];
pub(super) const TRANSFER_LIES: [TransferLie; 5] = [
    TransferLie::FlippedChunk,
    TransferLie::ShortChunk,
    TransferLie::OtherManifest,
    TransferLie::LongManifest,
    TransferLie::Withhold,
];

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
    let ids = ids.into_iter().take(usize::try_from(count).expect("small"));
    let mut team = if count > 1 && rng.chance(300) { team(rng, plan) } else { Vec::new() };
    for replica in ids {
        let behaviour = team.pop().unwrap_or_else(|| behaviour(rng, plan, delay_us));
        plan.byzantine.push(Byzantine { replica, behaviour });
    }
}

/// Two who work together.
fn team(rng: &mut Rng, plan: &Plan) -> Vec<Behaviour> {
    let equivocator = Behaviour::EquivocatingPrimary { per_mille: 1000, half: Vec::new() };
    let liars = |view_change, new_view| {
        vec![Behaviour::ViewChangeLiar { lie: view_change, null: false }, Behaviour::NewViewLiar { lie: new_view }]
    };
    match rng.below(5) {
        0 => vec![Behaviour::DoubleVoter, equivocator],
        1 => vec![twin(0, 300), equivocator],
        2 => liars(ViewChangeLie::BackDate, NewViewLie::LowestView),
        3 => liars(ViewChangeLie::InventForged, NewViewLie::NoCertificate),
        _ => {
            let (kinds, from) = (Vec::new(), some_replicas(rng, plan));
            vec![Behaviour::Withholder { kinds, from }; 2]
        }
    }
}

fn twin(change_every_us: u64, both_per_mille: u32) -> Behaviour {
    Behaviour::Twin { first: Vec::new(), change_every_us, turns: Vec::new(), both_per_mille, by_view: Vec::new() }
}

fn kinds(rng: &mut Rng, of: &[Kind]) -> Vec<Kind> {
    if rng.chance(300) { Vec::new() } else { vec![*rng.pick(of)] }
}

fn some_replicas(rng: &mut Rng, plan: &Plan) -> Vec<u16> {
    let chosen = (0..plan.n).filter(|_| rng.chance(500)).collect::<Vec<_>>();
    if chosen.is_empty() { vec![0] } else { chosen }
}

fn behaviour(rng: &mut Rng, plan: &Plan, delay_us: u64) -> Behaviour {
    let base_us = plan.timeouts.base_us;
    match rng.below(33) {
        0 => Behaviour::Silent,
        1 => Behaviour::CrashStop { at_us: rng.below(plan.phases.safety_until_us) },
        2..=4 => Behaviour::EquivocatingPrimary { per_mille: *rng.pick(&[100, 500, 1000]), half: Vec::new() },
        5 => Behaviour::DoubleVoter,
        6..=8 => {
            let change_every_us = *rng.pick(&[0, base_us, 3 * base_us]);
            twin(change_every_us, *rng.pick(&[0, 300]))
        }
        9 => Behaviour::Delayer { kinds: kinds(rng, &VOTES), delay_us: rng.below(2 * base_us), jitter_us: delay_us },
        10..=12 => Behaviour::Mutator { per_mille: *rng.pick(&[20, 100, 500]), limit: 0, kinds: kinds(rng, &VOTES) },
        13 | 14 => Behaviour::Withholder { kinds: kinds(rng, &VOTES), from: some_replicas(rng, plan) },
        15 => Behaviour::Censor { authors: some_replicas(rng, plan), clients: Vec::new() },
        16 => Behaviour::TimeLiar {
            offset_us: *rng.pick(&[None, Some(i64::try_from(10 * base_us).expect("small")), Some(-3_000_000)]),
            hidden: false,
        },
        17 => Behaviour::NewViewLiar { lie: *rng.pick(&NEW_VIEW_LIES) },
        18 => Behaviour::ViewChangeLiar { lie: *rng.pick(&VIEW_CHANGE_LIES), null: false },
        19 => match rng.below(4) {
            0 => Behaviour::ViewSpammer { period_us: *rng.pick(&[base_us / 2, 3 * delay_us]) },
            1 => Behaviour::Flooder { per_second: 500, to: Vec::new(), kinds: Vec::new(), forged_per_mille: 300 },
            2 => Behaviour::FalseAccuser { period_us: base_us / 4 },
            _ => Behaviour::Forger { per_mille: 100 },
        },
        20 => Behaviour::Replayer {
            per_mille: 100,
            delay_us: 3 * base_us,
            memory: *rng.pick(&[0, 64]),
            moved: Vec::new(),
        },
        21 => Behaviour::CheckpointLiar { lie: *rng.pick(&CHECKPOINT_LIES) },
        22 => Behaviour::TransferLiar { lie: *rng.pick(&TRANSFER_LIES) },
        23 => Behaviour::SlowPrimary { pause_us: base_us * rng.between(1, 9) / 10 },
        24 => Behaviour::Withholder { kinds: kinds(rng, &BODIES), from: some_replicas(rng, plan) },
        26 | 27 => Behaviour::Impostor { per_mille: *rng.pick(&[20, 200]) },
        28 | 29 => Behaviour::NewViewLiar { lie: *rng.pick(&NEW_VIEW_LIES) },
        30 => Behaviour::ViewChangeLiar { lie: *rng.pick(&VIEW_CHANGE_LIES), null: false },
        25 => Behaviour::Censor { authors: Vec::new(), clients: vec![0] },
        _ => Behaviour::DagLiar { per_mille: *rng.pick(&[200, 700]) },
    }
}
