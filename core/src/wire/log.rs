//! The log of records on disk: a sequence of frames, each one write batch (`docs/protocol.md` G11).
//!
//! ```text
//! marker (8) | length of the body (8) | number (8) | checksum (16) | body
//! ```
//!
//! Numbers are big-endian, the checksum is over everything else behind the marker. The body never contains the
//! marker: wherever all of it but the last byte occurs, a zero is put in behind. Thus a marker is the beginning of a
//! frame, and no client can plant one in an operation.

use super::{DecodeError, from_versioned, versioned};
use crate::record::Record;

const MARKER: [u8; 8] = [0xc7, b'c', b'r', b'e', b't', b'o', b'L', b'g'];
const HEADER: usize = 8 + 8 + 8 + 16;

/// What a body has a zero stuffed in behind.
const STEM: &[u8] = MARKER.split_at(7).0;

/// A frame's number and its records.
pub type Frame = (u64, Vec<Record>);

/// What is behind the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// The beginning of a frame that was never finished. Nothing released depended on it: the log is to be cut to
    /// this many bytes.
    Torn(usize),
}

/// Damage that no crash explains. The replica must not run on this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A bad frame with a later one behind it, which was begun only after the bad one was durable.
    #[error("the frame at byte {at} is damaged, and a later one follows at byte {next}")]
    Damaged {
        /// Where the bad frame begins.
        at: usize,
        /// Where the next one begins.
        next: usize,
    },
    /// A good frame with another number than the next one.
    #[error("the frame at byte {at} has number {found} instead of {expected}")]
    Gap {
        /// Where it begins.
        at: usize,
        /// The number that was due.
        expected: u64,
        /// The number it has.
        found: u64,
    },
    /// A good frame whose records cannot be read: another program wrote them.
    #[error("the records of the frame at byte {at}: {error}")]
    Records {
        /// Where it begins.
        at: usize,
        /// What is wrong with them.
        error: DecodeError,
    },
}

/// The frame of a write batch. Each frame's number is one more than that of the frame before, which must be durable
/// before this one is written.
///
/// # Panics
/// Never: records encode.
#[must_use]
pub fn frame(records: &[Record], number: u64) -> Vec<u8> {
    let body = stuffed(&versioned(records));
    let length = u64::try_from(body.len()).expect("a body in memory");
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&MARKER);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&checksum(length, number, &body));
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads all frames of a log, each with its number. The first may have any number.
///
/// # Errors
/// [`LogError`] if the log was damaged otherwise than by a crash in its last write.
pub fn read_frames(bytes: &[u8]) -> Result<(Vec<Frame>, Tail), LogError> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((number, body)) = split_frame(&bytes[at..]) else {
            // Written only after this one was durable: so this one was damaged later.
            let next = find(&bytes[at + 1..], &MARKER).map(|distance| at + 1 + distance);
            return match next {
                Some(next) => Err(LogError::Damaged { at, next }),
                None => Ok((frames, Tail::Torn(at))),
            };
        };
        let expected = frames.last().map_or(number, |(last, _)| last.saturating_add(1));
        if number != expected {
            return Err(LogError::Gap { at, expected, found: number });
        }
        let records = unstuffed(body).ok_or(DecodeError::NotCanonical).and_then(|body| from_versioned(&body));
        frames.push((number, records.map_err(|error| LogError::Records { at, error })?));
        at += HEADER + body.len();
    }
    Ok((frames, Tail::Clean))
}

/// The number and body of the frame that `bytes` begins with, if its checksum is right.
fn split_frame(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(&MARKER)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk::<16>()?;
    let (length, number) = (u64::from_be_bytes(*length), u64::from_be_bytes(*number));
    let body = rest.get(..usize::try_from(length).ok()?)?;
    (checksum(length, number, body) == *sum).then_some((number, body))
}

fn checksum(length: u64, number: u64, body: &[u8]) -> [u8; 16] {
    // A key of its own instead of a domain: a frame is never named by its hash.
    const KEY: &[u8; 32] = b"CretoAI, version 1, log checksum";
    let mut hasher = blake3::Hasher::new_keyed(KEY);
    hasher.update(&length.to_be_bytes()).update(&number.to_be_bytes()).update(body);
    let mut sum = [0; 16];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    sum
}

fn stuffed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = find(rest, STEM) {
        let (head, tail) = rest.split_at(at + STEM.len());
        out.extend_from_slice(head);
        out.push(0);
        rest = tail;
    }
    out.extend_from_slice(rest);
    out
}

/// The body before stuffing, or `None` if it was not stuffed.
fn unstuffed(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = find(rest, STEM) {
        let (head, tail) = rest.split_at(at + STEM.len());
        out.extend_from_slice(head);
        rest = tail.strip_prefix(&[0])?;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Where `what` begins in `bytes`. Looks for its first byte first: most bodies lack even that.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        from += bytes[from..].iter().position(|byte| *byte == what[0])?;
        if bytes[from..].starts_with(what) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_stem_that_nothing_was_put_in_behind_is_refused() {
        // No log that was written here has such a frame, so only its checksum is right.
        let body = [STEM, &[1]].concat();
        let length = u64::try_from(body.len()).unwrap();
        let (numbers, sum) = ([length.to_be_bytes(), 7_u64.to_be_bytes()].concat(), checksum(length, 7, &body));
        let log = [&MARKER[..], &numbers, &sum, &body].concat();
        assert_eq!(read_frames(&log), Err(LogError::Records { at: 0, error: DecodeError::NotCanonical }));
    }
}
