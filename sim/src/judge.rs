//! The oracles over what replicas tell that ran somewhere else, under another scheduler or as processes
//! (`docs/protocol.md` O13). All of them are correct; clients are not seen.
//!
//! What one replica tells has to come in the order in which it happened there. Between replicas only causes have to come
//! before effects.

use crate::facts::Facts;
use crate::observe::State;
use crate::oracles::Oracles;
use crate::workload::Clients;
use cretoai_core::bytes::Bytes;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::config::Chain;
use cretoai_core::evidence::Evidence;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, Signed};
use cretoai_core::outbox::Execution;
use cretoai_core::record::Record;
use cretoai_core::replica::Footprint;
use cretoai_core::signature::SignatureVerifier;
use cretoai_core::types::{Lsn, ReplicaId, Slot};
use cretoai_core::vote::Vote;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Checkpoints whose states are remembered: a replica that was away for long signs those that it catches up with.
const REMEMBERED: usize = 1024;

/// Everything that was told, as far as the oracles remember it.
#[derive(Debug)]
pub struct Judge {
    oracles: Oracles,
    facts: Facts,
    clients: Clients,
    /// Up to where the records of each replica are known to be durable.
    durable: Vec<Lsn>,
    /// The states after the latest checkpoint slots, by whoever signed them first.
    states: BTreeMap<Slot, (ReplicaId, Digest)>,
    transfers: u64,
    failure: Option<String>,
}

impl Judge {
    /// A judge of a chain's replicas.
    #[must_use]
    pub fn new(chain: &Arc<Chain>, signatures: &Arc<dyn SignatureVerifier>) -> Self {
        let committee = &chain.committee;
        let honest = committee.members().fold(0, |set, id| set | 1 << id.0);
        let mut facts = Facts::default();
        facts.reset(committee.n());
        Self {
            oracles: Oracles::new(chain, signatures, honest, &[]),
            facts,
            clients: Clients::new(0, committee.weak_quorum()),
            durable: vec![Lsn(0); usize::from(committee.n())],
            states: BTreeMap::new(),
            transfers: 0,
            failure: None,
        }
    }

