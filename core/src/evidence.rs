//! Evidence of faults: closed predicates over signed bytes (`docs/protocol.md` X1 to X6).
//!
//! A predicate looks at what one replica signed and at the genesis, at nothing else, so that anybody can check it
//! at any time. No correct replica ever signs what satisfies one (`docs/protocol.md` X9).

pub mod forensics;
mod new_view;
mod store;
#[cfg(test)]
mod tests;

pub use new_view::new_view_is_guilty;
pub(crate) use new_view::{follows, named};
pub use store::{EvidenceStore, MAX_PIECES};

use crate::checkpoint::CheckpointVote;
use crate::choice::{claim_at, is_canonical, is_well_formed};
use crate::config::Chain;
use crate::message::{NewView, Signed, ViewChange};
use crate::mutant::Mutant;
use crate::types::{ReplicaId, Slot, View};
use crate::vertex::{SignedHeader, SignedVertex};
use crate::vote::{Phase, Vote};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kinds of evidence, by their numbers in `docs/protocol.md` X2. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EvidenceKind {
    /// Two PREPAREs of one view give a slot different batches.
    E1,
    /// Two COMMITs of one view give a slot different batches.
    E2,
    /// Two VIEW-CHANGEs for one view.
    E3,
    /// A VIEW-CHANGE leaves out what its signer committed to before.
    E4,
    /// A VIEW-CHANGE leaves out a PREPARE of its signer.
    E5,
    /// A NEW-VIEW that does not follow from its VIEW-CHANGEs.
    E7,
    /// Two CHECKPOINTs give a slot different states.
    E8,
    /// Two vertices of one height.
    E9,
    /// A VIEW-CHANGE that no correct replica makes.
    E11,
    /// Two NEW-VIEWs for one view.
    E12,
}

/// What tells two pieces of evidence against a replica apart: the kind, the view (0 where there is none), and the
/// slot or height (0 where there is none). Of several pieces with one key, one is enough.
pub type EvidenceKey = (EvidenceKind, View, u64);

/// Which fault of which replica a piece of evidence is about.
pub type Accusation = (ReplicaId, EvidenceKey);

/// Proof that a replica broke the protocol: what it signed, without further argument. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Kind E1 or E2, by the phase of the votes.
    Votes(Signed<Vote>, Signed<Vote>),
    /// Kind E3.
    ViewChanges(Arc<Signed<ViewChange>>, Arc<Signed<ViewChange>>),
    /// Kind E4 or E5, by the phase of the vote.
    LeftOut(Signed<Vote>, Arc<Signed<ViewChange>>),
    /// Kind E7: a NEW-VIEW with VIEW-CHANGEs that it names, in the order in which it names them.
    NewView(Signed<NewView>, Vec<Arc<Signed<ViewChange>>>),
    /// Kind E8.
    Checkpoints(Signed<CheckpointVote>, Signed<CheckpointVote>),
    /// Kind E9.
    Vertices(Arc<SignedHeader>, Arc<SignedHeader>),
    /// Kind E11.
    ViewChange(Arc<Signed<ViewChange>>),
    /// Kind E12.
    NewViews(Signed<NewView>, Signed<NewView>),
}

/// Each constructor looks for one kind of contradiction between verified statements: `None` if there is none.
impl Evidence {
    /// Kind E1 or E2.
    #[must_use]
    pub fn from_votes(a: &Signed<Vote>, b: &Signed<Vote>) -> Option<Self> {
        votes_conflict(a, b).map(|_| Self::Votes(a.clone(), b.clone()))
    }

    /// Kind E3.
    #[must_use]
    pub fn from_view_changes(a: &Arc<Signed<ViewChange>>, b: &Arc<Signed<ViewChange>>) -> Option<Self> {
        view_changes_conflict(a, b).then(|| Self::ViewChanges(Arc::clone(a), Arc::clone(b)))
    }

    /// Kind E4 or E5.
    #[must_use]
    pub fn from_left_out(vote: &Signed<Vote>, view_change: &Arc<Signed<ViewChange>>) -> Option<Self> {
        left_out(vote, view_change).map(|_| Self::LeftOut(vote.clone(), Arc::clone(view_change)))
    }

