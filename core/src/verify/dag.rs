//! The static validity of vertices and requests (`docs/protocol.md` D1 to D5).

use super::{Rejected, Verifier, at_most};
use crate::mutant::Mutant;
use crate::request::ClientRequest;
use crate::signature::Statement;
use crate::types::Height;
use crate::vertex::{Link, Payload, SignedHeader, SignedVertex, Vertex};
use crate::wire::{encoded_size, max_accusing_vertex};

/// Bytes of a vertex around a single request, when it refers to no other author's vertex: author, height, time,
/// predecessor and two list lengths, with room to spare.
const VERTEX_FRAME: usize = 128;

impl Verifier {
    pub(super) fn vertex(&self, signed: &SignedVertex) -> Result<(), Rejected> {
        let vertex: &Vertex = &signed.body;
        if signed.signer != vertex.author && !Mutant::VertexOfAnother.is_on() {
            return Err(Rejected::Author { author: vertex.author, signer: signed.signer });
        }
        self.member(vertex.author)?;
        self.parents(vertex)?;
        let room = match &vertex.payload {
            Payload::Requests(requests) if requests.is_empty() => return Err(Rejected::Empty("payload of a vertex")),
            Payload::Requests(_) => self.vertex_bytes(),
            Payload::Evidence(_) => max_accusing_vertex(&self.chain),
        };
        at_most("bytes of a vertex", encoded_size(vertex), room)?;
        self.signed(signed.signer, Statement::Vertex(signed.id()), &signed.signature)?;
        match &vertex.payload {
            Payload::Requests(requests) => requests.iter().try_for_each(|request| self.client_request(request)),
            Payload::Evidence(evidence) => self.accusation(evidence),
        }
    }

    /// A vertex as evidence shows it: what its author signed, whatever it carries.
    pub(super) fn vertex_header(&self, signed: &SignedHeader) -> Result<(), Rejected> {
        if !signed.body.refs_are_canonical() {
            return Err(Rejected::NotCanonical("references of a vertex"));
        }
        signed.body.refs.iter().try_for_each(|parent| self.member(parent.author))?;
        self.signed(signed.signer, Statement::Vertex(signed.body.digest()), &signed.signature)
    }

    fn parents(&self, vertex: &Vertex) -> Result<(), Rejected> {
        if !vertex.refs_are_canonical() {
            return Err(Rejected::NotCanonical("references of a vertex"));
        }
        vertex.refs.iter().try_for_each(|parent| self.member(parent.author))?;
        let genesis = Link::genesis(self.chain.id);
        if (vertex.prev.height == genesis.height) != (vertex.prev.id == genesis.id) {
            return Err(Rejected::Genesis);
        }
        // A parent of the greatest height that a number can hold has no children (`docs/protocol.md` A8).
        let overflows = vertex.prev.height == Height(u64::MAX)
            || vertex.refs.iter().any(|parent| parent.height == Height(u64::MAX));
        if vertex.height != vertex.due_height() && !Mutant::AnyHeight.is_on() || overflows {
            return Err(Rejected::Height);
        }
        Ok(())
    }

    /// What makes a request valid wherever it is found. Its expiry is judged when it executes.
    pub(super) fn client_request(&self, signed: &ClientRequest) -> Result<(), Rejected> {
        if signed.request.chain_id != self.chain.id {
            return Err(Rejected::Chain);
        }
        match (&signed.request.caller, &signed.signature) {
            (Some(caller), Some(signature)) => {
                let is_right = self.signatures.verify_caller(caller, signed.id(), signature);
                if is_right || Mutant::CallerUnsigned.is_on() { Ok(()) } else { Err(Rejected::CallerSignature) }
            }
            (None, None) if self.chain.genesis.signed_requests => Err(Rejected::Anonymous),
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => Err(Rejected::Unsigned),
        }
    }

    /// An entry replica refuses what none of its vertices could ever carry.
    pub(super) fn fits_a_vertex(&self, request: &ClientRequest) -> Result<(), Rejected> {
        at_most("bytes of a request", encoded_size(request), self.vertex_bytes().saturating_sub(VERTEX_FRAME))
    }

    fn vertex_bytes(&self) -> usize {
        usize::try_from(self.chain.genesis.limits.vertex_bytes).unwrap_or(usize::MAX)
    }
}
