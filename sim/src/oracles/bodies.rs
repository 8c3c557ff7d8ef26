//! Batches and vertices that were seen, and on whose disks they are.

use crate::table::Table;
use cretoai_core::batch::HashedBatch;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::hash::Digest;
use cretoai_core::record::Record;
use cretoai_core::types::ReplicaId;
use cretoai_core::vertex::SignedVertex;
use std::sync::Arc;

/// A body and what is known of it.
#[derive(Debug)]
pub(super) struct Body<T> {
    pub(super) content: Arc<T>,
    /// On whose disks it is.
    pub(super) durable: ReplicaSet,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    vertex_numbers: Table,
    vertices: Vec<Body<SignedVertex>>,
    batch_numbers: Table,
    batches: Vec<Body<HashedBatch>>,
    /// Digests that the primary of some view proposed.
    proposed: Table,
}

fn number(list: &[impl Sized]) -> u32 {
    u32::try_from(list.len()).expect("fewer than 2^32 bodies")
}

impl Bodies {
    /// Takes note of the body in a record that became durable.
    pub(super) fn record(&mut self, id: ReplicaId, record: &Record) {
        match record {
            Record::OwnVertex(vertex) | Record::Vertex(vertex) => {
                let at = self.vertex_numbers.get(&vertex.id()).unwrap_or_else(|| {
                    let at = number(&self.vertices);
                    self.vertex_numbers.insert(&vertex.id(), at);
                    self.vertices.push(Body { content: Arc::clone(vertex), durable: 0 });
                    at
                });
                self.vertices[at as usize].durable |= 1 << id.0;
            }
            Record::Batch(_, batch) => {
                let at = self.batch_numbers.get(&batch.digest()).unwrap_or_else(|| {
                    let at = number(&self.batches);
                    self.batch_numbers.insert(&batch.digest(), at);
                    self.batches.push(Body { content: Arc::clone(batch), durable: 0 });
                    at
                });
                self.batches[at as usize].durable |= 1 << id.0;
            }
            _ => {}
        }
    }

    /// A vertex that is on some disk.
    pub(super) fn vertex(&self, id: &Digest) -> Option<&Body<SignedVertex>> {
        self.vertex_numbers.get(id).map(|at| &self.vertices[at as usize])
    }

    /// A batch that is on some disk.
    pub(super) fn batch(&self, digest: &Digest) -> Option<&Body<HashedBatch>> {
        self.batch_numbers.get(digest).map(|at| &self.batches[at as usize])
    }

    /// The primary of a view proposed this.
    pub(super) fn propose(&mut self, digest: &Digest) {
        self.proposed.insert(digest, 0);
    }

    /// Whether the primary of some view proposed this.
    pub(super) fn is_proposed(&self, digest: &Digest) -> bool {
        self.proposed.get(digest).is_some()
    }
}