    /// Kind E7. Of `bodies` those count that the NEW-VIEW names; some may be missing.
    #[must_use]
    pub fn from_new_view(chain: &Chain, signed: &Signed<NewView>, bodies: &[Arc<Signed<ViewChange>>]) -> Option<Self> {
        new_view_is_guilty(chain, signed, bodies).then(|| {
            let named = named(&signed.body, bodies);
            Self::NewView(signed.clone(), named.into_iter().cloned().collect())
        })
    }

    /// Kind E8.
    #[must_use]
    pub fn from_checkpoints(a: &Signed<CheckpointVote>, b: &Signed<CheckpointVote>) -> Option<Self> {
        checkpoints_conflict(a, b).then(|| Self::Checkpoints(a.clone(), b.clone()))
    }

    /// Kind E9.
    #[must_use]
    pub fn from_vertices(a: &SignedVertex, b: &SignedVertex) -> Option<Self> {
        let (a, b) = (a.header(), b.header());
        vertices_conflict(&a, &b).then(|| Self::Vertices(Arc::new(a), Arc::new(b)))
    }

    /// Kind E11.
    #[must_use]
    pub fn from_view_change(chain: &Chain, view_change: &Arc<Signed<ViewChange>>) -> Option<Self> {
        is_ill_formed(chain, &view_change.body).then(|| Self::ViewChange(Arc::clone(view_change)))
    }

    /// Kind E12.
    #[must_use]
    pub fn from_new_views(a: &Signed<NewView>, b: &Signed<NewView>) -> Option<Self> {
        new_views_conflict(a, b).then(|| Self::NewViews(a.clone(), b.clone()))
    }
}

impl Evidence {
    /// Who is accused: the signer of all its statements.
    #[must_use]
    pub fn accused(&self) -> ReplicaId {
        match self {
            Self::Votes(vote, _) | Self::LeftOut(vote, _) => vote.signer,
            Self::ViewChanges(view_change, _) | Self::ViewChange(view_change) => view_change.signer,
            Self::NewView(new_view, _) | Self::NewViews(new_view, _) => new_view.signer,
            Self::Checkpoints(checkpoint, _) => checkpoint.signer,
            Self::Vertices(vertex, _) => vertex.signer,
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::Votes(vote, _) if vote.body.phase == Phase::Prepare => EvidenceKind::E1,
            Self::Votes(..) => EvidenceKind::E2,
            Self::ViewChanges(..) => EvidenceKind::E3,
            Self::LeftOut(vote, _) if vote.body.phase == Phase::Commit => EvidenceKind::E4,
            Self::LeftOut(..) => EvidenceKind::E5,
            Self::NewView(..) => EvidenceKind::E7,
            Self::Checkpoints(..) => EvidenceKind::E8,
            Self::Vertices(..) => EvidenceKind::E9,
            Self::ViewChange(_) => EvidenceKind::E11,
            Self::NewViews(..) => EvidenceKind::E12,
        }
    }

    /// What deduplicates it. Of votes that conflict in several slots the lowest counts.
    #[must_use]
    pub fn key(&self) -> EvidenceKey {
        let slot_or_zero = |slot: Option<Slot>| slot.unwrap_or_default().0;
        let (view, at) = match self {
            Self::Votes(a, b) => (a.body.view, slot_or_zero(votes_conflict(a, b))),
            Self::LeftOut(vote, view_change) => (vote.body.view, slot_or_zero(left_out(vote, view_change))),
            Self::ViewChanges(view_change, _) | Self::ViewChange(view_change) => (view_change.body.view, 0),
            Self::NewView(new_view, _) | Self::NewViews(new_view, _) => (new_view.body.view, 0),
            Self::Checkpoints(checkpoint, _) => (View(0), checkpoint.body.slot.0),
            Self::Vertices(vertex, _) => (View(0), vertex.body.height.0),
        };
        (self.kind(), view, at)
    }

