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
