//! The oracles: what must never happen, watched for after every event (`docs/protocol.md` O13).
//!
//! They judge correct replicas over all their incarnations, by what became durable and what was released. Each
//! looks only at what the last step touched.

mod accountability;
mod agreement;
mod back_off;
mod bodies;
mod certificates;
mod departure;
mod durability;
mod finals;
mod incrimination;
mod liveness;
mod memory;
mod monotone;
mod order;
mod prepared;
mod standing;
mod state;
mod validity;
mod votes;

pub use departure::Cause;
pub use liveness::{Bound, Liveness};

use crate::audit::Auditor;
use crate::disk::Snapshot;
use crate::facts::Facts;
use crate::observe::State;
use crate::plan::Plan;
use crate::workload::Clients;
use cretoai_core::bytes::Bytes;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::Standings;
use cretoai_core::message::{Message, NewViewMessage, Signed, ViewChange};
use cretoai_core::outbox::Execution;
use cretoai_core::record::Record;
use cretoai_core::replica::{Footprint, Replica};
use cretoai_core::signature::SignatureVerifier;
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_core::vote::Vote;
use std::sync::Arc;

/// What an oracle found: its name and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle, such as `O1`.
    pub oracle: String,
    /// What happened.
    pub sentence: String,
}

/// What an oracle says: nothing, or what is wrong.
type Finding = Result<(), String>;

/// All oracles.
#[derive(Debug)]
pub struct Oracles {
    off: u32,
    honest: ReplicaSet,
    auditor: Auditor,
    first: Option<Violation>,
    bodies: bodies::Bodies,
    order: order::Order,
    validity: validity::Validity,
    finals: finals::Finals,
    incrimination: incrimination::Incrimination,
    durability: durability::Durability,
    state: state::StateOracle,
    memory: memory::Memory,
    monotone: monotone::Monotone,
    certificates: certificates::Certificates,
    prepared: prepared::Prepared,
    accountability: accountability::Accountability,
    departures: departure::Departures,
    back_off: back_off::BackOff,
    standing: standing::Standing,
    /// The watch for progress.
    pub liveness: Liveness,
}

impl Oracles {
    /// The oracles of a run in which the replicas of `honest` are correct. Those named in `without` are off.
    #[must_use]
    pub fn new(
        chain: &Arc<Chain>,
        verifier: &Arc<dyn SignatureVerifier>,
        honest: ReplicaSet,
        without: &[String],
    ) -> Self {
        let numbers = without.iter().filter_map(|name| name.strip_prefix('O')?.parse::<u32>().ok());
        let n = chain.committee.n();
        let auditor = Auditor::new(Arc::clone(chain), Arc::clone(verifier));
        Self {
            off: numbers.fold(0, |set, number| set | 1 << number.min(31)),
            honest,
            first: None,
            bodies: bodies::Bodies::new(chain),
            order: order::Order::new(n, chain.genesis.limits.lifetime),
            validity: validity::Validity::new(chain, verifier),
            finals: finals::Finals::new(chain),
            incrimination: incrimination::Incrimination::new(chain),
            durability: durability::Durability::new(n),
            state: state::StateOracle::default(),
            memory: memory::Memory::new(chain),
            monotone: monotone::Monotone::new(n),
            certificates: certificates::Certificates::new(&auditor, n),
            prepared: prepared::Prepared::default(),
            standing: standing::Standing::new(chain, auditor.clone()),
            accountability: accountability::Accountability::new(auditor.clone(), honest, n),
            departures: departure::Departures::new(chain),
            back_off: back_off::BackOff::new(n),
            liveness: Liveness::default(),
            auditor,
        }
    }

    /// Whether a replica is correct.
    #[must_use]
    pub fn is_honest(&self, id: ReplicaId) -> bool {
        self.honest >> id.0 & 1 == 1
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.first.as_ref()
    }

    /// Takes note of what an oracle found.
    pub fn judge(&mut self, number: u32, finding: Finding) {
        if let Err(sentence) = finding
            && self.first.is_none()
            && self.off & 1 << number == 0
        {
            self.first = Some(Violation { oracle: format!("O{number}"), sentence });
        }
    }

