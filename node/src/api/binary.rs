//! The compact form of POST /v1/requests, for high rates.
//!
//! ```text
//! body     (length: u32, operation: length bytes)*
//! answer   version: u8 = 1, total: u32, executed: u32, accepted: u32, refused: u32, unknown: u32, status: u8 * total
//! ```
//! Numbers are little-endian. One status byte an operation, in order: [`Status`].

use super::submit::{Options, Outcome};
use super::{Api, Problem};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cretoai_core::Ignored;
use cretoai_core::bytes::Bytes;
use cretoai_core::reply::NoOp;
use std::sync::Arc;

/// Operations in one body, at the most.
pub const MAX_OPS: usize = 16 * 1024;

/// The version of the answer.
const VERSION: u8 = 1;

/// Bytes of an answer before the statuses.
const HEAD: usize = 1 + 5 * 4;

/// What became of one operation. Values are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Executed, now or before.
    Executed = 0,
    /// Taken up, or sent on; nobody waited for more.
    Accepted = 1,
    /// Nothing was heard of it in time: it may execute yet, until it expires.
    Unknown = 2,
    /// Listed too late: it did nothing and will not.
    Expired = 3,
    /// It did nothing: it expires too late for this chain.
    TooEarly = 4,
    /// It did nothing: its author's share of the slot was full. Send it again.
    ShareFull = 5,
    /// Not taken: the replica's queue is full. Send it again, later.
    QueueFull = 6,
    /// Not taken: the replica does not vote now. Ask another one.
    Stopped = 7,
    /// Not taken: it is wrong, or would do nothing.
    Refused = 8,
}

impl Status {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Executed(..) | Outcome::ExecutedBefore(_) => Self::Executed,
            Outcome::Sent | Outcome::Accepted => Self::Accepted,
            Outcome::Unknown => Self::Unknown,
            Outcome::NoOp(_, NoOp::Expired) => Self::Expired,
            Outcome::NoOp(_, NoOp::TooEarly) => Self::TooEarly,
            Outcome::NoOp(_, NoOp::Full) => Self::ShareFull,
            Outcome::Ignored(Ignored::Full) | Outcome::Busy => Self::QueueFull,
            Outcome::Ignored(Ignored::Stopped) => Self::Stopped,
            Outcome::Ignored(_) | Outcome::Rejected(_) => Self::Refused,
        }
    }
}

/// The operations as a body.
///
/// # Panics
/// When an operation is longer than 4 GiB.
#[must_use]
pub fn encode_ops<'a>(ops: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for op in ops {
        let length = u32::try_from(op.len()).expect("an operation is far shorter than 4 GiB");
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(op);
    }
    body
}

/// The operations in a body. The error names the byte at which it is wrong.
fn decode_ops(mut body: &[u8]) -> Result<Vec<Bytes>, String> {
    let whole = body.len();
    let mut ops = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let at = whole - body.len();
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((op, rest)) = rest.split_at_checked(length) else {
            return Err(format!("byte {at}: length = {length}, and {} bytes follow", rest.len()));
        };
        if ops.len() == MAX_OPS {
            return Err(format!("byte {at}: more than {MAX_OPS} operations; send several bodies"));
        }
        ops.push(Bytes(op.to_vec()));
        body = rest;
    }
    match (body.len(), ops.len()) {
        (0, 0) => Err("the body is empty; send (u32 length, operation)*".to_owned()),
        (0, _) => Ok(ops),
        (left, _) => Err(format!("byte {}: {left} bytes are left, too few for a length", whole - left)),
    }
}

pub(super) async fn post(api: &Arc<Api>, options: Options, body: &[u8]) -> Result<Response, Problem> {
    let patience = options.patience()?;
    let ops = decode_ops(body).map_err(Problem::bad)?;
    let requests = api.requests(ops)?;
    let outcomes = api.submit(requests, patience).await?;
    let answer = BinaryAnswer { statuses: outcomes.iter().map(|(_, outcome)| Status::of(outcome) as u8).collect() };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], answer.encode()).into_response())
}

/// An answer, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryAnswer {
    /// One [`Status`] an operation, in order.
    pub statuses: Vec<u8>,
}

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not of version 1, or of another length than it says")]
pub struct BinaryError;

impl BinaryAnswer {
    /// How many operations have this status.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.statuses.iter().filter(|found| **found == status as u8).count()
    }

    /// The bytes of the answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        let [executed, accepted, unknown] =
            [Status::Executed, Status::Accepted, Status::Unknown].map(|status| self.count(status));
        let total = self.statuses.len();
        let refused = total - executed - accepted - unknown;
        let mut bytes = Vec::with_capacity(HEAD + total);
        bytes.push(VERSION);
        for count in [total, executed, accepted, refused, unknown] {
            bytes.extend_from_slice(&number(count));
        }
        bytes.extend_from_slice(&self.statuses);
        bytes
    }

    /// The answer in these bytes.
    ///
    /// # Errors
    /// [`BinaryError`] if there is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, BinaryError> {
        let (head, statuses) = bytes.split_at_checked(HEAD).ok_or(BinaryError)?;
        let total = u32::from_le_bytes(head[1..5].try_into().expect("four bytes"));
        if head[0] != VERSION || usize::try_from(total) != Ok(statuses.len()) {
            return Err(BinaryError);
        }
        Ok(Self { statuses: statuses.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_their_encoding() {
        let ops: [&[u8]; 3] = [b"one", b"", b"three"];
        let decoded = decode_ops(&encode_ops(ops)).expect("well-formed");
        assert_eq!(decoded, ops.map(|op| Bytes(op.to_vec())));
    }

    #[test]
    fn a_body_that_is_cut_or_empty_is_refused_with_its_place() {
        let whole = encode_ops([b"one".as_slice(), b"two"]);
        for (cut, at) in [(0, "empty"), (3, "byte 0"), (6, "byte 0"), (9, "byte 7"), (12, "byte 7")] {
            let error = decode_ops(&whole[..cut]).expect_err("cut");
            assert!(error.contains(at), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn an_answer_survives_its_encoding() {
        let answer = BinaryAnswer { statuses: vec![0, 0, 1, 2, 6] };
        assert_eq!(BinaryAnswer::decode(&answer.encode()), Ok(answer.clone()));
        assert_eq!(BinaryAnswer::decode(&answer.encode()[1..]), Err(BinaryError));
    }
}
