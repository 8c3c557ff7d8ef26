//! What can be said about a message at a glance.

use crate::crypto::mix;
use crate::plan::Kind;
use cretoai_core::message::{Data, FetchItem, Message};
use cretoai_core::signature::Signature;
use cretoai_core::vote::{Phase, Vote};

/// The kind of a message, what it is about, and a number that stands for its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The kind.
    pub kind: Kind,
    /// The view it belongs to.
    pub view: Option<u64>,
    /// The first and the last slot it is about.
    pub slots: Option<(u64, u64)>,
    /// Different for different messages, for all that trace hashes care.
    pub fingerprint: u64,
}

fn head(signature: &Signature) -> u64 {
    signature.bytes().first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head))
}

fn of_vote(kind: Kind, vote: &Vote, signature: &Signature) -> Meta {
    let mut slots = vote.entries.iter().map(|(slot, _)| slot.0);
    let first = slots.next();
    let last = slots.last().or(first);
    Meta { kind, view: Some(vote.view.0), slots: first.zip(last), fingerprint: head(signature) }
}

fn span(slots: impl Iterator<Item = u64>) -> Option<(u64, u64)> {
    slots.fold(None, |span, slot| match span {
        None => Some((slot, slot)),
        Some((first, last)) => Some((slot.min(first), slot.max(last))),
    })
}

impl Meta {
    /// Looks at a message.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let plain = |kind, view, fingerprint| Self { kind, view, slots: None, fingerprint };
        match message {
            Message::Vote(vote) => {
                let prepare = vote.body.phase == Phase::Prepare;
                of_vote(if prepare { Kind::Prepare } else { Kind::Commit }, &vote.body, &vote.signature)
            }
            Message::PrePrepare(message) => of_vote(Kind::PrePrepare, &message.vote.body, &message.vote.signature),
            Message::Vertex(vertex) => plain(Kind::Vertex, None, vertex.id().short()),
            Message::Checkpoint(vote) => {
                let slot = vote.body.slot.0;
                Self { slots: Some((slot, slot)), ..plain(Kind::Checkpoint, None, head(&vote.signature)) }
            }
            Message::ViewChange(message) => {
                let signed = &message.signed;
                plain(Kind::ViewChange, Some(signed.body.view.0), head(&signed.signature))
            }
            Message::NewView(message) => {
                let slots = span(message.signed.body.proposals.iter().map(|(slot, _)| slot.0));
                let view = message.signed.body.view.0;
                Self { slots, ..plain(Kind::NewView, Some(view), head(&message.signed.signature)) }
            }
            Message::Status(status) => plain(Kind::Status, Some(status.body.view.0), head(&status.signature)),
            Message::Certificates(set) => {
                let slots = span(set.0.iter().map(|certificate| certificate.claim.slot.0));
                let parts = set.0.iter().map(|certificate| certificate.claim.digest.short() ^ certificate.phase as u64);
                Self { slots, ..plain(Kind::Certificates, None, parts.fold(1, mix)) }
            }
            Message::StableCheckpoint(certificate) => {
                let slot = certificate.vote.slot.0;
                Self {
                    slots: Some((slot, slot)),
                    ..plain(Kind::StableCheckpoint, None, certificate.vote.state.short())
                }
            }
            Message::Fetch(items) => {
                let parts = items.iter().map(of_item);
                let slots = span(items.iter().filter_map(slot_of_item));
                Self { slots, ..plain(Kind::Fetch, None, parts.fold(2, mix)) }
            }
            Message::Data(data) => of_data(data),
            Message::Recollection(held) => {
                let votes = held.votes.iter().map(|vote| head(&vote.signature));
                let view_change = held.view_change.iter().map(|signed| head(&signed.signature));
                plain(Kind::Recollection, None, votes.chain(view_change).fold(3, mix))
            }
        }
    }
}

fn of_item(item: &FetchItem) -> u64 {
    match item {
        FetchItem::Vertex(id) => id.short(),
        FetchItem::Batch(slot, digest) | FetchItem::Chunk(slot, digest) => slot.0 ^ digest.short(),
        FetchItem::Certificate(phase, claim) => claim.digest.short() ^ *phase as u64,
        FetchItem::StableCheckpoint(slot) | FetchItem::Manifest(slot) => slot.0,
        FetchItem::NewView(view) => view.0,
        FetchItem::Recollection => 0,
    }
}

fn slot_of_item(item: &FetchItem) -> Option<u64> {
    match item {
        FetchItem::Vertex(_) | FetchItem::NewView(_) | FetchItem::Recollection => None,
        FetchItem::Batch(slot, _) | FetchItem::Chunk(slot, _) => Some(slot.0),
        FetchItem::StableCheckpoint(slot) | FetchItem::Manifest(slot) => Some(slot.0),
        FetchItem::Certificate(_, claim) => Some(claim.slot.0),
    }
}

fn of_data(data: &Data) -> Meta {
    let (slots, fingerprint) = match data {
        Data::Batch(batch) => (None, batch.digest().short()),
        Data::Manifest(manifest) => (Some((manifest.slot.0, manifest.slot.0)), manifest.state().short()),
        Data::Chunk(chunk) => {
            let head = chunk.0.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
            (None, mix(head, chunk.0.len() as u64))
        }
    };
    Meta { kind: Kind::Data, view: None, slots, fingerprint }
}
