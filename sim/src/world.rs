//! The world: replicas, clients, links, disks and clocks in one thread, one event after another.

mod byzantine;
mod calm;
mod client;
mod drive;
mod effects;
mod fault;
mod finish;
mod post;
mod setup;
mod spelled;
#[cfg(test)]
mod tests;

use crate::adversary::Adversary;
use crate::crypto::{Keys, Pen, Witness};
use crate::facts::Facts;
use crate::guest::Guests;
use crate::history;
use crate::host::Host;
use crate::meta::Meta;
use crate::network::Network;
use crate::observe::{Observer, TraceSink};
use crate::oracles::Oracles;
use crate::plan::{Fault, Plan, Transcript};
use crate::probes::Probes;
use crate::report::{Failure, RunReport};
use crate::rng::Rng;
use crate::schedule::{Due, Event, Schedule, Slab};
use crate::tallies::Tallies;
use crate::triggers::Triggers;
use crate::workload::{Answered, ClientEvent, Clients};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::message::Message;
use cretoai_core::outbox::Execution;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::{Verified, Verifier};
use spelled::{Names, Prompter, Scribe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs plans, one after another, and reuses what it can.
#[derive(Debug, Default)]
pub struct World {
    observer: Observer,
    schedule: Schedule,
    mail: Slab<Letter>,
    facts: Facts,
    max_events: Option<u64>,
    guests: Guests,
}

/// A message under way, once for all its receivers.
#[derive(Debug)]
struct Letter {
    message: Verified<Message>,
    /// Over the links from this replica.
    from: ReplicaId,
    meta: Meta,
    /// A number of its own.
    serial: u64,
    /// Copies that have not arrived.
    copies: u32,
    /// Its place among those of its name, if the run is spelled out.
    nth: u32,
}

/// A Byzantine replica: its adversary, and the machines that the adversary makes use of.
#[derive(Debug)]
struct Seat {
    adversary: Box<dyn Adversary>,
    signer: Box<dyn Pen>,
    puppets: Vec<usize>,
}

/// The index of a wake-up that is meant for an adversary, and not for a machine. No incarnation gets that far.
const ADVERSARY: u32 = crate::schedule::MAX_INDEX - 1;

/// How a run ends.
#[derive(Debug)]
enum End {
    /// Not yet.
    Open,
    /// As planned.
    Planned,
    /// Something must never happen, and did.
    Safety(Failure),
    /// Something was due, and did not happen.
    Liveness(Failure),
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    chain: Arc<Chain>,
    keys: Keys,
    verifier: Verifier,
    now: u64,
    end: End,
    /// When the run ends at the latest.
    ends_at: u64,
    schedule: Schedule,
    mail: Slab<Letter>,
    serial: u64,
    network: Network,
    /// Replica `i` on machine `i`; behind them further machines of Byzantine replicas.
    hosts: Vec<Host>,
    seats: Vec<Option<Seat>>,
    honest: ReplicaSet,
    /// Once it is calm: who owes progress.
    core: Option<ReplicaSet>,
    /// And who is connected.
    healed: ReplicaSet,
    names: Names,
    scribe: Option<Scribe>,
    prompter: Option<Prompter>,
    witness: Witness,
    pub(crate) clients: Clients,
    guests: Guests,
    /// What was executed, slot by slot, if the application is under test.
    executions: Vec<Execution>,
    client_events: Slab<ClientEvent>,
    faults: Slab<Fault>,
    /// How many replicas are due to come back.
    returning: u64,
    triggers: Triggers,
    pub(crate) oracles: Oracles,
    pub(crate) facts: Facts,
    observer: Observer,
    pub(crate) tallies: Tallies,
    pub(crate) probes: Probes,
    disk_rng: Rng,
    fault_rng: Rng,
    adversary_rng: Rng,
    has_cpu_costs: bool,
    sets_clocks: bool,
    scratch: Scratch,
}

/// Lists that are filled and emptied again and again.
#[derive(Debug, Default)]
struct Scratch {
    arrivals: Vec<u64>,
    items: Vec<crate::disk::Item>,
    answered: Vec<Answered>,
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A world that hosts something else than its own application.
    #[must_use]
    pub fn hosting(guests: Guests) -> Self {
        Self { guests, ..Self::default() }
    }

    /// Whoever listens hears every event of the runs from now on.
    pub fn listen(&mut self, sink: Option<Box<dyn TraceSink>>) {
        self.observer.sink = sink;
    }

    /// Takes back whoever listens.
    pub fn take_listener(&mut self) -> Option<Box<dyn TraceSink>> {
        self.observer.sink.take()
    }

    /// Whether the hash after each event is kept, for finding the first difference between two runs.
    pub fn keep_log(&mut self, keep: bool) {
        self.observer.log = keep.then(Vec::new);
    }

    /// The hash after each event of the last run, if it was kept.
    #[must_use]
    pub fn log(&self) -> &[u64] {
        self.observer.log.as_deref().unwrap_or_default()
    }

    /// Ends runs after so many events, as if they had been planned to end there.
    pub fn limit_events(&mut self, events: Option<u64>) {
        self.max_events = events;
    }

    /// Runs a plan. Equal plans give equal reports.
    ///
    /// # Panics
    /// When the plan is not valid; [`Plan::validate`] says why.
    pub fn run(&mut self, plan: &Plan) -> RunReport {
        self.perform(plan, None).0
    }

    /// Runs a plan, and writes down what reached whom.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn transcribe(&mut self, plan: &Plan) -> (RunReport, Transcript) {
        self.perform(plan, Some(Scribe::default()))
    }

    fn perform(&mut self, plan: &Plan, scribe: Option<Scribe>) -> (RunReport, Transcript) {
        if let Err(error) = plan.validate() {
            panic!("an invalid plan reached the simulator: {error}");
        }
        let mut run = Run::new(plan, self);
        run.scribe = scribe;
        // docs/protocol.md O12: a panic of the protocol is a finding, not the end of the simulator.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run.begin();
            run.go(self.max_events);
        }));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
            run.fail("O12", format!("a step panicked: {text}"));
        }
        let report = run.report();
        let transcript = run.take_transcript();
        self.observer = run.observer;
        self.schedule = run.schedule;
        self.mail = run.mail;
        self.facts = run.facts;
        (report, transcript)
    }
}

