//! The evidence that a replica keeps (`docs/protocol.md` X8).

use super::{Accusation, Evidence, EvidenceKey};
use crate::types::ReplicaId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pieces of evidence kept against one replica, at the most: enough to convict it many times over, and no way to
/// fill a disk.
pub const MAX_PIECES: usize = 4;

/// Evidence by accused, bounded and without duplicates.
#[derive(Clone, Debug, Default)]
pub struct EvidenceStore {
    pieces: BTreeMap<ReplicaId, BTreeMap<EvidenceKey, Arc<Evidence>>>,
}

impl EvidenceStore {
    /// Keeps a piece whose signatures and predicate were checked. `false` if one with the same key is kept already,
    /// or [`MAX_PIECES`] against the same replica.
    pub fn insert(&mut self, evidence: Arc<Evidence>) -> bool {
        let (accused, key) = (evidence.accused(), evidence.key());
        let is_wanted = self.wants(accused, key);
        if is_wanted {
            self.pieces.entry(accused).or_default().insert(key, evidence);
        }
        is_wanted
    }

    /// Whether a piece with this key would be kept.
    #[must_use]
    pub fn wants(&self, accused: ReplicaId, key: EvidenceKey) -> bool {
        self.pieces.get(&accused).is_none_or(|kept| kept.len() < MAX_PIECES && !kept.contains_key(&key))
    }

    /// What is kept against a replica, by kind, view, and slot or height.
    pub fn against(&self, accused: ReplicaId) -> impl Iterator<Item = &Arc<Evidence>> {
        self.pieces.get(&accused).into_iter().flat_map(BTreeMap::values)
    }

    /// The replicas against which something is kept, ascending.
    pub fn accused(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.pieces.keys().copied()
    }

    /// A piece.
    #[must_use]
    pub fn get(&self, (accused, key): &Accusation) -> Option<&Arc<Evidence>> {
        self.pieces.get(accused)?.get(key)
    }

    /// Everything, by accused.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Evidence>> {
        self.pieces.values().flat_map(BTreeMap::values)
    }
}
