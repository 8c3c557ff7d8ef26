//! NEW-VIEWs: whether one follows from the VIEW-CHANGEs that it names (`docs/protocol.md` V12, V13, X4).

use super::evidence::has_form;
use super::{Auditor, Objection, well_formed};
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::message::{NewView, NewViewMessage, Signed, ViewChange};
use cretoai_core::signature::Statement;
use cretoai_core::types::ReplicaId;
use std::collections::BTreeSet;
use std::sync::Arc;

type Bodies = [Arc<Signed<ViewChange>>];

/// The choice computed anew from the VIEW-CHANGEs, without their certificates.
///
/// # Errors
/// Where the NEW-VIEW differs from it.
pub fn follows(message: &NewViewMessage, chain: &Chain) -> Result<(), &'static str> {
    let body = &message.signed.body;
    let bodies = &message.view_changes;
    let ids: Vec<Digest> = bodies.iter().map(|signed| signed.id()).collect();
    if ids != body.view_changes || !bodies.windows(2).all(|pair| pair[0].signer < pair[1].signer) {
        return Err("the VIEW-CHANGEs are not those that it names, in order");
    }
    if bodies.len() != quorum(chain) {
        return Err("the VIEW-CHANGEs are not a quorum");
    }
    if !bodies.iter().all(|signed| signed.body.view == body.view && well_formed(&signed.body, chain).is_ok()) {
        return Err("a VIEW-CHANGE is not valid for it");
    }
    chooses(body, bodies)
}

/// The least number of which two sets have one more than may be faulty in common.
fn quorum(chain: &Chain) -> usize {
    let n = chain.genesis.keys.len();
    (n + (n - 1) / 3) / 2 + 1
}

/// Whether the stable slot and the proposals are what these bodies lead to.
fn chooses(body: &NewView, bodies: &Bodies) -> Result<(), &'static str> {
    if bodies.iter().map(|signed| signed.body.stable).max() != Some(body.stable) {
        return Err("the stable slot is not the highest");
    }
    let claims = || bodies.iter().flat_map(|signed| &signed.body.prepared).filter(|claim| body.stable < claim.slot);
    let end = claims().map(|claim| claim.slot).max().unwrap_or(body.stable);
    let mut due = body.stable;
    for (slot, digest) in &body.proposals {
        due = due.next();
        let best = claims().filter(|claim| claim.slot == *slot).max_by_key(|claim| claim.view);
        let chosen = best.map_or(NULL_BATCH, |claim| claim.digest);
        let rivals = |claim: &&_| best.is_some_and(|best| best.slot == *slot && is_rival(best, claim));
        if *slot != due || *digest != chosen || claims().any(|claim| rivals(&claim)) {
            return Err("a proposal does not follow from the claims");
        }
    }
    if due == end { Ok(()) } else { Err("the proposals end too early or too late") }
}

/// Whether something is proposed beyond the window.
fn beyond(body: &NewView, window: u64) -> bool {
    body.proposals.iter().any(|(slot, _)| body.stable.plus(window) < *slot)
}

/// Whether two claims of one slot and view are for different batches.
fn is_rival(a: &cretoai_core::certificate::Claim, b: &cretoai_core::certificate::Claim) -> bool {
    a.slot == b.slot && a.view == b.view && a.digest != b.digest
}

impl Auditor {
    /// Whether a NEW-VIEW is guilty: by itself, or by those of its VIEW-CHANGEs that it names and their signers signed.
    pub(crate) fn convicts(&self, message: &NewViewMessage) -> bool {
        let mut ids = BTreeSet::new();
        let mut shows = |body: &&Arc<Signed<ViewChange>>| {
            let id = body.id();
            message.signed.body.view_changes.contains(&id) && self.named(body).is_ok() && ids.insert(id)
        };
        let mut shown = || message.view_changes.iter().filter(&mut shows).cloned().collect::<Vec<_>>();
        self.new_view(&message.signed).is_ok() && self.unjust(&message.signed, &shown()).is_ok()
    }

