//! O9: every certificate that a correct replica relies on is checked again, by other code (`docs/protocol.md` O9).

use super::Finding;
use crate::crypto::mix;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::certificate::Certificate;
use cretoai_core::checkpoint::CheckpointCertificate;
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::message::{NewViewMessage, Signed};
use cretoai_core::record::Record;
use cretoai_core::signature::{Signature, SignatureVerifier, Statement};
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::vote::{Phase, Vote};
use std::sync::Arc;

/// The checker, with a memory for signatures that it has found right.
#[derive(Debug)]
pub(super) struct Certificates {
    chain: Arc<Chain>,
    signatures: Arc<dyn SignatureVerifier>,
    right: Vec<u64>,
}

const REMEMBERED: usize = 4096;

impl Certificates {
    pub(super) fn new(chain: &Arc<Chain>, signatures: &Arc<dyn SignatureVerifier>) -> Self {
        Self { chain: Arc::clone(chain), signatures: Arc::clone(signatures), right: vec![0; REMEMBERED] }
    }

    /// A replica recorded something.
    pub(super) fn check(&mut self, id: ReplicaId, record: &Record) -> Finding {
        let found = match record {
            Record::Prepared(certificate) => self.votes(certificate, Phase::Prepare),
            Record::Committed(certificate) => self.votes(certificate, Phase::Commit),
            Record::Stable(proof) => self.checkpoint(proof),
            Record::NewViewInstalled(message) => self.new_view(message),
            Record::ViewChangeSent(message) => {
                let claims = &message.signed.body.prepared;
                message.certificates.0.iter().try_for_each(|certificate| self.votes(certificate, Phase::Prepare)).and(
                    if claims.iter().all(|claim| message.certificates.0.iter().any(|proof| proof.claim == *claim)) {
                        Ok(())
                    } else {
                        Err("a claim without its certificate".to_owned())
                    },
                )
            }
            _ => Ok(()),
        };
        found.map_err(|what| format!("{id} relies on {what}"))
    }

    fn votes(&mut self, certificate: &Certificate, phase: Phase) -> Finding {
        let claim = certificate.claim;
        let what = || format!("a certificate for {:?} in {} of {}", claim.digest, claim.slot, claim.view);
        if certificate.phase != phase {
            return Err(format!("{} of the wrong phase", what()));
        }
        let mut seen = 0_u128;
        for vote in certificate.votes() {
            let said = vote.body.entries.iter().find(|(slot, _)| *slot == claim.slot).map(|(_, digest)| digest);
            if vote.body.phase != phase || vote.body.view != claim.view || said != Some(claim.digest) {
                return Err(format!("{}, in which {} says something else", what(), vote.signer));
            }
            if seen >> vote.signer.0 & 1 == 1 {
                return Err(format!("{}, in which {} counts twice", what(), vote.signer));
            }
            seen |= 1 << vote.signer.0;
            if !self.is_right(vote, claim.slot, claim.digest) {
                return Err(format!("{}, in which the signature of {} is wrong", what(), vote.signer));
            }
        }
        if self.is_quorum(seen) { Ok(()) } else { Err(format!("{} with too few votes", what())) }
    }

    fn is_quorum(&self, set: u128) -> bool {
        // Not through the committee's own arithmetic, on purpose: 2 * |set| >= n + f + 1.
        let n = u32::from(self.chain.committee.n());
        let f = (n - 1) / 3;
        let members = if n == 128 { u128::MAX } else { (1 << n) - 1 };
        set & !members == 0 && 2 * set.count_ones() > n + f
    }

