//! What this replica does about faults that it can prove, or that the order proves (`docs/protocol.md` X7, X8, X13 to
//! X16).
//!
//! - Upon evidence: record it, and after a while, unless it counted meanwhile, put it into a vertex of its own.
//! - Upon a ban: forget what the banned author made, and leave every view whose primary it is.
//! - Upon proof against more replicas than may be faulty: stop for good.
//!
//! **Nothing here touches a quorum.** A banned replica votes, is counted and is answered as before: who is dropped
//! where others still count it, or the other way round, splits the system.

use super::{Halt, Replica};
use crate::committee::{ReplicaSet, singleton};
use crate::evidence::{Accusation, Evidence, EvidenceStore};
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::record::Record;
use crate::time::Instant;
use crate::types::View;
use crate::vertex::{Payload, VertexId};
use crate::wire::{encoded_size, max_evidence};
use std::sync::Arc;

impl Replica {
    /// Keeps what this replica found out.
    pub(super) fn accuse(&mut self, evidence: Option<Evidence>, out: &mut Outbox) {
        if let Some(evidence) = evidence {
            self.keep_evidence(&Arc::new(evidence), out);
        }
    }

    /// Keeps what two proofs that contradict each other say about their signers, before this replica stops over them.
    pub(super) fn accuse_all(&mut self, culprits: Vec<Evidence>, out: &mut Outbox) {
        culprits.into_iter().for_each(|evidence| self.accuse(Some(evidence), out));
    }

    /// Keeps a piece of evidence, found here or finalized, unless it is known or its accused has enough.
    pub(super) fn keep_evidence(&mut self, evidence: &Arc<Evidence>, out: &mut Outbox) {
        // Somebody else who holds this replica's key could make it look guilty; it does not help with that.
        if evidence.accused() != self.config.id && self.evidence.insert(evidence.clone()) {
            out.persist(Record::Evidence(evidence.clone()));
            out.report(evidence.clone());
            self.schedule(evidence);
        }
    }

    /// The evidence held.
    #[must_use]
    pub fn evidence(&self) -> &EvidenceStore {
        &self.evidence
    }

    /// After a restart, or when the state was replaced: what has not counted there is to be submitted again.
    pub(super) fn schedule_evidence(&mut self) {
        let held: Vec<_> = self.evidence.iter().cloned().collect();
        held.iter().for_each(|evidence| self.schedule(evidence));
    }

    /// Whoever has the next id after the accused submits first, and the others one by one if that did not help: one
    /// operation is enough, and the accused cannot know whom to silence (X13).
    fn schedule(&mut self, evidence: &Evidence) {
        // Larger is only a NEW-VIEW that names something without form. Who was shown that knows what to think of it.
        let fits = encoded_size(evidence) <= max_evidence(&self.chain);
        if fits && !Mutant::NeverAccuses.is_on() && self.ledger.standings().would_count(evidence) {
            let n = u64::from(self.chain.committee.n());
            let distance = (n + u64::from(self.config.id.0) - u64::from(evidence.accused().0)) % n;
            let due = self.now + self.config.timeouts.base.times(distance);
            self.accusations.entry((evidence.accused(), evidence.key())).or_insert(due);
        }
    }

    /// When the next piece is to be submitted. Asked after every step, and in a run without faults there is none.
    #[inline]
    pub(super) fn evidence_due(&self) -> Option<Instant> {
        if self.accusations.is_empty() { None } else { self.accusations.values().min().copied() }
    }

    /// Makes vertices of the evidence that is due.
    pub(super) fn submit_evidence(&mut self, out: &mut Outbox) {
        if self.accusations.is_empty() {
            return; // as in every run without faults
        }
        let (standings, store) = (self.ledger.standings(), &self.evidence);
        let piece = |accusation: &Accusation| store.get(accusation).expect("what is submitted is held");
        self.accusations.retain(|accusation, _| standings.would_count(piece(accusation)));
        let due = self.accusations.iter().filter(|(_, due)| **due <= self.now);
        let due: Vec<_> = due.map(|(accusation, _)| (*accusation, piece(accusation).clone())).collect();
        for (accusation, evidence) in due {
            // If the vertex is lost, or another one takes its place, this is tried again.
            let Some(due) = self.accusations.get_mut(&accusation) else { continue };
            *due = self.now + self.config.timeouts.base;
            let is_under_way = |held: &crate::pool::Held| held.vertex.body.evidence() == Some(&evidence);
            let waits = self.pool.open_of(self.config.id).any(is_under_way);
            if !waits && self.has_room_for_vertex() && !self.ledger.frontier().is_banned(self.config.id) {
                self.author(Payload::Evidence(evidence), out);
            }
        }
    }

    /// Nothing that banned authors made is waited for any more.
    pub(super) fn forget_authors(&mut self, banned: ReplicaSet) {
        let authors = self.chain.committee.members().filter(|id| banned & singleton(*id) != 0);
        let open = |author| self.pool.open_of(author).map(|held| held.vertex.id());
        let open: Vec<VertexId> = authors.flat_map(open).collect();
        open.iter().for_each(|id| self.settle(id));
    }

    /// The first view from this one on whose primary is not banned. At most f replicas are, so there is one.
    pub(super) fn next_unbanned(&self, mut view: View) -> View {
        let frontier = self.ledger.frontier();
        while frontier.is_banned(self.chain.committee.primary(view)) {
            view = view.next();
        }
        view
    }

    /// Nobody waits for a banned primary (V9). Asked after every step, when nothing is half done.
    pub(super) fn leave_banned_primary(&mut self, out: &mut Outbox) {
        let wanted = self.target.unwrap_or(self.view);
        let next = self.next_unbanned(wanted);
        if wanted < next && self.may_vote() && !Mutant::BannedPrimaryKept.is_on() {
            self.leave_for(next, out);
        }
    }

    /// The fault assumption is broken: whatever is finalized from here on could be undone (X16).
    pub(super) fn halt_if_too_many(&mut self, out: &mut Outbox) {
        if self.ledger.standings().are_too_many() && !Mutant::TooManyIgnored.is_on() {
            self.halt(Halt::TooManyFaulty(self.exec()), out);
        }
    }
}
