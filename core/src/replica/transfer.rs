//! State transfer: taking over the state of a stable checkpoint (`docs/protocol.md` C9, C11 to C17).
//!
//! - Upon a stable checkpoint that cannot be reached by executing what others still hold, or that contradicts this
//!   replica's own state: ask for its manifest, check it against the certified digest, ask for the chunks.
//! - Upon the last chunk: record that the state is installed, and go on from there. No view is learned here.

use super::execution::OwnState;
use super::{Halt, Replica, pick};
use crate::bytes::Bytes;
use crate::fetch::Until;
use crate::hash::Digest;
use crate::input::Ignored;
use crate::ledger::{CoreSnapshot, Ledger, Manifest, chunk_hash};
use crate::message::FetchItem;
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Task};
use crate::record::Record;
use crate::types::Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A transfer under way.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    manifest: Option<Arc<Manifest>>,
    /// Chunks that arrived. They stay when the target moves: a newer snapshot shares most of them.
    chunks: BTreeMap<Digest, Arc<Bytes>>,
    /// Chunks of the manifest that did not arrive yet.
    missing: BTreeSet<Digest>,
}

impl Replica {
    /// Below the ring nobody holds the batches any more; only the state itself helps (C9).
    pub(super) fn start_transfer_if_behind(&mut self) {
        if self.exec() < self.log.floor() && !Mutant::NeverTransfers.is_on() || self.transfer.is_some() {
            self.begin_transfer();
        }
    }

    /// Begins a transfer to the stable checkpoint, or moves the target of the one under way there.
    pub(super) fn begin_transfer(&mut self) {
        let Some(stable) = self.stable.as_ref().filter(|_| self.halted.is_none()) else { return };
        let slot = stable.vote.slot;
        let transfer = self.transfer.get_or_insert_default();
        if transfer.manifest.as_ref().is_some_and(|manifest| manifest.slot == slot) {
            return;
        }
        transfer.manifest = None;
        self.fetches.retain(|item| !matches!(item, FetchItem::Manifest(_) | FetchItem::Chunk(..)));
        let witness = pick(&stable.votes, slot).signer;
        self.fetches.want(FetchItem::Manifest(slot), witness, Until::Found, self.now);
    }

    pub(super) fn on_manifest(&mut self, manifest: &Arc<Manifest>, out: &mut Outbox) -> Result<(), Ignored> {
        let (Some(transfer), Some(stable)) = (&mut self.transfer, &self.stable) else { return Err(Ignored::Unasked) };
        if transfer.manifest.is_some() || manifest.slot != stable.vote.slot {
            return Err(Ignored::Unasked);
        }
        // The roots in the manifest give the digest that a quorum signed, or it is not the one.
        if manifest.state() != stable.vote.state && !Mutant::ManifestUnchecked.is_on() {
            return Err(Ignored::Unproven);
        }
        transfer.manifest = Some(manifest.clone());
        let slot = manifest.slot;
        self.fetches.take(&FetchItem::Manifest(slot));
        transfer.missing = manifest.core.iter().chain(&manifest.app).copied().collect();
        transfer.chunks.retain(|hash, _| transfer.missing.remove(hash));
        let is_missing = |hash: &&Digest| transfer.missing.contains(*hash);
        let needed = manifest.core.iter().chain(&manifest.app).filter(is_missing);
        for (hash, witness) in needed.zip(stable.votes.iter().cycle()) {
            self.fetches.want(FetchItem::Chunk(slot, *hash), witness.signer, Until::Found, self.now);
        }
        self.try_install_state(out);
        Ok(())
    }

