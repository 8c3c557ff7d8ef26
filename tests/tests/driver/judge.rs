//! The simulator's oracles over the event streams of drivers.

use cretoai_core::config::Chain;
use cretoai_core::ledger::chunk_hash;
use cretoai_core::signature::SignatureVerifier;
use cretoai_core::types::ReplicaId;
use cretoai_core::wire;
use cretoai_runtime::driver::{Event, Observer};
use cretoai_sim::crypto::Mix;
use cretoai_sim::observe::State;
use cretoai_sim::plan::Plan;
use std::sync::{Arc, Mutex, MutexGuard};

/// Everything that was seen, and a hash of it.
pub(crate) struct Judge {
    pub(crate) told: cretoai_sim::judge::Judge,
    hash: Mix,
    pub(crate) events: u64,
    pub(crate) highest_view: u64,
    steps: u64,
}

impl Judge {
    pub(crate) fn new(plan: &Plan, chain: &Arc<Chain>, signatures: &Arc<dyn SignatureVerifier>) -> Self {
        let told = cretoai_sim::judge::Judge::new(chain, signatures);
        Self { told, hash: Mix::new([plan.seed, 0]), events: 0, highest_view: 0, steps: 0 }
    }

    pub(crate) fn hash(&self) -> [u64; 2] {
        self.hash.finish()
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
            Event::Recovered(replica, disk) => {
                self.note(id, at, 0, &[]);
                disk.records.iter().for_each(|(lsn, record)| self.told.found(id, *lsn, record));
                self.told.started(id, State::of(replica), disk.end);
            }
            Event::Recorded(lsn, record) => {
                self.note(id, at, 1, &wire::encode_record(record));
                self.told.recorded(id, *lsn, record);
            }
            // Whatever matters about it shows in the step that it leads to.
            Event::Received(..) => {}
            Event::Released(envelope) => {
                self.note(id, at, 2, &wire::encode(&envelope.message));
                self.told.released(id, &envelope.message);
            }
            Event::Stepped(replica, _) => {
                let state = State::of(replica);
                self.highest_view = self.highest_view.max(state.view.0);
                self.steps += 1;
                self.told.stepped(id, state);
                if self.steps.is_multiple_of(64) {
                    self.told.weigh(id, &replica.footprint());
                }
                if replica.has_diverged() || replica.halted().is_some() {
                    self.told.fail(format!("{id} diverged or halted: {:?}", replica.halted()));
                }
            }
            Event::Executes(execution) => {
                self.note(id, at, 3, &execution.slot.0.to_le_bytes());
                self.told.executes(id, execution, at);
            }
            Event::Executed(slot, results) => {
                self.note(id, at, 4, &slot.0.to_le_bytes());
                self.told.results(id, *slot, results);
            }
            Event::Restored(core, app) => {
                self.note(id, at, 5, &core.slot.0.to_le_bytes());
                let hashes = app.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
                self.told.restored(id, core.slot, core.manifest(hashes).state(), at);
            }
            Event::Accused(evidence) => self.told.accused(id, evidence),
            Event::Replied(reply) => self.told.replied(id, reply.signed.body.slot),
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
