//! Kind E7: a NEW-VIEW that does not follow from the VIEW-CHANGEs that it names (`docs/protocol.md` X4, V16).

use crate::choice::{Selection, is_well_formed, select};
use crate::config::Chain;
use crate::hash::Digest;
use crate::message::{NewView, Signed, ViewChange};
use crate::mutant::Mutant;
use crate::types::{Slot, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whether the primary's signed bytes, and those of `bodies` whose hashes are in them, prove a violation. Attachments
/// are not looked at, for anyone may have swapped them. While bodies are missing only that counts which holds
/// whatever they say; hence more bodies never make a guilty NEW-VIEW innocent.
#[must_use]
pub fn new_view_is_guilty(chain: &Chain, signed: &Signed<NewView>, bodies: &[Arc<Signed<ViewChange>>]) -> bool {
    let new_view = &signed.body;
    if signed.signer != chain.committee.primary(new_view.view) {
        return false; // Not a NEW-VIEW of the view's primary: void, and dropped.
    }
    if is_absurd(chain, new_view) {
        return true;
    }
    let named = named(new_view, bodies);
    let is_complete = named.len() == new_view.view_changes.len();
    contradicts_one(chain, new_view, &named) || is_complete && contradicts_all(new_view, &named)
}

/// Those of `bodies` that a NEW-VIEW names, once each, in its order.
pub(crate) fn named<'a>(new_view: &NewView, bodies: &'a [Arc<Signed<ViewChange>>]) -> Vec<&'a Arc<Signed<ViewChange>>> {
    let mut by_id: BTreeMap<Digest, &Arc<Signed<ViewChange>>> = BTreeMap::new();
    for signed in bodies {
        by_id.entry(signed.id()).or_insert(signed);
    }
    let mut take = |id| if Mutant::RepeatedViewChange.is_on() { by_id.get(id).copied() } else { by_id.remove(id) };
    new_view.view_changes.iter().filter_map(&mut take).collect()
}

/// Whether no set of VIEW-CHANGEs at all leads to this NEW-VIEW.
fn is_absurd(chain: &Chain, new_view: &NewView) -> bool {
    let NewView { view, view_changes, stable, proposals } = new_view;
    let distinct: BTreeSet<&Digest> = view_changes.iter().collect();
    let quorum = usize::from(chain.committee.quorum()) - usize::from(Mutant::NewViewByTooFew.is_on());
    let are_distinct = distinct.len() == view_changes.len() || Mutant::RepeatedViewChange.is_on();
    let is_quorum = are_distinct && view_changes.len() == quorum;
    let has_no_gap = (1..).zip(proposals).all(|(distance, (slot, _))| stable.0.checked_add(distance) == Some(slot.0));
    let is_in_window = proposals.iter().all(|(slot, _)| *slot <= stable.plus(chain.window()));
    *view == View(0)
        || !is_quorum
        || !stable.is_checkpoint(chain.checkpoint_interval())
        || !has_no_gap && !Mutant::NoNull.is_on()
        || !is_in_window
}

/// Whether a single body, or two of one signer, cannot stand below this NEW-VIEW, whatever the others are.
fn contradicts_one(chain: &Chain, new_view: &NewView, named: &[&Arc<Signed<ViewChange>>]) -> bool {
    let last = new_view.proposals.last().map_or(new_view.stable, |(slot, _)| *slot);
    let reach = |body: &ViewChange| body.prepared.last().map_or(Slot(0), |claim| claim.slot);
    let is_misfit = |signed: &Signed<ViewChange>| {
        !chain.committee.contains(signed.signer) && !Mutant::StrangersCount.is_on()
            || signed.body.view != new_view.view
            || !is_well_formed(&signed.body, chain)
            || new_view.stable < signed.body.stable
            || last < reach(&signed.body)
    };
    let signers: BTreeSet<_> = named.iter().map(|signed| signed.signer).collect();
    let are_distinct = signers.len() == named.len() || Mutant::RepeatedViewChange.is_on();
    !are_distinct || named.iter().any(|signed| is_misfit(signed))
}

/// Whether all bodies together lead to another `h*` or `O`, or to none.
fn contradicts_all(new_view: &NewView, named: &[&Arc<Signed<ViewChange>>]) -> bool {
    match select(named.iter().map(|signed| &signed.body)) {
        Err(_) => true,
        Ok(selection) => !follows(new_view, &selection),
    }
}

/// Whether a NEW-VIEW has the `h*` and the `O` to which its VIEW-CHANGEs lead.
pub(crate) fn follows(new_view: &NewView, selection: &Selection) -> bool {
    if Mutant::StableUnproven.is_on() {
        let behind = selection.proposals.iter().filter(|(slot, _)| new_view.stable < *slot);
        return selection.stable <= new_view.stable && behind.eq(&new_view.proposals);
    }
    selection.stable == new_view.stable && selection.proposals == new_view.proposals
}
