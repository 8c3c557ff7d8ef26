//! Whether evidence proves what it says: the table of `docs/protocol.md` X2, read anew.

use super::{Auditor, Objection};
use cretoai_core::certificate::Claim;
use cretoai_core::config::Chain;
use cretoai_core::evidence::Evidence;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Signed, ViewChange};
use cretoai_core::signature::Statement;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::vertex::SignedHeader;
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeMap;

/// An offence, told apart from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    /// Who did it.
    pub of: ReplicaId,
    /// The kind, such as `E1`.
    pub kind: &'static str,
    /// In which view; 0 for what belongs to none.
    pub view: View,
    /// The lowest slot that it is about, or the height; 0 for what is about a view.
    pub at: u64,
}

/// What is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guilt {
    /// Who did what.
    pub offence: Offence,
    /// What it did, in words.
    pub deed: String,
}

impl Auditor {
    /// Whom a piece of evidence convicts, and of what.
    ///
    /// # Errors
    /// Why it convicts nobody.
    pub fn evidence(&self, evidence: &Evidence) -> Result<Guilt, Objection> {
        match evidence {
            Evidence::Votes(a, b) => self.votes(a, b),
            Evidence::LeftOut(vote, view_change) => self.left_out(vote, view_change),
            Evidence::ViewChanges(a, b) => {
                self.two(a, b, |a, b| a.body.view == b.body.view && a.body != b.body)?;
                [a, b].into_iter().try_for_each(|signed| self.view_change(signed))?;
                Ok(guilt(a.signer, "E3", a.body.view, 0, format!("two VIEW-CHANGEs for {}", a.body.view)))
            }
            Evidence::NewView(new_view, bodies) => {
                self.new_view(new_view)?;
                bodies.iter().try_for_each(|body| self.named(body))?;
                let why = self.unjust(new_view, bodies)?;
                let deed = format!("a NEW-VIEW for {} in which {why}", new_view.body.view);
                Ok(guilt(new_view.signer, "E7", new_view.body.view, 0, deed))
            }
            Evidence::Checkpoints(a, b) => {
                self.two(a, b, |a, b| a.body.slot == b.body.slot && a.body.state != b.body.state)?;
                [a, b].into_iter().try_for_each(|vote| self.signed(vote, Statement::Checkpoint(&vote.body)))?;
                let slot = a.body.slot;
                if slot == Slot(0) || !slot.0.is_multiple_of(self.chain.genesis.checkpoint_interval) {
                    return Err(format!("{slot} is no checkpoint"));
                }
                Ok(guilt(a.signer, "E8", View(0), slot.0, format!("two states at {slot}")))
            }
            Evidence::Vertices(a, b) => {
                let names_itself = |header: &SignedHeader| header.body.author == header.signer;
                self.two(a, b, |a, b| a.body.height == b.body.height && a.body.digest() != b.body.digest())?;
                if !names_itself(a) || !names_itself(b) {
                    return Err("a vertex names another author than who signed it".to_owned());
                }
                [a, b]
                    .into_iter()
                    .try_for_each(|header| self.signed(header, Statement::Vertex(header.body.digest())))?;
                let height = a.body.height.0;
                Ok(guilt(a.signer, "E9", View(0), height, format!("two vertices of height {height}")))
            }
            Evidence::ViewChange(signed) => {
                self.view_change(signed)?;
                let Err(what) = well_formed(&signed.body, &self.chain) else {
                    return Err("the VIEW-CHANGE keeps every rule".to_owned());
                };
                Ok(guilt(signed.signer, "E11", signed.body.view, 0, format!("a VIEW-CHANGE with {what}")))
            }
            Evidence::NewViews(a, b) => {
                self.two(a, b, |a, b| a.body.view == b.body.view && a.body != b.body)?;
                [a, b].into_iter().try_for_each(|signed| self.new_view(signed))?;
                if u64::from(a.signer.0) != a.body.view.0 % self.chain.genesis.keys.len() as u64 {
                    return Err(format!("{} is not the primary of {}", a.signer, a.body.view));
                }
                Ok(guilt(a.signer, "E12", a.body.view, 0, format!("two NEW-VIEWs for {}", a.body.view)))
            }
        }
    }

    /// Two statements of one replica between which something holds.
    fn two<T>(
        &self,
        a: &Signed<T>,
        b: &Signed<T>,
        contradict: impl Fn(&Signed<T>, &Signed<T>) -> bool,
    ) -> Result<(), Objection> {
        if a.signer != b.signer {
            return Err(format!("{} and {} speak, each for itself", a.signer, b.signer));
        }
        if contradict(a, b) { Ok(()) } else { Err("the two statements do not contradict each other".to_owned()) }
    }

    fn vote(&self, vote: &Signed<Vote>) -> Result<BTreeMap<Slot, Digest>, Objection> {
        self.signed(vote, Statement::Vote(&vote.body))?;
        let said: BTreeMap<Slot, Digest> = vote.body.entries.iter().collect();
        let slots: Vec<Slot> = vote.body.entries.iter().map(|(slot, _)| slot).collect();
        let is_ascending = slots.windows(2).all(|pair| pair[0] < pair[1]);
        let span = slots.last().zip(slots.first()).map(|(last, first)| last.0.saturating_sub(first.0));
        let is_canonical = is_ascending
            && slots.first().is_some_and(|first| *first > Slot(0))
            && slots.len() <= 64
            && span.is_some_and(|span| span < self.chain.genesis.window);
        if is_canonical { Ok(said) } else { Err("a vote is not in canonical form".to_owned()) }
    }

