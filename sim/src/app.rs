//! The application that simulated replicas host: small, quick, and sensitive to everything that could go wrong. The
//! result of an operation depends on all operations before it that fell into the same cell.

use crate::crypto::mix;
use cretoai_core::application::{Application, RestoreError};
use cretoai_core::bytes::Bytes;
use cretoai_core::outbox::Execution;

const CELLS: usize = 8;
const CHUNKS: usize = 2;

/// A running hash in each of several cells, and a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    cells: [u64; CELLS],
    ops: u64,
}

impl Tally {
    fn apply(&mut self, op: &[u8]) -> u64 {
        let (words, tail) = op.as_chunks::<8>();
        let hash = words.iter().fold(op.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        let hash = tail.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
        let cell = &mut self.cells[usize::try_from(hash % CELLS as u64).expect("a cell")];
        *cell = mix(*cell, hash);
        self.ops += 1;
        *cell
    }
}

impl Application for Tally {
    fn execute(&mut self, execution: &Execution) -> Vec<Bytes> {
        let results = execution.requests.iter().map(|request| self.apply(&request.request.op.0));
        results.map(|result| Bytes(result.to_le_bytes().to_vec())).collect()
    }

    fn snapshot(&self) -> Vec<Bytes> {
        let cells = self.cells.map(u64::to_le_bytes);
        let cells = cells.chunks(CELLS / CHUNKS).map(|cells| Bytes(cells.as_flattened().to_vec()));
        cells.chain([Bytes(self.ops.to_le_bytes().to_vec())]).collect()
    }

    fn restore(&mut self, chunks: &[&[u8]]) -> Result<(), RestoreError> {
        let broken = |chunk: usize, reason: &str| RestoreError { chunk, reason: reason.to_owned() };
        if chunks.len() != CHUNKS + 1 {
            return Err(broken(0, "another number of chunks"));
        }
        let mut numbers = Vec::with_capacity(CELLS + 1);
        for (index, chunk) in chunks.iter().enumerate() {
            let (words, []) = chunk.as_chunks::<8>() else { return Err(broken(index, "not a list of numbers")) };
            numbers.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
        }
        let Some((ops, cells)) = numbers.split_last() else { return Err(broken(0, "empty")) };
        self.cells = cells.try_into().map_err(|_| broken(0, "another number of cells"))?;
        self.ops = *ops;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_state_is_the_same() {
        let mut tally = Tally::default();
        (0..100_u64).for_each(|op| {
            tally.apply(&op.to_le_bytes());
        });
        let chunks = tally.snapshot();
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.0.as_slice()).collect();
        let mut copy = Tally::default();
        copy.restore(&chunks).expect("a snapshot");
        assert_eq!(copy, tally);
        assert!(copy.restore(&chunks[1..]).is_err());
        copy.apply(b"x");
        assert_ne!(copy.apply(b"x"), tally.apply(b"x"));
    }
}
