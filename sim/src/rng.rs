//! Randomness. One generator for each concern, so that a plan without disk faults meets the same network as the
//! plan with them.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// What a generator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Latency, loss, duplication, order.
    Network,
    /// Disks.
    Disk,
    /// Which replicas are in the core, and whatever else faults leave open.
    Faults,
    /// Clients.
    Workload,
    /// Byzantine replicas.
    Adversary,
    /// Keys.
    Keys,
    /// The derivation of a plan from a seed.
    Swarm,
    /// The order of events of one moment.
    Order,
    /// The derivation of a plan with a theme from a seed.
    Themes,
}

/// A deterministic source of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator of a seed for one concern.
    #[must_use]
    pub fn new(seed: u64, concern: Concern) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(b"cretoai\0");
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(concern as u64);
        Self(rng)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Any number of 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiplication instead of a remainder; the bias of 2^-32 and less matters to nobody here.
        if let Ok(small) = u32::try_from(bound) {
            return (u64::from(self.0.next_u32()) * u64::from(small)) >> 32;
        }
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("64 bits are left")
    }

    /// A number in `low ..= high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "no number from {low} to {high}");
        low + self.below((high - low).saturating_add(1))
    }

    /// An index of a list with `len` entries, which is not empty.
    pub fn index(&mut self, len: usize) -> usize {
        assert!(len > 0, "an empty list has no index");
        usize::try_from(self.below(len as u64)).expect("below a length")
    }

    /// Whether something happens that happens so often in a thousand. Draws nothing for never and always.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        match per_mille {
            0 => false,
            1..1000 => self.below(1000) < u64::from(per_mille),
            _ => true,
        }
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.index(end + 1));
        }
    }

    /// One of a list, which is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// A value of the standard normal distribution in units of 2^-16: the sum of twelve uniform ones.
    pub fn normal_q16(&mut self) -> i64 {
        let bytes = [self.next_u64().to_le_bytes(), self.next_u64().to_le_bytes()];
        let sum: i64 = bytes.as_flattened()[..12].iter().map(|byte| i64::from(*byte)).sum();
        // Twelve bytes: mean 1530, variance 12 * (256^2 - 1) / 12 = 65535, deviation 256 (nearly).
        (sum - 1530) << 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concerns_draw_independently() {
        let mut network = Rng::new(7, Concern::Network);
        let mut disk = Rng::new(7, Concern::Disk);
        assert_ne!(network.next_u64(), disk.next_u64());
        assert_eq!(Rng::new(7, Concern::Disk).next_u64(), Rng::new(7, Concern::Disk).next_u64());
        assert_ne!(Rng::new(8, Concern::Disk).next_u64(), Rng::new(7, Concern::Disk).next_u64());
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = Rng::new(1, Concern::Faults);
        assert_eq!(rng.below(0), 0);
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            let value = rng.between(5, 9);
            assert!(5 <= value && value <= 9);
        }
    }

    #[test]
    fn the_bell_curve_has_its_middle_and_width() {
        let mut rng = Rng::new(1, Concern::Network);
        let values: Vec<i64> = (0..20_000).map(|_| rng.normal_q16()).collect();
        let mean = values.iter().sum::<i64>() / 20_000;
        assert!(mean.abs() < 1500, "mean {mean}");
        let inside = values.iter().filter(|value| value.abs() < 65_536).count();
        assert!((13_000..14_400).contains(&inside), "{inside} of 20000 within one deviation; 68 % are due");
    }
}