    /// Votes for one slot are remembered: each stands in certificates of many replicas.
    fn is_right(&mut self, vote: &Signed<Vote>, slot: Slot, digest: Digest) -> bool {
        let body = &vote.body;
        if body.entries.len() > 1 {
            return self.verify(vote.signer, Statement::Vote(body), &vote.signature);
        }
        let View(view) = body.view;
        let head = |bytes: &[u8]| bytes.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
        let signature = mix(head(vote.signature.bytes()), vote.signature.bytes().len() as u64);
        let about = mix(mix(slot.0, view << 1 | body.phase as u64), digest.short() ^ u64::from(vote.signer.0));
        let key = mix(about, signature) | 1;
        let place = usize::try_from(key % REMEMBERED as u64).expect("a place");
        if self.right[place] == key {
            return true;
        }
        let is_right = self.verify(vote.signer, Statement::Vote(body), &vote.signature);
        if is_right {
            self.right[place] = key;
        }
        is_right
    }

    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        self.signatures.verify(signer, statement, signature)
    }

    fn checkpoint(&self, proof: &CheckpointCertificate) -> Finding {
        let what = format!("a certificate of the state at {}", proof.vote.slot);
        let mut seen = 0_u128;
        for vote in &proof.votes {
            let is_right = self.verify(vote.signer, Statement::Checkpoint(&vote.body), &vote.signature);
            if vote.body != proof.vote || !is_right || seen >> vote.signer.0 & 1 == 1 {
                return Err(format!("{what}, in which the vote of {} is wrong or counts twice", vote.signer));
            }
            seen |= 1 << vote.signer.0;
        }
        if self.is_quorum(seen) { Ok(()) } else { Err(format!("{what} with too few votes")) }
    }

    fn new_view(&mut self, message: &NewViewMessage) -> Finding {
        let body = &message.signed.body;
        let what = format!("a NEW-VIEW for {}", body.view);
        let signer = message.signed.signer;
        if signer.0 != u16::try_from(body.view.0 % u64::from(self.chain.committee.n())).expect("below n") {
            return Err(format!("{what} of {signer}, which is not its primary"));
        }
        if !self.verify(signer, Statement::NewView(body), &message.signed.signature) {
            return Err(format!("{what} whose signature is wrong"));
        }
        let mut seen = 0_u128;
        for signed in &message.view_changes {
            let is_right = self.verify(signed.signer, Statement::ViewChange(&signed.body), &signed.signature);
            if !is_right || signed.body.view != body.view || seen >> signed.signer.0 & 1 == 1 {
                return Err(format!("{what}, in which the VIEW-CHANGE of {} is wrong or counts twice", signed.signer));
            }
            seen |= 1 << signed.signer.0;
        }
        if !self.is_quorum(seen) {
            return Err(format!("{what} with too few VIEW-CHANGEs"));
        }
        if body.stable > Slot(0) {
            let proof = message.stable.as_ref().filter(|proof| proof.vote.slot == body.stable);
            self.checkpoint(proof.ok_or(format!("{what} without proof of its stable checkpoint"))?)?;
        }
        self.selected(message, &what)
    }

    /// For each slot the claim of the highest view is certified, and is what is proposed; the others are NULL.
    fn selected(&mut self, message: &NewViewMessage, what: &str) -> Finding {
        let body = &message.signed.body;
        let claims: Vec<_> = message.view_changes.iter().flat_map(|signed| signed.body.prepared.clone()).collect();
        for claim in claims.iter().filter(|claim| body.stable < claim.slot) {
            let is_highest = !claims.iter().any(|other| other.slot == claim.slot && claim.view < other.view);
            if !is_highest {
                continue;
            }
            if !body.proposals.contains(&(claim.slot, claim.digest)) {
                return Err(format!("{what} that does not propose the highest claim for {}", claim.slot));
            }
            let Some(proof) = message.certificates.0.iter().find(|proof| proof.claim == *claim) else {
                return Err(format!("{what} without a certificate for {}", claim.slot));
            };
            self.votes(&Arc::clone(proof), Phase::Prepare)?;
        }
        // Up to the last claim, what nobody claims is NULL; behind it there is nothing.
        let last = claims.iter().map(|claim| claim.slot).max().unwrap_or(body.stable).max(body.stable);
        let slots = body.stable.0 + 1..=last.0;
        if !body.proposals.iter().map(|(slot, _)| slot.0).eq(slots) {
            return Err(format!("{what} that proposes other slots than those from {} to {last}", body.stable));
        }
        let is_claimed = |slot: Slot| claims.iter().any(|claim| claim.slot == slot);
        match body.proposals.iter().find(|(slot, digest)| *digest != NULL_BATCH && !is_claimed(*slot)) {
            Some((slot, _)) => Err(format!("{what} that fills {slot}, which nobody claims")),
            None => Ok(()),
        }
    }
}
