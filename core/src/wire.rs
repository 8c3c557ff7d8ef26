//! Bytes: of messages between replicas, and of records on disk (`docs/protocol.md` M1, M6, G11).
//!
//! Everything is postcard behind a version byte. What decodes has exactly one encoding: a longer form of a number,
//! a table in another order or a byte left over is refused, so equal contents are equal bytes.

mod log;
#[cfg(test)]
mod tests;

pub use log::{Frame, LogError, Tail, frame, read_frames};

use crate::application::MAX_CHUNK;
use crate::config::{Chain, MAX_VOTE_ENTRIES};
use crate::message::Message;
use crate::record::Record;
use crate::verify::{MAX_CERTIFICATES, MAX_CHUNKS};
use postcard::ser_flavors::{Flavor, Size};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of every encoding here, its first byte.
pub const VERSION: u8 = 1;

/// Why bytes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any message has. Nothing was decoded.
    #[error("{length} bytes: at most {limit}")]
    TooLong {
        /// How many there are.
        length: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No bytes at all.
    #[error("no bytes")]
    Empty,
    /// Another version than [`VERSION`].
    #[error("version {0} is not known here")]
    Version(u8),
    /// No encoding of anything.
    #[error(transparent)]
    Malformed(#[from] postcard::Error),
    /// Bytes behind the end.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// Another form of something that has a shorter or ordered one.
    #[error("not the canonical encoding")]
    NotCanonical,
}

/// The bytes of a message.
///
/// # Panics
/// Never for a message within the limits of verification: it encodes.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    versioned(message)
}

/// The message in `bytes`, of which there may be `max_frame`; see [`max_frame`].
///
/// # Errors
/// [`DecodeError`] if they are not exactly the encoding of a message.
pub fn decode(bytes: &[u8], max_frame: usize) -> Result<Message, DecodeError> {
    if max_frame < bytes.len() {
        return Err(DecodeError::TooLong { length: bytes.len(), limit: max_frame });
    }
    from_versioned(bytes)
}

/// The bytes of a record.
///
/// # Panics
/// Never: a record encodes.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    versioned(record)
}

/// The record in `bytes`.
///
/// # Errors
/// [`DecodeError`] if they are not exactly the encoding of a record.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    from_versioned(bytes)
}

// Upper bounds of encoded parts: a u64 takes up to 10 bytes, a u16 3, a list's length 5, a digest 33.
const ENTRY: usize = 10 + 33;
const CLAIM: usize = 10 + ENTRY;

/// Bytes of what a replica of this chain signs, at the most.
struct Sizes {
    signature: usize,
    vote: usize,
    view_change: usize,
    new_view: usize,
    header: usize,
}

impl Sizes {
    fn of(chain: &Chain) -> Self {
        let window = usize::try_from(chain.window()).unwrap_or(MAX_VOTE_ENTRIES);
        let n = usize::from(chain.committee.n());
        let signature = chain.genesis.scheme.signature_bytes();
        let signed = |body: usize| 3 + body + 5 + signature;
        Self {
            signature,
            vote: signed(1 + 10 + 5 + MAX_VOTE_ENTRIES * ENTRY),
            view_change: signed(10 + 10 + 33 + 2 * (5 + window * CLAIM)),
            new_view: signed(10 + 5 + n * 33 + 10 + 5 + window * ENTRY),
            header: signed(3 + 10 + 10 + 43 + 5 + n * (3 + 43) + 33),
        }
    }

    fn signed(&self, body: usize) -> usize {
        3 + body + 5 + self.signature
    }
}

/// Bytes of a piece of evidence that consists of canonical statements, at the most: a NEW-VIEW with as many
/// VIEW-CHANGEs as there are replicas, or two votes, headers or NEW-VIEWs.
#[must_use]
pub fn max_evidence(chain: &Chain) -> usize {
    let sizes = Sizes::of(chain);
    let bodies = 5 + usize::from(chain.committee.n()) * sizes.view_change;
    1 + sizes.new_view + bodies.max(sizes.new_view) + 2 * sizes.vote.max(sizes.header)
}

/// Bytes of a vertex with such evidence, without its signature, at the most (`docs/protocol.md` D5).
#[must_use]
pub fn max_accusing_vertex(chain: &Chain) -> usize {
    Sizes::of(chain).header + max_evidence(chain)
}

/// Bytes in a message on this chain, at the most. Above the largest that an honest replica sends, and a small
/// multiple of it.
#[must_use]
pub fn max_frame(chain: &Chain) -> usize {
    let window = usize::try_from(chain.window()).unwrap_or(MAX_VOTE_ENTRIES);
    let quorum = usize::from(chain.committee.quorum());
    let sizes = Sizes::of(chain);
    let row = 1 + CLAIM + 5 + 3 * quorum;
    let certificates = 5 + MAX_CERTIFICATES * (quorum * sizes.vote + row);
    let checkpoint = ENTRY + 5 + quorum * sizes.signed(ENTRY);
    let new_view = sizes.signed(10 + 5 + quorum * 33 + 10 + 5 + window * ENTRY) + 5 + quorum * sizes.view_change;
    let pre_prepare = sizes.vote + 5 + MAX_VOTE_ENTRIES * (10 + 5 + chain.max_batch() * 33);
    let requests = usize::try_from(chain.genesis.limits.vertex_bytes).unwrap_or(usize::MAX / 2);
    let vertex = sizes.signed(requests.max(max_accusing_vertex(chain)));
    let manifest = 10 + 10 + 33 + 2 * 5 + MAX_CHUNKS * 33;
    let status = sizes.signed(10 + 11 + 10 + 10 + 5 + MAX_VOTE_ENTRIES + 5 + 8 * 33);
    let largest = [new_view + 1 + checkpoint + certificates, pre_prepare, vertex, manifest, MAX_CHUNK + 5, status];
    // The version, the kind, and the kind of DATA.
    largest.into_iter().max().unwrap_or_default() + 3
}

pub(crate) fn versioned<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Counted first: a vertex would else be copied a dozen times while its bytes outgrow their place.
    let versioned = (VERSION, value);
    let bytes = Vec::with_capacity(encoded_size(&versioned));
    postcard::to_extend(&versioned, bytes).expect("what is within limits encodes")
}

pub(crate) fn from_versioned<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    from_canonical(body)
}

/// The value whose one encoding, without a version, is `bytes`.
pub(crate) fn from_canonical<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing(rest.len()));
    }
    // The decoder also takes longer forms of numbers; encoding again finds them.
    match postcard::serialize_with_flavor(&value, Expect(bytes)) {
        Ok(true) => Ok(value),
        Ok(false) | Err(_) => Err(DecodeError::NotCanonical),
    }
}

/// A sink that compares what is written with what is expected, and stores nothing.
struct Expect<'a>(&'a [u8]);

impl Flavor for Expect<'_> {
    /// Whether everything expected was written.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// Bytes that a value encodes to, without a version. What does not encode is longer than everything.
pub(crate) fn encoded_size<T: Serialize + ?Sized>(value: &T) -> usize {
    postcard::serialize_with_flavor(value, Size::default()).unwrap_or(usize::MAX)
}
