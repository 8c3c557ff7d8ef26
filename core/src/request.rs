//! Requests of clients (`docs/protocol.md` D1, D2).

use crate::bytes::Bytes;
use crate::config::{ChainId, Scheme};
use crate::hash::{Digest, Domain};
use crate::hashed::{Content, Hashed};
use crate::signature::Signature;
use crate::time::Instant;
use serde::{Deserialize, Serialize};

/// The hash of a request without its caller's signature.
pub type RequestId = Digest;

/// An operation on the replicated application. Executed at most once, by its id, before it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The chain it is meant for.
    pub chain_id: ChainId,
    /// It executes only in a slot whose effective time is before this moment.
    pub expires: Instant,
    /// Chosen by the client, to tell equal operations apart.
    pub nonce: [u8; 16],
    /// Whoever signs it, if anyone.
    pub caller: Option<Caller>,
    /// What the application is to do; opaque here.
    pub op: Bytes,
}

/// The key of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// How it signs.
    pub scheme: Scheme,
    /// Its public key.
    pub key: Bytes,
}

impl Content for Request {
    const DOMAIN: Domain = Domain::Request;
}

/// A request with its caller's signature over its id, if it names a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// The request.
    pub request: Hashed<Request>,
    /// Present exactly when the request names a caller.
    pub signature: Option<Signature>,
}

impl ClientRequest {
    /// A request of nobody in particular.
    #[must_use]
    pub fn anonymous(request: Request) -> Self {
        Self { request: Hashed::new(request), signature: None }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.request.digest()
    }
}
