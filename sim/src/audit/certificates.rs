//! Certificates: a quorum of different members that say the same (`docs/protocol.md` M11).

use super::{Auditor, Objection};
use cretoai_core::certificate::Certificate;
use cretoai_core::checkpoint::CheckpointCertificate;
use cretoai_core::message::Signed;
use cretoai_core::signature::Statement;
use cretoai_core::types::ReplicaId;
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeSet;

impl Auditor {
    /// Whether a certificate proves what it claims.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn certificate(&self, certificate: &Certificate, phase: Phase) -> Result<(), Objection> {
        self.certificate_with(certificate, phase, |vote| self.signed(vote, Statement::Vote(&vote.body)).is_ok())
    }

    /// The same for somebody who remembers which signatures are right.
    pub(crate) fn certificate_with(
        &self,
        certificate: &Certificate,
        phase: Phase,
        mut is_right: impl FnMut(&Signed<Vote>) -> bool,
    ) -> Result<(), Objection> {
        let claim = certificate.claim;
        let what = || format!("a certificate for {:?} in {} of {}", claim.digest, claim.slot, claim.view);
        if certificate.phase != phase {
            return Err(format!("{} of the wrong phase", what()));
        }
        let mut signers = 0_u128;
        for vote in certificate.votes() {
            let signer = vote.signer;
            let said = vote.body.entries.iter().find(|(slot, _)| *slot == claim.slot).map(|(_, digest)| digest);
            if vote.body.phase != phase || vote.body.view != claim.view || said != Some(claim.digest) {
                return Err(format!("{}, in which {signer} says something else", what()));
            }
            if !self.is_member(signer) || signers >> signer.0 & 1 == 1 {
                return Err(format!("{}, in which {signer} is no member or counts twice", what()));
            }
            signers |= 1 << signer.0;
            if !is_right(vote) {
                return Err(format!("{}, in which the signature of {signer} is wrong", what()));
            }
        }
        let count = usize::try_from(signers.count_ones()).expect("at most 128");
        if self.is_quorum(count) { Ok(()) } else { Err(format!("{} with too few votes", what())) }
    }

    /// Whether a certificate proves the state at a checkpoint.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checkpoint(&self, proof: &CheckpointCertificate) -> Result<(), Objection> {
        let what = format!("a certificate of the state at {}", proof.vote.slot);
        for vote in &proof.votes {
            self.signed(vote, Statement::Checkpoint(&vote.body)).map_err(|why| format!("{what}, in which {why}"))?;
            if vote.body != proof.vote {
                return Err(format!("{what}, in which {} says something else", vote.signer));
            }
        }
        let signers: BTreeSet<ReplicaId> = proof.votes.iter().map(|vote| vote.signer).collect();
        if signers.len() != proof.votes.len() {
            return Err(format!("{what}, in which a signer counts twice"));
        }
        if self.is_quorum(signers.len()) { Ok(()) } else { Err(format!("{what} with too few votes")) }
    }
}