    /// What is wrong with a NEW-VIEW, as far as it and those of its VIEW-CHANGEs that are shown prove it.
    pub(super) fn unjust(&self, signed: &Signed<NewView>, bodies: &Bodies) -> Result<&'static str, Objection> {
        let body = &signed.body;
        let n = self.chain.genesis.keys.len() as u64;
        if u64::from(signed.signer.0) != body.view.0 % n {
            return Err(format!("{} is not the primary of {}", signed.signer, body.view));
        }
        let shown: Vec<Digest> = bodies.iter().map(|signed| signed.id()).collect();
        let different: BTreeSet<&Digest> = shown.iter().collect();
        if different.len() != shown.len() || !shown.iter().all(|id| body.view_changes.contains(id)) {
            return Err("it shows VIEW-CHANGEs that the NEW-VIEW does not name, or one twice".to_owned());
        }
        if let Some(why) = self.absurd(body).or_else(|| self.misfit(body, bodies)) {
            return Ok(why);
        }
        if shown.len() != body.view_changes.len() {
            return Err("nothing is wrong with it as far as its VIEW-CHANGEs are shown".to_owned());
        }
        chooses(body, bodies).err().ok_or_else(|| "the NEW-VIEW follows from its VIEW-CHANGEs".to_owned())
    }

    /// What is wrong whatever the VIEW-CHANGEs say.
    fn absurd(&self, body: &NewView) -> Option<&'static str> {
        let named: BTreeSet<&Digest> = body.view_changes.iter().collect();
        let slots = (1..=body.proposals.len() as u64).map(|distance| body.stable.0.checked_add(distance));
        let in_order = body.proposals.iter().map(|(slot, _)| Some(slot.0)).eq(slots);
        match () {
            () if body.view.0 == 0 => Some("the first view is made anew"),
            () if named.len() != body.view_changes.len() || named.len() != quorum(&self.chain) => {
                Some("the VIEW-CHANGEs are not a quorum")
            }
            () if !body.stable.0.is_multiple_of(self.chain.genesis.checkpoint_interval) => {
                Some("the stable slot is no checkpoint")
            }
            () if !in_order || beyond(body, self.chain.genesis.window) => {
                Some("the proposals have gaps, or go too far")
            }
            () => None,
        }
    }

    /// A NEW-VIEW that counts as one, whether or not it keeps the rules: no longer than any can be.
    pub(super) fn new_view(&self, signed: &Signed<NewView>) -> Result<(), Objection> {
        self.signed(signed, Statement::NewView(&signed.body))?;
        let is_bounded = signed.body.view_changes.len() <= self.chain.genesis.keys.len()
            && signed.body.proposals.len() as u64 <= self.chain.genesis.window;
        if is_bounded { Ok(()) } else { Err("a NEW-VIEW is longer than any".to_owned()) }
    }

    /// A VIEW-CHANGE that cannot stand below this NEW-VIEW, whatever the others say.
    fn misfit(&self, body: &NewView, bodies: &Bodies) -> Option<&'static str> {
        let signers: BTreeSet<ReplicaId> = bodies.iter().map(|signed| signed.signer).collect();
        let last = body.stable.plus(body.proposals.len() as u64);
        let reaches = |view_change: &ViewChange| view_change.prepared.iter().any(|claim| last < claim.slot);
        if signers.len() != bodies.len() {
            return Some("a signer counts twice");
        }
        if !signers.iter().all(|signer| self.is_member(*signer)) {
            return Some("a VIEW-CHANGE is of no member");
        }
        bodies.iter().map(|signed| &signed.body).find_map(|view_change| {
            let is_valid =
                has_form(view_change) && view_change.view == body.view && well_formed(view_change, &self.chain).is_ok();
            match () {
                () if !is_valid => Some("a VIEW-CHANGE is not valid for it"),
                () if body.stable < view_change.stable => Some("the stable slot is not the highest"),
                () if reaches(view_change) => Some("the proposals end too early"),
                () => None,
            }
        })
    }
}
