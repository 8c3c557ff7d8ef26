//! Clocks of replicas that run ahead or behind.

use cretoai_core::time::Instant;

const MILLION: i64 = 1_000_000;

/// `value * numerator / denominator`, rounded towards negative infinity, without 128 bits: they cost as much as the
/// rest of a step.
fn scale(value: i64, numerator: i64, denominator: i64) -> i64 {
    let (whole, rest) = (value.div_euclid(denominator), value.rem_euclid(denominator));
    whole.saturating_mul(numerator).saturating_add((rest * numerator).div_euclid(denominator))
}

/// One replica's clock as a function of true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    skew_ns: i64,
    drift_ppm: i64,
}

impl Clock {
    /// A clock that is ahead by a skew at the start, and gains some microseconds a second.
    #[must_use]
    pub fn new(skew_us: i64, drift_ppm: i64) -> Self {
        Self { skew_ns: skew_us.saturating_mul(1000), drift_ppm }
    }

    /// What it shows at a moment of true time. Before genesis it shows genesis.
    #[must_use]
    pub fn local(self, time: u64) -> Instant {
        if self == Self::default() {
            return Instant(time);
        }
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        let shown = time.saturating_add(scale(time, self.drift_ppm, MILLION)).saturating_add(self.skew_ns);
        Instant(u64::try_from(shown).unwrap_or(0))
    }

    /// The first moment of true time at which it shows `local` or more.
    #[must_use]
    pub fn when(self, local: Instant) -> u64 {
        if self == Self::default() || local == Instant::GENESIS {
            return local.0;
        }
        let shown = i64::try_from(local.0).unwrap_or(i64::MAX);
        let time = scale(shown.saturating_sub(self.skew_ns), MILLION, MILLION + self.drift_ppm);
        let mut time = u64::try_from(time).unwrap_or(0).saturating_sub(2);
        while self.local(time) < local && time < u64::MAX {
            time += 1;
        }
        time
    }

    /// The same clock, set to another skew.
    #[must_use]
    pub fn set(self, skew_us: i64) -> Self {
        Self::new(skew_us, self.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_found_at_the_first_moment_that_shows_it() {
        for clock in [Clock::default(), Clock::new(-3000, 0), Clock::new(7, 400), Clock::new(12_345, -250)] {
            for local in [0, 1, 999, 3_000_001, 1_000_000_000, 123_456_789_012_345] {
                let time = clock.when(Instant(local));
                assert!(clock.local(time) >= Instant(local), "{clock:?} shows {local} at {time}");
                assert!(time == 0 || clock.local(time - 1) < Instant(local), "{clock:?} shows {local} before {time}");
            }
        }
    }
}