    /// What is wrong, if anything is.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        let broken = self.oracles.violation().map(|found| format!("{}: {}", found.oracle, found.sentence));
        broken.or_else(|| self.failure.clone())
    }

    /// Takes note of something wrong that no oracle watches for. The first one stands.
    pub fn fail(&mut self, sentence: String) {
        self.failure.get_or_insert(sentence);
    }

    /// The last slot that anybody executed.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot(self.facts.last)
    }

    /// The last slot that a replica ever executed, or took over.
    #[must_use]
    pub fn last_of(&self, id: ReplicaId) -> Slot {
        Slot(self.facts.executed_by(id.0))
    }

    /// How many states were taken over.
    #[must_use]
    pub fn transfers(&self) -> u64 {
        self.transfers
    }

    /// A replica that starts finds a record on its disk. Those that became durable just before a crash were not told of.
    pub fn found(&mut self, id: ReplicaId, lsn: Lsn, record: &Record) {
        if self.durable[id.index()] < lsn {
            self.recorded(id, lsn, record);
        }
    }

    /// A replica starts, after everything that it finds on its disk was told of. `end` is the position of the last
    /// record that its disk ever held.
    pub fn started(&mut self, id: ReplicaId, state: State, end: Lsn) {
        let durable = &mut self.durable[id.index()];
        if end < *durable {
            let sentence = format!("the log of {id} ends with {end:?}, and {durable:?} was durable before");
            self.failure.get_or_insert(sentence);
        }
        *durable = end;
        self.oracles.recovered(id, state, state.executed);
    }

    /// A record is durable.
    pub fn recorded(&mut self, id: ReplicaId, lsn: Lsn, record: &Record) {
        self.durable[id.index()] = lsn;
        self.oracles.recorded(id, record, &mut self.facts);
        if let Record::OwnCheckpoint(vote) = record {
            self.signed(id, *vote);
        }
    }

    /// A replica signs a state, which must be everybody's (O6). Of states no more is told than their digests.
    fn signed(&mut self, id: ReplicaId, vote: CheckpointVote) {
        let (by, state) = *self.states.entry(vote.slot).or_insert((id, vote.state));
        if state != vote.state {
            self.fail(format!("O6: {id} has state {:?} after {}, and {by} has {state:?}", vote.state, vote.slot));
        }
        if REMEMBERED < self.states.len() {
            self.states.pop_first();
        }
    }

    /// Batches are proposed. Told of at the latest when the first replica executes them; again does no harm.
    pub fn proposed(&mut self, vote: &Signed<Vote>) {
        self.oracles.proposed(vote);
    }

    /// A message leaves.
    pub fn released(&mut self, id: ReplicaId, message: &Message) {
        if let Message::PrePrepare(message) = message {
            self.proposed(&message.vote);
        }
        self.oracles.released(id, message);
    }

    /// A replica is somewhere else than before.
    pub fn stepped(&mut self, id: ReplicaId, state: State) {
        let _ = self.oracles.stepped(id, state);
    }

    /// How much a replica holds.
    pub fn weigh(&mut self, id: ReplicaId, footprint: &Footprint) {
        self.oracles.weigh(id, footprint);
    }

    /// A slot is given to the application, at a moment.
    pub fn executes(&mut self, id: ReplicaId, execution: &Execution, at: u64) {
        self.oracles.executes(id, execution, &mut self.facts, &mut self.clients);
        self.facts.execute(id, execution.slot, at);
    }

    /// The application has the results of a slot.
    pub fn results(&mut self, id: ReplicaId, slot: Slot, results: &[Bytes]) {
        self.oracles.results(id, slot, results, &mut self.facts);
    }

    /// A transferred state takes the place of the own one, at a moment.
    pub fn restored(&mut self, id: ReplicaId, slot: Slot, state: Digest, at: u64) {
        self.transfers += 1;
        self.oracles.installed(id, slot, state);
        self.facts.execute(id, slot, at);
    }

    /// A slot is answered.
    pub fn replied(&mut self, id: ReplicaId, slot: Slot) {
        self.oracles.replied(id, slot);
    }

    /// Evidence was found, though all are correct.
    pub fn accused(&mut self, id: ReplicaId, evidence: &Evidence) {
        self.fail(format!("{id} accuses {}: {:?}", evidence.accused(), evidence.kind()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Keys;
    use crate::plan::Crypto;
    use cretoai_core::config::{Genesis, Scheme};

    fn judge() -> Judge {
        let keys = Keys::new(Crypto::Simulated, 1, 4);
        let chain = Arc::new(Chain::new(Genesis::new("judge", Scheme::Simulated, keys.public.clone()), false).unwrap());
        let verifier = keys.verifier(chain.id);
        Judge::new(&chain, &verifier)
    }

    fn checkpoint(slot: u64, state: u8) -> Record {
        Record::OwnCheckpoint(CheckpointVote { slot: Slot(slot), state: Digest([state; 32]) })
    }

    #[test]
    fn a_log_that_lost_what_was_durable_is_noticed_and_one_that_kept_more_is_not() {
        for (end, is_right) in [(1, false), (2, true), (3, true)] {
            let mut judge = judge();
            judge.recorded(ReplicaId(1), Lsn(1), &checkpoint(32, 1));
            judge.recorded(ReplicaId(1), Lsn(2), &checkpoint(64, 2));
            judge.started(ReplicaId(1), State::default(), Lsn(end));
            assert_eq!(judge.violation().is_none(), is_right, "end {end}: {:?}", judge.violation());
        }
    }

    #[test]
    fn a_record_that_a_replica_finds_counts_if_it_was_not_told_of() {
        let mut judge = judge();
        judge.recorded(ReplicaId(1), Lsn(1), &checkpoint(32, 1));
        judge.recorded(ReplicaId(2), Lsn(1), &checkpoint(64, 2));
        judge.found(ReplicaId(1), Lsn(1), &checkpoint(64, 3));
        assert_eq!(judge.violation(), None);
        judge.found(ReplicaId(1), Lsn(2), &checkpoint(64, 3));
        assert!(judge.violation().is_some_and(|sentence| sentence.starts_with("O6")), "{:?}", judge.violation());
    }
}
