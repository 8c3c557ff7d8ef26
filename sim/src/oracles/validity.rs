//! O3: what is executed, somebody asked for (`docs/protocol.md` O3).

use super::Finding;
use super::bodies::Bodies;
use crate::facts::Facts;
use cretoai_core::batch::{HashedBatch, NULL_BATCH};
use cretoai_core::config::Chain;
use cretoai_core::message::Signed;
use cretoai_core::outbox::Execution;
use cretoai_core::signature::{SignatureVerifier, Statement};
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_core::vote::Vote;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Checks the way from a client to an execution.
#[derive(Debug)]
pub(super) struct Validity {
    chain: Arc<Chain>,
    signatures: Arc<dyn SignatureVerifier>,
}

impl Validity {
    pub(super) fn new(chain: &Arc<Chain>, signatures: &Arc<dyn SignatureVerifier>) -> Self {
        Self { chain: Arc::clone(chain), signatures: Arc::clone(signatures) }
    }

    /// A PRE-PREPARE leaves. It counts if the primary of its view made it.
    pub(super) fn proposed(&self, vote: &Signed<Vote>, bodies: &mut Bodies) {
        if vote.signer == self.chain.committee.primary(vote.body.view) {
            vote.body.entries.iter().for_each(|(_, digest)| bodies.propose(&digest));
        }
    }

    /// A slot is executed for the first time.
    pub(super) fn executed(&self, execution: &Execution, facts: &mut Facts, bodies: &mut Bodies) -> Finding {
        let slot = execution.slot;
        let Some(digest) = facts.slot(slot).decided else {
            return Err(format!("{slot} is executed, and nobody decided it"));
        };
        if digest == NULL_BATCH {
            let is_empty = execution.requests.is_empty();
            return if is_empty { Ok(()) } else { Err(format!("{slot} is NULL, and executes requests")) };
        }
        if !bodies.is_proposed(&digest) {
            return Err(format!("{digest:?} is executed in {slot}, and no primary proposed it"));
        }
        let Some(batch) = bodies.batch(&digest) else {
            return Err(format!("{digest:?} is executed in {slot}, and is on nobody's disk"));
        };
        let mut vertices = Vec::with_capacity(batch.content.vertices.len());
        for id in &batch.content.vertices {
            let Some(vertex) = bodies.vertex(id) else {
                return Err(format!("vertex {id:?} is listed in {slot}, and is on nobody's disk"));
            };
            vertices.push(&vertex.content);
        }
        for request in &execution.requests {
            let id = request.id();
            let carriers = vertices.iter().filter(|vertex| vertex.body.requests().iter().any(|other| other.id() == id));
            let is_signed = |vertex: &&&Arc<_>| {
                let vertex: &cretoai_core::vertex::SignedVertex = vertex;
                self.signatures.verify(vertex.body.author, Statement::Vertex(vertex.id()), &vertex.signature)
            };
            if !carriers.clone().any(|vertex| is_signed(&vertex)) {
                let found = if carriers.count() == 0 { "is in none of its vertices" } else { "is in no signed vertex" };
                return Err(format!("request {id:?} is executed in {slot}, and {found}"));
            }
            let is_authorized = match (&request.request.caller, &request.signature) {
                (None, _) => !self.chain.genesis.signed_requests,
                (Some(caller), Some(signature)) => self.signatures.verify_caller(caller, id, signature),
                (Some(_), None) => false,
            };
            if !is_authorized {
                return Err(format!("request {id:?} is executed in {slot}, and its caller did not sign it"));
            }
        }
        Ok(())
    }
}

/// A batch is on a replica's disk. It lists each vertex once (M10).
pub(super) fn lists_once(id: ReplicaId, slot: Slot, batch: &HashedBatch) -> Finding {
    let vertices = &batch.vertices;
    // A few, as a rule; those of a large batch are compared as a set.
    let is_twice = if vertices.len() < 16 {
        (1..vertices.len()).any(|at| vertices[..at].contains(&vertices[at]))
    } else {
        vertices.iter().collect::<BTreeSet<_>>().len() < vertices.len()
    };
    if is_twice { Err(format!("{id} keeps a batch for {slot} that lists a vertex twice")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::batch::Batch;
    use cretoai_core::hash::Digest;
    use cretoai_core::hashed::Hashed;
    use cretoai_core::time::Instant;

    #[test]
    fn a_batch_lists_no_vertex_twice() {
        let lists = |numbers: &[u8]| {
            let vertices = numbers.iter().map(|number| Digest([*number; 32])).collect();
            lists_once(ReplicaId(0), Slot(1), &Hashed::new(Batch { ts: Instant(1), vertices })).is_ok()
        };
        let many: Vec<u8> = (0..40).collect();
        assert_eq!([lists(&[1]), lists(&[1, 2, 3]), lists(&many)], [true; 3]);
        assert_eq!([lists(&[1, 1]), lists(&[1, 2, 1]), lists(&[&many[..], &[7]].concat())], [false; 3]);
    }
}
