//! Where a driver runs: its clock, its timers, its tasks (`docs/protocol.md` A9, T1).
//!
//! The driver sees nothing of its surroundings but this trait, so that the very same driver runs on tokio in production
//! and under simulated time in tests.

use cretoai_core::time::Instant;
use std::future::Future;

/// What a driver needs of its surroundings. Cheap to clone: every task has one.
pub trait Env: Clone + Send + Sync + 'static {
    /// Nanoseconds since the genesis on this machine's clock. Never less than before.
    fn now(&self) -> Instant;

    /// Waits until [`now`](Self::now) has reached a moment.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send;

    /// Runs a task beside the others. It ends with its future, or with its surroundings.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Does work that blocks or computes for long, where it holds up no task.
    fn block<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> + Send;
}

#[cfg(feature = "tokio-env")]
pub use real::TokioEnv;

#[cfg(feature = "tokio-env")]
mod real {
    use super::{Env, Future, Instant};
    use std::time::{Duration, SystemTime};

    /// The real world: the machine's clock, and tasks and threads of tokio. Made and used within a tokio runtime.
    #[derive(Clone, Copy, Debug)]
    pub struct TokioEnv {
        /// When this was made, and what the clock showed then. From there on only the monotonic clock counts, so that
        /// nobody who sets the machine's time moves a deadline.
        start: tokio::time::Instant,
        shown: Instant,
    }

    impl TokioEnv {
        /// The clock of a chain whose genesis was at this moment. Before it, the clock shows the genesis.
        #[must_use]
        pub fn new(genesis: SystemTime) -> Self {
            let since = SystemTime::now().duration_since(genesis).unwrap_or_default();
            let shown = Instant(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
            Self { start: tokio::time::Instant::now(), shown }
        }
    }

    impl Env for TokioEnv {
        fn now(&self) -> Instant {
            let since = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            Instant(self.shown.0.saturating_add(since))
        }

        async fn sleep_until(&self, at: Instant) {
            // Nobody waits for longer than a day; whoever does is woken once a day.
            const LONGEST: Duration = Duration::from_secs(86_400);
            let wait = Duration::from_nanos(at.0.saturating_sub(self.shown.0));
            let due = self.start.checked_add(wait).unwrap_or_else(tokio::time::Instant::now);
            tokio::time::sleep_until(due.min(tokio::time::Instant::now() + LONGEST)).await;
        }

        fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            tokio::spawn(task);
        }

        async fn block<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
            match tokio::task::spawn_blocking(work).await {
                Ok(done) => done,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }
}
