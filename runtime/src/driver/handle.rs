//! The way in for whoever runs a driver: requests, questions, and the order to stop.

use super::ingest::IngestCounts;
use super::waiters::{Waiters, Waiting};
use cretoai_core::Ignored;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::replica::{Halt, Replica};
use cretoai_core::request::{ClientRequest, RequestId};
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{Slot, View};
use cretoai_core::verify::Verified;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What a replica is at, published after every round of the driver's loop in which it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The installed view.
    pub view: View,
    /// The view it wants to enter, while it changes views.
    pub target: Option<View>,
    /// The stable checkpoint.
    pub stable: Slot,
    /// The last slot handed to the application.
    pub executed: Slot,
    /// The last slot that the application has executed.
    pub applied: Slot,
    /// The back-off exponent `k`.
    pub back_off: u32,
    /// The current time-out.
    pub timeout: Duration,
    /// Vertices that it waits to see executed.
    pub pending: usize,
    /// Why it stopped for good, if it did.
    pub halted: Option<Halt>,
    /// Whether its state contradicts a certified one and is being replaced.
    pub diverged: bool,
    /// Whether a state is being transferred.
    pub transferring: bool,
    /// Whether it keeps silent because its log was cut, or is new, and others have not told what they hold of it.
    pub silent: bool,
    /// Whether execution stands at the high watermark: no checkpoint becomes stable (`docs/protocol.md` T17).
    pub halted_at_high: bool,
    /// Proposals that came late though their primary was not suspected, since the start (`docs/protocol.md` T18).
    pub slow_proposals: u64,
    /// Who is banned in the next slot (`docs/protocol.md` X14).
    pub banned: ReplicaSet,
    /// When this was so.
    pub at: Instant,
}

impl Status {
    /// What a replica is at.
    #[must_use]
    pub fn of(replica: &Replica, at: Instant) -> Self {
        Self {
            view: replica.view(),
            target: replica.target(),
            stable: replica.stable(),
            executed: replica.executed(),
            applied: replica.applied(),
            back_off: replica.back_off(),
            timeout: replica.timeout(),
            pending: replica.pending(),
            halted: replica.halted(),
            diverged: replica.has_diverged(),
            transferring: replica.is_transferring(),
            silent: replica.is_silent(),
            halted_at_high: replica.is_halted_at_high(),
            slow_proposals: replica.slow_proposals(),
            banned: replica.ledger().standings().banned(),
            at,
        }
    }

    /// Whether it takes part: it may vote, and is in a view.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.target.is_none() && self.halted.is_none() && !self.diverged && !self.silent
    }
}

/// Requests for the replica, with where to say what it thinks of them.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) requests: Vec<Verified<Arc<ClientRequest>>>,
    pub(super) taken: oneshot::Sender<Vec<Result<(), Ignored>>>,
}

/// A question to the application, answered between two slots.
pub(super) type Question<A> = Box<dyn FnOnce(&A) + Send>;

/// The driver is gone, or about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replica is shutting down")]
pub struct Stopping;

/// The way in. Cheap to clone; the driver goes on when all handles are dropped.
#[derive(Debug)]
pub struct Handle<A> {
    pub(super) chain: Arc<Chain>,
    pub(super) submissions: mpsc::Sender<Submission>,
    pub(super) questions: mpsc::Sender<Question<A>>,
    pub(super) waiters: Waiters,
    pub(super) status: watch::Receiver<Status>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) counts: Arc<IngestCounts>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            chain: Arc::clone(&self.chain),
            submissions: self.submissions.clone(),
            questions: self.questions.clone(),
            waiters: self.waiters.clone(),
            status: self.status.clone(),
            stop: self.stop.clone(),
            counts: Arc::clone(&self.counts),
        }
    }
}

impl<A> Handle<A> {
    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// Gives requests to the replica. What it thinks of each: taken, or the reason why it is moot; `Full` means that
    /// its queue has no room now. Waits while the driver is busy.
    ///
    /// # Errors
    /// [`Stopping`] when the driver takes nothing any more.
    pub async fn submit(
        &self,
        requests: Vec<Verified<Arc<ClientRequest>>>,
    ) -> Result<Vec<Result<(), Ignored>>, Stopping> {
        let (taken, answer) = oneshot::channel();
        self.submissions.send(Submission { requests, taken }).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// Waits for what becomes of requests at this replica. To be called before they are submitted. `None` when too many
    /// requests are waited for already.
    #[must_use]
    pub fn wait(&self, ids: &[RequestId]) -> Option<Waiting> {
        self.waiters.wait(ids)
    }

    /// Asks the application, between two slots.
    ///
    /// # Errors
    /// [`Stopping`] when the driver takes nothing any more.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&A) -> T + Send + 'static) -> Result<T, Stopping> {
        let (answer, asked) = oneshot::channel();
        let question: Question<A> = Box::new(move |application| {
            let _ = answer.send(question(application));
        });
        self.questions.send(question).await.map_err(|_| Stopping)?;
        asked.await.map_err(|_| Stopping)
    }

    /// What the replica is at, now and whenever it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// What became of the frames that peers sent.
    #[must_use]
    pub fn counts(&self) -> &Arc<IngestCounts> {
        &self.counts
    }

    /// Tells the driver to stop: what is on its way to the disk still gets there, and what waits for it still leaves.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}
