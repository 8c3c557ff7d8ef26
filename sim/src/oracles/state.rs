//! O6: equal checkpoint digests mean equal states (`docs/protocol.md` O6).

use super::Finding;
use crate::disk::Snapshot;
use cretoai_core::hash::Digest;
use cretoai_core::types::{ReplicaId, Slot};
use std::collections::VecDeque;

/// The first state of each recent checkpoint.
#[derive(Debug, Default)]
pub(super) struct StateOracle(VecDeque<First>);

#[derive(Debug)]
struct First {
    slot: Slot,
    by: ReplicaId,
    snapshot: Snapshot,
}

/// Checkpoints that are remembered.
const RECENT: usize = 16;

/// Bytes of chunks with equal hashes that are compared, of each snapshot.
const COMPARED: usize = 16 << 10;

impl StateOracle {
    /// A replica executed a checkpoint slot: its state must be everybody's.
    pub(super) fn executed(&mut self, id: ReplicaId, snapshot: &Snapshot) -> Finding {
        let slot = snapshot.core.slot;
        let Some(first) = self.0.iter().find(|first| first.slot == slot) else {
            if self.0.len() == RECENT {
                self.0.pop_front();
            }
            self.0.push_back(First { slot, by: id, snapshot: snapshot.clone() });
            return Ok(());
        };
        if !is_same_state(&first.snapshot, snapshot) {
            let [state, other] = [snapshot, &first.snapshot].map(digest);
            let difference = difference(first, snapshot);
            return Err(format!("{id} has state {state:?} after {slot}, and {} has {other:?}: {difference}", first.by));
        }
        same(first, id, snapshot)
    }

    /// A replica took over a state: if somebody executed it, it must be the same.
    pub(super) fn restored(&mut self, id: ReplicaId, snapshot: &Snapshot) -> Finding {
        let is_it = |first: &&First| first.slot == snapshot.core.slot && is_same_state(&first.snapshot, snapshot);
        let first = self.0.iter().find(is_it);
        first.map_or(Ok(()), |first| same(first, id, snapshot))
    }
}

/// Whether two states have one digest: it is a hash of what is compared here, and hashing it for every snapshot would
/// take longer.
fn is_same_state(one: &Snapshot, other: &Snapshot) -> bool {
    one.core.order == other.core.order && one.core.hashes == other.core.hashes && one.hashes == other.hashes
}

fn digest(snapshot: &Snapshot) -> Digest {
    snapshot.core.manifest(snapshot.hashes.clone()).state()
}

fn same(first: &First, id: ReplicaId, snapshot: &Snapshot) -> Finding {
    let chunks = |snapshot: &Snapshot| snapshot.core.chunks.iter().chain(&snapshot.app).cloned().collect::<Vec<_>>();
    let (one, other) = (chunks(&first.snapshot), chunks(snapshot));
    let mut compared = 0;
    for (index, (one, other)) in one.iter().zip(&other).enumerate() {
        compared += one.0.len();
        if one.0.len() != other.0.len() || compared <= COMPARED && one != other {
            let (slot, by) = (first.slot, first.by);
            return Err(format!("{id} and {by} have equal digests after {slot}, and different chunks {index}"));
        }
    }
    if one.len() == other.len() {
        Ok(())
    } else {
        Err(format!("{id} has another number of chunks after {}", first.slot))
    }
}

fn difference(first: &First, snapshot: &Snapshot) -> String {
    let core = first.snapshot.core.hashes.iter().zip(&snapshot.core.hashes).position(|(one, other)| one != other);
    let app = first.snapshot.hashes.iter().zip(&snapshot.hashes).position(|(one, other)| one != other);
    let order = first.snapshot.core.order != snapshot.core.order;
    match (core, app, order) {
        (Some(chunk), ..) => format!("chunk {chunk} of the core differs"),
        (_, Some(chunk), _) => format!("chunk {chunk} of the application differs"),
        (.., true) => "the order differs".to_owned(),
        _ => "the number of chunks differs".to_owned(),
    }
}
