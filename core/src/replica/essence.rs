//! What decides what a replica will say from now on: its state without clocks, caches, counters, and without who
//! convinced it of what it is convinced of. For tools that compare states.

use super::{Halt, Replica};
use crate::certificate::Claim;
use crate::committee::ReplicaSet;
use crate::hash::Digest;
use crate::message::FetchItem;
use crate::slots::{Ballot, SlotState, Standing, VoteSet};
use crate::types::{ReplicaId, Slot, View};
use crate::vertex::VertexId;
use serde::Serialize;

/// The state of a replica, as far as it matters to agreement. Replicas with equal essences answer equal inputs alike,
/// as long as no checkpoint becomes due, no state is transferred, and evidence finds no room in a vertex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Essence {
    view: View,
    target: Option<View>,
    /// What the NEW-VIEW of the installed view proposes.
    proposals: Vec<(Slot, Digest)>,
    new_view_end: Slot,
    proposed: Slot,
    low: Slot,
    executed: Slot,
    slots: Vec<SlotEssence>,
    change: ViewChangeEssence,
    /// With the open slot that lists each: when that is executed otherwise, it can be proposed again.
    pending: Vec<(VertexId, Option<Slot>)>,
    proposable: Vec<VertexId>,
    wanted: Vec<FetchItem>,
    waiting: Vec<Slot>,
    is_changing_view: bool,
    halted: Option<Halt>,
    has_diverged: bool,
    resuming: bool,
    silent: Option<ReplicaSet>,
}

/// How many stand behind each digest.
type Tally = Vec<(Digest, ReplicaSet)>;

/// A slot of which something is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SlotEssence {
    slot: Slot,
    proposal: Option<(Digest, u8)>,
    prepares: Tally,
    commits: Tally,
    early: Option<(Tally, Tally)>,
    early_proposal: Option<(Digest, bool)>,
    voted: Option<(View, Digest)>,
    prepared: Option<Claim>,
    committed: Option<Claim>,
    batches: Vec<Digest>,
}

/// A VIEW-CHANGE: for which view and, where this replica may have to choose from it, what it claims.
pub(super) type Heard = (View, Option<(Slot, Vec<Claim>)>);

/// What is known of others that leave their views.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ViewChangeEssence {
    /// By sender: for the highest view, and for the target.
    pub(super) heard: Vec<[Option<Heard>; 2]>,
    pub(super) own: Option<Heard>,
    /// Proof of claims that is kept for a view that this replica does not want yet.
    pub(super) proofs: Vec<(ReplicaId, View, Vec<Claim>)>,
    pub(super) certificates: Vec<Claim>,
    pub(super) stables: Vec<Slot>,
    pub(super) batches: Vec<Digest>,
    pub(super) wanted: Vec<Digest>,
}

impl Replica {
    /// The state without what time, statistics and the order of equivalent messages left in it.
    #[must_use]
    pub fn essence(&self) -> Essence {
        // Whoever adds a field decides here whether it matters.
        let Self {
            view,
            target,
            new_view,
            new_view_end,
            change,
            log,
            ledger,
            execution,
            pool,
            fetches,
            waiting,
            proposed,
            timers,
            halted,
            resuming,
            silent,
            // The same for ever, or for as long as no checkpoint becomes due.
            chain: _,
            config: _,
            signer: _,
            stable: _,
            previous_stable: _,
            checkpoints: _,
            transfer: _,
            // Clocks, counters, and what leads to nothing but vertices.
            now: _,
            authoring: _,
            alarms: _,
            status: _,
            evidence: _,
            accusations: _,
        } = self;
        let new_view = new_view.as_ref().map(|message| &message.signed.body);
        let is_kept = |item: &&FetchItem| !matches!(item, FetchItem::NewView(_));
        let mut slots: Vec<_> = log.all().filter_map(|state| self.slot_essence(state)).collect();
        slots.sort_unstable_by_key(|state| state.slot);
        Essence {
            view: *view,
            target: *target,
            proposals: new_view.map_or_else(Vec::new, |body| body.proposals.clone()),
            new_view_end: *new_view_end,
            proposed: *proposed,
            low: log.low(),
            executed: ledger.slot(),
            slots,
            change: change.essence(|view| self.chain.committee.primary(view) == self.config.id),
            pending: pool.pending().map(|(_, _, id)| (*id, pool.get(id).and_then(|held| held.open_in))).collect(),
            proposable: pool.proposable().iter().map(|(_, _, id)| *id).collect(),
            wanted: fetches.items().filter(is_kept).copied().collect(),
            waiting: waiting.iter().copied().collect(),
            is_changing_view: timers.is_changing_view(),
            halted: *halted,
            has_diverged: execution.diverged,
            resuming: *resuming,
            silent: *silent,
        }
    }

    fn slot_essence(&self, state: &SlotState) -> Option<SlotEssence> {
        let Ballot { prepares, commits } = &state.ballot;
        let is_prepared = state.prepared.as_ref().is_some_and(|prepared| prepared.claim.view == self.view);
        // Nothing follows from the votes of a phase any more once it has its certificate, nor from PREPAREs of a view
        // that was left.
        let are_prepares_moot = is_prepared || self.target.is_some();
        let essence = SlotEssence {
            slot: state.slot,
            proposal: state.proposal.as_ref().map(|proposal| (proposal.digest, standing(proposal.standing))),
            prepares: if are_prepares_moot { Tally::new() } else { tally(prepares) },
            commits: if state.committed.is_some() { Tally::new() } else { tally(commits) },
            early: state.early.as_ref().map(|early| (tally(&early.prepares), tally(&early.commits))),
            early_proposal: state
                .early_proposal
                .as_ref()
                .map(|(message, is_timely)| (message.vote.body.digest_for(state.slot).unwrap_or_default(), *is_timely)),
            voted: state.voted,
            prepared: state.prepared.as_ref().map(|certificate| certificate.claim),
            committed: state.committed.as_ref().map(|certificate| certificate.claim),
            batches: sorted(state.batches.iter().map(|batch| batch.digest())),
        };
        let is_blank = essence == SlotEssence::blank(state.slot);
        (!is_blank).then_some(essence)
    }
}

impl SlotEssence {
    fn blank(slot: Slot) -> Self {
        Self {
            slot,
            proposal: None,
            prepares: Tally::new(),
            commits: Tally::new(),
            early: None,
            early_proposal: None,
            voted: None,
            prepared: None,
            committed: None,
            batches: Vec::new(),
        }
    }
}

fn standing(standing: Standing) -> u8 {
    standing as u8
}

fn tally(votes: &VoteSet) -> Tally {
    sorted(votes.tallies().iter().copied())
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}
