//! O11: nobody holds evidence against a correct replica (`docs/protocol.md` O11).

use super::Finding;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::evidence::Evidence;
use cretoai_core::types::ReplicaId;

/// A replica stored evidence.
pub(super) fn stored(id: ReplicaId, evidence: &Evidence, honest: ReplicaSet) -> Finding {
    let accused = evidence.accused();
    if honest >> accused.0 & 1 == 0 {
        return Ok(());
    }
    let (kind, view, at) = evidence.key();
    Err(format!("{id} accuses {accused}, which is honest, of {kind:?} in {view} at {at}"))
}
