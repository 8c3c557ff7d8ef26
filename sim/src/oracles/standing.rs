//! O17: everybody's standing is what the order makes it, and what a correct replica can prove comes to count
//! (`docs/protocol.md` O17, X13, X14, F15).

use super::Finding;
use crate::audit::{Auditor, Offence};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::evidence::Evidence;
use cretoai_core::ledger::Verdict;
use cretoai_core::outbox::Execution;
use cretoai_core::types::{ReplicaId, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What everybody begins with, and what is too little, in thousandths.
const FULL: u16 = 1000;
const TOO_LITTLE: u16 = 299;

/// The standing of one replica.
#[derive(Clone, Debug, Default)]
struct Record {
    /// After which slots it fell, and to how many thousandths.
    fell: Vec<(Slot, u16)>,
    banned_from: Option<Slot>,
}

/// What the order proves, computed again, and what is still to be proven.
#[derive(Debug)]
pub(super) struct Standing {
    chain: Arc<Chain>,
    auditor: Auditor,
    records: Vec<Record>,
    counted: BTreeSet<Offence>,
    /// The last slot that anybody executed.
    last: Slot,
    /// What correct replicas can prove and nobody has yet, and which of them.
    provable: BTreeMap<Offence, ReplicaSet>,
    /// Who owes progress, and how soon, in nanoseconds.
    owing: Option<(ReplicaSet, u64)>,
    /// By when somebody is to be convicted, earliest first.
    due: Vec<(u64, Offence)>,
    /// What is owed since the last event.
    fresh: Vec<Offence>,
}

/// What an offence costs, in thousandths.
fn cost(kind: &str) -> u16 {
    match kind {
        "E8" | "E9" => 400,
        "E11" => 200,
        _ => FULL,
    }
}

impl Record {
    fn score(&self, executed: Slot) -> u16 {
        self.fell.iter().rev().find(|(slot, _)| *slot <= executed).map_or(FULL, |(_, score)| *score)
    }

    fn is_banned(&self, slot: Slot) -> bool {
        self.banned_from.is_some_and(|from| from <= slot)
    }
}

impl Standing {
    pub(super) fn new(chain: &Arc<Chain>, auditor: Auditor) -> Self {
        Self {
            chain: Arc::clone(chain),
            auditor,
            records: vec![Record::default(); chain.genesis.keys.len()],
            counted: BTreeSet::new(),
            last: Slot(0),
            provable: BTreeMap::new(),
            owing: None,
            due: Vec::new(),
            fresh: Vec::new(),
        }
    }

    /// Whether anything is proven against anybody.
    pub(super) fn is_any(&self) -> bool {
        !self.counted.is_empty()
    }

    /// More are proven faulty than the protocol bears: everybody stops at this slot (X16).
    fn are_too_many(&self) -> bool {
        self.auditor.bearable() < self.records.iter().filter(|record| !record.fell.is_empty()).count()
    }

    /// A slot is executed for the first time.
    pub(super) fn executes(&mut self, execution: &Execution) -> Finding {
        self.last = execution.slot;
        execution.listed.iter().try_for_each(|(vertex, verdict)| {
            let (slot, author) = (execution.slot, vertex.body.author);
            let is_banned = self.records[author.index()].is_banned(slot);
            if is_banned != (*verdict == Verdict::Banned) && !self.are_too_many() {
                let whether = if is_banned { "is" } else { "is not" };
                return Err(format!("what {author} made is {verdict:?} in {slot}, where it {whether} banned"));
            }
            let evidence = vertex.body.evidence().filter(|_| *verdict == Verdict::Final);
            evidence.map_or(Ok(()), |evidence| self.counts(slot, evidence))
        })
    }

    fn counts(&mut self, slot: Slot, evidence: &Evidence) -> Finding {
        let guilt = self.auditor.evidence(evidence);
        let guilt = guilt.map_err(|why| format!("evidence is final in {slot} that proves nothing: {why}"))?;
        let (of, score) = (guilt.offence.of, self.records[guilt.offence.of.index()].score(slot));
        self.provable.remove(&guilt.offence);
        if score == 0 || !self.counted.insert(guilt.offence) {
            return Ok(());
        }
        let score = score.saturating_sub(cost(guilt.offence.kind));
        self.records[of.index()].fell.push((slot, score));
        if score == 0 {
            self.provable.retain(|offence, _| offence.of != of);
        }
        let interval = self.chain.genesis.checkpoint_interval;
        if score <= TOO_LITTLE && !self.are_too_many() {
            let from = slot.0.next_multiple_of(interval) + 1;
            self.records[of.index()].banned_from.get_or_insert(Slot(from));
        }
        Ok(())
    }

    /// What a replica makes of it that has executed so far: everybody's standing, and whether it is banned in the next
    /// slot.
    pub(super) fn standings(&self, id: ReplicaId, executed: Slot, found: impl Fn(ReplicaId) -> (u16, bool)) -> Finding {
        // Whoever is the first to execute a slot is judged by the others, or by itself later.
        if self.last < executed || self.are_too_many() {
            return Ok(());
        }
        let wrong = (0..).map(ReplicaId).zip(&self.records).find_map(|(of, record)| {
            let due = (record.score(executed), record.is_banned(executed.next()));
            (due != found(of)).then_some((of, due))
        });
        let Some((of, due)) = wrong else { return Ok(()) };
        let words = |(score, is_banned)| format!("{score}{}", if is_banned { ", banned" } else { "" });
        let (due, found) = (words(due), words(found(of)));
        Err(format!("to {id} the standing of {of} after {executed} is {found}; the order makes it {due}"))
    }

    /// A replica stored evidence of an offence.
    pub(super) fn stored(&mut self, id: ReplicaId, evidence: &Evidence, offence: Offence) {
        // Larger than a vertex can be is only a NEW-VIEW that names what has no form (X13).
        if let Evidence::NewView(_, bodies) = evidence
            && !bodies.iter().all(|signed| self.auditor.is_canonical(&signed.body))
        {
            return;
        }
        let is_settled = self.records[offence.of.index()].score(self.last) == 0 || self.counted.contains(&offence);
        if is_settled || offence.of == id {
            return;
        }
        let holders = self.provable.entry(offence).or_default();
        let before = *holders;
        *holders |= 1 << id.0;
        if let Some((core, _)) = self.owing
            && before & core == 0
            && *holders & core != 0
        {
            self.fresh.push(offence);
        }
    }

    /// From now on these replicas see to it that what they can prove counts, within a time.
    pub(super) fn begin(&mut self, core: ReplicaSet, bound: u64, now: u64) {
        self.owing = Some((core, bound));
        let held = self.provable.iter().filter(|(_, holders)| **holders & core != 0);
        self.due = held.map(|(offence, _)| (now.saturating_add(bound), *offence)).collect();
    }

    /// Nothing is owed any more.
    pub(super) fn end(&mut self) {
        self.owing = None;
        self.due.clear();
        self.fresh.clear();
    }

    /// Whether something is owed.
    pub(super) fn is_owed(&self) -> bool {
        self.due
            .iter()
            .map(|(_, offence)| offence)
            .chain(&self.fresh)
            .any(|offence| self.provable.contains_key(offence))
    }

    /// Whether something was due by now. What is owed since the last event is owed from now on.
    pub(super) fn is_due(&mut self, now: u64) -> bool {
        if let Some((_, bound)) = self.owing {
            self.due.extend(self.fresh.drain(..).map(|offence| (now.saturating_add(bound), offence)));
        }
        self.due.first().is_some_and(|(due, _)| *due < now)
    }

    /// What was due by now and has not happened.
    pub(super) fn overdue(&mut self, now: u64) -> Option<String> {
        let past = self.due.partition_point(|(due, _)| *due < now);
        let late =
            self.due.drain(..past).map(|(_, offence)| offence).find(|offence| self.provable.contains_key(offence))?;
        let (holders, Offence { of, kind, view, at }) = (self.provable[&late], late);
        Some(format!("{kind} of {of} in {view} at {at}, which {holders:#b} can prove, has not counted in time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Keys;
    use crate::plan::{Crypto, Plan};
    use cretoai_core::checkpoint::CheckpointVote;
    use cretoai_core::hash::Digest;
    use cretoai_core::hashed::Hashed;
    use cretoai_core::message::Signed;
    use cretoai_core::signature::{Signature, Statement};
    use cretoai_core::time::Instant;
    use cretoai_core::types::{Height, View};
    use cretoai_core::vertex::{Link, Payload, Vertex};

    const OF: ReplicaId = ReplicaId(1);

    struct Court {
        keys: Keys,
        chain: Arc<Chain>,
        oracle: Standing,
    }

    impl Court {
        fn new() -> Self {
            let plan = Plan { checkpoint_interval: 4, window: 8, ..Plan::default() };
            let keys = Keys::new(Crypto::Simulated, 1, plan.n);
            let chain = Arc::new(Chain::new(plan.genesis(keys.public.clone()), false).expect("four replicas"));
            let oracle = Standing::new(&chain, Auditor::new(Arc::clone(&chain), keys.verifier(chain.id)));
            Self { keys, chain, oracle }
        }

        /// Two CHECKPOINTs of r1 for a slot, of these states.
        fn evidence(&self, slot: u64, states: [u8; 2]) -> Evidence {
            let [a, b] = states.map(|state| {
                let body = CheckpointVote { slot: Slot(slot), state: Digest([state; 32]) };
                let signature = self.keys.signer(self.chain.id, OF).sign(Statement::Checkpoint(&body));
                Signed { signer: OF, body, signature }
            });
            Evidence::Checkpoints(a, b)
        }

        /// A slot is executed in which a replica's vertex has this verdict.
        fn executes(&mut self, slot: u64, author: u16, verdict: Verdict, evidence: Evidence) -> Finding {
            let (author, payload) = (ReplicaId(author), Payload::Evidence(Arc::new(evidence)));
            let (prev, ts) = (Link::genesis(self.chain.id), Instant(slot));
            let body = Hashed::new(Vertex { author, height: Height(1), ts, prev, refs: Vec::new(), payload });
            let vertex = Arc::new(Signed { signer: author, body, signature: Signature::new(&[0]) });
            let listed = vec![(vertex, verdict)];
            self.oracle.executes(&Execution { slot: Slot(slot), time: Instant(slot), requests: Vec::new(), listed })
        }

        /// Whether this is right of r1 after a slot, and all others have what everybody begins with.
        fn is(&self, executed: u64, score: u16, is_banned: bool) -> bool {
            let found = |id| if id == OF { (score, is_banned) } else { (FULL, false) };
            self.oracle.standings(ReplicaId(0), Slot(executed), found).is_ok()
        }
    }

    #[test]
    fn each_fault_counts_once_and_a_ban_begins_behind_the_next_checkpoint() {
        let mut court = Court::new();
        let pieces = [court.evidence(4, [1, 2]), court.evidence(4, [1, 3]), court.evidence(8, [1, 2])];
        for (slot, piece) in (1..).zip(pieces) {
            assert_eq!(court.executes(slot, 0, Verdict::Final, piece), Ok(()));
        }
        assert!(court.is(1, 600, false) && court.is(2, 600, false) && court.is(3, 200, false));
        assert!(!court.is(2, 200, false), "the same offence a second time");
        assert!(!court.is(3, 200, true) && !court.is(3, 600, false) && !court.is(1, 1000, false));
        assert!(court.is(4, 1, true), "nobody has executed so far yet");
        let again = court.evidence(4, [2, 3]);
        assert!(court.executes(4, 1, Verdict::Banned, again.clone()).is_err(), "not yet");
        assert!(court.is(4, 200, true) && !court.is(4, 200, false));
        assert_eq!(court.executes(5, 1, Verdict::Banned, again.clone()), Ok(()));
        assert!(court.executes(6, 1, Verdict::Final, again).is_err(), "it is banned");
    }

    #[test]
    fn what_proves_nothing_is_never_final() {
        let mut court = Court::new();
        let twice_the_same = court.evidence(4, [1, 1]);
        assert_eq!(court.executes(1, 0, Verdict::Dead, twice_the_same.clone()), Ok(()));
        assert!(court.executes(2, 0, Verdict::Final, twice_the_same).is_err());
    }

    #[test]
    fn what_the_core_can_prove_counts_in_time() {
        let mut court = Court::new();
        let (known, foreign) = (court.evidence(4, [1, 2]), court.evidence(8, [1, 2]));
        let offence = |at| Offence { of: OF, kind: "E8", view: View(0), at };
        court.oracle.stored(ReplicaId(2), &known, offence(4));
        court.oracle.stored(ReplicaId(3), &foreign, offence(8));
        court.oracle.begin(0b0111, 100, 50);
        assert!(court.oracle.is_owed() && !court.oracle.is_due(150) && court.oracle.is_due(151));
        assert_eq!(court.oracle.overdue(150), None);
        assert_eq!(court.executes(1, 0, Verdict::Final, known.clone()), Ok(()));
        assert!(!court.oracle.is_owed(), "only somebody outside of the core can prove the other one");
        assert_eq!(court.oracle.overdue(151), None);

        court.oracle.stored(ReplicaId(0), &known, offence(4));
        assert!(!court.oracle.is_owed(), "it has counted");
        court.oracle.stored(ReplicaId(0), &foreign, offence(8));
        assert!(court.oracle.is_owed() && !court.oracle.is_due(200), "from now on");
        assert!(!court.oracle.is_due(300) && court.oracle.is_due(301));
        assert!(court.oracle.overdue(301).is_some_and(|sentence| sentence.contains("E8 of r1")));
        court.oracle.end();
        assert!(!court.oracle.is_owed());
    }
}
