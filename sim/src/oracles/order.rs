//! O2: slots in order, each request once, the same results everywhere (`docs/protocol.md` O2).

use super::{Finding, agreement};
use crate::crypto::mix;
use crate::facts::Facts;
use crate::workload::Clients;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::bytes::Bytes;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::hash::Digest;
use cretoai_core::outbox::Execution;
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{ReplicaId, Slot};
use std::collections::BTreeMap;

/// Where each replica is.
#[derive(Debug)]
pub(super) struct Order {
    /// How far ahead of its execution a request may expire.
    lifetime: Duration,
    last: Vec<Slot>,
    /// Certified states that replicas hold, by replica and slot.
    certified: BTreeMap<(ReplicaId, Slot), Digest>,
    /// The last state that each replica signed, and whether it holds a certificate of another one.
    signed: Vec<Option<(CheckpointVote, bool)>>,
    /// Requests that no client of this run made, and where they were executed.
    foreign: BTreeMap<Digest, Slot>,
}

impl Order {
    pub(super) fn new(n: u16, lifetime: Duration) -> Self {
        Self {
            lifetime,
            last: vec![Slot(0); usize::from(n)],
            certified: BTreeMap::new(),
            signed: vec![None; usize::from(n)],
            foreign: BTreeMap::new(),
        }
    }

    /// The last slot that a replica executed.
    pub(super) fn reached(&self, id: ReplicaId) -> Slot {
        self.last[id.index()]
    }

    /// A replica executes a slot, which must be the next one, and later than the last one unless it is NULL.
    pub(super) fn executes(&mut self, id: ReplicaId, execution: &Execution, facts: &mut Facts) -> Finding {
        let last = &mut self.last[id.index()];
        let due = last.next();
        *last = execution.slot;
        if execution.slot != due {
            return Err(format!("{id} executes {} where {due} is due", execution.slot));
        }
        time(id, execution, facts)
    }

    /// A slot is executed for the first time. None of its requests may have been executed in another.
    pub(super) fn first(&mut self, execution: &Execution, facts: &mut Facts, clients: &mut Clients) -> Finding {
        let start = u32::try_from(facts.executed.len()).expect("fewer than 2^32 executions");
        let mut finding = Ok(());
        for request in &execution.requests {
            let id = request.id();
            let expires = request.request.expires;
            if expires <= execution.time || execution.time + self.lifetime < expires {
                finding = Err(format!(
                    "request {id:?}, which expires at {} ns, executes in {} at {} ns",
                    expires.0, execution.slot, execution.time.0
                ));
            }
            let before = match clients.numbers.get(&id) {
                Some(number) => {
                    facts.executed.push(number);
                    clients.executed(number, execution.slot.0).map(Slot)
                }
                None => self.foreign.insert(id, execution.slot),
            };
            if let Some(before) = before {
                finding = Err(format!("request {id:?} executes in {}, and executed in {before}", execution.slot));
            }
        }
        let new = &facts.executed[start as usize..];
        let twice = (1..new.len()).any(|at| new[..at].contains(&new[at]));
        if twice {
            finding = Err(format!("{} executes a request twice", execution.slot));
        }
        let end = u32::try_from(facts.executed.len()).expect("fewer than 2^32 executions");
        let slot = facts.slot(execution.slot);
        slot.ops = (start, end);
        slot.execution = Some(agreement::fingerprint(execution));
        finding
    }

    /// A replica holds proof of a state.
    pub(super) fn certified(&mut self, id: ReplicaId, vote: CheckpointVote) {
        self.certified.insert((id, vote.slot), vote.state);
        if let Some((signed, is_wrong)) = &mut self.signed[id.index()] {
            *is_wrong |= signed.slot == vote.slot && signed.state != vote.state;
        }
        // Proofs far behind will not be asked for.
        let old = vote.slot.minus(1000);
        while let Some(first) = self.certified.range((id, Slot(0))..(id, old)).next().map(|(key, _)| *key) {
            self.certified.remove(&first);
        }
    }

    /// A replica leaves out slots because it took over a state, which must be certified.
    pub(super) fn restored(&mut self, id: ReplicaId, slot: Slot, state: Digest) -> Finding {
        self.last[id.index()] = slot;
        self.signed[id.index()] = None;
        match self.certified.get(&(id, slot)) {
            Some(certified) if *certified == state => Ok(()),
            Some(certified) => {
                Err(format!("{id} takes over state {state:?} at {slot}, where {certified:?} is certified"))
            }
            None => Err(format!("{id} takes over a state at {slot}, of which it holds no certificate")),
        }
    }

