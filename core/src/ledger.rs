//! The replicated state of the protocol itself: what has been finalized, in which order, and which requests have
//! executed. Equal at all honest replicas after the same slot, part of every checkpoint, and transferred with it
//! (`docs/protocol.md` F1 to F13, F16).

mod frontier;
mod order;
mod seen;
mod segment;
mod standing;
#[cfg(test)]
mod tests;

pub use frontier::{Frontier, RefState, Verdict};
pub use order::{OrderEntry, OrderRoot};
pub use seen::{Fate, SeenSet};
pub use standing::{FULL_STANDING, Standings};

use crate::batch::HashedBatch;
use crate::bytes::Bytes;
use crate::checkpoint::StateRoots;
use crate::config::Chain;
use crate::evidence::Evidence;
use crate::hash::{Digest, Domain, hash};
use crate::mutant::Mutant;
use crate::request::ClientRequest;
use crate::time::Instant;
use crate::types::{Height, ReplicaId, Slot};
use crate::vertex::{Link, SignedVertex, VertexId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The epoch of every statement and state in this version.
pub const EPOCH: u64 = 0;

/// What finalizing a slot did.
#[derive(Clone, Debug, Default)]
pub struct Finalized {
    /// The slot's effective time `T_n`.
    pub time: Instant,
    /// The verdict on each listed vertex, in order.
    pub verdicts: Vec<(VertexId, Verdict)>,
    /// The requests of its `Final` vertices, in order, and what is to become of each.
    pub fates: Vec<Listed>,
    /// The evidence that changed its accused's standing, in order.
    pub accusations: Vec<Arc<Evidence>>,
}

/// A request of a `Final` vertex.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The request.
    pub request: Arc<ClientRequest>,
    /// The vertex's author, whose share it counts against.
    pub author: ReplicaId,
    /// Whether it executes.
    pub fate: Fate,
    /// The hash of the result of its execution, here or earlier, as soon as that is known.
    pub result: Option<Digest>,
}

/// The replicated state after a slot.
#[derive(Clone, Debug)]
pub struct Ledger {
    chain: Arc<Chain>,
    slot: Slot,
    time: Instant,
    frontier: Frontier,
    seen: SeenSet,
    order: OrderRoot,
    standings: Standings,
}

impl Ledger {
    /// The state at genesis.
    #[must_use]
    pub fn new(chain: Arc<Chain>) -> Self {
        Self {
            slot: Slot(0),
            time: Instant::GENESIS,
            frontier: Frontier::new(&chain),
            seen: SeenSet::new(&chain),
            order: OrderRoot::new(),
            standings: Standings::new(chain.committee, chain.checkpoint_interval()),
            chain,
        }
    }

    /// The last slot finalized.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The effective time of the last slot.
    #[must_use]
    pub fn time(&self) -> Instant {
        self.time
    }

    /// The finalized part of the DAG, as far as later vertices depend on it.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// What was proven against replicas, and who is banned.
    #[must_use]
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// What would become of a request if its vertex were finalized now (`docs/protocol.md` D7). The effective time
    /// stands still while nothing is ordered, so it is the clock that says what the next slot's would be.
    #[must_use]
    pub fn judge(&self, request: &ClientRequest, author: ReplicaId, now: Instant) -> Fate {
        self.seen.judge(request, author, now.max(Instant(self.time.0.saturating_add(1)))).0
    }

