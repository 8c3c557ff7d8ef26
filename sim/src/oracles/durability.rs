//! O5: the record comes first (`docs/protocol.md` O5, G4).

use super::Finding;
use super::bodies::Bodies;
use super::votes::VoteTable;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, Signed, ViewChange};
use cretoai_core::record::Record;
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is on each replica's disk, as far as messages rest on it.
#[derive(Debug)]
pub(super) struct Durability(Vec<OnDisk>);

#[derive(Clone, Debug, Default)]
struct OnDisk {
    voted: VoteTable,
    prepared: VoteTable,
    committed: Vec<bool>,
    /// Up to here nothing need be committed here: the state came from others.
    installed: Slot,
    checkpoint: Option<CheckpointVote>,
    older_checkpoints: BTreeMap<Slot, Digest>,
    view_changes: BTreeMap<View, Arc<Signed<ViewChange>>>,
    new_view: View,
    vertices: BTreeMap<Height, Digest>,
}

impl Durability {
    pub(super) fn new(n: u16) -> Self {
        Self(vec![OnDisk::default(); usize::from(n)])
    }

    /// A record became durable; the bodies of a vote must have been before.
    pub(super) fn recorded(&mut self, id: ReplicaId, record: &Record, bodies: &Bodies) -> Finding {
        let disk = &mut self.0[id.index()];
        match record {
            Record::Voted(view, slot, digest) => {
                if disk.voted.insert(*slot, *view, *digest) {
                    return Err(format!("{id} recorded two votes for {slot} in {view}"));
                }
                return bodies_first(id, *slot, *digest, bodies);
            }
            Record::Prepared(certificate) => {
                let claim = &certificate.claim;
                if disk.prepared.insert(claim.slot, claim.view, claim.digest) {
                    return Err(format!("{id} recorded two commits for {} in {}", claim.slot, claim.view));
                }
            }
            Record::Committed(certificate) => {
                let at = usize::try_from(certificate.claim.slot.0).expect("a slot that was reached");
                if disk.committed.len() <= at {
                    disk.committed.resize(at + 1, false);
                }
                disk.committed[at] = true;
            }
            Record::StateInstalled(slot) => disk.installed = disk.installed.max(*slot),
            Record::OwnCheckpoint(vote) => {
                if let Some(before) = disk.checkpoint.replace(*vote) {
                    disk.older_checkpoints.insert(before.slot, before.state);
                }
                if disk.older_checkpoints.len() > 8 {
                    disk.older_checkpoints.pop_first();
                }
            }
            Record::ViewChangeSent(message) => {
                disk.view_changes.insert(message.signed.body.view, message.signed.clone());
            }
            Record::NewViewInstalled(message) => disk.new_view = disk.new_view.max(message.signed.body.view),
            Record::OwnVertex(vertex) => {
                disk.vertices.insert(vertex.body.height, vertex.id());
                if disk.vertices.len() > 1024 {
                    disk.vertices.pop_first();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A message left a replica. What others signed needs no record here.
    pub(super) fn released(&self, id: ReplicaId, message: &Message) -> Finding {
        let disk = &self.0[id.index()];
        let finding = match message {
            Message::Vote(vote) if vote.signer == id => disk.backs(&vote.body),
            Message::PrePrepare(message) if message.vote.signer == id => disk.backs(&message.vote.body),
            Message::Vertex(vertex) if vertex.signer == id => {
                let (height, known) = (vertex.body.height, disk.vertices.first_key_value());
                // What is too old to be remembered was checked when it left for the first time.
                let forgotten = disk.vertices.len() == 1024 && known.is_some_and(|(oldest, _)| height < *oldest);
                forgotten || disk.vertices.get(&height) == Some(&vertex.id())
            }
            Message::Checkpoint(vote) if vote.signer == id => disk.has_checkpoint(vote.body),
            Message::ViewChange(message) if message.signed.signer == id => {
                disk.view_changes.get(&message.signed.body.view).is_some_and(|kept| kept.body == message.signed.body)
            }
            Message::NewView(message) if message.signed.signer == id => message.signed.body.view <= disk.new_view,
            _ => true,
        };
        if finding { Ok(()) } else { Err(format!("{id} sent a {} that its disk does not back", message.kind())) }
    }

    /// A slot is executed, or clients are answered.
    pub(super) fn executes(&self, id: ReplicaId, slot: Slot) -> Finding {
        if slot <= self.0[id.index()].installed || self.has_decided(id, slot) {
            return Ok(());
        }
        Err(format!("{id} executes {slot}, and its certificate is not on the disk"))
    }

    /// Whether a replica's disk has a certificate for a slot.
    pub(super) fn has_decided(&self, id: ReplicaId, slot: Slot) -> bool {
        let at = usize::try_from(slot.0).expect("a slot that was reached");
        self.0[id.index()].committed.get(at).is_some_and(|committed| *committed)
    }
}

impl OnDisk {
    fn backs(&self, vote: &Vote) -> bool {
        let table = match vote.phase {
            Phase::Prepare => &self.voted,
            Phase::Commit => &self.prepared,
        };
        vote.entries.iter().all(|(slot, digest)| table.has(slot, vote.view, digest))
            && (vote.view == View(0) || vote.view <= self.new_view)
    }

    fn has_checkpoint(&self, vote: CheckpointVote) -> bool {
        self.checkpoint == Some(vote) || self.older_checkpoints.get(&vote.slot) == Some(&vote.state)
    }
}

/// A vote is on the disk: the batch it is for and all vertices must be, too.
fn bodies_first(id: ReplicaId, slot: Slot, digest: Digest, bodies: &Bodies) -> Finding {
    if digest == NULL_BATCH || bodies.has_forgotten_batch(&digest) {
        return Ok(());
    }
    let is_here = |durable: u128| durable >> id.0 & 1 == 1;
    let Some(batch) = bodies.batch(&digest).filter(|batch| is_here(batch.durable)) else {
        return Err(format!("{id} recorded a vote for {digest:?} in {slot} before the batch itself"));
    };
    let is_held = |vertex: &Digest| bodies.vertex(vertex).is_some_and(|vertex| is_here(vertex.durable));
    let missing = |vertex: &&Digest| !is_held(vertex) && !bodies.has_forgotten_vertex(vertex);
    match batch.content.vertices.iter().find(missing) {
        Some(vertex) => Err(format!("{id} recorded a vote for {slot} before vertex {vertex:?}, which the batch lists")),
        None => Ok(()),
    }
}