    /// A replica signs a state. Whoever holds a certificate that contradicts one that it signed signs none before it
    /// has taken over the right one (C5).
    pub(super) fn signs(&mut self, id: ReplicaId, vote: CheckpointVote) -> Finding {
        let before = self.signed[id.index()];
        let is_wrong = before.is_some_and(|(_, is_wrong)| is_wrong);
        self.signed[id.index()] = Some((vote, is_wrong));
        match before.filter(|_| is_wrong) {
            Some((wrong, _)) => Err(format!(
                "{id} signs a state after {}, and one that it signed, as that after {} at the latest, is known to be wrong",
                vote.slot, wrong.slot
            )),
            None => Ok(()),
        }
    }

    /// A replica came back with the state after a slot.
    pub(super) fn recovered(&mut self, id: ReplicaId, from: Slot) {
        // From before the wrong state it may come to the right one by itself.
        self.signed[id.index()].take_if(|(signed, _)| from < signed.slot);
        self.last[id.index()] = from;
    }
}

/// The effective time of a slot (`docs/protocol.md` F5): that of the slot before if it is NULL, and a later one if not.
/// Also behind a state that was taken over: what others know of the slot before is what that state says.
fn time(id: ReplicaId, execution: &Execution, facts: &mut Facts) -> Finding {
    let (slot, time) = (execution.slot, execution.time);
    let before = if slot == Slot(1) { Some(Instant::GENESIS) } else { facts.slot(slot.minus(1)).time };
    let facts = facts.slot(slot);
    facts.time = Some(time);
    let is_null = facts.decided == Some(NULL_BATCH);
    match before {
        Some(before) if is_null && time != before => {
            Err(format!("{id} executes {slot}, which is NULL, at {} ns and not at {} ns", time.0, before.0))
        }
        Some(before) if !is_null && time <= before => {
            Err(format!("{id} executes {slot} at {} ns, which is not later than {} ns", time.0, before.0))
        }
        _ => Ok(()),
    }
}

/// The results of a slot at a replica, which must be everybody's, also after a restart.
pub(super) fn results(id: ReplicaId, slot: Slot, results: &[Bytes], facts: &mut Facts) -> Finding {
    let hash = |hash, result: &Bytes| {
        let (words, tail) = result.0.as_chunks::<8>();
        let hash =
            words.iter().fold(mix(hash, result.0.len() as u64), |hash, word| mix(hash, u64::from_le_bytes(*word)));
        tail.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
    };
    let found = results.iter().fold(slot.0, hash);
    match facts.slot(slot).results.replace(found) {
        Some(known) if known != found => Err(format!("{id} has other results for {slot} than others, or than before")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::request::{ClientRequest, Request};
    use std::sync::Arc;

    fn judged(decided: Option<Digest>, at: u64) -> Finding {
        let mut facts = Facts::default();
        let execution =
            |slot, time| Execution { slot: Slot(slot), time: Instant(time), requests: vec![], listed: vec![] };
        time(ReplicaId(0), &execution(1, 5), &mut facts).expect("the first slot is later than genesis");
        facts.slot(Slot(2)).decided = decided;
        time(ReplicaId(0), &execution(2, at), &mut facts)
    }

    #[test]
    fn time_rises_with_each_slot_and_stands_still_in_a_null_one() {
        let batch = Some(Digest([7; 32]));
        let verdicts = [4, 5, 6].map(|at| [judged(batch, at).is_ok(), judged(Some(NULL_BATCH), at).is_ok()]);
        assert_eq!(verdicts, [[false, false], [false, true], [true, false]]);
    }

    #[test]
    fn a_request_that_no_client_made_executes_once_too_within_a_slot_and_over_slots() {
        let request = |nonce| {
            let (chain_id, expires) = (Digest([0; 32]), Instant(9));
            let request = Request { chain_id, expires, nonce: [nonce; 16], caller: None, op: Bytes(Vec::new()) };
            Arc::new(ClientRequest::anonymous(request))
        };
        for (slots, is_right) in
            [(vec![vec![1, 2], vec![3]], true), (vec![vec![1, 1]], false), (vec![vec![1], vec![1]], false)]
        {
            let (mut order, mut facts, mut clients) =
                (Order::new(4, Duration(9)), Facts::default(), Clients::new(0, 2));
            let finding = slots.iter().zip(1..).try_for_each(|(nonces, slot)| {
                let requests = nonces.iter().map(|nonce| request(*nonce)).collect();
                let execution = Execution { slot: Slot(slot), time: Instant(slot), requests, listed: vec![] };
                order.first(&execution, &mut facts, &mut clients)
            });
            assert_eq!(finding.is_ok(), is_right, "{slots:?}: {finding:?}");
        }
    }
}
