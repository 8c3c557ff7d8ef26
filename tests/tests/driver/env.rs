//! madsim as the surroundings of a driver.

use cretoai_core::time::Instant;
use cretoai_runtime::env::Env;
use madsim::rand::{Rng, thread_rng};
use std::future::Future;
use std::time::Duration;

/// Simulated time and tasks. What blocks takes some time, and may be cut off by a crash before or after it is done.
#[derive(Clone, Debug)]
pub(crate) struct SimEnv {
    start: madsim::time::Instant,
    /// The longest that a write takes.
    slowest_us: u64,
}

impl SimEnv {
    pub(crate) fn new(slowest_us: u64) -> Self {
        Self { start: madsim::time::Instant::now(), slowest_us }
    }
}

impl Env for SimEnv {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).expect("a short run"))
    }

    async fn sleep_until(&self, at: Instant) {
        let day = 86_400_000_000_000;
        // A timer of madsim may fire a little early.
        while self.now().0 < at.0.min(day) {
            let left = Duration::from_nanos(at.0.min(day) - self.now().0);
            madsim::time::sleep(left.max(Duration::from_micros(1))).await;
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        madsim::task::spawn(task);
    }

    async fn block<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (before, after) =
            (thread_rng().gen_range(0..=self.slowest_us), thread_rng().gen_range(0..=self.slowest_us));
        madsim::time::sleep(Duration::from_micros(before / 2)).await;
        let done = work();
        madsim::time::sleep(Duration::from_micros(after / 2)).await;
        done
    }
}
