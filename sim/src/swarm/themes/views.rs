//! View changes in which something is wrong at the wrong time.

use super::{BASE, Quiet};
use crate::plan::{Behaviour, Expectation, Fault, Kind, NewViewLie, RuleAction, Submit};
use crate::swarm::byzantine::{NEW_VIEW_LIES, VIEW_CHANGE_LIES};

/// What is wrong with a NEW-VIEW and not covered by its primary's signature.
const CERTIFICATE_LIES: [NewViewLie; 4] =
    [NewViewLie::MixedCertificate, NewViewLie::ThinCertificate, NewViewLie::NoCertificate, NewViewLie::Unproven];

/// The COMMITs of view 0 come when everybody has left it, and two checkpoints become stable. Then the next primary,
/// which has nothing of all that, asks for what the VIEW-CHANGEs claim (C7).
pub(super) fn open_view_change(quiet: &mut Quiet<'_>) {
    quiet.slots(&[1, 1, 2], 4);
    quiet.plan.pipeline = quiet.plan.window;
    quiet.plan.open_vertices = 8;
    quiet.ops(3 * quiet.plan.window, 4 * quiet.plan.window, 1, 1);
    quiet.clients_at(&[0, 2, 3]);
    let submit = Submit { op: "alone".to_owned(), to: vec![1], ..Submit::default() };
    quiet.plan.workload.scripted.push(submit);
    let commits = BASE + quiet.rng.between(8, 25);
    let heal = commits + quiet.rng.between(5, 12);
    let hold = RuleAction::HoldUntil { at_us: commits * quiet.unit };
    quiet.rule(&[Kind::Commit], &[], &[], hold).views = Some([0, 0]);
    quiet.at(0, Fault::Isolate { replica: 1 });
    quiet.at(heal, Fault::Heal);
    quiet.plan.expectations.push(Expectation::View { at_least: 0, at_most: 1, replicas: Vec::new() });
    quiet.calm_after(5 * BASE);
}

/// A checkpoint becomes stable when everybody has left the view, logs are pruned, and a replica that voted for slots
/// above it crashes. The view after that fails, so that it has to say once more what it voted for (G14).
pub(super) fn crash_in_view_change(quiet: &mut Quiet<'_>) {
    quiet.slots(&[1, 2, 4], 4);
    let (interval, window) = (quiet.plan.checkpoint_interval, quiet.plan.window);
    quiet.plan.pipeline = window;
    quiet.plan.open_vertices = 8;
    quiet.plan.disk.prune = true;
    quiet.ops(2 * window, 3 * window, 1, 2);
    quiet.clients_at(&[0, 2, 3]);
    quiet.byzantine(1, Behaviour::Withholder { kinds: vec![Kind::NewView], from: Vec::new() });
    let crashing = *quiet.rng.pick(&[0, 2, 3]);
    let last = interval * quiet.rng.between(1, window / interval - 1);
    let commits = BASE + quiet.rng.between(8, 40);
    let hold = RuleAction::HoldUntil { at_us: commits * quiet.unit };
    let rule = quiet.rule(&[Kind::Commit], &[], &[], hold);
    (rule.views, rule.slots) = (Some([0, 0]), Some([1, last]));
    quiet.lose(&[Kind::Commit], &[], &[]).views = Some([0, 0]);
    let per_mille = *quiet.rng.pick(&[0, 300, 700]);
    let rule = quiet.lose(&[Kind::Prepare], &[], &[crashing]);
    (rule.views, rule.slots, rule.per_mille) = (Some([0, 0]), Some([last + 1, window]), per_mille);
    let crash = commits + quiet.rng.between(2, 12);
    quiet.at(crash, Fault::Crash { replica: crashing });
    let restart = crash + quiet.rng.between(1, 12);
    quiet.at(restart, Fault::Restart { replica: crashing });
    quiet.calm_after(6 * BASE);
}

/// No COMMIT of view 0 gets through, so that its slots are claimed; the primary of the next view lies in its NEW-VIEW,
/// or another replica in its VIEW-CHANGE.
pub(super) fn liar_in_the_new_view(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 4, 5, 7]);
    quiet.slots(&[4, 8], 3);
    quiet.lose(&[Kind::Commit], &[], &[]).views = Some([0, 0]);
    let lies = if quiet.rng.chance(500) { &CERTIFICATE_LIES[..] } else { &NEW_VIEW_LIES[..] };
    let lie = *quiet.rng.pick(lies);
    if quiet.f() > 1 || quiet.rng.chance(700) {
        quiet.byzantine(1, Behaviour::NewViewLiar { lie });
    }
    if usize::from(quiet.f()) > quiet.plan.byzantine.len() {
        let lie = *quiet.rng.pick(&VIEW_CHANGE_LIES);
        let liar = quiet.one(&[1]);
        quiet.byzantine(liar, Behaviour::ViewChangeLiar { lie, null: false });
    }
    // What a liar makes is worth nothing once it is banned, and these clients ask nobody else.
    let liars: Vec<u16> = quiet.plan.byzantine.iter().map(|entry| entry.replica).collect();
    let clients = quiet.without(&liars);
    quiet.clients_at(&clients);
    quiet.calm_after(3 * BASE);
}

/// A primary votes for batches of another time than those it shows, and hands them out when it is asked (M9).
pub(super) fn hidden_batch(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 5, 7]);
    let base = i64::try_from(BASE * quiet.unit).expect("small");
    let offset = base * i64::try_from(quiet.rng.between(3, 20)).expect("small");
    quiet.byzantine(0, Behaviour::TimeLiar { offset_us: Some(offset), hidden: true });
    let clients = quiet.without(&[0]);
    quiet.clients_at(&clients);
    quiet.calm_after(3 * BASE);
}