    /// Finalizes the next slot; `None` is the NULL batch. `body` gives the body of each listed vertex.
    ///
    /// # Panics
    /// When the slot is not the next one.
    pub fn finalize<'a>(
        &mut self,
        slot: Slot,
        batch: Option<&HashedBatch>,
        mut body: impl FnMut(&VertexId) -> &'a Arc<SignedVertex>,
    ) -> Finalized {
        assert_eq!(slot, self.slot.next(), "slots are finalized in order");
        self.slot = slot;
        self.frontier.age(slot);
        let mut done = Finalized::default();
        if let Some(batch) = batch {
            // F5: strictly increasing over slots that are not NULL, whatever the primary's clock said.
            let least = Instant(self.time.0.saturating_add(1));
            self.time = if Mutant::PrimarysTime.is_on() { batch.ts } else { batch.ts.max(least) };
            self.seen.expire(self.time);
            for (position, id) in (0..).zip(&batch.vertices) {
                let vertex = body(id);
                let verdict = self.frontier.judge(vertex);
                self.order.append(&OrderEntry { slot, position, id: *id, verdict });
                done.verdicts.push((*id, verdict));
                if verdict == Verdict::Final {
                    self.frontier.extend(vertex, slot);
                    self.list(vertex, &mut done);
                }
            }
        }
        done.time = self.time;
        self.standings.advance(slot);
        self.frontier.set_banned(self.standings.banned());
        if slot.is_checkpoint(self.chain.checkpoint_interval()) {
            self.order.roll();
        }
        done
    }

    fn list(&mut self, vertex: &SignedVertex, done: &mut Finalized) {
        let author = vertex.author();
        let changing = vertex.body.evidence().filter(|evidence| self.standings.apply(evidence, self.slot));
        done.accusations.extend(changing.cloned());
        for request in vertex.body.requests() {
            // The result of an earlier execution is noted now: it may have expired when this slot is answered.
            let (fate, result) = self.seen.judge(request, author, self.time);
            if fate == Fate::Executes {
                self.seen.mark(request, author);
            }
            done.fates.push(Listed { request: request.clone(), author, fate, result });
        }
    }

    /// The next slot to finalize is an earlier one, as only a mutant wants it (`docs/protocol.md` N15).
    pub(crate) fn go_back(&mut self, slot: Slot) {
        self.slot = self.slot.min(slot);
    }

    /// Remembers the result of a request that executed. Called in the order of execution.
    pub fn complete(&mut self, listed: &Listed, result: Digest) {
        self.seen.complete(&listed.request, listed.author, result);
    }

    /// The result of a request that executed and has not expired; `None` also while it is being executed.
    #[must_use]
    pub fn result(&self, request: &ClientRequest) -> Option<Digest> {
        self.seen.result(request)
    }

    /// The state for a snapshot. Every request must be complete.
    #[must_use]
    pub fn snapshot(&mut self) -> CoreSnapshot {
        let head = Head {
            slot: self.slot,
            time: if Mutant::TimeNotKept.is_on() { Instant::GENESIS } else { self.time },
            last: self.frontier.last().to_vec(),
            aged: self.frontier.aged().to_vec(),
            standings: if Mutant::StandingsNotKept.is_on() { Vec::new() } else { self.standings.records() },
        };
        let mut head_chunk = vec![segment::HEAD];
        head_chunk.extend(postcard::to_stdvec(&head).expect("a head encodes"));
        let index = self.frontier.segments_mut().filter(|_| !Mutant::IndexNotKept.is_on());
        let seen = self.seen.segments_mut().filter(|_| !Mutant::SeenNotKept.is_on());
        let segments: Vec<_> = index.chain(seen).collect();
        let mut hashes = Vec::with_capacity(1 + segments.len());
        let mut chunks = Vec::with_capacity(1 + segments.len());
        hashes.push(chunk_hash(&head_chunk));
        chunks.push(Arc::new(Bytes(head_chunk)));
        for segment in segments {
            hashes.push(segment.digest());
            chunks.push(segment.bytes().clone());
        }
        CoreSnapshot { slot: self.slot, epoch: EPOCH, order: self.order.root(), hashes, chunks }
    }

    /// The state that a snapshot describes.
    ///
    /// # Errors
    /// [`BrokenSnapshot`] when the chunks do not describe one, which a certified snapshot never does.
    pub fn restore(chain: Arc<Chain>, snapshot: &CoreSnapshot) -> Result<Self, BrokenSnapshot> {
        let mut chunks = snapshot.chunks.iter().map(|chunk| chunk.0.as_slice());
        let head = chunks.next().and_then(|chunk| chunk.split_first());
        let Some((&segment::HEAD, head)) = head else { return Err(BrokenSnapshot("the head is missing")) };
        let head: Head = postcard::from_bytes(head).map_err(|_| BrokenSnapshot("the head does not decode"))?;
        let n = usize::from(chain.committee.n());
        if head.slot != snapshot.slot || head.last.len() != n || head.aged.len() != n {
            return Err(BrokenSnapshot("the head is of another slot or committee"));
        }
        let standings = Standings::new(chain.committee, chain.checkpoint_interval());
        let standings = standings.restored(head.slot, head.standings)?;
        let mut frontier = Frontier::restored(&chain, head.last, head.aged);
        frontier.set_banned(standings.banned());
        let mut seen = SeenSet::new(&chain);
        for chunk in chunks {
            match chunk.first() {
                Some(&segment::INDEX) => frontier.restore_segment(chunk)?,
                Some(&segment::SEEN) => seen.restore_segment(chunk)?,
                _ => return Err(BrokenSnapshot("a chunk of no known kind")),
            }
        }
        let order = OrderRoot::restored(snapshot.order);
        Ok(Self { slot: head.slot, time: head.time, frontier, seen, order, standings, chain })
    }

    /// Requests remembered, for the bound on memory.
    #[must_use]
    pub fn seen_len(&self) -> usize {
        self.seen.len()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    slot: Slot,
    time: Instant,
    last: Vec<Link>,
    aged: Vec<Height>,
    standings: Vec<(ReplicaId, standing::Standing)>,
}

