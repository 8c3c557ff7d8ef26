//! The simulator's oracles over the event streams of drivers.

use cretoai_core::config::Chain;
use cretoai_core::ledger::chunk_hash;
use cretoai_core::message::Message;
use cretoai_core::record::Record;
use cretoai_core::signature::SignatureVerifier;
use cretoai_core::types::ReplicaId;
use cretoai_core::wire;
use cretoai_runtime::driver::{Event, Observer};
use cretoai_sim::crypto::Mix;
use cretoai_sim::disk::Snapshot;
use cretoai_sim::facts::Facts;
use cretoai_sim::observe::State;
use cretoai_sim::oracles::Oracles;
use cretoai_sim::plan::Plan;
use cretoai_sim::workload::Clients;
use std::sync::{Arc, Mutex, MutexGuard};

/// Everything that was seen.
pub(crate) struct Judge {
    oracles: Oracles,
    facts: Facts,
    clients: Clients,
    hash: Mix,
    pub(crate) events: u64,
    pub(crate) transfers: u64,
    pub(crate) highest_view: u64,
    /// Records of each replica that were seen to be durable.
    recorded: Vec<u64>,
    steps: u64,
    failure: Option<String>,
}

impl Judge {
    pub(crate) fn new(plan: &Plan, chain: &Arc<Chain>, signatures: &Arc<dyn SignatureVerifier>) -> Self {
        let honest = (1 << plan.n) - 1;
        let mut facts = Facts::default();
        facts.reset(plan.n);
        Self {
            oracles: Oracles::new(chain, signatures, honest, &[]),
            facts,
            clients: Clients::new(plan, chain.committee.weak_quorum()),
            hash: Mix::new([plan.seed, 0]),
            events: 0,
            transfers: 0,
            highest_view: 0,
            recorded: vec![0; usize::from(plan.n)],
            steps: 0,
            failure: None,
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn violation(&self) -> Option<String> {
        let broken = self.oracles.violation().map(|found| format!("{}: {}", found.oracle, found.sentence));
        broken.or_else(|| self.failure.clone())
    }

    pub(crate) fn fail(&mut self, sentence: String) {
        self.failure.get_or_insert(sentence);
    }

    pub(crate) fn hash(&self) -> [u64; 2] {
        self.hash.finish()
    }

    /// A replica is about to come back: records that became durable just before the crash were not told of.
    pub(crate) fn comes_back(&mut self, id: ReplicaId, log: &[(cretoai_core::types::Lsn, Record)]) {
        let known = self.recorded[id.index()];
        for (_, record) in log.iter().filter(|(lsn, _)| known < lsn.0) {
            self.oracles.recorded(id, record, &mut self.facts);
        }
    }

    pub(crate) fn resumes_at(&mut self, id: ReplicaId, end: u64) {
        self.recorded[id.index()] = end;
    }

    fn note(&mut self, id: ReplicaId, at: u64, kind: u8, bytes: &[u8]) {
        self.events += 1;
        self.hash.bytes(&at.to_le_bytes());
        self.hash.bytes(&id.0.to_le_bytes());
        self.hash.byte(kind);
        self.hash.bytes(bytes);
    }

    fn event(&mut self, id: ReplicaId, at: u64, event: &Event<'_>) {
        match event {
            Event::Recovered(replica) => {
                self.note(id, at, 0, &[]);
                self.oracles.recovered(id, State::of(replica), replica.executed());
            }
            Event::Recorded(record) => {
                self.note(id, at, 1, &wire::encode_record(record));
                self.recorded[id.index()] += 1;
                self.oracles.recorded(id, record, &mut self.facts);
            }
            // Whatever matters about it shows in the step that it leads to.
            Event::Received(..) => {}
            Event::Released(envelope) => {
                self.note(id, at, 2, &wire::encode(&envelope.message));
                if let Message::PrePrepare(message) = &envelope.message {
                    self.oracles.proposed(&message.vote);
                }
                self.oracles.released(id, &envelope.message);
            }
            Event::Stepped(replica, _) => {
                let state = State::of(replica);
                self.highest_view = self.highest_view.max(state.view.0);
                self.steps += 1;
                let _ = self.oracles.stepped(id, state);
                if self.steps.is_multiple_of(64) {
                    self.oracles.weigh(id, &replica.footprint());
                }
                if replica.has_diverged() || replica.halted().is_some() {
                    self.fail(format!("{id} diverged or halted: {:?}", replica.halted()));
                }
            }
            Event::Executes(execution) => {
                self.note(id, at, 3, &execution.slot.0.to_le_bytes());
                self.oracles.executes(id, execution, &mut self.facts, &mut self.clients);
                self.facts.execute(id, execution.slot, at);
            }
            Event::Executed(slot, results) => {
                self.note(id, at, 4, &slot.0.to_le_bytes());
                self.oracles.results(id, *slot, results, &mut self.facts);
            }
            Event::Restored(core, app) => {
                self.note(id, at, 5, &core.slot.0.to_le_bytes());
                self.transfers += 1;
                let hashes = app.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
                let (core, app) = (Arc::clone(core), app.to_vec());
                let snapshot = Snapshot { core, app, hashes, awaited: false, flipped: false };
                self.oracles.restored(id, &snapshot);
            }
            Event::Accused(evidence) => {
                self.fail(format!("{id} accuses {}: {:?}", evidence.accused(), evidence.kind()));
            }
            Event::Replied(reply) => self.oracles.replied(id, reply),
        }
    }
}

/// One replica's stream, with the clock that it runs by.
pub(crate) struct Witness {
    pub(crate) id: ReplicaId,
    pub(crate) judge: Arc<Mutex<Judge>>,
    pub(crate) env: super::env::SimEnv,
}

pub(crate) fn lock(judge: &Mutex<Judge>) -> MutexGuard<'_, Judge> {
    judge.lock().expect("no oracle panics")
}

impl Observer for Witness {
    fn event(&self, event: &Event<'_>) {
        let at = cretoai_runtime::env::Env::now(&self.env).0;
        lock(&self.judge).event(self.id, at, event);
    }
}
