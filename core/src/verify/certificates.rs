//! Certificates of votes and of checkpoints (`docs/protocol.md` M11, M12).

use super::{MAX_CERTIFICATES, Rejected, Verifier, length};
use crate::certificate::{Certificate, CertificateSet, Claim, distinct_members};
use crate::checkpoint::CheckpointCertificate;
use crate::message::Signed;
use crate::mutant::Mutant;
use crate::signature::Statement;
use crate::types::Slot;
use crate::vote::{Entries, Phase, Vote};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Votes for several slots whose signatures were found right: each stands in several certificates of a message and
/// is verified once. Votes for one slot stand in one certificate only, and are not kept here.
#[derive(Debug, Default)]
struct Vectors<'a>(Vec<&'a Signed<Vote>>);

impl Verifier {
    pub(super) fn certificate_set(&self, set: &CertificateSet) -> Result<(), Rejected> {
        length("certificates", set.0.len(), MAX_CERTIFICATES)?;
        let mut claims = BTreeSet::new();
        // The same one many times would be a few bytes for each, and a quorum of signatures to check.
        if !set.0.iter().all(|certificate| claims.insert((certificate.phase, certificate.claim))) {
            return Err(Rejected::RepeatedCertificate);
        }
        let mut vectors = Vectors::default();
        set.0.iter().try_for_each(|certificate| self.certificate(certificate, &mut vectors))
    }

    /// The PREPARE certificates of `set` that are right and asked for, at most one a slot. Of several for a slot only
    /// the first one asked for is looked at: junk in front of it costs its carrier the attachment, and us one check.
    pub(super) fn backing(&self, set: &CertificateSet, is_asked: impl Fn(&Claim) -> bool) -> Vec<Arc<Certificate>> {
        let mut vectors = Vectors::default();
        let mut looked_at: BTreeSet<Slot> = BTreeSet::new();
        let asked = set.0.iter().filter(|certificate| {
            certificate.phase == Phase::Prepare
                && is_asked(&certificate.claim)
                && looked_at.insert(certificate.claim.slot)
        });
        asked.filter(|certificate| self.certificate(certificate, &mut vectors).is_ok()).cloned().collect()
    }

    fn certificate<'a>(&self, certificate: &'a Certificate, vectors: &mut Vectors<'a>) -> Result<(), Rejected> {
        if !certificate.is_sound(self.chain.committee) {
            return Err(Rejected::Certificate);
        }
        certificate.votes().iter().try_for_each(|vote| self.canonical_vote(vote))?;
        for vote in certificate.votes() {
            if vectors.0.contains(&vote) || Mutant::CertificateUnsigned.is_on() {
                continue;
            }
            self.signed(vote.signer, Statement::Vote(&vote.body), &vote.signature)?;
            if matches!(vote.body.entries, Entries::Many(_)) {
                vectors.0.push(vote);
            }
        }
        Ok(())
    }

    pub(super) fn checkpoint_certificate(&self, certificate: &CheckpointCertificate) -> Result<(), Rejected> {
        let CheckpointCertificate { vote, votes } = certificate;
        self.checkpoint_slot(vote.slot)?;
        let signers = distinct_members(self.chain.committee, votes.iter().map(|signed| signed.signer));
        let is_quorum =
            signers.is_some_and(|set| self.chain.committee.is_quorum(set) || Mutant::ThinCheckpoint.is_on());
        let are_same = votes.iter().all(|signed| signed.body == *vote) || Mutant::MixedStates.is_on();
        if !is_quorum || !are_same {
            return Err(Rejected::CheckpointCertificate);
        }
        votes.iter().try_for_each(|signed| self.checkpoint(signed))
    }
}