    /// A record of a correct replica became durable.
    pub fn recorded(&mut self, id: ReplicaId, record: &Record, facts: &mut Facts) {
        self.bodies.record(id, record);
        let bodies = self.durability.recorded(id, record, &self.bodies);
        self.judge(5, bodies);
        self.monotone.recorded(id, record);
        let certificate = self.certificates.check(id, record);
        self.judge(9, certificate);
        match record {
            Record::Committed(certificate) => {
                let fork = self.accountability.decided(certificate);
                let mut finding = agreement::decided(id, &certificate.claim, facts);
                if let Some(fork) = fork {
                    self.judge(15, fork.finding);
                    finding = finding.map_err(|sentence| format!("{sentence}; {}", fork.blame));
                }
                self.judge(1, finding);
            }
            Record::NewViewInstalled(message) => self.accountability.installed(message),
            Record::Prepared(certificate) => {
                let finding = self.prepared.hold(id, &certificate.claim);
                self.judge(14, finding);
            }
            Record::Halted(halt) => {
                let finding = self.accountability.halted(id, *halt);
                if finding.is_ok() {
                    self.end();
                }
                self.judge(1, finding);
            }
            Record::Stable(proof) => self.order.certified(id, proof.vote),
            Record::OwnCheckpoint(vote) => {
                let finding = self.order.signs(id, *vote);
                self.judge(6, finding);
            }
            Record::Evidence(evidence) => {
                let offence = self.accountability.stored(id, evidence);
                if let Ok(offence) = offence {
                    self.standing.stored(id, evidence, offence);
                }
                self.judge(11, offence.map(|_| ()));
            }
            Record::OwnVertex(vertex) | Record::Vertex(vertex) => {
                if let Some(evidence) = vertex.body.evidence()
                    && self.bodies.vertex(&vertex.id()).is_some_and(|body| body.durable == 1 << id.0)
                {
                    let finding = self.accountability.kept(id, evidence);
                    self.judge(11, finding);
                }
            }
            Record::Batch(slot, batch) => {
                let finding = validity::lists_once(id, *slot, batch);
                self.judge(3, finding);
            }
            _ => {}
        }
    }

    /// Batches are proposed, by whichever replica.
    pub fn proposed(&mut self, vote: &Signed<Vote>) {
        self.validity.proposed(vote, &mut self.bodies);
    }

    /// A message of a correct replica leaves.
    pub fn released(&mut self, id: ReplicaId, message: &Message) {
        let finding = self.incrimination.released(id, message);
        self.judge(4, finding);
        let finding = self.durability.released(id, message);
        self.judge(5, finding);
    }

    /// A correct replica gives a slot to its application. Whether it is the first one of all to do so.
    pub fn executes(&mut self, id: ReplicaId, execution: &Execution, facts: &mut Facts, clients: &mut Clients) -> bool {
        let finding = self.durability.executes(id, execution.slot);
        self.judge(5, finding);
        let finding = self.order.executes(id, execution, facts);
        self.judge(2, finding);
        let finding = agreement::executes(id, execution, facts);
        self.judge(1, finding.map(|_| ()));
        if facts.slot(execution.slot).ops != (0, 0) || facts.slot(execution.slot).execution.is_some() {
            return false;
        }
        let finding = self.order.first(execution, facts, clients);
        self.judge(2, finding);
        let finding = self.validity.executed(execution, facts, &mut self.bodies);
        self.judge(3, finding);
        let finding = self.finals.executes(execution);
        self.judge(3, finding);
        let finding = self.standing.executes(execution);
        self.judge(17, finding);
        true
    }

    /// The application of a correct replica has the results of a slot.
    pub fn results(&mut self, id: ReplicaId, slot: Slot, results: &[Bytes], facts: &mut Facts) {
        let finding = order::results(id, slot, results, facts);
        self.judge(2, finding);
    }

    /// A correct replica answers a slot.
    pub fn replied(&mut self, id: ReplicaId, slot: Slot) {
        let finding = self.durability.executes(id, slot);
        self.judge(5, finding);
    }

