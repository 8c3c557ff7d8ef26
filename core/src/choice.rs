//! Pure functions of the view change: what a VIEW-CHANGE may say, and what follows from a set of them
//! (`docs/protocol.md` V4, V11, V12, V15).

#[cfg(test)]
mod tests;

use crate::batch::NULL_BATCH;
use crate::certificate::Claim;
use crate::committee::Committee;
use crate::config::Chain;
use crate::hash::Digest;
use crate::message::{Signed, ViewChange};
use crate::mutant::Mutant;
use crate::types::{ReplicaId, Slot, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Slots that `O` may span. No chain has a wider window, so claims of well-formed bodies never reach further.
const MAX_REACH: u64 = 64;

/// Whether a body is valid by its own bytes (`docs/protocol.md` V4).
#[must_use]
pub fn is_well_formed(view_change: &ViewChange, chain: &Chain) -> bool {
    let ViewChange { view, stable, prepared, voted, .. } = view_change;
    let high = stable.plus(chain.window());
    let in_place = |claim: &Claim| *stable < claim.slot && claim.slot <= high && claim.view < *view;
    let was_voted = |claim: &Claim| claim_at(voted, claim.slot).is_some_and(|vote| claim.view <= vote.view);
    is_canonical(view_change)
        && stable.is_checkpoint(chain.checkpoint_interval())
        && prepared.iter().chain(voted).all(in_place)
        && prepared.iter().all(was_voted)
}

/// Whether a body has the form that every VIEW-CHANGE has, honest or not: a view above 0, and each list ascending
/// with one claim a slot. What has not is dropped and is no evidence (`docs/protocol.md` M1, X5).
#[must_use]
pub fn is_canonical(view_change: &ViewChange) -> bool {
    let ascending = |claims: &[Claim]| claims.windows(2).all(|pair| pair[0].slot < pair[1].slot);
    View(0) < view_change.view && ascending(&view_change.prepared) && ascending(&view_change.voted)
}

/// The claim for `slot` in an ascending list.
#[must_use]
pub fn claim_at(claims: &[Claim], slot: Slot) -> Option<&Claim> {
    claims.binary_search_by_key(&slot, |claim| claim.slot).ok().map(|index| &claims[index])
}

/// What a set of VIEW-CHANGEs makes of the new view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `h*`: the highest stable checkpoint among them; slot 0 of an empty set.
    pub stable: Slot,
    /// The different state digests that they claim at `h*`, ascending. A certificate for `h*` decides which one is
    /// right; see [`claims_state`](Self::claims_state).
    pub states: Vec<Digest>,
    /// `O`: every slot after `h*` up to the last one claimed, with the NULL batch where nothing is claimed.
    pub proposals: Vec<(Slot, Digest)>,
    /// The claim of the highest view for each slot that has one, ascending by slot. Each needs its certificate.
    pub selected: Vec<Claim>,
}

impl Selection {
    /// Whether some VIEW-CHANGE with `h*` claims this state there. A single liar among them may claim another one;
    /// that spoils nothing, since the certificate proves what the state is.
    #[must_use]
    pub fn claims_state(&self, state: Digest) -> bool {
        self.states.contains(&state)
    }
}

/// Why nothing follows from a set of VIEW-CHANGEs. Certified claims of well-formed bodies never cause it with at
/// most `f` faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The highest view claimed for a slot has two batches.
    #[error("two batches are claimed to be prepared in {slot} in {view}")]
    Digests {
        /// The slot.
        slot: Slot,
        /// The highest view in which something is claimed to be prepared there.
        view: View,
    },
    /// A claim further from `h*` than any window; no set of well-formed bodies has one.
    #[error("{slot} is claimed, far above the stable checkpoint")]
    Reach {
        /// The slot.
        slot: Slot,
    },
}

