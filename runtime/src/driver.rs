//! The driver: one task owns the replica (`docs/protocol.md` A9, G1 to G6).
//!
//! ```text
//!  frames ──► ingest, one task for each peer: decode, admit, verify ──┐
//!  clients ──► Handle::submit ────────────────────────────────────────┤
//!  the replica's own deadline ────────────────────────────────────────┼──► Replica::step ──► Outbox
//!  log writer: "durable up to here" ──────────────────────────────────┤                        │
//!  application: "executed", "snapshot durable" ───────────────────────┘        records, sends, tasks
//! ```
//!
//! The loop takes everything that is ready before it looks into the outbox, so records of many steps become one write:
//! that is group commit. While the log is being written, further steps fill the next write.

mod application;
mod handle;
mod ingest;
mod log;
mod waiters;

pub use handle::{Handle, Status, Stopping};
pub use ingest::IngestCounts;
pub use waiters::{Answer, Waiting};

use crate::env::Env;
use crate::store::{Recovered, Store, StoreError};
use crate::transport::{Class, Frame, Transport};
use application::{Completion, Work};
use cretoai_core::application::Application;
use cretoai_core::bytes::Bytes;
use cretoai_core::config::{Chain, Config};
use cretoai_core::evidence::Evidence;
use cretoai_core::input::{Ignored, Input};
use cretoai_core::ledger::CoreSnapshot;
use cretoai_core::message::Message;
use cretoai_core::outbox::{Envelope, Execution, Outbox, Target, Task};
use cretoai_core::record::Record;
use cretoai_core::replica::{Admission, OwnSnapshot, RecoverError, Replica};
use cretoai_core::reply::Reply;
use cretoai_core::request::ClientRequest;
use cretoai_core::signature::{SignatureVerifier, Signer};
use cretoai_core::time::Instant;
use cretoai_core::types::{Lsn, ReplicaId, Slot};
use cretoai_core::verify::{Verified, Verifier};
use cretoai_core::wire;
use handle::Submission;
use ingest::Arrival;
use log::{Appended, Write};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use waiters::Waiters;