    /// Whether the predicate of its kind holds (`docs/protocol.md` X2). The signatures are not looked at: see
    /// [`Verifier::evidence`](crate::verify::Verifier::evidence).
    #[must_use]
    pub fn holds(&self, chain: &Chain) -> bool {
        let is_vote = |vote: &Signed<Vote>| vote.body.is_canonical(chain.window());
        chain.committee.contains(self.accused())
            && match self {
                Self::Votes(a, b) => is_vote(a) && is_vote(b) && votes_conflict(a, b).is_some(),
                Self::ViewChanges(a, b) => {
                    is_canonical(&a.body) && is_canonical(&b.body) && view_changes_conflict(a, b)
                }
                Self::LeftOut(vote, view_change) => {
                    is_vote(vote) && is_canonical(&view_change.body) && left_out(vote, view_change).is_some()
                }
                Self::NewView(new_view, bodies) => {
                    // Nothing but what it names travels with it, or one fault would have countless proofs.
                    named(&new_view.body, bodies).len() == bodies.len() && new_view_is_guilty(chain, new_view, bodies)
                }
                Self::Checkpoints(a, b) => checkpoints_conflict(a, b),
                Self::Vertices(a, b) => vertices_conflict(a, b),
                Self::ViewChange(view_change) => is_ill_formed(chain, &view_change.body),
                Self::NewViews(a, b) => a.signer == chain.committee.primary(a.body.view) && new_views_conflict(a, b),
            }
    }
}

/// The lowest slot to which two votes of one replica, phase and view give different digests. Entries are compared
/// one by one, so different cuts of the same votes never conflict (`docs/protocol.md` X3).
fn votes_conflict(a: &Signed<Vote>, b: &Signed<Vote>) -> Option<Slot> {
    let (one, other) = (&a.body, &b.body);
    if a.signer != b.signer || one.phase != other.phase || one.view != other.view && !Mutant::AccusesAcrossViews.is_on()
    {
        return None;
    }
    let differs = |(slot, digest)| other.digest_for(slot).is_some_and(|says| says != digest);
    one.entries.iter().find(|entry| differs(*entry)).map(|(slot, _)| slot)
}

fn view_changes_conflict(a: &Signed<ViewChange>, b: &Signed<ViewChange>) -> bool {
    a.signer == b.signer && a.body.view == b.body.view && a.body != b.body
}

/// The lowest slot above the stable checkpoint of a VIEW-CHANGE where it does not own up to an earlier vote of its
/// signer: a COMMIT in `P`, a PREPARE in `Qv`.
fn left_out(vote: &Signed<Vote>, view_change: &Signed<ViewChange>) -> Option<Slot> {
    let (said, body) = (&vote.body, &view_change.body);
    if vote.signer != view_change.signer || body.view <= said.view {
        return None;
    }
    let claims = match said.phase {
        Phase::Commit => &body.prepared,
        Phase::Prepare => &body.voted,
    };
    let is_hidden = |(slot, digest)| {
        let owned_up = claim_at(claims, slot)
            .is_some_and(|claim| said.view < claim.view || said.view == claim.view && claim.digest == digest);
        (body.stable < slot || Mutant::AccusesBelowStable.is_on()) && !owned_up
    };
    said.entries.iter().find(|entry| is_hidden(*entry)).map(|(slot, _)| slot)
}

fn checkpoints_conflict(a: &Signed<CheckpointVote>, b: &Signed<CheckpointVote>) -> bool {
    a.signer == b.signer && a.body.slot == b.body.slot && a.body.state != b.body.state
}

fn vertices_conflict(a: &SignedHeader, b: &SignedHeader) -> bool {
    let is_own = |header: &SignedHeader| header.body.author == header.signer;
    a.signer == b.signer && is_own(a) && is_own(b) && a.body.height == b.body.height && a.body != b.body
}

fn is_ill_formed(chain: &Chain, view_change: &ViewChange) -> bool {
    is_canonical(view_change) && !is_well_formed(view_change, chain)
}

/// Equal bodies are equal bytes; several signatures of one body are no evidence (`docs/protocol.md` X6).
fn new_views_conflict(a: &Signed<NewView>, b: &Signed<NewView>) -> bool {
    a.signer == b.signer && a.body.view == b.body.view && a.body != b.body
}
