//! What the honest replicas of a run can prove, as a file for `verify`.

use super::Stop;
use crate::crypto::Keys;
use crate::observe::{TraceEvent, TraceSink, What};
use crate::plan::Plan;
use cretoai_core::bundle::Bundle;
use cretoai_core::certificate::Certificate;
use cretoai_core::evidence::{Accusation, Evidence, forensics};
use cretoai_core::hash::Digest;
use cretoai_core::message::NewViewMessage;
use cretoai_core::record::Record;
use cretoai_core::types::{Slot, View};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Listens for what becomes durable, beside another listener.
pub(super) struct Collector<S> {
    pub(super) other: S,
    evidence: BTreeMap<Accusation, Arc<Evidence>>,
    decided: BTreeMap<(Slot, Digest), Arc<Certificate>>,
    new_views: BTreeMap<View, Arc<NewViewMessage>>,
}

impl<S: TraceSink> TraceSink for Collector<S> {
    fn event(&mut self, event: &TraceEvent<'_>) {
        match event.what {
            What::Recorded(Record::Evidence(evidence)) => self.accuse(evidence),
            What::Recorded(Record::Committed(certificate)) => {
                let claim = certificate.claim;
                self.decided.entry((claim.slot, claim.digest)).or_insert_with(|| Arc::clone(certificate));
            }
            What::Recorded(Record::NewViewInstalled(message)) => {
                self.new_views.entry(message.signed.body.view).or_insert_with(|| Arc::clone(message));
            }
            _ => {}
        }
        self.other.event(event);
    }
}

impl<S> Collector<S> {
    pub(super) fn beside(other: S) -> Self {
        Self { other, evidence: BTreeMap::new(), decided: BTreeMap::new(), new_views: BTreeMap::new() }
    }

    fn accuse(&mut self, evidence: &Arc<Evidence>) {
        self.evidence.entry((evidence.accused(), evidence.key())).or_insert_with(|| Arc::clone(evidence));
    }

    /// Writes the bundle. Where two replicas decided differently, what their certificates prove is part of it.
    pub(super) fn write(mut self, plan: &Plan, file: &Path) -> Result<(), Stop> {
        let decided: Vec<Arc<Certificate>> = self.decided.values().cloned().collect();
        for pair in decided.windows(2).filter(|pair| pair[0].claim.slot == pair[1].claim.slot) {
            let culprits = forensics::decided_twice(&pair[0], &pair[1], self.new_views.values());
            culprits.into_iter().for_each(|evidence| self.accuse(&Arc::new(evidence)));
        }
        let keys = Keys::new(plan.crypto, plan.seed, plan.n);
        let evidence = self.evidence.into_values().collect();
        let bundle = Bundle { genesis: plan.genesis(keys.public), evidence, decided };
        std::fs::write(file, bundle.encode()).map_err(|error| Stop::Usage(format!("{}: {error}", file.display())))
    }
}