/// Chunks that describe no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the core's snapshot is broken: {0}")]
pub struct BrokenSnapshot(pub(crate) &'static str);

/// The core's part of a snapshot (`docs/protocol.md` C13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSnapshot {
    /// The slot after which it was taken.
    pub slot: Slot,
    /// The epoch.
    pub epoch: u64,
    /// The root of the finalized order.
    pub order: Digest,
    /// The hash of each chunk.
    pub hashes: Vec<Digest>,
    /// The chunks: the head, then the index, then the seen set.
    pub chunks: Vec<Arc<Bytes>>,
}

impl CoreSnapshot {
    /// The manifest of the whole snapshot, with the hashes of the application's chunks.
    #[must_use]
    pub fn manifest(&self, app: Vec<Digest>) -> Manifest {
        Manifest { slot: self.slot, epoch: self.epoch, order: self.order, core: self.hashes.clone(), app }
    }
}

/// The list of a snapshot's chunks, whose roots are in the checkpoint's digest (`docs/protocol.md` C12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The slot after which the snapshot was taken.
    pub slot: Slot,
    /// The epoch.
    pub epoch: u64,
    /// The root of the finalized order.
    pub order: Digest,
    /// The hashes of the core's chunks.
    pub core: Vec<Digest>,
    /// The hashes of the application's chunks.
    pub app: Vec<Digest>,
}

impl Manifest {
    /// The roots of the state that it describes.
    #[must_use]
    pub fn roots(&self) -> StateRoots {
        StateRoots { app: chunks_root(&self.app), core: chunks_root(&self.core), order: self.order }
    }

    /// The checkpoint digest `D` of the state that it describes.
    #[must_use]
    pub fn state(&self) -> Digest {
        self.roots().digest(self.slot, self.epoch)
    }
}

/// The root of a list of chunk hashes.
#[must_use]
pub fn chunks_root(hashes: &[Digest]) -> Digest {
    let all: Vec<[u8; 32]> = hashes.iter().map(|digest| digest.0).collect();
    hash(Domain::Chunks, all.as_flattened())
}

/// The hash of a chunk of a snapshot, the core's or the application's.
#[must_use]
pub fn chunk_hash(bytes: &[u8]) -> Digest {
    hash(Domain::Chunk, segment::covered(bytes))
}