    /// A correct replica's state after a checkpoint slot, as it executed it.
    pub fn snapshot(&mut self, id: ReplicaId, snapshot: &Snapshot) {
        let finding = self.state.executed(id, snapshot);
        self.judge(6, finding);
    }

    /// A correct replica took over a state.
    pub fn restored(&mut self, id: ReplicaId, snapshot: &Snapshot) {
        self.installed(id, snapshot.core.slot, snapshot.core.manifest(snapshot.hashes.clone()).state());
        self.back_off.interrupted(id, 0);
        let finding = self.state.restored(id, snapshot);
        self.judge(6, finding);
    }

    /// A correct replica took over a state, of which no more is known than its digest.
    pub fn installed(&mut self, id: ReplicaId, slot: Slot, state: Digest) {
        let finding = self.order.restored(id, slot, state);
        self.judge(2, finding);
    }

    /// A correct replica took a step. Its state before, if that was another.
    #[inline]
    pub fn stepped(&mut self, id: ReplicaId, state: State) -> Option<State> {
        let (before, finding) = self.monotone.stepped(id, state)?;
        self.judge(8, finding);
        Some(before)
    }

    /// A correct replica is handed a VIEW-CHANGE.
    pub fn hears(&mut self, id: ReplicaId, said: &Signed<ViewChange>) {
        self.departures.hears(id, said);
    }

    /// Whether a NEW-VIEW convicts whoever made it.
    #[must_use]
    pub fn is_guilty(&self, message: &NewViewMessage) -> bool {
        self.auditor.convicts(message)
    }

    /// A correct replica is somewhere else after a step than before.
    pub fn moved(&mut self, replica: &Replica, cause: Cause, before: State, plan: &Plan) {
        let (id, after, k) = (replica.id(), State::of(replica), replica.back_off());
        let banned = replica.ledger().standings().banned();
        if banned != 0 || before.target < after.target {
            let has_decided = |slot| self.durability.has_decided(id, slot);
            let step = departure::Step::new(replica, cause, before, has_decided);
            let finding = self.departures.moved(&step);
            self.judge(16, finding);
        }
        if before.stable < after.stable {
            // While a view changes, claims may need older slots.
            let changes = before.target.is_some() || after.target.is_some();
            let oldest = replica.oldest_listing().filter(|_| !changes);
            let finding = self.memory.collected(id, after.stable, oldest);
            self.judge(7, finding);
        }
        if 0 < k || self.back_off.is_raised(id) {
            let is_idle = replica.pending() == 0 && banned == 0;
            let is_released = self.order.reached(id) == after.executed;
            let shift = back_off::Shift { before, after, k, is_idle, is_released };
            let finding = self.back_off.moved(id, &shift, |k| timeout(plan, id, k));
            self.judge(18, finding);
        }
    }

    /// Whether a replica's time-out is longer than at first: then it matters how old is what it executes.
    #[must_use]
    pub fn is_pace_of_interest(&self, id: ReplicaId) -> bool {
        self.back_off.is_raised(id)
    }

    /// A correct replica executed something of this age in nanoseconds, or of one that nobody knows.
    pub fn paces(&mut self, id: ReplicaId, age: Option<u64>, is_own: bool) {
        self.back_off.executed(id, age, is_own);
    }

    /// A correct replica has executed so far, and somebody is proven faulty.
    pub fn standings(&mut self, id: ReplicaId, executed: Slot, standings: &Standings) {
        self.finals.standings(executed, standings);
        let finding = self.accountability.standings(id, standings);
        self.judge(11, finding);
        let finding = self.standing.standings(id, executed, |of| (standings.of(of), standings.is_banned(of)));
        self.judge(17, finding);
    }

    /// Whether anything is proven against anybody.
    #[must_use]
    pub fn is_any_proven(&self) -> bool {
        self.standing.is_any()
    }

    /// Nobody owes progress any more.
    pub fn end(&mut self) {
        self.liveness.end();
        self.standing.end();
    }

