//! O9: every certificate that a correct replica relies on is checked again, by other code (`docs/protocol.md` O9).

use super::Finding;
use crate::audit::Auditor;
use crate::crypto::mix;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::certificate::Certificate;
use cretoai_core::hash::Digest;
use cretoai_core::message::{NewViewMessage, Signed};
use cretoai_core::record::Record;
use cretoai_core::signature::Statement;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::vote::{Phase, Vote};
use std::sync::Arc;

/// The checker, with a memory for signatures that it has found right.
#[derive(Debug)]
pub(super) struct Certificates {
    auditor: Auditor,
    n: u16,
    right: Vec<u64>,
}

const REMEMBERED: usize = 4096;

impl Certificates {
    pub(super) fn new(auditor: &Auditor, n: u16) -> Self {
        Self { auditor: auditor.clone(), n, right: vec![0; REMEMBERED] }
    }

    /// A replica recorded something.
    pub(super) fn check(&mut self, id: ReplicaId, record: &Record) -> Finding {
        let found = match record {
            Record::Prepared(certificate) => self.votes(certificate, Phase::Prepare),
            Record::Committed(certificate) => self.votes(certificate, Phase::Commit),
            Record::Stable(proof) => self.auditor.checkpoint(proof),
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
        let (auditor, right) = (&self.auditor, &mut self.right);
        auditor.certificate_with(certificate, phase, |vote| is_right(auditor, right, vote, claim.slot, claim.digest))
    }

    fn new_view(&mut self, message: &NewViewMessage) -> Finding {
        let body = &message.signed.body;
        let what = format!("a NEW-VIEW for {}", body.view);
        let signer = message.signed.signer;
        if u64::from(signer.0) != body.view.0 % u64::from(self.n) {
            return Err(format!("{what} of {signer}, which is not its primary"));
        }
        self.auditor.signed(&message.signed, Statement::NewView(body)).map_err(|why| format!("{what}, and {why}"))?;
        let mut seen = 0_u128;
        for signed in &message.view_changes {
            let is_right = self.auditor.signed(signed, Statement::ViewChange(&signed.body)).is_ok();
            if !is_right || signed.body.view != body.view || seen >> signed.signer.0 & 1 == 1 {
                return Err(format!("{what}, in which the VIEW-CHANGE of {} is wrong or counts twice", signed.signer));
            }
            seen |= 1 << signed.signer.0;
        }
        if !self.auditor.is_quorum(message.view_changes.len()) {
            return Err(format!("{what} with too few VIEW-CHANGEs"));
        }
        if body.stable > Slot(0) {
            let proof = message.stable.as_ref().filter(|proof| proof.vote.slot == body.stable);
            self.auditor.checkpoint(proof.ok_or(format!("{what} without proof of its stable checkpoint"))?)?;
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

/// Votes for one slot are remembered: each stands in certificates of many replicas.
#[inline]
fn is_right(auditor: &Auditor, right: &mut [u64], vote: &Signed<Vote>, slot: Slot, digest: Digest) -> bool {
    let body = &vote.body;
    let check = || auditor.signed(vote, Statement::Vote(body)).is_ok();
    if body.entries.len() > 1 {
        return check();
    }
    let View(view) = body.view;
    let head = |bytes: &[u8]| bytes.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
    let signature = mix(head(vote.signature.bytes()), vote.signature.bytes().len() as u64);
    let about = mix(mix(slot.0, view << 1 | body.phase as u64), digest.short() ^ u64::from(vote.signer.0));
    let key = mix(about, signature) | 1;
    let place = usize::try_from(key % REMEMBERED as u64).expect("a place");
    if right[place] == key {
        return true;
    }
    let is_right = check();
    if is_right {
        right[place] = key;
    }
    is_right
}
