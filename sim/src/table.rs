//! A table from hashes to numbers. Its keys are spread evenly already, so it needs no hash function, and nothing
//! ever depends on its order.

use cretoai_core::hash::Digest;

/// From the digests of requests, vertices and batches to their numbers.
#[derive(Debug)]
pub struct Table {
    places: Vec<(u64, u32)>,
    used: usize,
}

const EMPTY: u32 = u32::MAX;

impl Default for Table {
    fn default() -> Self {
        Self { places: vec![(0, EMPTY); 64], used: 0 }
    }
}

impl Table {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.places.fill((0, EMPTY));
        self.used = 0;
    }

    fn find(&self, key: u64) -> usize {
        let mask = self.places.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "masked right away")]
        let mut at = key as usize & mask;
        while self.places[at].1 != EMPTY && self.places[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    /// The number of a digest.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<u32> {
        let (_, number) = self.places[self.find(digest.short())];
        (number != EMPTY).then_some(number)
    }

    /// Sets the number of a digest.
    pub fn insert(&mut self, digest: &Digest, number: u32) {
        assert_ne!(number, EMPTY, "the table is not that large");
        if self.used * 2 >= self.places.len() {
            self.grow();
        }
        let at = self.find(digest.short());
        self.used += usize::from(self.places[at].1 == EMPTY);
        self.places[at] = (digest.short(), number);
    }

    fn grow(&mut self) {
        let larger = vec![(0, EMPTY); self.places.len() * 2];
        let old = std::mem::replace(&mut self.places, larger);
        for (key, number) in old.into_iter().filter(|(_, number)| *number != EMPTY) {
            let at = self.find(key);
            self.places[at] = (key, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::hash::{Domain, hash};

    #[test]
    fn what_went_in_is_found() {
        let mut table = Table::default();
        let digest = |number: u32| hash(Domain::Request, &number.to_le_bytes());
        (0..1000).for_each(|number| table.insert(&digest(number), number));
        table.insert(&digest(7), 70);
        assert!((8..1000).all(|number| table.get(&digest(number)) == Some(number)));
        assert_eq!((table.get(&digest(7)), table.get(&digest(1000))), (Some(70), None));
        table.clear();
        assert_eq!(table.get(&digest(7)), None);
    }
}
