//! Asking for and giving out what is named by hash or number (`docs/protocol.md` C10, C15, D12, M16, T14).
//!
//! - Upon a certificate of COMMITs for a slot that is not executed yet: the slot is decided.
//! - Upon a FETCH: send what is held, to whoever asks.
//! - Upon DATA that was asked for: keep it, and go on with what waited for it.

use super::budget::{self, MISS_BYTES};
use super::normal::best;
use super::{Replica, pick};
use crate::application::MAX_CHUNK;
use crate::batch::HashedBatch;
use crate::certificate::{Certificate, Claim};
use crate::hash::Digest;
use crate::input::Ignored;
use crate::message::{Data, FetchItem, Message};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target, Task};
use crate::types::{ReplicaId, Slot};
use crate::vote::Phase;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Replica {
    pub(super) fn on_certificates(
        &mut self,
        certificates: &[Arc<Certificate>],
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let mut done = Err(Ignored::Duplicate);
        for certificate in certificates {
            let result = match certificate.phase {
                Phase::Commit => self.on_commit_certificate(certificate, out),
                Phase::Prepare => self.on_prepare_certificate(certificate, out),
            };
            done = best(done, result);
        }
        done
    }

    fn on_commit_certificate(&mut self, certificate: &Arc<Certificate>, out: &mut Outbox) -> Result<(), Ignored> {
        let slot = certificate.claim.slot;
        if self.log.end() < slot {
            self.note_behind();
            return Err(Ignored::OutOfWindow);
        }
        if Mutant::OldCertificates.is_on() && certificate.claim.view < self.view {
            return Err(Ignored::WrongView);
        }
        if slot <= self.exec().max(self.log.floor()) {
            // Executed: it may still prove that the fault assumption is broken.
            let executed = self.executed_digest(slot);
            return if executed.is_some_and(|digest| digest != certificate.claim.digest) {
                self.decide(certificate, out)
            } else {
                Err(Ignored::Duplicate)
            };
        }
        self.decide(certificate, out)
    }

    /// Either the proof of a claim that the new primary asked for, or the votes that a lagging replica lacks.
    fn on_prepare_certificate(&mut self, certificate: &Arc<Certificate>, out: &mut Outbox) -> Result<(), Ignored> {
        let claim = certificate.claim;
        if self.fetches.take(&FetchItem::Certificate(Phase::Prepare, claim)) {
            self.change.certificates.insert(claim, certificate.clone());
            self.try_new_view(out);
            return Ok(());
        }
        if self.try_prepare_with(certificate, out) {
            return Ok(());
        }
        let mut done = Err(Ignored::Duplicate);
        let me = self.config.id;
        for vote in certificate.votes().iter().filter(|vote| vote.signer != me) {
            done = best(done, self.on_vote(vote, out));
        }
        done
    }

    pub(super) fn on_fetch(&mut self, link: ReplicaId, items: &[FetchItem], out: &mut Outbox) -> Result<(), Ignored> {
        let mut served = Err(Ignored::Unproven);
        let different: BTreeSet<&FetchItem> = items.iter().collect();
        for item in different {
            let found = self.find(item, link).filter(|_| !Mutant::FetchUnanswered.is_on());
            // The driver holds the chunks of snapshots.
            let chunk = match item {
                FetchItem::Chunk(slot, digest) if self.execution.snapshots.contains_key(slot) => Some((*slot, *digest)),
                _ => None,
            };
            let bytes = match &found {
                Some(message) => budget::size(message, self.chain.genesis.scheme.signature_bytes()),
                None => chunk.map_or(MISS_BYTES, |_| MAX_CHUNK),
            };
            if !self.status.grant(link, bytes, self.now, &self.config.timeouts) {
                return Err(Ignored::Full);
            }
            if let Some(message) = found {
                self.send(Target::One(link), message, out);
                served = Ok(());
            } else if let Some((slot, digest)) = chunk {
                out.task(Task::ServeChunk(link, slot, digest));
                served = Ok(());
            }
        }
        served
    }

    fn find(&self, item: &FetchItem, asker: ReplicaId) -> Option<Message> {
        match item {
            FetchItem::Vertex(id) => self.pool.get(id).map(|held| Message::Vertex(held.vertex.clone())),
            FetchItem::Batch(slot, digest) => {
                self.find_batch(*slot, *digest).map(|batch| Message::Data(Arc::new(Data::Batch(batch))))
            }
            FetchItem::Certificate(phase, claim) => self.find_certificate(*phase, claim).map(certificates),
            FetchItem::StableCheckpoint(slot) => {
                let stable = self.proof_at(*slot).or(self.stable.as_ref().filter(|stable| *slot <= stable.vote.slot));
                stable.map(|stable| Message::StableCheckpoint(stable.clone()))
            }
            FetchItem::NewView(view) => {
                let new_view = self.new_view.as_ref().filter(|new_view| new_view.signed.body.view == *view);
                new_view.map(|new_view| Message::NewView(new_view.clone()))
            }
            FetchItem::Manifest(slot) => {
                let own = self.execution.snapshots.get(slot)?;
                Some(Message::Data(Arc::new(Data::Manifest(own.manifest.clone()))))
            }
            FetchItem::Recollection => Some(self.recollection_of(asker)),
            FetchItem::Chunk(..) => None,
        }
    }

    fn find_batch(&self, slot: Slot, digest: Digest) -> Option<Arc<HashedBatch>> {
        let in_log = self.log.get(slot).and_then(|state| state.batch(digest));
        in_log.or_else(|| self.change.batches.get(&digest)).cloned()
    }

    fn find_certificate(&self, phase: Phase, claim: &Claim) -> Option<Arc<Certificate>> {
        let state = self.log.get(claim.slot);
        let in_log = match phase {
            Phase::Prepare => state.and_then(|state| state.prepared.as_ref()),
            Phase::Commit => state.and_then(|state| state.committed.as_ref()),
        };
        let frozen = || self.change.certificates.get(claim).filter(|_| phase == Phase::Prepare);
        in_log.filter(|certificate| certificate.claim == *claim).or_else(frozen).cloned()
    }

    pub(super) fn on_data(&mut self, data: &Data, out: &mut Outbox) -> Result<(), Ignored> {
        match data {
            Data::Batch(batch) => self.on_batch(batch, out),
            Data::Manifest(manifest) => self.on_manifest(manifest, out),
            Data::Chunk(chunk) => self.on_chunk(chunk, out),
        }
    }

    fn on_batch(&mut self, batch: &Arc<HashedBatch>, out: &mut Outbox) -> Result<(), Ignored> {
        let digest = batch.digest();
        let mut wanted = false;
        if self.change.wanted.contains(&digest) {
            self.change.wanted.retain(|known| *known != digest);
            self.change.batches.insert(digest, batch.clone());
            wanted = true;
        }
        for slot in self.waiting.clone() {
            let Some(state) = self.log.get_mut(slot) else { continue };
            if state.wanted.contains(&digest) {
                state.keep_batch(batch);
                wanted = true;
                // The vertices of a decided slot are asked for now, and not only when it is its turn to execute.
                let decided = state.committed.as_ref().filter(|certificate| certificate.claim.digest == digest);
                if let Some(witness) = decided.map(|certificate| pick(certificate.votes(), slot).signer) {
                    self.require_bodies(slot, digest, witness);
                }
            }
        }
        self.fetches.retain(|item| !matches!(item, FetchItem::Batch(_, known) if *known == digest));
        if !wanted {
            return Err(Ignored::Unasked);
        }
        self.on_body(out);
        Ok(())
    }

    /// Stops asking for what no slot, view change or transfer needs any more.
    pub(super) fn keep_fetches(&mut self) {
        let view = self.view;
        let change_is_open = self.target.is_some();
        let mut needed: Vec<Digest> = Vec::new();
        let mut batches = self.change.wanted.clone();
        for state in self.waiting.iter().filter_map(|slot| self.log.get(*slot)) {
            needed.extend(state.batches.iter().flat_map(|batch| batch.vertices.iter().copied()));
            batches.extend(&state.wanted);
        }
        needed.extend(self.change.batches.values().flat_map(|batch| batch.vertices.iter().copied()));
        needed.sort_unstable();
        let transfers = self.transfer.is_some();
        self.fetches.retain_needed(|item| match item {
            FetchItem::Vertex(id) => needed.binary_search(id).is_ok(),
            FetchItem::Batch(_, digest) => batches.contains(digest),
            FetchItem::Certificate(..) | FetchItem::StableCheckpoint(_) => change_is_open,
            FetchItem::NewView(wanted) => view < *wanted,
            FetchItem::Manifest(_) | FetchItem::Chunk(..) => transfers,
            FetchItem::Recollection => true,
        });
    }

    /// Asks for what is due.
    pub(super) fn fetch_due(&mut self, out: &mut Outbox) {
        for (peer, items) in self.fetches.due(self.now) {
            self.send(Target::One(peer), Message::Fetch(Arc::new(items)), out);
        }
    }
}

/// A message with one certificate.
pub(super) fn certificates(certificate: Arc<Certificate>) -> Message {
    Message::Certificates(Arc::new(crate::certificate::CertificateSet(vec![certificate])))
}