    fn votes(&self, a: &Signed<Vote>, b: &Signed<Vote>) -> Result<Guilt, Objection> {
        let (one, other) = (self.vote(a)?, self.vote(b)?);
        self.two(a, b, |a, b| a.body.phase == b.body.phase && a.body.view == b.body.view)?;
        let split = one.iter().find(|(slot, digest)| other.get(slot).is_some_and(|said| said != *digest));
        let (slot, _) = split.ok_or("the votes agree on every slot that both are about")?;
        let (kind, name) = match a.body.phase {
            Phase::Prepare => ("E1", "PREPAREs"),
            Phase::Commit => ("E2", "COMMITs"),
        };
        Ok(guilt(a.signer, kind, a.body.view, slot.0, format!("two {name} for {slot} in {}", a.body.view)))
    }

    fn left_out(&self, vote: &Signed<Vote>, signed: &Signed<ViewChange>) -> Result<Guilt, Objection> {
        let said = self.vote(vote)?;
        self.view_change(signed)?;
        let (view, body) = (vote.body.view, &signed.body);
        if vote.signer != signed.signer {
            return Err(format!("{} voted, and {} left its view", vote.signer, signed.signer));
        }
        if body.view <= view {
            return Err(format!("the VIEW-CHANGE for {} has nothing to say of {view}", body.view));
        }
        let (kind, name, claims) = match vote.body.phase {
            Phase::Commit => ("E4", "COMMIT", &body.prepared),
            Phase::Prepare => ("E5", "PREPARE", &body.voted),
        };
        let owns_up = |slot: Slot, digest: Digest| {
            let claim = claims.iter().find(|claim| claim.slot == slot);
            claim.is_some_and(|claim| claim.view > view || claim.view == view && claim.digest == digest)
        };
        let hidden = said.into_iter().find(|(slot, digest)| *slot > body.stable && !owns_up(*slot, *digest));
        let (slot, _) = hidden.ok_or("the VIEW-CHANGE owns up to the vote")?;
        let deed = format!("a VIEW-CHANGE for {} that hides its {name} for {slot} in {view}", body.view);
        Ok(guilt(vote.signer, kind, view, slot.0, deed))
    }

    /// A body that a NEW-VIEW names by a hash of all that it says. If no signature could make it valid, none is needed.
    pub(super) fn named(&self, signed: &Signed<ViewChange>) -> Result<(), Objection> {
        if self.is_member(signed.signer) && has_form(&signed.body) { self.view_change(signed) } else { Ok(()) }
    }

    /// Whether a VIEW-CHANGE has the form that all have, and no more claims than there are slots for.
    pub(crate) fn is_canonical(&self, body: &ViewChange) -> bool {
        let is_short = |claims: &[Claim]| claims.len() as u64 <= self.chain.genesis.window;
        has_form(body) && is_short(&body.prepared) && is_short(&body.voted)
    }

    /// A VIEW-CHANGE that counts as one, whether or not it keeps the rules.
    pub(super) fn view_change(&self, signed: &Signed<ViewChange>) -> Result<(), Objection> {
        self.signed(signed, Statement::ViewChange(&signed.body))?;
        if self.is_canonical(&signed.body) { Ok(()) } else { Err("a VIEW-CHANGE is not in canonical form".to_owned()) }
    }
}

fn guilt(of: ReplicaId, kind: &'static str, view: View, at: u64, deed: String) -> Guilt {
    Guilt { offence: Offence { of, kind, view, at }, deed }
}

/// Whether a VIEW-CHANGE has the form that all have.
pub(super) fn has_form(body: &ViewChange) -> bool {
    let ascends = |claims: &[Claim]| claims.windows(2).all(|pair| pair[0].slot < pair[1].slot);
    body.view > View(0) && ascends(&body.prepared) && ascends(&body.voted)
}

/// Whether a VIEW-CHANGE keeps the rules (`docs/protocol.md` V4).
///
/// # Errors
/// What it breaks.
pub fn well_formed(body: &ViewChange, chain: &Chain) -> Result<(), &'static str> {
    let inside = |claim: &Claim| body.stable < claim.slot && claim.slot <= body.stable.plus(chain.genesis.window);
    let claims = || body.prepared.iter().chain(&body.voted);
    if !body.stable.0.is_multiple_of(chain.genesis.checkpoint_interval) {
        return Err("a stable slot that is no checkpoint");
    }
    if !claims().all(inside) {
        return Err("a claim outside its window");
    }
    if !claims().all(|claim| claim.view < body.view) {
        return Err("a claim of its own view or a later one");
    }
    let voted = |claim: &Claim| body.voted.iter().any(|vote| vote.slot == claim.slot && claim.view <= vote.view);
    if !body.prepared.iter().all(voted) {
        return Err("something prepared that it did not vote for");
    }
    Ok(())
}