/// Computes `h*` and `O` from the bodies of a new view (`docs/protocol.md` V12). Claims up to `h*` are not looked
/// at. The result does not depend on the order of the bodies.
///
/// # Errors
/// [`Contradiction`] if the highest view claimed for some slot above `h*` has two batches.
pub fn select<'a>(view_changes: impl Iterator<Item = &'a ViewChange> + Clone) -> Result<Selection, Contradiction> {
    let stable = view_changes.clone().map(|body| body.stable).max().unwrap_or_default();
    let claims = view_changes.clone().flat_map(|body| &body.prepared).filter(|claim| stable < claim.slot);

    let mut highest: BTreeMap<Slot, Claim> = BTreeMap::new();
    for claim in claims.clone() {
        let best = highest.entry(claim.slot).or_insert(*claim);
        if best.view < claim.view && !Mutant::FirstClaim.is_on() && !Mutant::LowestView.is_on()
            || claim.view < best.view && Mutant::LowestView.is_on()
        {
            *best = *claim;
        }
    }
    // In a second pass, because two digests below the highest view are no contradiction.
    for claim in claims {
        let best = highest[&claim.slot];
        if claim.view == best.view && claim.digest != best.digest {
            return Err(Contradiction::Digests { slot: claim.slot, view: claim.view });
        }
    }

    let last = highest.last_key_value().map_or(stable, |(slot, _)| *slot);
    let reach = last.0 - stable.0;
    if MAX_REACH < reach {
        return Err(Contradiction::Reach { slot: last });
    }
    let digest_of = |slot| highest.get(&slot).map_or(NULL_BATCH, |claim| claim.digest);
    let at_stable = view_changes.filter(|body| body.stable == stable);
    let states: BTreeSet<Digest> = at_stable.map(|body| body.state).collect();
    Ok(Selection {
        stable,
        states: states.into_iter().collect(),
        proposals: (1..=reach)
            .map(|distance| stable.plus(distance))
            .filter(|slot| highest.contains_key(slot) || !Mutant::NoNull.is_on())
            .map(|slot| (slot, digest_of(slot)))
            .collect(),
        selected: highest.into_values().collect(),
    })
}

/// Chooses the VIEW-CHANGEs on which this replica, primary of the view that they are for, founds its NEW-VIEW
/// (`docs/protocol.md` V11). Exactly a quorum, ascending by signer; `None` while there is no such set.
///
/// `received` holds well-formed bodies for that one view, the own one included; of two by one signer the first
/// counts. `is_certified` says whether a certificate is held for a stable checkpoint with this state (slot 0 needs
/// none), `is_backed` whether the certificate of a claim, its batch and that batch's vertices are all held.
#[must_use]
pub fn choose(
    committee: Committee,
    own: ReplicaId,
    received: &[Arc<Signed<ViewChange>>],
    is_certified: impl Fn(Slot, Digest) -> bool,
    is_backed: impl Fn(&Claim) -> bool,
) -> Option<Vec<Arc<Signed<ViewChange>>>> {
    let mut bodies: Bodies<'_> = BTreeMap::new();
    for signed in received.iter().filter(|signed| committee.contains(signed.signer)) {
        bodies.entry(signed.signer).or_insert(signed);
    }
    let certified = bodies.iter().filter(|(_, signed)| is_certified(signed.body.stable, signed.body.state));
    // Who vouches for each certified stable checkpoint: the lowest id.
    let anchors: BTreeMap<Slot, ReplicaId> = certified.rev().map(|(id, signed)| (signed.body.stable, *id)).collect();

    anchors.keys().rev().find_map(|&stable| {
        let is_admissible = |body: &ViewChange| {
            body.stable <= stable && body.prepared.iter().all(|claim| claim.slot <= stable || is_backed(claim))
        };
        let admissible: Bodies<'_> = bodies
            .iter()
            .filter(|(_, signed)| is_admissible(&signed.body))
            .map(|(id, signed)| (*id, *signed))
            .collect();
        let certified =
            |signed: &Signed<ViewChange>| signed.body.stable == stable && is_certified(stable, signed.body.state);
        let anchor = *admissible.iter().find(|(_, signed)| certified(signed))?.0;
        quorum_of(committee, &admissible, own, anchor)
    })
}

/// One VIEW-CHANGE of each of several replicas.
type Bodies<'a> = BTreeMap<ReplicaId, &'a Arc<Signed<ViewChange>>>;

/// The own body, the anchor's, then those of the lowest ids: a quorum of them.
fn quorum_of(
    committee: Committee,
    admissible: &Bodies<'_>,
    own: ReplicaId,
    anchor: ReplicaId,
) -> Option<Vec<Arc<Signed<ViewChange>>>> {
    let quorum = usize::from(committee.quorum()) - usize::from(Mutant::NewViewByTooFew.is_on());
    if !admissible.contains_key(&own) || admissible.len() < quorum {
        return None;
    }
    let mut chosen = BTreeSet::from([own, anchor]);
    let others: Vec<ReplicaId> = admissible.keys().copied().filter(|id| !chosen.contains(id)).collect();
    let missing = quorum.saturating_sub(chosen.len());
    chosen.extend(others.into_iter().take(missing));
    Some(chosen.iter().map(|id| Arc::clone(admissible[id])).collect())
}