/// What happens at a replica, for metrics and for oracles: everything in the order in which it becomes true.
#[derive(Debug)]
pub enum Event<'a> {
    /// The replica came back from what its disk holds. Also records of which nobody heard before a crash are there.
    Recovered(&'a Replica, &'a Recovered),
    /// A record is durable, at this place of the log.
    Recorded(Lsn, &'a Record),
    /// A verified message is about to be given to the replica, over the link from another.
    Received(ReplicaId, &'a Message),
    /// A message leaves.
    Released(&'a Envelope),
    /// The replica took a step.
    Stepped(&'a Replica, Result<(), Ignored>),
    /// A slot is given to the application.
    Executes(&'a Execution),
    /// The application has executed a slot, with these results.
    Executed(Slot, &'a [Bytes]),
    /// A transferred state takes the place of the own one: the protocol's part, and the application's chunks.
    Restored(&'a Arc<CoreSnapshot>, &'a [Arc<Bytes>]),
    /// Evidence was found.
    Accused(&'a Evidence),
    /// A slot was answered.
    Replied(&'a Reply),
}

/// Hears what happens. Called on the driver's task, so it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Hears nothing.
impl Observer for () {
    fn event(&self, _: &Event<'_>) {}
}

/// What a driver runs.
pub struct Setup<A> {
    /// The chain.
    pub chain: Arc<Chain>,
    /// The replica's own configuration.
    pub config: Config,
    /// Signs as the replica.
    pub signer: Box<dyn Signer>,
    /// Checks everybody's signatures.
    pub signatures: Arc<dyn SignatureVerifier>,
    /// The application at genesis.
    pub application: A,
}

impl<A: fmt::Debug> fmt::Debug for Setup<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why a driver ended.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The disk failed. Nothing was sent after that (`docs/protocol.md` G6).
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the disk holds describes no replica.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The application cannot take up a state that a quorum certified, or that it gave out itself.
    #[error("the application: {0}")]
    Application(String),
    /// A task of the driver ended before its time.
    #[error("a task of the driver ended unexpectedly")]
    Broken,
}

/// Requests and messages in a queue, at the most; behind it, whoever brings more waits.
const QUEUE: usize = 1024;

/// Inputs that are taken before the outbox is looked at, at the most.
const ROUND: usize = 256;

/// A replica with everything that drives it.
pub struct Driver<E, T, O> {
    env: E,
    chain: Arc<Chain>,
    transport: Arc<T>,
    observer: Arc<O>,
    replica: Replica,
    outbox: Outbox,
    admission: watch::Sender<Admission>,
    status: watch::Sender<Status>,
    waiters: Waiters,
    arrivals: mpsc::Receiver<Arrival>,
    submissions: mpsc::Receiver<Submission>,
    writes: mpsc::UnboundedSender<Write>,
    appended: mpsc::UnboundedReceiver<Result<Appended, StoreError>>,
    work: mpsc::UnboundedSender<Work>,
    completions: mpsc::UnboundedReceiver<Result<Completion, Fatal>>,
    stop: watch::Receiver<bool>,
    /// The records on disk that may still be needed, for pruning.
    log: VecDeque<(Lsn, Record)>,
    /// Records of the write under way.
    writing: Option<Vec<(Lsn, Record)>>,
    /// A stable checkpoint became durable since the log was last pruned.
    prunable: bool,
    obsolete: Vec<Lsn>,
    trust: Trust,
}

/// Whether the store still has to be told that its log can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// The store knows.
    Whole,
    /// The replica keeps silent.
    Cut,
}

impl<E, T, O> fmt::Debug for Driver<E, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("replica", &self.replica.id()).finish_non_exhaustive()
    }
}

impl<E: Env, T: Transport, O: Observer> Driver<E, T, O> {
    /// A driver of the replica that `store` holds, or of one at genesis. It does nothing until it [runs](Self::run).
    ///
    /// # Errors
    /// [`Fatal`] when the disk cannot be read, or what it holds describes no replica.
    pub async fn start<S: Store, A: Application + Send + 'static>(
        env: E,
        setup: Setup<A>,
        store: Arc<S>,
        transport: Arc<T>,
        observer: Arc<O>,
    ) -> Result<(Self, Handle<A>), Fatal> {
        let Setup { chain, config, signer, signatures, mut application } = setup;
        let reading = Arc::clone(&store);
        let recovered = env.block(move || reading.recover()).await?;
        let replica = recover(&chain, config, signer, &recovered)?;
        if let Some(newest) = recovered.snapshots.iter().find(|snapshot| snapshot.core.slot == replica.applied()) {
            let chunks: Vec<&[u8]> = newest.app.iter().map(|chunk| chunk.0.as_slice()).collect();
            application.restore(&chunks).map_err(|error| Fatal::Application(error.to_string()))?;
        }
        observer.event(&Event::Recovered(&replica, &recovered));
        let (admission, admitted) = watch::channel(replica.admission());
        let (status, status_seen) = watch::channel(Status::of(&replica, env.now()));
        let (stop, stopping) = watch::channel(false);
        let verifier = Arc::new(Verifier::new(Arc::clone(&chain), signatures));
        let counts = Arc::new(IngestCounts::default());
        let arrivals = ingest::start(&env, &chain, replica.id(), &transport, &verifier, &admitted, &counts);
        let (writes, appended) = log::start(&env, Arc::clone(&store));
        let waiters = Waiters::default();
        let (questions, asked) = mpsc::channel(QUEUE);
        let (work, completions) = application::start(&env, application, store, &chain, asked);
        let (submissions, submitted) = mpsc::channel(QUEUE);
        let driver = Self {
            env,
            chain: Arc::clone(&chain),
            transport,
            observer,
            waiters: waiters.clone(),
            outbox: Outbox::resume_at(recovered.end),
            trust: if replica.is_silent() { Trust::Cut } else { Trust::Whole },
            replica,
            admission,
            status,
            arrivals,
            submissions: submitted,
            writes,
            appended,
            work,
            completions,
            stop: stopping,
            log: recovered.records.into(),
            writing: None,
            prunable: true,
            obsolete: Vec::new(),
        };
        let handle = Handle { chain, submissions, questions, waiters, status: status_seen, stop, counts };
        Ok((driver, handle))
    }

    /// Drives the replica until it is told to stop, or cannot go on.
    ///
    /// # Errors
    /// [`Fatal`] when it cannot go on. Nothing that was not backed by the disk has left then.
    pub async fn run(mut self) -> Result<(), Fatal> {
        while !*self.stop.borrow() {
            self.take_one().await?;
            for _ in 1..ROUND {
                if !self.take_ready()? {
                    break;
                }
            }
            self.give();
            self.publish();
        }
        self.drain().await
    }

    /// Waits for whatever comes first. The order of the branches is the order of urgency: what frees others comes
    /// before what asks for more.
    async fn take_one(&mut self) -> Result<(), Fatal> {
        let deadline = self.replica.deadline().unwrap_or(Instant(u64::MAX));
        if deadline <= self.env.now() {
            // Asked before anything else, or whoever keeps the queues full would stop the clock.
            self.step(Input::Tick);
            return Ok(());
        }
        tokio::select! {
            biased;
            () = changed(&mut self.stop) => {}
            done = self.appended.recv() => self.on_appended(done.ok_or(Fatal::Broken)??),
            done = self.completions.recv() => self.on_completion(done.ok_or(Fatal::Broken)??),
            arrival = self.arrivals.recv() => self.on_arrival(arrival.ok_or(Fatal::Broken)?),
            Some(submission) = self.submissions.recv() => self.on_submission(submission),
            () = self.env.sleep_until(deadline) => self.step(Input::Tick),
        }
        Ok(())
    }

    /// Takes something that is there already. Whether there was anything.
    fn take_ready(&mut self) -> Result<bool, Fatal> {
        if let Ok(done) = self.appended.try_recv() {
            self.on_appended(done?);
        } else if let Ok(done) = self.completions.try_recv() {
            self.on_completion(done?);
        } else if let Ok(arrival) = self.arrivals.try_recv() {
            self.on_arrival(arrival);
        } else if let Ok(submission) = self.submissions.try_recv() {
            self.on_submission(submission);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn step(&mut self, input: Input<'_>) {
        let _ = self.answered_step(input);
    }

    fn answered_step(&mut self, input: Input<'_>) -> Result<(), Ignored> {
        let result = self.replica.step(self.env.now(), input, &mut self.outbox);
        self.observer.event(&Event::Stepped(&self.replica, result));
        result
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        // Whoever sent it may have the next one queued as soon as this one is dealt with.
        let Arrival { from, message, place } = arrival;
        self.observer.event(&Event::Received(from, message.get()));
        self.step(Input::Message(from, &message));
        drop(place);
    }

    fn on_submission(&mut self, submission: Submission) {
        let Submission { requests, taken } = submission;
        // In one piece, so that they share vertices: given one by one, the first few would each be signed, proposed and
        // decided alone.
        let results = match self.answered_step(Input::Requests(&requests)) {
            Ok(()) => vec![Ok(()); requests.len()],
            Err(_) => requests.chunks(1).map(|request| self.taken_or_not(request)).collect(),
        };
        let _ = taken.send(results);
    }

    /// What the replica thinks of a request that came with others, of which it refused some. It is given again: of one
    /// that was taken the replica has to say that it knows it, and that it is not executed yet.
    fn taken_or_not(&mut self, request: &[Verified<Arc<ClientRequest>>]) -> Result<(), Ignored> {
        let is_executed = self.replica.ledger().result(&request[0]).is_some();
        match self.answered_step(Input::Requests(request)) {
            Err(Ignored::Duplicate) if !is_executed => Ok(()),
            result => result,
        }
    }

    fn on_appended(&mut self, appended: Appended) {
        let records = self.writing.take().expect("a write was under way");
        for (lsn, record) in &records {
            self.observer.event(&Event::Recorded(*lsn, record));
            self.prunable |= matches!(record, Record::Stable(_));
        }
        self.log.extend(records);
        self.outbox.mark_durable(appended.upto);
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Executed(slot, results) => {
                self.observer.event(&Event::Executed(slot, &results));
                self.step(Input::Executed(slot, results));
            }
            Completion::Stored(slot, hashes) => self.step(Input::SnapshotDurable(slot, hashes)),
            Completion::Chunk(to, frame) => self.transport.send(to, Class::Bulk, frame),
        }
    }

    /// Does what the replica wants, as far as it can be done now.
    fn give(&mut self) {
        self.prune();
        self.write();
        while let Some(envelope) = self.outbox.next_send() {
            self.send(&envelope);
        }
        while let Some(task) = self.outbox.next_task() {
            self.perform(task);
        }
        while let Some(evidence) = self.outbox.next_evidence() {
            self.observer.event(&Event::Accused(&evidence));
        }
    }

    /// Begins to write, if nothing is being written: what comes meanwhile is the next write.
    fn write(&mut self) {
        if self.writing.is_some() || !self.outbox.has_records() {
            return;
        }
        let records: Vec<_> = self.outbox.take_records().collect();
        let obsolete = std::mem::take(&mut self.obsolete);
        self.writing = Some(records.clone());
        let _ = self.writes.send(Write { records, obsolete });
    }

    /// Which records the log may forget is asked only when all are durable (`docs/protocol.md` G14).
    fn prune(&mut self) {
        if !self.prunable || !self.outbox.is_durable() {
            return;
        }
        self.prunable = false;
        let (replica, obsolete) = (&self.replica, &mut self.obsolete);
        self.log.retain(|(lsn, record)| {
            let is_obsolete = replica.is_obsolete(record);
            if is_obsolete {
                obsolete.push(*lsn);
            }
            !is_obsolete
        });
    }

    fn send(&mut self, envelope: &Envelope) {
        self.observer.event(&Event::Released(envelope));
        let class = Class::of(&envelope.message);
        let frame: Frame = wire::encode(&envelope.message).into();
        match envelope.to {
            Target::One(to) => self.transport.send(to, class, frame),
            Target::All => {
                for to in others(&self.chain, self.replica.id()) {
                    self.transport.send(to, class, Arc::clone(&frame));
                }
            }
        }
    }

    fn perform(&mut self, task: Task) {
        let work = match task {
            Task::Execute(execution) => {
                self.observer.event(&Event::Executes(&execution));
                Work::Execute(execution)
            }
            Task::Snapshot(core) => Work::Snapshot(core),
            Task::Restore(core, app) => {
                self.observer.event(&Event::Restored(&core, &app));
                Work::Restore(core, app)
            }
            Task::ServeChunk(to, slot, hash) => Work::Serve(to, slot, hash),
            Task::DropSnapshots(slots) => Work::Drop(slots),
            Task::Reply(reply) => {
                self.observer.event(&Event::Replied(&reply));
                return self.waiters.answer(&reply);
            }
        };
        let _ = self.work.send(work);
    }

    fn publish(&mut self) {
        let admission = self.replica.admission();
        self.admission.send_if_modified(|known| std::mem::replace(known, admission) != admission);
        let mut status = Status::of(&self.replica, self.status.borrow().at);
        let is_news = status != *self.status.borrow();
        if is_news {
            status.at = self.env.now();
            self.status.send_replace(status);
        }
        if self.trust == Trust::Cut && !self.replica.is_silent() && self.replica.halted().is_none() {
            self.trust = Trust::Whole;
            let _ = self.work.send(Work::Trust);
        }
    }

    /// What was accepted is written, and what waits for it leaves; nothing new is taken.
    async fn drain(&mut self) -> Result<(), Fatal> {
        while self.outbox.has_records() || self.writing.is_some() {
            self.write();
            let done = self.appended.recv().await.ok_or(Fatal::Broken)??;
            self.on_appended(done);
        }
        self.give();
        let (done, ended) = tokio::sync::oneshot::channel();
        let _ = self.work.send(Work::Finish(done));
        ended.await.map_err(|_| Fatal::Broken)
    }
}

/// Waits until somebody says stop. When all handles are gone nobody can, and the driver goes on for ever.
async fn changed(stop: &mut watch::Receiver<bool>) {
    if stop.changed().await.is_err() {
        std::future::pending().await
    }
}

fn recover(
    chain: &Arc<Chain>,
    config: Config,
    signer: Box<dyn Signer>,
    recovered: &Recovered,
) -> Result<Replica, RecoverError> {
    let own = |snapshot: &crate::store::StoredSnapshot| OwnSnapshot {
        core: Arc::clone(&snapshot.core),
        app: snapshot.app.iter().map(|chunk| cretoai_core::ledger::chunk_hash(&chunk.0)).collect(),
    };
    let records = recovered.records.iter().map(|(_, record)| record.clone());
    let mut replica =
        Replica::recover(Arc::clone(chain), config, signer, recovered.snapshots.iter().map(own), records)?;
    if recovered.is_distrusted {
        replica.distrust_log();
    }
    Ok(replica)
}

/// Everybody else.
pub(crate) fn others(chain: &Chain, me: ReplicaId) -> impl Iterator<Item = ReplicaId> + use<'_> {
    chain.committee.members().filter(move |id| *id != me)
}
