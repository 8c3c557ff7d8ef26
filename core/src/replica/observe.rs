//! What may be seen of a replica from outside: for drivers, metrics and oracles.

use super::{Halt, Replica};
use crate::ledger::Ledger;
use crate::time::Duration;
use crate::types::{Slot, View};
use serde::{Deserialize, Serialize};

/// How much a replica holds, for the bound on its memory (`docs/protocol.md` O7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Votes in the log of slots.
    pub votes: usize,
    /// Batches in the log of slots.
    pub batches: usize,
    /// CHECKPOINTs.
    pub checkpoints: usize,
    /// VIEW-CHANGEs besides those of the installed view.
    pub view_changes: usize,
    /// Vertices of others without a last verdict that no slot lists.
    pub unlisted_vertices: usize,
    /// Things asked for.
    pub fetches: usize,
    /// Requests waiting for room in a vertex.
    pub queued_requests: usize,
    /// Slots handed to the application whose results are not known.
    pub executing: usize,
    /// Requests remembered as executed.
    pub seen_requests: usize,
    /// Pieces of evidence.
    pub evidence: usize,
}

impl Replica {
    /// The installed view.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// The view that this replica wants to enter, while it is changing views.
    #[must_use]
    pub fn target(&self) -> Option<View> {
        self.target
    }

    /// The low watermark: the last stable checkpoint.
    #[must_use]
    pub fn stable(&self) -> Slot {
        self.low()
    }

    /// The last slot handed to the application.
    #[must_use]
    pub fn executed(&self) -> Slot {
        self.exec()
    }

    /// The last slot whose results are known.
    #[must_use]
    pub fn applied(&self) -> Slot {
        self.execution.applied
    }

    /// The back-off exponent `k`.
    #[must_use]
    pub fn back_off(&self) -> u32 {
        self.timers.back_off()
    }

    /// The current timeout `T(k)`.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timers.timeout()
    }

    /// Why this replica stopped for good, if it did.
    #[must_use]
    pub fn halted(&self) -> Option<Halt> {
        self.halted
    }

    /// Whether this replica's own state contradicts a certified one and is being replaced.
    #[must_use]
    pub fn has_diverged(&self) -> bool {
        self.execution.diverged
    }

    /// Whether the state is being transferred.
    #[must_use]
    pub fn is_transferring(&self) -> bool {
        self.transfer.is_some()
    }

    /// The replicated state of the protocol after [`executed`](Self::executed).
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many vertices this replica waits to see executed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pool.pending().len()
    }

    /// The lowest slot that lists a vertex held here which has its last verdict (`docs/protocol.md` C7). Walks
    /// everything: meant for a look now and then.
    #[must_use]
    pub fn oldest_listing(&self) -> Option<Slot> {
        let settled = self.pool.all().filter(|held| held.settled && Slot(0) < held.listed);
        settled.map(|held| held.listed).min()
    }

    /// How much this replica holds. Walks everything: meant for a look now and then.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let is_unlisted = |held: &&crate::pool::Held| {
            !held.settled && held.listed == Slot(0) && held.vertex.author() != self.config.id
        };
        let early = |state: &crate::slots::SlotState| state.early.as_ref().map_or(0, |early| early.len());
        Footprint {
            votes: self.log.all().map(|state| state.ballot.len() + early(state)).sum(),
            batches: self.log.all().map(|state| state.batches.len()).sum(),
            checkpoints: self.checkpoints.len(),
            view_changes: self.change.len(),
            unlisted_vertices: self.pool.all().filter(is_unlisted).count(),
            fetches: self.fetches.len(),
            queued_requests: self.authoring.queued(),
            executing: self.execution.in_flight(),
            seen_requests: self.ledger.seen_len(),
            evidence: self.evidence.iter().count(),
        }
    }
}
