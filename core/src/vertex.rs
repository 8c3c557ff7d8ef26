//! Vertices: what authors disseminate, and the nodes of the DAG (`docs/protocol.md` D3, D4, D5).

use crate::config::ChainId;
use crate::hash::{Digest, Domain};
use crate::hashed::{Content, Hashed};
use crate::message::Signed;
use crate::request::ClientRequest;
use crate::time::Instant;
use crate::types::{Height, ReplicaId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The hash of a vertex without its signature.
pub type VertexId = Digest;

/// A list of requests in the DAG, made by one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vertex {
    /// The replica that made it.
    pub author: ReplicaId,
    /// One more than the greatest height among its parents.
    pub height: Height,
    /// The author's claim of when it was made. Nothing checks it or orders by it.
    pub ts: Instant,
    /// The author's previous vertex.
    pub prev: Link,
    /// Vertices of other authors, ascending by author, one each.
    pub refs: Vec<Reference>,
    /// What it carries; never empty.
    pub payload: Vec<Arc<ClientRequest>>,
}

/// A parent of the same author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The parent's height.
    pub height: Height,
    /// The parent.
    pub id: VertexId,
}

/// A parent of another author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// The parent's author.
    pub author: ReplicaId,
    /// The parent's height.
    pub height: Height,
    /// The parent.
    pub id: VertexId,
}

/// A vertex with its author's signature over its id.
pub type SignedVertex = Signed<Hashed<Vertex>>;

impl Content for Vertex {
    const DOMAIN: Domain = Domain::Vertex;
}

impl Link {
    /// The implicit, finalized vertex of height 0 before each author's first one.
    #[must_use]
    pub fn genesis(chain: ChainId) -> Self {
        Self { height: Height(0), id: chain }
    }
}

impl Vertex {
    /// The height that its parents demand.
    #[must_use]
    pub fn due_height(&self) -> Height {
        let parents = self.refs.iter().map(|parent| parent.height).chain([self.prev.height]);
        Height(parents.max().unwrap_or_default().0.saturating_add(1))
    }

    /// Whether the references are ascending, one an author, none of its own, and none of height 0.
    #[must_use]
    pub fn refs_are_canonical(&self) -> bool {
        self.refs.iter().all(|parent| parent.author != self.author && parent.height > Height(0))
            && self.refs.windows(2).all(|pair| pair[0].author < pair[1].author)
    }
}

impl Signed<Hashed<Vertex>> {
    /// The vertex's id.
    #[must_use]
    pub fn id(&self) -> VertexId {
        self.body.digest()
    }

    /// The replica that made it.
    #[must_use]
    pub fn author(&self) -> ReplicaId {
        self.body.author
    }
}
