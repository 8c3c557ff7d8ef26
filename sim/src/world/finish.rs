//! How a run is reported.

use super::{End, Run};
use crate::expectations::{Found, check};
use crate::host::Mode;
use crate::plan::Metric;
use crate::report::{Failure, Outcome, Percentiles, RunReport, Verdict};
use cretoai_core::Replica;
use cretoai_core::types::ReplicaId;
use std::collections::BTreeMap;

/// The names of kinds of messages, in the order of `Kind`.
const KIND_NAMES: [&str; crate::plan::KINDS] = [
    "VERTEX",
    "PRE-PREPARE",
    "PREPARE",
    "COMMIT",
    "CHECKPOINT",
    "VIEW-CHANGE",
    "NEW-VIEW",
    "STATUS",
    "CERTIFICATES",
    "STABLE-CHECKPOINT",
    "FETCH",
    "DATA",
    "REQUEST",
    "REPLY",
    "RECOLLECTION",
];

impl Run<'_> {
    pub(super) fn report(&mut self) -> RunReport {
        let expectations = self.expectations();
        let verdict = self.verdict(&expectations);
        let tallies = &self.tallies;
        let slots_safety = if self.plan.phases.calm.is_some() { tallies.slots_safety } else { self.facts.last };
        let executed = self.clients.ops.iter().filter(|op| op.slot.is_some()).count();
        let answered = self.clients.ops.iter().filter(|op| op.answered.is_some()).count();
        let sent = KIND_NAMES.iter().zip(tallies.sent).filter(|(_, count)| *count > 0);
        RunReport {
            name: self.plan.name.clone(),
            seed: self.plan.seed,
            verdict,
            hash: format!("{:016x}", self.observer.hash()),
            deliveries: tallies.deliveries,
            events: self.observer.events(),
            end_us: self.now / 1000,
            slots_safety,
            slots_calm: self.facts.last.saturating_sub(slots_safety),
            ops_submitted: self.clients.ops.len() as u64,
            ops_executed: executed as u64,
            ops_answered: answered as u64,
            highest_view: tallies.highest_view,
            view_changes: tallies.view_changes,
            crashes: tallies.crashes,
            transfers: tallies.transfers,
            evidence: tallies.evidence.len() as u64,
            finality: Percentiles::of(&mut self.facts.finality),
            answers: Percentiles::of(&mut self.facts.answers),
            probes: self.probes.reached(),
            ignored: self.tallies.ignored().map(|(reason, count)| (format!("{reason:?}"), count)).collect(),
            sent: sent.map(|(name, count)| ((*name).to_owned(), count)).collect::<BTreeMap<_, _>>(),
            expectations,
        }
    }

    fn expectations(&self) -> Vec<Outcome> {
        let judge = |(index, expectation)| {
            let Found { held, found } = check(self, index, expectation);
            Outcome { expectation: format!("{expectation:?}"), held, found }
        };
        self.plan.expectations.iter().enumerate().map(judge).collect()
    }

    fn verdict(&mut self, expectations: &[Outcome]) -> Verdict {
        let end = std::mem::replace(&mut self.end, End::Planned);
        let verdict = match end {
            End::Safety(failure) => Verdict::Safety(failure),
            End::Liveness(failure) => Verdict::Liveness(failure),
            End::Open | End::Planned => match expectations.iter().find(|outcome| !outcome.held) {
                Some(outcome) => {
                    let sentence = format!("{} does not hold: {}", outcome.expectation, outcome.found);
                    Verdict::Liveness(self.failure("expectation", sentence))
                }
                None => Verdict::Pass,
            },
        };
        let Some(due) = &self.plan.must_fail else { return verdict };
        let words = self.plan.must_say.as_deref().unwrap_or_default();
        if verdict.failure().is_some_and(|failure| failure.oracle == *due && failure.sentence.contains(words)) {
            return Verdict::Pass;
        }
        let due = if words.is_empty() { due.clone() } else { format!("{due} (`{words}`)") };
        let found = verdict.failure().map_or("nothing".to_owned(), |failure| match words {
            "" => failure.oracle.clone(),
            _ => format!("{} ({})", failure.oracle, failure.sentence),
        });
        let sentence = format!("{due} had to fail in this run, and {found} did");
        Verdict::Safety(Failure { oracle: "expectation".to_owned(), ..self.failure("", sentence) })
    }

    pub(crate) fn metric(&self, metric: Metric) -> u64 {
        let longest = |values: &[u64]| values.iter().max().copied().unwrap_or(0) / 1000;
        let count = |list: usize| list as u64;
        match metric {
            Metric::Deliveries => self.tallies.deliveries,
            Metric::EndUs => self.now / 1000,
            Metric::OpsExecuted => count(self.clients.ops.iter().filter(|op| op.slot.is_some()).count()),
            Metric::Slots => self.facts.last,
            Metric::HighestView => self.tallies.highest_view,
            Metric::ViewChanges => self.tallies.view_changes,
            Metric::LongestAnswerUs => longest(&self.facts.answers),
            Metric::LongestFinalityUs => longest(&self.facts.finality),
            Metric::Crashes => self.tallies.crashes,
            Metric::Transfers => self.tallies.transfers,
            Metric::Evidence => count(self.tallies.evidence.len()),
            Metric::Forged => self.tallies.forged,
            Metric::Throttled => self.tallies.throttled,
            Metric::PeakFootprint => self.oracles.peak(),
            Metric::SlowProposals => self.tallies.slow_proposals,
        }
    }

    /// The replicas that an expectation is about: those it names, or every honest one that runs.
    pub(crate) fn meant(&self, replicas: &[u16]) -> Vec<u16> {
        if !replicas.is_empty() {
            return replicas.to_vec();
        }
        let runs = |id: &u16| self.hosts[usize::from(*id)].mode == Mode::Up;
        self.members(self.honest).filter(runs).collect()
    }

    /// The view that a replica is in, while it runs.
    pub(crate) fn view_of(&self, id: u16) -> Option<u64> {
        self.hosts[usize::from(id)].replica.as_ref().map(|replica| replica.view().0)
    }

    /// A replica's standing, as another one executed it.
    pub(crate) fn standing_of(&self, of: u16, id: u16) -> Option<u16> {
        let replica = self.hosts[usize::from(id)].replica.as_ref()?;
        Some(replica.ledger().standings().of(ReplicaId(of)))
    }

    /// Whether a correct replica ended for good, or stopped because more are faulty than it can bear. A Byzantine one may
    /// go on whatever the core that it runs says.
    pub(crate) fn has_stopped(&self, id: u16) -> bool {
        let machine = &self.hosts[usize::from(id)];
        let is_halted = |replica: &Replica| replica.halted().is_some();
        self.is_honest(machine.id)
            && (matches!(machine.mode, Mode::Dead(_)) || machine.replica.as_ref().is_some_and(is_halted))
    }
}
