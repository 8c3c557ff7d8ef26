//! The application's task: slots, snapshots and questions, one after another, away from the driver's task
//! (`docs/protocol.md` N13, N14, C12).

use super::Fatal;
use super::handle::Question;
use crate::env::Env;
use crate::store::{FinalizedSlot, Store, StoredSnapshot};
use crate::transport::Frame;
use cretoai_core::application::Application;
use cretoai_core::bytes::Bytes;
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::{CoreSnapshot, chunk_hash};
use cretoai_core::message::{Data, Message};
use cretoai_core::outbox::Execution;
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_core::wire;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Something to do, in the order in which the replica gave it out.
pub(super) enum Work {
    Execute(Execution),
    Snapshot(Arc<CoreSnapshot>),
    Restore(Arc<CoreSnapshot>, Vec<Arc<Bytes>>),
    Serve(ReplicaId, Slot, Digest),
    Drop(Vec<Slot>),
    /// The log can be trusted.
    Trust,
    /// Everything before it is done.
    Finish(oneshot::Sender<()>),
}

/// Something that was done.
#[derive(Debug)]
pub(super) enum Completion {
    Executed(Slot, Vec<Bytes>),
    Stored(Slot, Vec<Digest>),
    Chunk(ReplicaId, Frame),
}

/// Pieces of work that are done in one go, at the most: between them, questions are answered.
const BATCH: usize = 64;

/// The application with what belongs to it.
struct Host<A, S> {
    application: A,
    store: Arc<S>,
    checkpoint_interval: u64,
    /// The application's state after the last checkpoint slot.
    fixed: Option<(Slot, Vec<Arc<Bytes>>)>,
}

type Ends = (mpsc::UnboundedSender<Work>, mpsc::UnboundedReceiver<Result<Completion, Fatal>>);

/// Starts the application's task. What the replica gives out is bounded by its window, so neither queue grows without
/// bound.
pub(super) fn start<E, A, S>(
    env: &E,
    application: A,
    store: Arc<S>,
    chain: &Chain,
    mut questions: mpsc::Receiver<Question<A>>,
) -> Ends
where
    E: Env,
    A: Application + Send + 'static,
    S: Store,
{
    let (work, mut due) = mpsc::unbounded_channel::<Work>();
    let (done, completions) = mpsc::unbounded_channel();
    let failed = done.clone();
    let checkpoint_interval = chain.checkpoint_interval();
    let mut host = Host { application, store, checkpoint_interval, fixed: None };
    let blocking = env.clone();
    env.spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                count = due.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    let work = std::mem::take(&mut batch);
                    let done = done.clone();
                    let (back, result) = blocking.block(move || {
                        let result = host.perform_all(work, &done);
                        (host, result)
                    }).await;
                    host = back;
                    if let Err(fatal) = result {
                        let _ = failed.send(Err(fatal));
                        return;
                    }
                }
                Some(question) = questions.recv() => question(&host.application),
            }
        }
    });
    (work, completions)
}

type Done = mpsc::UnboundedSender<Result<Completion, Fatal>>;

impl<A: Application, S: Store> Host<A, S> {
    /// Does all of it in order. Finalized slots that follow each other are written together.
    fn perform_all(&mut self, work: Vec<Work>, done: &Done) -> Result<(), Fatal> {
        let mut finalized = Vec::new();
        for work in work {
            if !matches!(work, Work::Execute(_)) {
                self.finalize(&mut finalized)?;
            }
            match work {
                Work::Execute(execution) => finalized.push(self.execute(execution, done)),
                Work::Snapshot(core) => self.snapshot(core, done)?,
                Work::Restore(core, app) => self.restore(core, app)?,
                Work::Serve(to, slot, hash) => self.serve(to, slot, hash, done)?,
                Work::Drop(slots) => self.store.drop_snapshots(&slots)?,
                Work::Trust => self.store.trust()?,
                Work::Finish(finished) => {
                    let _ = finished.send(());
                }
            }
        }
        self.finalize(&mut finalized)
    }

    fn finalize(&mut self, finalized: &mut Vec<FinalizedSlot>) -> Result<(), Fatal> {
        if !finalized.is_empty() {
            self.store.finalize(finalized)?;
            finalized.clear();
        }
        Ok(())
    }

    fn execute(&mut self, execution: Execution, done: &Done) -> FinalizedSlot {
        let results = self.application.execute(&execution);
        let Execution { slot, time, listed, .. } = execution;
        if slot.is_checkpoint(self.checkpoint_interval) {
            // Before the replica hears of it: the next slot is given out only then, so the state stands still.
            let chunks = self.application.snapshot().into_iter().map(Arc::new).collect();
            self.fixed = Some((slot, chunks));
        }
        let _ = done.send(Ok(Completion::Executed(slot, results)));
        FinalizedSlot { slot, time, listed }
    }

    fn snapshot(&mut self, core: Arc<CoreSnapshot>, done: &Done) -> Result<(), Fatal> {
        let (slot, app) = self.fixed.take().expect("a checkpoint slot was executed");
        assert_eq!(slot, core.slot, "the snapshot that is asked for is of the last checkpoint slot");
        let hashes = app.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
        self.store.put_snapshot(&StoredSnapshot { core, app })?;
        let _ = done.send(Ok(Completion::Stored(slot, hashes)));
        Ok(())
    }

    fn restore(&mut self, core: Arc<CoreSnapshot>, app: Vec<Arc<Bytes>>) -> Result<(), Fatal> {
        let chunks: Vec<&[u8]> = app.iter().map(|chunk| chunk.0.as_slice()).collect();
        self.application.restore(&chunks).map_err(|error| Fatal::Application(error.to_string()))?;
        self.fixed = None;
        self.store.put_snapshot(&StoredSnapshot { core, app })?;
        Ok(())
    }

    fn serve(&mut self, to: ReplicaId, slot: Slot, hash: Digest, done: &Done) -> Result<(), Fatal> {
        if let Some(chunk) = self.store.chunk(slot, hash)? {
            let frame = wire::encode(&Message::Data(Arc::new(Data::Chunk(chunk)))).into();
            let _ = done.send(Ok(Completion::Chunk(to, frame)));
        }
        Ok(())
    }
}
