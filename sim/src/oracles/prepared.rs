//! O14: no two correct replicas are prepared for different batches in one view (`docs/protocol.md` O14).

use super::Finding;
use super::votes::VoteTable;
use cretoai_core::certificate::Claim;
use cretoai_core::types::ReplicaId;

/// What anyone was ever prepared for.
#[derive(Debug, Default)]
pub(super) struct Prepared(VoteTable);

impl Prepared {
    /// A replica holds a prepared certificate, durably.
    pub(super) fn hold(&mut self, id: ReplicaId, claim: &Claim) -> Finding {
        if self.0.insert(claim.slot, claim.view, claim.digest) {
            let Claim { slot, view, digest } = claim;
            return Err(format!(
                "{id} is prepared for {digest:?} in {slot} of {view}, and another replica for another batch"
            ));
        }
        Ok(())
    }
}