    pub(super) fn on_chunk(&mut self, chunk: &Arc<Bytes>, out: &mut Outbox) -> Result<(), Ignored> {
        let Some(transfer) = &mut self.transfer else { return Err(Ignored::Unasked) };
        let Some(manifest) = &transfer.manifest else { return Err(Ignored::Unasked) };
        let any = if Mutant::ChunkUnchecked.is_on() { transfer.missing.first() } else { None };
        let hash = any.copied().unwrap_or_else(|| chunk_hash(&chunk.0));
        // A chunk that was not asked for is bad or late; the right one is asked of the next replica.
        if !self.fetches.take(&FetchItem::Chunk(manifest.slot, hash)) {
            return Err(Ignored::Unasked);
        }
        transfer.missing.remove(&hash);
        transfer.chunks.insert(hash, chunk.clone());
        self.want_more_chunks();
        self.try_install_state(out);
        Ok(())
    }

    /// There is room again for what did not fit into the table of open requests.
    pub(super) fn go_on_with_transfer(&mut self) {
        match &self.transfer {
            Some(Transfer { manifest: None, .. }) => self.begin_transfer(),
            Some(_) => self.want_more_chunks(),
            None => {}
        }
    }

    /// The table of open requests is bounded; what did not fit is asked for when there is room again.
    fn want_more_chunks(&mut self) {
        let Some(Transfer { manifest: Some(manifest), missing, .. }) = &self.transfer else { return };
        if self.fetches.has_chunks() {
            return;
        }
        let source = self.chain.committee.primary(self.view);
        for hash in missing {
            self.fetches.want(FetchItem::Chunk(manifest.slot, *hash), source, Until::Found, self.now);
        }
    }

    fn try_install_state(&mut self, out: &mut Outbox) {
        let Some(Transfer { manifest: Some(manifest), chunks, missing }) = &self.transfer else { return };
        if !missing.is_empty() {
            return;
        }
        let gather = |hashes: &[Digest]| hashes.iter().map(|hash| chunks[hash].clone()).collect();
        let (core, app) = (gather(&manifest.core), gather(&manifest.app));
        let Manifest { slot, epoch, order, .. } = **manifest;
        let hashes = manifest.core.clone();
        let snapshot = Arc::new(CoreSnapshot { slot, epoch, order, hashes, chunks: core });
        let manifest = manifest.clone();
        self.transfer = None;
        let Ok(ledger) = Ledger::restore(self.chain.clone(), &snapshot) else {
            // A quorum signed the digest of these chunks, so an honest replica should have made them.
            return self.halt(Halt::UnreadableState(slot), out);
        };
        if slot <= self.exec() && !self.execution.diverged {
            return; // meanwhile this replica came here by itself
        }
        self.install_state(slot, ledger, manifest);
        out.persist(Record::StateInstalled(slot));
        out.task(Task::Restore(snapshot, app));
        self.schedule_evidence();
        self.halt_if_too_many(out);
        // What was proposed while the state was wrong could not be voted for then.
        for slot in self.low().next().0..=self.log.high().0 {
            let _ = self.try_accept(Slot(slot), out);
        }
        self.try_execute(out);
        self.try_author(out);
        self.try_propose(out);
    }

    fn install_state(&mut self, slot: Slot, ledger: Ledger, manifest: Arc<Manifest>) {
        self.execution.at(&ledger);
        self.execution.installed = slot;
        self.execution.diverged = false;
        self.execution.snapshots.insert(slot, OwnState::new(manifest));
        self.ledger = ledger;
        // Verdicts given before are void where the state was: everything held is judged anew.
        if !Mutant::VerdictsKept.is_on() {
            self.pool.reopen(slot, self.ledger.frontier(), self.moment());
        }
        self.forget_settled_requests();
        let kept = self.oldest_kept_slot();
        self.pool.collect(kept, self.ledger.frontier(), self.moment());
        self.keep_fetches();
        self.refresh_activity();
    }

    /// Requests of own vertices that turned out to be settled may be asked for again. Only for vertices that are still
    /// held, so this comes before the pool drops what the state has done with.
    pub(super) fn forget_settled_requests(&mut self) {
        let own = self.pool.all().filter(|held| held.settled && held.vertex.author() == self.config.id);
        own.for_each(|held| self.authoring.settled(&held.vertex));
    }
}