impl Run<'_> {
    /// One event after another.
    fn go(&mut self, max_events: Option<u64>) {
        let max_events = max_events.unwrap_or(u64::MAX);
        while let Some(event) = self.schedule.pop() {
            if self.ends_at < event.time || max_events <= self.observer.events() {
                break;
            }
            assert!(self.now <= event.time, "an event lies in the past");
            self.now = event.time;
            self.dispatch(event);
            self.look();
            if !matches!(self.end, End::Open) {
                return;
            }
        }
        self.now = self.now.max(self.ends_at.min(self.plan.phases.end_us.saturating_mul(1000)));
        self.check_progress();
        if matches!(self.end, End::Open) {
            self.end = End::Planned;
            self.check_history();
        }
    }

    /// Whether an application under test gave its clients what they should get.
    fn check_history(&mut self) {
        if self.guests.is_examined
            && let Err(sentence) = history::check(&self.guests, &self.executions, &self.clients)
        {
            self.fail("history", sentence);
        }
    }

    fn dispatch(&mut self, event: Event) {
        let host = usize::from(event.host);
        match event.due {
            Due::Delivery => self.arrive(host, event.index),
            Due::Deadline => self.alarm(host, event.time),
            Due::Synced => self.synced(host, event.index),
            Due::Executed => self.completed(host, event.index),
            Due::Wake => self.wake(host, event.index),
            Due::Client => self.client_event(event.index),
            Due::Fault => self.fault_event(event.index),
            Due::Phase => self.phase(event.index),
        }
        while let Some((after, fault)) = self.triggers.fired.pop() {
            self.plan_fault(self.now + after, fault);
        }
    }

    /// Whether the last event broke anything.
    #[inline]
    fn look(&mut self) {
        if let Some(violation) = self.oracles.violation() {
            let (oracle, sentence) = (violation.oracle.clone(), violation.sentence.clone());
            self.fail(&oracle, sentence);
            return;
        }
        if self.oracles.is_due(self.now) {
            self.check_progress();
        }
    }

    fn check_progress(&mut self) {
        let facts = &self.facts;
        let overdue = self.oracles.overdue(self.now, &self.clients, |id| facts.executed_by(id));
        if let Some((oracle, sentence)) = overdue
            && matches!(self.end, End::Open)
        {
            self.end = End::Liveness(self.failure(&format!("O{oracle}"), sentence));
        }
    }

    fn failure(&self, oracle: &str, sentence: String) -> Failure {
        Failure { oracle: oracle.to_owned(), sentence, at_ns: self.now, event: self.observer.events() }
    }

    /// The run ends here, because of this.
    fn fail(&mut self, oracle: &str, sentence: String) {
        if !matches!(self.end, End::Safety(_)) {
            self.end = End::Safety(self.failure(oracle, sentence));
        }
    }

    fn is_honest(&self, id: ReplicaId) -> bool {
        self.honest >> id.0 & 1 == 1
    }

    fn schedule(&mut self, time: u64, due: Due, host: usize, index: u32) {
        let host = u8::try_from(host).expect("fewer than 256 machines");
        self.schedule.push(Event { time, due, host, index });
    }
}
