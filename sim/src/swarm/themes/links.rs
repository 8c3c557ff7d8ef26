//! Links that fail for some messages, where others make up for them before anybody's time is over.

use super::{BASE, Quiet};
use crate::plan::{Behaviour, Expectation, Kind, RuleAction};

/// No vertex of an author reaches the primary, and no STATUS: others forward what they hold (D11).
pub(super) fn forwarding(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 5, 7]);
    let author = quiet.one(&[0]);
    quiet.clients_at(&[author]);
    quiet.lose(&[Kind::Vertex], &[author], &[0]);
    quiet.lose(&[Kind::Status], &[], &[0]);
    nobody_leaves(quiet);
}

/// The first vertex of an author reaches nobody, and the primary gets none from it: others ask for the predecessor of
/// those that follow (D13).
pub(super) fn hidden_predecessor(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 5, 7]);
    quiet.ops(4, 10, 1, 3);
    let author = quiet.one(&[0]);
    quiet.clients_at(&[author]);
    quiet.lose(&[Kind::Status], &[author], &[]);
    quiet.lose(&[Kind::Vertex], &[author], &[0]);
    let copies = u64::from(quiet.plan.n - 2);
    quiet.lose(&[Kind::Vertex], &[author], &[]).limit = Some(copies);
    nobody_leaves(quiet);
}

/// All that are left are needed, and one never hears the votes of another: STATUS has them repeated (T13).
pub(super) fn repeated_votes(quiet: &mut Quiet<'_>) {
    quiet.tight();
    quiet.ops(3, 8, 1, 4);
    let silent = silence(quiet, &[0]);
    let deaf = quiet.one(&[&silent[..], &[0]].concat());
    let unheard = quiet.one(&[&silent[..], &[deaf]].concat());
    let clients = quiet.without(&silent);
    quiet.clients_at(&clients);
    quiet.lose(&[Kind::PrePrepare, Kind::Prepare, Kind::Commit], &[unheard], &[deaf]);
    nobody_leaves(quiet);
}

/// The first primary is dead, all that are left are needed, and the votes of the next view reach one of them before its
/// NEW-VIEW does (N9). Nobody says them again.
pub(super) fn early_votes(quiet: &mut Quiet<'_>) {
    quiet.tight();
    let mut silent = quiet.some(quiet.f() - 1, &[0, 1]);
    silent.iter().copied().for_each(|id| quiet.byzantine(id, Behaviour::Silent));
    let at_us = quiet.rng.below(12) * quiet.unit;
    quiet.byzantine(0, if at_us == 0 { Behaviour::Silent } else { Behaviour::CrashStop { at_us } });
    silent.push(0);
    let late = quiet.one(&[&silent[..], &[1]].concat());
    let clients = quiet.without(&silent);
    quiet.clients_at(&clients);
    let us = quiet.unit * quiet.rng.between(4, 12);
    quiet.rule(&[Kind::NewView], &[], &[late], RuleAction::Add { us });
    quiet.lose(&[Kind::Status], &[], &[]);
    quiet.plan.expectations.push(Expectation::View { at_least: 0, at_most: 1, replicas: Vec::new() });
    quiet.calm_after(5 * BASE);
}

/// One replica lacks what is proposed, and the primary does not answer it: all the others would (D12). They are asked
/// next, and not only when the primary has been silent many times.
pub(super) fn unanswered(quiet: &mut Quiet<'_>) {
    quiet.plan.n = *quiet.rng.pick(&[4, 4, 5, 7]);
    quiet.ops(1, 1, 1, 1);
    let asking = quiet.one(&[0]);
    let author = quiet.one(&[asking]);
    quiet.clients_at(&[author]);
    quiet.byzantine(0, Behaviour::Withholder { kinds: vec![Kind::Vertex], from: vec![asking] });
    quiet.lose(&[Kind::Vertex], &[author], &[asking]).limit = Some(1);
    quiet.plan.expectations.push(Expectation::AllOps { by_us: Some(15 * quiet.unit) });
    quiet.calm_after(2 * BASE);
}

/// As many replicas as may be faulty say nothing.
fn silence(quiet: &mut Quiet<'_>, but: &[u16]) -> Vec<u16> {
    let silent = quiet.some(quiet.f(), but);
    silent.iter().copied().for_each(|id| quiet.byzantine(id, Behaviour::Silent));
    silent
}

fn nobody_leaves(quiet: &mut Quiet<'_>) {
    quiet.plan.expectations.push(Expectation::NoViewChange);
    let submitted = quiet.submitted_us() / quiet.unit;
    quiet.calm_after(submitted + 2 * BASE);
}
