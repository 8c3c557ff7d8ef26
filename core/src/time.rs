//! Time as a value: the core never reads a clock (`docs/protocol.md` A9, T1).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// Nanoseconds since genesis on the driver's clock. Never goes backwards at one replica
/// (`docs/protocol.md` T1); clocks of different replicas may differ.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub u64);

/// A span of time in nanoseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub u64);

impl Instant {
    /// The moment of genesis.
    pub const GENESIS: Self = Self(0);

    /// The span from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// A span of whole microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// This span `factor` times, saturating.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// This span divided by `divisor`.
    #[must_use]
    pub const fn over(self, divisor: u64) -> Self {
        Self(self.0 / divisor)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration(self.0).fmt(f)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}ms", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_in_nanoseconds() {
        assert_eq!(Duration::from_secs(3), Duration(3_000_000_000));
        assert_eq!(Duration::from_millis(3), Duration(3_000_000));
        assert_eq!(Duration::from_micros(3), Duration(3_000));
        assert_eq!((Duration(7).times(3), Duration(7).over(2)), (Duration(21), Duration(3)));
    }

    #[test]
    fn time_stops_at_its_ends() {
        let (first, last) = (Instant::GENESIS, Instant(u64::MAX));
        assert_eq!((Instant(5) + Duration(3), last + Duration(1)), (Instant(8), last));
        assert_eq!((Instant(5) - Duration(3), first - Duration(1)), (Instant(2), first));
        assert_eq!((Instant(5).since(Instant(3)), first.since(last)), (Duration(2), Duration::ZERO));
        assert_eq!((Duration(5) + Duration(3), Duration(u64::MAX) + Duration(1)), (Duration(8), Duration(u64::MAX)));
        assert_eq!(Duration(u64::MAX).times(2), Duration(u64::MAX));
    }
}
