//! What the honest replicas of a run can prove, as a file for `verify`.

use super::Stop;
use crate::crypto::Keys;
use crate::observe::{TraceEvent, TraceSink, What};
use crate::plan::Plan;
use cretoai_core::bundle::Findings;
use std::path::Path;

/// Listens for what becomes durable, beside another listener.
pub(super) struct Collector<S> {
    pub(super) other: S,
    findings: Findings,
}

impl<S: TraceSink> TraceSink for Collector<S> {
    fn event(&mut self, event: &TraceEvent<'_>) {
        if let What::Recorded(record) = event.what {
            self.findings.take(record);
        }
        self.other.event(event);
    }
}

impl<S> Collector<S> {
    pub(super) fn beside(other: S) -> Self {
        Self { other, findings: Findings::default() }
    }

    /// Writes the bundle.
    pub(super) fn write(self, plan: &Plan, file: &Path) -> Result<(), Stop> {
        let keys = Keys::new(plan.crypto, plan.seed, plan.n);
        let bundle = self.findings.bundle(plan.genesis(keys.public));
        std::fs::write(file, bundle.encode()).map_err(|error| Stop::Usage(format!("{}: {error}", file.display())))
    }
}
