//! Batches and vertices on disks, and on whose.

use crate::table::Table;
use cretoai_core::batch::HashedBatch;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::record::Record;
use cretoai_core::types::ReplicaId;
use cretoai_core::vertex::SignedVertex;
use std::collections::VecDeque;
use std::sync::Arc;

/// A body and what is known of it.
#[derive(Debug)]
pub(super) struct Body<T> {
    pub(super) content: Arc<T>,
    /// On whose disks it is.
    pub(super) durable: ReplicaSet,
}

/// The latest bodies of a kind, by their digests.
#[derive(Debug)]
struct Recent<T> {
    numbers: Table,
    /// The number of the first one that is kept.
    first: u32,
    bodies: VecDeque<Body<T>>,
    limit: usize,
}

impl<T> Recent<T> {
    fn new(limit: usize) -> Self {
        Self { numbers: Table::default(), first: 0, bodies: VecDeque::new(), limit }
    }

    fn place(&self, digest: &Digest) -> Option<usize> {
        self.numbers.get(digest)?.checked_sub(self.first).map(|place| place as usize)
    }

    fn get(&self, digest: &Digest) -> Option<&Body<T>> {
        self.place(digest).map(|place| &self.bodies[place])
    }

    /// Whether it was on some disk so long ago that nobody knows on whose.
    fn has_forgotten(&self, digest: &Digest) -> bool {
        self.numbers.get(digest).is_some_and(|number| number < self.first)
    }

    /// It is on a replica's disk.
    fn record(&mut self, id: ReplicaId, digest: &Digest, content: &Arc<T>) {
        if let Some(place) = self.place(digest) {
            self.bodies[place].durable |= 1 << id.0;
            return;
        }
        if self.bodies.len() == self.limit {
            self.bodies.pop_front();
            self.first += 1;
        }
        let number = self.first + u32::try_from(self.bodies.len()).expect("below the limit");
        self.numbers.insert(digest, number);
        self.bodies.push_back(Body { content: Arc::clone(content), durable: 1 << id.0 });
    }
}

/// The latest of both kinds.
#[derive(Debug)]
pub(super) struct Bodies {
    vertices: Recent<SignedVertex>,
    batches: Recent<HashedBatch>,
    /// Digests that the primary of some view proposed.
    proposed: Table,
}

impl Bodies {
    pub(super) fn new(chain: &Chain) -> Self {
        // Nobody executes what lies further behind, and only who was cut off votes for it: in a view that others were
        // long in.
        let slots = usize::try_from(2 * (chain.window() + 2 * chain.checkpoint_interval())).expect("small");
        Self {
            vertices: Recent::new(slots * chain.max_batch()),
            batches: Recent::new(slots * 4),
            proposed: Table::default(),
        }
    }

    /// Takes note of the body in a record that became durable.
    pub(super) fn record(&mut self, id: ReplicaId, record: &Record) {
        match record {
            Record::OwnVertex(vertex) | Record::Vertex(vertex) => self.vertices.record(id, &vertex.id(), vertex),
            Record::Batch(_, batch) => self.batches.record(id, &batch.digest(), batch),
            _ => {}
        }
    }

    /// A vertex that is on some disk.
    pub(super) fn vertex(&self, id: &Digest) -> Option<&Body<SignedVertex>> {
        self.vertices.get(id)
    }

    /// A batch that is on some disk.
    pub(super) fn batch(&self, digest: &Digest) -> Option<&Body<HashedBatch>> {
        self.batches.get(digest)
    }

    /// Whether a batch was on some disk so long ago that nobody knows on whose.
    pub(super) fn has_forgotten_batch(&self, digest: &Digest) -> bool {
        self.batches.has_forgotten(digest)
    }

    /// Whether a vertex was on some disk so long ago that nobody knows on whose.
    pub(super) fn has_forgotten_vertex(&self, id: &Digest) -> bool {
        self.vertices.has_forgotten(id)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_told_apart_from_what_nobody_had() {
        let mut recent = Recent::new(2);
        let digest = |byte| Digest([byte; 32]);
        for byte in 1..=3 {
            recent.record(ReplicaId(0), &digest(byte), &Arc::new(byte));
        }
        assert!(recent.get(&digest(1)).is_none() && recent.has_forgotten(&digest(1)));
        assert!(recent.get(&digest(2)).is_some() && !recent.has_forgotten(&digest(2)));
        assert!(recent.get(&digest(4)).is_none() && !recent.has_forgotten(&digest(4)));
    }
}
