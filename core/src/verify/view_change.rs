//! VIEW-CHANGE and NEW-VIEW. Their signers answer for the bodies alone: an attachment that is bad, or that nothing in
//! the body asks for, is dropped and blames nobody (`docs/protocol.md` M14).

use super::{Rejected, Verifier, at_most};
use crate::certificate::{CertificateSet, Claim};
use crate::checkpoint::CheckpointCertificate;
use crate::choice::{claim_at, is_canonical};
use crate::evidence::named;
use crate::message::{NewView, NewViewMessage, Signed, ViewChange, ViewChangeMessage};
use crate::signature::Statement;
use crate::types::Slot;
use std::sync::Arc;

impl Verifier {
    pub(super) fn view_change(&self, message: &Arc<ViewChangeMessage>) -> Result<Arc<ViewChangeMessage>, Rejected> {
        let ViewChangeMessage { signed, stable, certificates } = &**message;
        self.view_change_body(signed)?;
        let body = &signed.body;
        let stable = self.proof_of(stable.as_ref(), body.stable).filter(|kept| kept.vote.state == body.state);
        let is_claimed = |claim: &Claim| claim_at(&body.prepared, claim.slot) == Some(claim);
        let certificates = CertificateSet(self.backing(certificates, is_claimed));
        Ok(keep(message, ViewChangeMessage { signed: Arc::clone(signed), stable, certificates }))
    }

    /// Checks a VIEW-CHANGE's body and signature. A body that breaks `docs/protocol.md` V4 passes: it is evidence.
    pub(super) fn view_change_body(&self, signed: &Signed<ViewChange>) -> Result<(), Rejected> {
        let ViewChange { prepared, voted, .. } = &signed.body;
        self.member(signed.signer)?;
        at_most("prepared claims", prepared.len(), self.window())?;
        at_most("voted claims", voted.len(), self.window())?;
        if !is_canonical(&signed.body) {
            return Err(Rejected::NotCanonical("a VIEW-CHANGE"));
        }
        self.signed(signed.signer, Statement::ViewChange(&signed.body), &signed.signature)
    }

    pub(super) fn new_view(&self, message: &Arc<NewViewMessage>) -> Result<Arc<NewViewMessage>, Rejected> {
        let NewViewMessage { signed, view_changes, stable, certificates } = &**message;
        self.new_view_body(signed)?;
        let body = &signed.body;
        let bodies = named(body, view_changes).into_iter().filter(|body| self.named_body(body).is_ok());
        let view_changes: Vec<_> = bodies.cloned().collect();
        let is_asked = |claim: &Claim| {
            body.proposals.contains(&(claim.slot, claim.digest))
                && view_changes.iter().any(|named| claim_at(&named.body.prepared, claim.slot) == Some(claim))
        };
        let certificates = CertificateSet(self.backing(certificates, is_asked));
        let stable = self.proof_of(stable.as_ref(), body.stable);
        Ok(keep(message, NewViewMessage { signed: signed.clone(), view_changes, stable, certificates }))
    }

    /// Checks a body that a NEW-VIEW names by its hash, which covers the signer and all that it says. One that no
    /// signature could make valid, because its signer is a stranger or its form is none, needs none to convict who named
    /// it; any other with a wrong signature was swapped on the way, and is dropped (`docs/protocol.md` X4, M14).
    pub(super) fn named_body(&self, signed: &Signed<ViewChange>) -> Result<(), Rejected> {
        if self.member(signed.signer).is_err() || !is_canonical(&signed.body) {
            return Ok(());
        }
        self.view_change_body(signed)
    }

    /// Checks a NEW-VIEW's limits and signature. One that does not follow from its bodies passes: it is evidence.
    pub(super) fn new_view_body(&self, signed: &Signed<NewView>) -> Result<(), Rejected> {
        let NewView { view_changes, proposals, .. } = &signed.body;
        at_most("VIEW-CHANGEs of a NEW-VIEW", view_changes.len(), usize::from(self.chain.committee.n()))?;
        at_most("slots of a NEW-VIEW", proposals.len(), self.window())?;
        self.signed(signed.signer, Statement::NewView(&signed.body), &signed.signature)
    }

    /// The certificate if it proves that `slot` is stable.
    fn proof_of(
        &self,
        attached: Option<&Arc<CheckpointCertificate>>,
        slot: Slot,
    ) -> Option<Arc<CheckpointCertificate>> {
        attached
            .filter(|certificate| certificate.vote.slot == slot && self.checkpoint_certificate(certificate).is_ok())
            .cloned()
    }

    fn window(&self) -> usize {
        usize::try_from(self.chain.window()).unwrap_or(usize::MAX)
    }
}

/// The message itself if nothing was dropped from it, so that all its holders go on sharing it.
fn keep<T: PartialEq>(message: &Arc<T>, kept: T) -> Arc<T> {
    if **message == kept { Arc::clone(message) } else { Arc::new(kept) }
}
