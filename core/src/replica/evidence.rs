//! Evidence found while counting (`docs/protocol.md` X7, X8). What is done with it is not part of this version.

use super::Replica;
use crate::evidence::{Evidence, EvidenceStore};
use crate::outbox::Outbox;
use crate::record::Record;
use std::sync::Arc;

impl Replica {
    /// Keeps a piece of evidence, unless it is known or its accused has enough.
    pub(super) fn accuse(&mut self, evidence: Option<Evidence>, out: &mut Outbox) {
        // Somebody else who holds this replica's key could make it look guilty; it does not help with that.
        let Some(evidence) = evidence.filter(|evidence| evidence.accused() != self.config.id) else { return };
        let evidence = Arc::new(evidence);
        if self.evidence.insert(evidence.clone()) {
            out.persist(Record::Evidence(evidence.clone()));
            out.report(evidence);
        }
    }

    /// The evidence held.
    #[must_use]
    pub fn evidence(&self) -> &EvidenceStore {
        &self.evidence
    }
}