    /// From now on these replicas owe progress, within a bound.
    pub fn begin(&mut self, core: ReplicaSet, bound: Bound, plan: &Plan, now: u64) {
        self.liveness.begin(core, bound, now);
        // Room for another vertex, everybody's turn and one more, and then the vertex itself (X13).
        let base = plan.all_timeouts().map(|timeouts| timeouts.base_us).max().unwrap_or(0).saturating_mul(1000);
        let turns = base.saturating_mul(u64::from(plan.n) + 2);
        self.standing.begin(core, bound.0.saturating_mul(2).saturating_add(turns), now);
    }

    /// Whether a conviction is owed.
    #[must_use]
    pub fn owes_conviction(&self) -> bool {
        self.standing.is_owed()
    }

    /// Whether something was due by now.
    pub fn is_due(&mut self, now: u64) -> bool {
        self.liveness.next_due().is_some_and(|due| due < now) || self.standing.is_due(now)
    }

    /// What should have happened by now and has not, and the number of the oracle that says so. `executed` is the last
    /// slot that each replica executed.
    pub fn overdue(&mut self, now: u64, clients: &Clients, executed: impl Fn(u16) -> u64) -> Option<(u32, String)> {
        let request = self.liveness.overdue(now, clients, executed).map(|sentence| (10, sentence));
        let conviction = self.standing.overdue(now).map(|sentence| (17, sentence));
        first_on(self.off, [request, conviction])
    }

    /// A correct replica came back from its disk, with the state after a slot.
    pub fn recovered(&mut self, id: ReplicaId, state: State, from: Slot) {
        self.order.recovered(id, from);
        self.departures.recovered(id);
        self.back_off.interrupted(id, 0);
        let finding = self.monotone.recovered(id, state);
        self.judge(8, finding);
    }

    /// How much a correct replica holds.
    pub fn weigh(&mut self, id: ReplicaId, footprint: &Footprint) {
        let finding = self.memory.weigh(id, footprint);
        self.judge(7, finding);
    }

    /// The most that a correct replica ever held.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.memory.peak()
    }
}

/// The first finding of an oracle that is not off.
fn first_on(off: u32, found: [Option<(u32, String)>; 2]) -> Option<(u32, String)> {
    found.into_iter().flatten().find(|(number, _)| off & 1 << number == 0)
}

/// A replica's `T(k)` (`docs/protocol.md` T2) in nanoseconds of true time, than which its clock may be faster or slower.
fn timeout(plan: &Plan, id: ReplicaId, k: u32) -> u64 {
    const MILLION: u64 = 1_000_000;
    let timeouts = plan.timeouts_of(id);
    let doubled = timeouts.base_us.saturating_mul(1_u64.checked_shl(k).unwrap_or(u64::MAX));
    let local = doubled.min(timeouts.max_us).saturating_mul(1000);
    let drift = plan.clocks.iter().find(|clock| clock.replica == id.0).map_or(0, |clock| clock.drift_ppm);
    let shown = MILLION.saturating_add_signed(drift).max(1);
    u64::try_from(u128::from(local) * u128::from(MILLION) / u128::from(shown)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Clock;

    #[test]
    fn an_oracle_that_is_off_hides_no_other_ones_finding() {
        let found = || [(10, "a request is late"), (17, "a conviction is")].map(|(of, it)| Some((of, it.to_owned())));
        let first = |off| first_on(off, found()).map(|(number, _)| number);
        assert_eq!(
            [first(0), first(1 << 10), first(1 << 17), first(1 << 10 | 1 << 17)],
            [Some(10), Some(17), Some(10), None]
        );
    }

    #[test]
    fn a_time_out_on_a_quick_clock_is_short_in_true_time() {
        let clock = |replica, drift_ppm| Clock { replica, drift_ppm, ..Clock::default() };
        let plan = Plan { clocks: vec![clock(1, 100_000), clock(2, -100_000)], ..Plan::default() };
        let of = |id| timeout(&plan, ReplicaId(id), 1);
        assert_eq!([of(0), of(1), of(2)], [800_000_000, 727_272_727, 888_888_888]);
    }
}
