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

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration(100);

    /// Timers with `T0` = 100 and `T_max` = 400, started at 1000.
    fn timers() -> Timers {
        Timers::new(Timeouts { max: Duration(400), ..Timeouts::from_base(BASE) }, Instant(1000))
    }

    fn due(timers: &Timers, since: u64) -> Option<u64> {
        timers.request_due(Instant(since), Duration::ZERO).map(|due| due.0)
    }

    // Rules T2 and T3.
    #[test]
    fn the_timeout_doubles_up_to_its_maximum_and_the_exponent_stops_there() {
        let mut timers = timers();
        let seen = [(); 5].map(|()| {
            let now = (timers.back_off(), timers.timeout().0);
            timers.double();
            now
        });
        assert_eq!(seen, [(0, 100), (1, 200), (2, 400), (2, 400), (2, 400)]);
        let huge = Timeouts { max: Duration(u64::MAX), ..Timeouts::from_base(Duration(1)) };
        assert_eq!(Timers::new(huge, Instant(0)).timeout_at(64), Duration(u64::MAX), "no shift is too far");
        assert_eq!(Timers::new(huge, Instant(0)).timeout_at(63), Duration(1 << 63));
    }

    // Rule T4.
    #[test]
    fn the_timeout_is_halved_only_where_half_of_the_half_was_enough() {
        let mut timers = timers();
        timers.decay(Duration::ZERO);
        assert_eq!(timers.back_off(), 0, "there is nothing to halve");
        timers.double();
        timers.double();
        timers.decay(Duration(100));
        assert_eq!(timers.back_off(), 2, "T0 * 2 / 2 was just reached");
        timers.decay(Duration(99));
        assert_eq!(timers.back_off(), 1);
        timers.decay(Duration(49));
        assert_eq!(timers.back_off(), 0);
    }

    // Rule T6.
    #[test]
    fn a_request_is_due_a_timeout_after_it_became_pending_or_the_view_began() {
        let mut timers = timers();
        assert_eq!([900, 1000, 1001].map(|since| due(&timers, since)), [Some(1100), Some(1100), Some(1101)]);
        assert_eq!([999, 1001].map(|since| timers.since_view(Instant(since))), [Instant(1000), Instant(1001)]);
        timers.enter_view(Instant(1500));
        assert_eq!([1400, 1600].map(|since| due(&timers, since)), [Some(1600), Some(1700)]);
    }

    // Rule T7.
    #[test]
    fn waiting_for_oneself_holds_a_request_back_by_at_most_a_timeout() {
        let mut timers = timers();
        timers.hold(true, Instant(1010));
        timers.hold(true, Instant(1020));
        assert_eq!(timers.held_back(Instant(1030)), Duration(20), "since it began");
        assert_eq!(due(&timers, 1000), None, "nothing fires meanwhile");
        timers.hold(false, Instant(1040));
        timers.hold(false, Instant(1090));
        assert_eq!(timers.held_back(Instant(1099)), Duration(30));
        assert_eq!(due(&timers, 1000), Some(1130));
        let later = timers.request_due(Instant(1050), Duration(30));
        assert_eq!(later, Some(Instant(1150)), "what became pending afterwards was not held back");
        timers.hold(true, Instant(1100));
        timers.hold(false, Instant(1300));
        assert_eq!(timers.held_back(Instant(1300)), Duration(230), "both times together");
        assert_eq!(due(&timers, 1000), Some(1200), "once the timeout, and no more");
        timers.enter_view(Instant(1300));
        assert_eq!(due(&timers, 1000), Some(1400), "a new view begins without a pause");
    }

    // Rule T8.
    #[test]
    fn the_view_change_has_a_timeout_that_nothing_holds_back_before_the_new_view() {
        let mut timers = timers();
        assert_eq!((timers.view_change_due(false), timers.is_changing_view()), (None, false));
        timers.start_view_change(Instant(1010));
        timers.start_view_change(Instant(1020));
        assert!(timers.is_changing_view());
        timers.hold(true, Instant(1030));
        assert_eq!(timers.view_change_due(false), Some(Instant(1110)), "from its first start");
        assert_eq!(timers.view_change_due(true), None, "in the new view it is held back");
        timers.enter_view(Instant(1040));
        timers.hold(false, Instant(1045));
        assert_eq!(timers.view_change_due(true), Some(Instant(1115)), "by what came after the installation");
        timers.stop_view_change(Instant(1060));
        assert_eq!((timers.view_change_due(true), timers.is_changing_view()), (None, false));
        assert_eq!(due(&timers, 1000), Some(1160), "requests are given a whole timeout again");
        timers.stop_view_change(Instant(1080));
        assert_eq!(due(&timers, 1000), Some(1160), "it stops once");
        timers.start_view_change(Instant(1200));
        timers.leave_view();
        assert_eq!((timers.view_change_due(false), timers.is_changing_view()), (None, false));
        assert_eq!(due(&timers, 1000), Some(1160), "a new target is no new view");
    }
}
