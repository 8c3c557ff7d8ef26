//! What comes out of a replica, and the durability gate (`docs/protocol.md` G1, G3, G4).

use crate::evidence::Evidence;
use crate::hash::Digest;
use crate::ledger::{CoreSnapshot, Verdict};
use crate::message::Message;
use crate::mutant::Mutant;
use crate::record::Record;
use crate::reply::Reply;
use crate::request::ClientRequest;
use crate::time::Instant;
use crate::types::{Lsn, ReplicaId, Slot};
use crate::vertex::SignedVertex;
use std::collections::VecDeque;
use std::sync::Arc;

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every other replica.
    All,
    /// One other replica.
    One(ReplicaId),
}

/// A message with its address.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Where it goes.
    pub to: Target,
    /// What goes.
    pub message: Message,
}

/// A slot for the application. Slots come in order, without gaps, each once between two restarts.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The slot.
    pub slot: Slot,
    /// Its effective time.
    pub time: Instant,
    /// The requests to execute, in order; those already executed are not among them.
    pub requests: Vec<Arc<ClientRequest>>,
    /// The vertices that the slot lists, in order, with their verdicts: what a store of the finalized DAG keeps.
    pub listed: Vec<(Arc<SignedVertex>, Verdict)>,
}

/// Work for the driver other than sending.
#[derive(Clone, Debug)]
pub enum Task {
    /// Execute a slot, then give [`Input::Executed`](crate::Input::Executed).
    Execute(Execution),
    /// Store this snapshot of the protocol's state with one of the application's after the same slot, then give
    /// [`Input::SnapshotDurable`](crate::Input::SnapshotDurable).
    Snapshot(Arc<CoreSnapshot>),
    /// Replace the application's state by that of a transferred snapshot, and store it as this replica's own.
    /// The next execution is of the slot after it. Whatever was given out before is still to be completed: the
    /// replica knows that its result is void.
    Restore(Arc<CoreSnapshot>, Vec<Arc<crate::bytes::Bytes>>),
    /// Send a chunk of a stored snapshot to a replica, if it is still there.
    ServeChunk(ReplicaId, Slot, Digest),
    /// Pass answers on to the clients that wait for them.
    Reply(Reply),
    /// Delete the snapshots of these slots. Each was reported durable, or is of a [`Restore`](Self::Restore) given out
    /// before; one that is still being made is never named. The newest goes first: a crash in between must not leave
    /// one behind that stands on a state known to be wrong.
    DropSnapshots(Vec<Slot>),
}

/// Everything the replica wants from the world. Owned and reused by the driver.
///
/// **Invariant:** whatever is queued leaves only after every record appended before it is durable. The gate
/// lives here, once, so no driver can get it wrong.
#[derive(Debug, Default)]
pub struct Outbox {
    records: VecDeque<Record>,
    sends: VecDeque<(Lsn, Envelope)>,
    free: VecDeque<Envelope>,
    tasks: VecDeque<(Lsn, Task)>,
    evidence: VecDeque<Arc<Evidence>>,
    appended: Lsn,
    taken: Lsn,
    durable: Lsn,
}

/// The replica's side: what a handler may do.
impl Outbox {
    /// Appends a record to the log.
    pub(crate) fn persist(&mut self, record: Record) {
        let is_forgotten = match record {
            Record::Voted(..) => Mutant::VoteNotRecorded.is_on(),
            Record::Prepared(_) => Mutant::PreparedNotRecorded.is_on(),
            Record::Committed(_) => Mutant::DecisionNotRecorded.is_on(),
            Record::ViewChangeSent(_) => Mutant::ViewChangeNotRecorded.is_on(),
            Record::NewViewInstalled(_) => Mutant::NewViewNotRecorded.is_on(),
            Record::Stable(_) => Mutant::StableNotRecorded.is_on(),
            _ => false,
        };
        if !is_forgotten {
            self.appended.0 += 1;
            self.records.push_back(record);
        }
    }

