//! Vertices: what authors disseminate, and the nodes of the DAG (`docs/protocol.md` D3, D4, D5).

use crate::config::ChainId;
use crate::evidence::Evidence;
use crate::hash::{Digest, Domain};
use crate::hashed::{Content, Hashed, content_hash};
use crate::message::Signed;
use crate::request::ClientRequest;
use crate::time::Instant;
use crate::types::{Height, ReplicaId};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// The hash of a vertex's header.
pub type VertexId = Digest;

/// Requests, or a piece of evidence, in the DAG, made by one replica.
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
    /// What it carries.
    pub payload: Payload,
}

/// What a vertex carries (`docs/protocol.md` D5). Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Requests of clients, at least one.
    Requests(Vec<Arc<ClientRequest>>),
    /// Proof of a replica's fault, for all to act on in the same slot.
    Evidence(Arc<Evidence>),
}

/// A vertex with its payload's hash in the payload's place: all that its author's signature covers. Evidence that an
/// author forked its chain consists of these, so it is small whatever the vertices carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexHeader {
    /// The replica that made it.
    pub author: ReplicaId,
    /// One more than the greatest height among its parents.
    pub height: Height,
    /// The author's claim of when it was made.
    pub ts: Instant,
    /// The author's previous vertex.
    pub prev: Link,
    /// Vertices of other authors.
    pub refs: Vec<Reference>,
    /// The hash of the payload.
    pub payload: Digest,
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

/// A vertex's header with its author's signature over the vertex's id.
pub type SignedHeader = Signed<Hashed<VertexHeader>>;

impl Content for Vertex {
    const DOMAIN: Domain = Domain::Vertex;

    /// That of its header, without making one.
    fn content_hash(&self) -> Digest {
        let Self { author, height, ts, prev, refs, payload } = self;
        content_hash(Self::DOMAIN, &(author, height, ts, prev, refs, payload.digest()))
    }
}

impl Content for VertexHeader {
    const DOMAIN: Domain = Domain::Vertex;
}

impl Payload {
    /// The hash by which a vertex's header names it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Requests(requests) => content_hash(Domain::Requests, &Names(requests)),
            Self::Evidence(evidence) => content_hash(Domain::Evidence, evidence),
        }
    }
}

/// Requests by their ids, which they carry, with their callers' signatures, which the ids do not cover.
struct Names<'a>(&'a [Arc<ClientRequest>]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|request| (request.id(), request.signature.as_ref())))
    }
}

impl Link {
    /// The implicit, finalized vertex of height 0 before each author's first one.
    #[must_use]
    pub fn genesis(chain: ChainId) -> Self {
        Self { height: Height(0), id: chain }
    }
}

impl Vertex {
    /// The requests that it carries; none if it carries evidence.
    #[must_use]
    pub fn requests(&self) -> &[Arc<ClientRequest>] {
        match &self.payload {
            Payload::Requests(requests) => requests,
            Payload::Evidence(_) => &[],
        }
    }

    /// The evidence that it carries.
    #[must_use]
    pub fn evidence(&self) -> Option<&Arc<Evidence>> {
        match &self.payload {
            Payload::Evidence(evidence) => Some(evidence),
            Payload::Requests(_) => None,
        }
    }

    /// Its header, whose hash is its id.
    #[must_use]
    pub fn header(&self) -> VertexHeader {
        let Self { author, height, ts, prev, refs, payload } = self;
        let (refs, payload) = (refs.clone(), payload.digest());
        VertexHeader { author: *author, height: *height, ts: *ts, prev: *prev, refs, payload }
    }

    /// The height that its parents demand.
    #[must_use]
    pub fn due_height(&self) -> Height {
        let parents = self.refs.iter().map(|parent| parent.height).chain([self.prev.height]);
        Height(parents.max().unwrap_or_default().0.saturating_add(1))
    }

    /// Whether the references are ascending, one an author, none of its own, and none of height 0.
    #[must_use]
    pub fn refs_are_canonical(&self) -> bool {
        refs_are_canonical(self.author, &self.refs)
    }
}

impl VertexHeader {
    /// As [`Vertex::refs_are_canonical`].
    #[must_use]
    pub fn refs_are_canonical(&self) -> bool {
        refs_are_canonical(self.author, &self.refs)
    }
}

fn refs_are_canonical(author: ReplicaId, refs: &[Reference]) -> bool {
    refs.iter().all(|parent| parent.author != author && parent.height > Height(0))
        && refs.windows(2).all(|pair| pair[0].author < pair[1].author)
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

    /// What its author answers for, without the payload.
    #[must_use]
    pub fn header(&self) -> SignedHeader {
        Signed { signer: self.signer, body: Hashed::new(self.body.header()), signature: self.signature.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Signature;
    use crate::verify::testing::World;

    #[test]
    fn a_vertex_and_its_header_have_one_id() {
        let world = World::new(4);
        let vertex = world.sign_vertex(world.vertex(1, b"a"));
        assert_eq!(vertex.header().body.digest(), vertex.id());
        let accusation = Evidence::from_vertices(&vertex, &world.sign_vertex(world.vertex(1, b"b")));
        let payload = Payload::Evidence(Arc::new(accusation.expect("two of one height")));
        let vertex = world.sign_vertex(Vertex { payload, ..world.vertex(2, b"") });
        assert_eq!(vertex.header().body.digest(), vertex.id());
    }

    #[test]
    fn an_id_covers_the_payload_and_the_signatures_of_callers() {
        let world = World::new(4);
        let signed = Arc::new(world.signed_request(b"a"));
        let other = Arc::new(ClientRequest { signature: Some(Signature::new(&[1; 16])), ..(*signed).clone() });
        assert_eq!(signed.id(), other.id(), "a request's id does not cover its signature");
        let carrying =
            |request| Hashed::new(Vertex { payload: Payload::Requests(vec![request]), ..world.vertex(1, b"") });
        let ids = [carrying(signed.clone()), carrying(other), Hashed::new(world.vertex(1, b"b"))].map(|v| v.digest());
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    }
}
