//! O1: one digest per executed slot (`docs/protocol.md` O1).

use super::Finding;
use crate::crypto::mix;
use crate::facts::Facts;
use cretoai_core::certificate::Claim;
use cretoai_core::outbox::Execution;
use cretoai_core::types::ReplicaId;

/// A replica holds proof that a slot is decided.
pub(super) fn decided(id: ReplicaId, claim: &Claim, facts: &mut Facts) -> Finding {
    let slot = facts.slot(claim.slot);
    let Some(known) = slot.decided else {
        slot.decided = Some(claim.digest);
        slot.decided_by = id;
        return Ok(());
    };
    if known == claim.digest {
        return Ok(());
    }
    let (other, at) = (slot.decided_by, claim.slot);
    Err(format!("{other} decided {known:?} for {at}, and {id} decided {:?} in {}", claim.digest, claim.view))
}

/// A hash of what a slot executes, and when.
pub(super) fn fingerprint(execution: &Execution) -> u64 {
    let ids = execution.requests.iter().map(|request| request.id().short());
    ids.fold(mix(execution.slot.0, execution.time.0), mix) | 1
}

/// A replica executes a slot. Its execution must be everybody's.
pub(super) fn executes(id: ReplicaId, execution: &Execution, facts: &mut Facts) -> Finding {
    let known = facts.slot(execution.slot).execution;
    if known.is_none_or(|known| known == fingerprint(execution)) {
        return Ok(());
    }
    let (slot, count, time) = (execution.slot, execution.requests.len(), execution.time);
    Err(format!("{id} executes {count} requests in {slot} at {time}, and others executed something else there"))
}