    /// Queues a message behind every record appended so far; a message without any signature goes at once.
    pub(crate) fn send(&mut self, to: Target, message: Message) {
        if message.is_gated() {
            self.sends.push_back((self.appended, Envelope { to, message }));
        } else {
            self.free.push_back(Envelope { to, message });
        }
    }

    /// Queues work behind every record appended so far.
    pub(crate) fn task(&mut self, task: Task) {
        self.tasks.push_back((self.appended, task));
    }

    /// Shows evidence to the driver.
    pub(crate) fn report(&mut self, evidence: Arc<Evidence>) {
        self.evidence.push_back(evidence);
    }
}

/// The driver's side.
impl Outbox {
    /// An outbox after a restart: everything up to `end_of_log` was read back, so it is durable.
    #[must_use]
    pub fn resume_at(end_of_log: Lsn) -> Self {
        Self { appended: end_of_log, taken: end_of_log, durable: end_of_log, ..Self::default() }
    }

    /// The records that are not yet written, in order. Each one's position follows the one before.
    pub fn take_records(&mut self) -> impl Iterator<Item = (Lsn, Record)> + '_ {
        let first = self.taken.0 + 1;
        self.taken = self.appended;
        self.records.drain(..).zip(first..).map(|(record, lsn)| (Lsn(lsn), record))
    }

    /// Whether there are records to write.
    #[must_use]
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// The position of the last record appended.
    #[must_use]
    pub fn appended(&self) -> Lsn {
        self.appended
    }

    /// Every record up to `upto` is durable.
    ///
    /// # Panics
    /// When durability would go backwards or past what was taken: a fault of the driver.
    pub fn mark_durable(&mut self, upto: Lsn) {
        assert!(self.durable <= upto, "durability went backwards: {:?} then {upto:?}", self.durable);
        assert!(upto <= self.taken, "durable past what was written: {upto:?} after {:?}", self.taken);
        self.durable = upto;
    }

    /// Whether every record appended so far is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable == self.appended
    }

    /// Whether there is nothing in it at all, neither what can be done now nor what waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.sends.is_empty()
            && self.free.is_empty()
            && self.tasks.is_empty()
            && self.evidence.is_empty()
    }

    /// The next message that may leave.
    pub fn next_send(&mut self) -> Option<Envelope> {
        if let Some(envelope) = self.free.pop_front() {
            return Some(envelope);
        }
        let (barrier, _) = self.sends.front()?;
        if self.durable < *barrier && !Mutant::GateOpen.is_on() {
            return None;
        }
        self.sends.pop_front().map(|(_, envelope)| envelope)
    }

    /// The next piece of work that may begin.
    pub fn next_task(&mut self) -> Option<Task> {
        let (barrier, _) = self.tasks.front()?;
        if self.durable < *barrier && !Mutant::TasksUngated.is_on() {
            return None;
        }
        self.tasks.pop_front().map(|(_, task)| task)
    }

    /// The next piece of evidence found.
    pub fn next_evidence(&mut self) -> Option<Arc<Evidence>> {
        self.evidence.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::World;
    use crate::vote::Phase;

    /// A gated message and one that is not, told apart by their kinds.
    fn gated() -> Message {
        Message::StableCheckpoint(Arc::new(World::new(4).checkpoint_certificate(4, 1)))
    }

    fn free() -> Message {
        Message::Fetch(Arc::new(Vec::new()))
    }

    fn record(slot: u64) -> Record {
        Record::StateInstalled(Slot(slot))
    }

    fn sent(outbox: &mut Outbox) -> Vec<&'static str> {
        std::iter::from_fn(|| outbox.next_send()).map(|envelope| envelope.message.kind()).collect()
    }

    fn evidence() -> Arc<Evidence> {
        let world = World::new(4);
        let votes = [1, 2].map(|batch| world.vote(1, Phase::Prepare, 0, &[(3, batch)]));
        Arc::new(Evidence::from_votes(&votes[0], &votes[1]).expect("two batches"))
    }

    // Rule G1.
    #[test]
    fn nothing_leaves_before_every_record_appended_before_it_is_durable() {
        let mut outbox = Outbox::default();
        for slot in 1..=2 {
            outbox.persist(record(slot));
            outbox.send(Target::All, gated());
            outbox.task(Task::DropSnapshots(vec![Slot(slot)]));
        }
        outbox.send(Target::All, free());
        let lsns: Vec<Lsn> = outbox.take_records().map(|(lsn, _)| lsn).collect();
        assert_eq!(lsns, [Lsn(1), Lsn(2)]);
        assert_eq!(sent(&mut outbox), ["FETCH"], "what holds no signature waits for nothing");
        assert!(outbox.next_task().is_none() && !outbox.is_durable());
        outbox.mark_durable(Lsn(1));
        assert_eq!(sent(&mut outbox), ["STABLE-CHECKPOINT"]);
        assert!(matches!(outbox.next_task(), Some(Task::DropSnapshots(slots)) if slots == [Slot(1)]));
        assert!(outbox.next_task().is_none() && !outbox.is_durable());
        outbox.mark_durable(Lsn(2));
        assert_eq!(sent(&mut outbox), ["STABLE-CHECKPOINT"]);
        assert!(outbox.next_task().is_some() && outbox.is_durable() && outbox.is_empty());
    }

    #[test]
    fn records_are_numbered_on_from_the_end_of_the_log_and_given_out_once() {
        let mut outbox = Outbox::resume_at(Lsn(7));
        assert!(outbox.is_durable() && !outbox.has_records());
        assert_eq!(outbox.appended(), Lsn(7));
        outbox.persist(record(1));
        assert!(outbox.has_records());
        outbox.persist(record(2));
        assert_eq!(outbox.appended(), Lsn(9));
        assert_eq!(outbox.take_records().collect::<Vec<_>>(), [(Lsn(8), record(1)), (Lsn(9), record(2))]);
        assert_eq!(outbox.take_records().next(), None);
        outbox.persist(record(3));
        assert_eq!(outbox.take_records().collect::<Vec<_>>(), [(Lsn(10), record(3))]);
    }

    #[test]
    fn an_outbox_is_empty_only_without_anything_of_any_kind() {
        let fill: [fn(&mut Outbox); 5] = [
            |outbox| outbox.persist(record(1)),
            |outbox| outbox.send(Target::All, gated()),
            |outbox| outbox.send(Target::All, free()),
            |outbox| outbox.task(Task::DropSnapshots(Vec::new())),
            |outbox| outbox.report(evidence()),
        ];
        assert!(Outbox::default().is_empty());
        for (kind, fill) in fill.into_iter().enumerate() {
            let mut outbox = Outbox::default();
            fill(&mut outbox);
            assert!(!outbox.is_empty(), "kind {kind}");
        }
    }

    #[test]
    fn evidence_is_shown_once_and_waits_for_nothing() {
        let mut outbox = Outbox::default();
        outbox.persist(record(1));
        outbox.report(evidence());
        assert_eq!(outbox.next_evidence(), Some(evidence()));
        assert_eq!(outbox.next_evidence(), None);
    }

    #[test]
    #[should_panic(expected = "durability went backwards")]
    fn durability_does_not_go_backwards() {
        let mut outbox = Outbox::resume_at(Lsn(7));
        outbox.mark_durable(Lsn(7));
        outbox.mark_durable(Lsn(6));
    }

    #[test]
    #[should_panic(expected = "durable past what was written")]
    fn what_was_not_taken_is_not_durable() {
        let mut outbox = Outbox::default();
        outbox.persist(record(1));
        outbox.mark_durable(Lsn(1));
    }
}
