//! The replica's clockwork (`docs/protocol.md` T2 to T8). There is nothing to set or cancel from outside: the driver
//! feeds a tick when the replica's deadline has come.

use crate::config::Timeouts;
use crate::time::{Duration, Instant};

/// The timers whose deadlines depend on how long this replica was waiting for itself.
#[derive(Clone, Debug)]
pub struct Timers {
    timeouts: Timeouts,
    /// `k`, the back-off exponent.
    back_off: u32,
    /// When the view was installed or `T_vc` stopped, whichever is later, and the time held back by then.
    base: Mark,
    /// `T_vc`, while it runs.
    view_change: Option<Mark>,
    /// Time for which the timers were held back in the past.
    held_back: Duration,
    /// Since when they are held back now.
    held_since: Option<Instant>,
}

/// A moment, with the time for which timers had been held back by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    at: Instant,
    held_back: Duration,
}

impl Timers {
    /// Timers at genesis or after a restart.
    #[must_use]
    pub fn new(timeouts: Timeouts, now: Instant) -> Self {
        let base = Mark { at: now, held_back: Duration::ZERO };
        Self { timeouts, back_off: 0, base, view_change: None, held_back: Duration::ZERO, held_since: None }
    }

    /// `T(k) = min(T_max, T0 * 2^k)` for the current exponent (`docs/protocol.md` T2).
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_at(self.back_off)
    }

    fn timeout_at(&self, exponent: u32) -> Duration {
        let doubled = 1_u64.checked_shl(exponent).unwrap_or(u64::MAX);
        self.timeouts.base.times(doubled).min(self.timeouts.max)
    }

    /// `k`.
    #[must_use]
    pub fn back_off(&self) -> u32 {
        self.back_off
    }

    /// A new view-change target: double the timeout, unless it is at its maximum (`docs/protocol.md` T3).
    pub fn double(&mut self) {
        if self.timeout() < self.timeouts.max {
            self.back_off += 1;
        }
    }

    /// A stable checkpoint: halve the timeout if requests were executed well within it (`docs/protocol.md` T4).
    pub fn decay(&mut self, latency: Duration) {
        if 0 < self.back_off && latency < self.timeout_at(self.back_off - 1).over(2) {
            self.back_off -= 1;
        }
    }

    /// Notes whether this replica waits for itself: then a new primary could not help (`docs/protocol.md` T7).
    pub fn hold(&mut self, waiting: bool, now: Instant) {
        match (waiting, self.held_since) {
            (true, None) => self.held_since = Some(now),
            (false, Some(since)) => {
                self.held_back = self.held_back + now.since(since);
                self.held_since = None;
            }
            _ => {}
        }
    }

    /// The time for which timers were held back until `now`.
    #[must_use]
    pub fn held_back(&self, now: Instant) -> Duration {
        self.held_back + self.held_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    fn mark(&self, now: Instant) -> Mark {
        Mark { at: now, held_back: self.held_back(now) }
    }

    /// When `T(k)` from `start` ends, held back by at most `T(k)`; never while it is held back now.
    fn due(&self, start: Mark) -> Option<Instant> {
        if self.held_since.is_some() {
            return None;
        }
        let pause = Duration(self.held_back.0 - start.held_back.0).min(self.timeout());
        Some(start.at + self.timeout() + pause)
    }

    /// When `T_req` fires for a vertex pending since then (`docs/protocol.md` T6).
    #[must_use]
    pub fn request_due(&self, since: Instant, held_back: Duration) -> Option<Instant> {
        let pending = Mark { at: since, held_back };
        self.due(if self.base.at < since { pending } else { self.base })
    }

    /// The later of `since` and the last installation of a view.
    #[must_use]
    pub fn since_view(&self, since: Instant) -> Instant {
        since.max(self.base.at)
    }

    /// Starts `T_vc`, unless it runs already.
    pub fn start_view_change(&mut self, now: Instant) {
        let mark = self.mark(now);
        self.view_change.get_or_insert(mark);
    }

    /// A new target: `T_vc` waits for its own quorum.
    pub fn leave_view(&mut self) {
        self.view_change = None;
    }

    /// A view is installed. `T_vc` goes on, but from now on it is held back as `T_req` is.
    pub fn enter_view(&mut self, now: Instant) {
        self.base = self.mark(now);
        let held_back = self.base.held_back;
        if let Some(running) = &mut self.view_change {
            running.held_back = held_back;
        }
    }

    /// The new view works: `T_vc` stops.
    pub fn stop_view_change(&mut self, now: Instant) {
        if self.view_change.take().is_some() {
            self.base = self.mark(now);
        }
    }

    /// Whether `T_vc` runs.
    #[must_use]
    pub fn is_changing_view(&self) -> bool {
        self.view_change.is_some()
    }

    /// When `T_vc` ends. Before the new view is installed nothing holds it back.
    #[must_use]
    pub fn view_change_due(&self, installed: bool) -> Option<Instant> {
        let running = self.view_change?;
        if installed { self.due(running) } else { Some(running.at + self.timeout()) }
    }
}
