//! Replicas that have been away for so long that only the state itself helps.

use super::Quiet;
use crate::plan::{Behaviour, Expectation, Fault, Kind, Load};
use crate::swarm::byzantine::TRANSFER_LIES;

/// One comes back when nothing happens any more, and liars serve states (C12, C14).
pub(super) fn far_behind(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 4, 7]);
    quiet.slots(&[1, 2, 4], 2);
    let window = quiet.plan.window;
    quiet.ops(3 * window + 6, 3 * window + 14, 4, 5);
    let away = quiet.one(&[]);
    let liars = quiet.some(quiet.f(), &[away]);
    for liar in liars {
        let lie = *quiet.rng.pick(&TRANSFER_LIES);
        quiet.byzantine(liar, Behaviour::TransferLiar { lie });
    }
    let clients = quiet.without(&[away]);
    quiet.clients_at(&clients);
    let from = quiet.rng.below(10);
    quiet.at(from, Fault::Isolate { replica: away });
    let heal = quiet.submitted_us() / quiet.unit;
    quiet.at(heal, Fault::Heal);
    quiet.calm_after(heal + 1);
    let transfer_us = 40 * quiet.unit;
    quiet.plan.phases.calm.iter_mut().for_each(|calm| calm.transfer_us = transfer_us);
}

/// One votes for everything and hears of no decision, and then takes over a state: what it held for pending is not
/// pending any more, and nobody is suspected over it (C16). Every author makes one vertex, before it has any of the
/// others': one that refers to others is not pending before they are final.
pub(super) fn votes_in_vain(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 5, 7]);
    let window = u64::from(quiet.plan.n) + 1;
    (quiet.plan.checkpoint_interval, quiet.plan.window, quiet.plan.pipeline) = (1, window, window);
    let uninformed = quiet.one(&[0]);
    let clients = quiet.without(&[uninformed]);
    quiet.clients_at(&clients);
    quiet.plan.workload.ops = u64::from(quiet.plan.n) - 1;
    let interval_us = quiet.unit / quiet.rng.between(5, 10);
    quiet.plan.workload.load = Load::Open { interval_us, jitter_per_mille: 300 };
    let decisions =
        [Kind::Commit, Kind::Certificates, Kind::Checkpoint, Kind::StableCheckpoint, Kind::Status, Kind::Data];
    quiet.lose(&decisions, &[], &[uninformed]);
    quiet.plan.expectations.push(Expectation::NoViewChange);
    let decided = quiet.rng.between(8, 12);
    quiet.calm_after(decided);
    quiet.plan.phases.linger_us = 2 * quiet.plan.timeouts.base_us;
}
