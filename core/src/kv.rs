//! A key-value store, as the application of simulations, tests and first deployments (`docs/protocol.md` F16).

#[cfg(test)]
mod tests;

use crate::application::{Application, MAX_CHUNK, RestoreError};
use crate::bytes::Bytes;
use crate::outbox::Execution;
use crate::wire::{DecodeError, encoded_size, from_canonical};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

/// Bytes of a key, at the most.
pub const MAX_KEY: usize = 1024;

/// Bytes of a value, at the most.
pub const MAX_VALUE: usize = 512 * 1024;

/// The state is kept in this many parts, by a hash of the key, and a snapshot encodes anew only those that changed.
const BUCKETS: usize = 256;

/// Bytes of a chunk before its first entry, at the most: the bucket, and the number of entries.
const CHUNK_HEAD: usize = 8;

const _: () = assert!(CHUNK_HEAD + MAX_KEY + MAX_VALUE + 2 * 5 <= MAX_CHUNK, "an entry fits into a chunk");

/// An operation. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvOp {
    /// Reads a key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Sets a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its value from now on.
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Sets or removes a key, if it is now as expected. `None` stands for its absence.
    CompareAndSwap {
        /// The key.
        key: Bytes,
        /// What it must be.
        expected: Option<Bytes>,
        /// What it is to be.
        value: Option<Bytes>,
    },
}

/// What an operation did. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvResult {
    /// The value of the key that was read.
    Value(Option<Bytes>),
    /// The key was set.
    Stored,
    /// The key is gone; whether it was there.
    Deleted(bool),
    /// It was as expected, and has been set or removed.
    Swapped,
    /// It was not as expected, but had this value. Nothing changed.
    Differs(Option<Bytes>),
    /// The bytes are no operation. Nothing changed.
    Malformed,
    /// The key or value is longer than [`MAX_KEY`] or [`MAX_VALUE`]. Nothing changed.
    TooLong,
}

impl KvOp {
    /// The bytes of the operation, for a request.
    ///
    /// # Panics
    /// Never: an operation encodes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes(postcard::to_stdvec(self).expect("an operation encodes"))
    }

    /// The operation in a request.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not exactly the encoding of an operation.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        from_canonical(bytes)
    }

    fn is_within_limits(&self) -> bool {
        let (key, value) = match self {
            Self::Get { key } | Self::Delete { key } => (key, None),
            Self::Put { key, value } => (key, Some(value)),
            Self::CompareAndSwap { key, value, .. } => (key, value.as_ref()),
        };
        key.0.len() <= MAX_KEY && value.is_none_or(|value| value.0.len() <= MAX_VALUE)
    }
}

impl KvResult {
    /// The bytes of the result.
    ///
    /// # Panics
    /// Never: a result encodes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes(postcard::to_stdvec(self).expect("a result encodes"))
    }

    /// The result in an answer.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not exactly the encoding of a result.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        from_canonical(bytes)
    }
}

/// The store.
#[derive(Clone)]
pub struct KvStore {
    buckets: Vec<Bucket>,
}

#[derive(Clone, Default)]
struct Bucket {
    entries: BTreeMap<Bytes, Bytes>,
    /// The chunks of `entries`, once they have been asked for. A function of `entries` alone: emptied by whatever
    /// changes those.
    chunks: OnceCell<Vec<Bytes>>,
}

/// The entries of a chunk, ascending by key, with their bucket's number.
type Chunk = (u8, Vec<(Bytes, Bytes)>);

impl Default for KvStore {
    fn default() -> Self {
        Self { buckets: vec![Bucket::default(); BUCKETS] }
    }
}

impl fmt::Debug for KvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.len())
    }
}

impl KvStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Bytes) -> Option<&Bytes> {
        self.buckets[usize::from(bucket_of(key))].entries.get(key)
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.entries.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Carries out an operation.
    pub fn apply(&mut self, op: KvOp) -> KvResult {
        if !op.is_within_limits() {
            return KvResult::TooLong;
        }
        match op {
            KvOp::Get { key } => KvResult::Value(self.get(&key).cloned()),
            KvOp::Put { key, value } => {
                self.set(key, Some(value));
                KvResult::Stored
            }
            KvOp::Delete { key } => KvResult::Deleted(self.set(key, None)),
            KvOp::CompareAndSwap { key, expected, value } => {
                let current = self.get(&key);
                if current != expected.as_ref() {
                    return KvResult::Differs(current.cloned());
                }
                self.set(key, value);
                KvResult::Swapped
            }
        }
    }

    /// Sets or removes a key. Whether it was there before.
    fn set(&mut self, key: Bytes, value: Option<Bytes>) -> bool {
        let bucket = &mut self.buckets[usize::from(bucket_of(&key))];
        bucket.chunks.take();
        match value {
            Some(value) => bucket.entries.insert(key, value).is_some(),
            None => bucket.entries.remove(&key).is_some(),
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        (0..=u8::MAX).zip(&self.buckets).flat_map(|(number, bucket)| bucket.chunks(number))
    }
}

impl Bucket {
    fn chunks(&self, number: u8) -> &[Bytes] {
        self.chunks.get_or_init(|| {
            let mut chunks = Vec::new();
            let mut open: Vec<(&Bytes, &Bytes)> = Vec::new();
            let mut size = CHUNK_HEAD;
            for entry in &self.entries {
                let more = encoded_size(&entry);
                if MAX_CHUNK < size + more {
                    chunks.push(encode_chunk(number, &open));
                    open.clear();
                    size = CHUNK_HEAD;
                }
                open.push(entry);
                size += more;
            }
            if !open.is_empty() {
                chunks.push(encode_chunk(number, &open));
            }
            chunks
        })
    }
}

impl Application for KvStore {
    fn execute(&mut self, execution: &Execution) -> Vec<Bytes> {
        let ops = execution.requests.iter().map(|signed| KvOp::decode(&signed.request.op.0));
        ops.map(|op| op.map_or(KvResult::Malformed, |op| self.apply(op)).encode()).collect()
    }

    fn snapshot(&self) -> Vec<Bytes> {
        self.chunks().cloned().collect()
    }

    fn restore(&mut self, chunks: &[&[u8]]) -> Result<(), RestoreError> {
        let fault = |chunk: usize, reason: String| RestoreError { chunk, reason };
        let mut restored = Self::new();
        for (index, bytes) in chunks.iter().enumerate() {
            let (_, entries): Chunk = from_canonical(bytes).map_err(|error| fault(index, error.to_string()))?;
            for (key, value) in entries {
                restored.set(key, Some(value));
            }
        }
        // One comparison for every rule: order, place and size of the entries, and how they are cut into chunks.
        let is_same = restored.chunks().map(|chunk| chunk.0.as_slice()).eq(chunks.iter().copied());
        if !is_same {
            let pairs = restored.chunks().map(|chunk| chunk.0.as_slice()).zip(chunks);
            let index = pairs.take_while(|(own, given)| own == *given).count();
            return Err(fault(index, "not what a store with these entries writes".to_owned()));
        }
        *self = restored;
        Ok(())
    }
}

fn encode_chunk(number: u8, entries: &[(&Bytes, &Bytes)]) -> Bytes {
    Bytes(postcard::to_stdvec(&(number, entries)).expect("entries encode"))
}

/// FNV-1a, folded to a byte. Whoever makes keys collide makes his own bucket slow, and nothing else.
fn bucket_of(key: &Bytes) -> u8 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = key.0.iter().fold(0xcbf2_9ce4_8422_2325, step);
    hash.to_be_bytes().into_iter().fold(0, |fold, byte| fold ^ byte)
}
