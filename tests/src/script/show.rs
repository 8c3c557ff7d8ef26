//! From what a replica does to the words of a script.

use super::world::World;
use cretoai_core::certificate::{Certificate, Claim};
use cretoai_core::evidence::Evidence;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Data, FetchItem, Message, NewView, Status, ViewChange};
use cretoai_core::outbox::{Target, Task};
use cretoai_core::record::Record;
use cretoai_core::reply::Outcome;
use cretoai_core::types::Slot;
use cretoai_core::vote::Vote;
use std::fmt::Display;

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(" ")
}

pub(crate) fn target(target: Target) -> String {
    match target {
        Target::All => "all".to_owned(),
        Target::One(id) => id.to_string(),
    }
}

impl World {
    fn entries(&self, entries: impl Iterator<Item = (Slot, Digest)>) -> String {
        list(entries.map(|(slot, digest)| format!("{slot}:{}", self.name_of(digest))))
    }

    fn show_vote(&self, vote: &Vote) -> String {
        format!("{} {}", vote.view, self.entries(vote.entries.iter()))
    }

    fn show_claim(&self, claim: &Claim) -> String {
        format!("{}:{}:{}", claim.slot, claim.view, self.name_of(claim.digest))
    }

    fn show_claims(&self, claims: &[Claim]) -> String {
        list(claims.iter().map(|claim| self.show_claim(claim)))
    }

    fn show_certificate(&self, certificate: &Certificate) -> String {
        let signers = list(certificate.votes().iter().map(|vote| vote.signer));
        format!("{} by {signers}", self.show_claim(&certificate.claim))
    }

    pub(crate) fn show_view_change(&self, body: &ViewChange) -> String {
        let (p, q) = (self.show_claims(&body.prepared), self.show_claims(&body.voted));
        format!("{} h={}:{} P=[{p}] Q=[{q}]", body.view, body.stable, self.name_of(body.state))
    }

    fn show_new_view(&self, body: &NewView) -> String {
        format!("{} h*={} O=[{}]", body.view, body.stable, self.entries(body.proposals.iter().copied()))
    }

    fn show_status(&self, status: &Status) -> String {
        let target = status.target.map_or(String::new(), |target| format!(" -> {target}"));
        let slots = list(status.progress.iter().map(|progress| format!("{progress:?}").to_lowercase()));
        let pending = list(status.pending.iter().map(|id| self.name_of(*id)));
        format!("{}{target} h={} exec={} [{slots}] pending [{pending}]", status.view, status.stable, status.executed)
    }

    fn show_item(&self, item: &FetchItem) -> String {
        match item {
            FetchItem::Vertex(id) => format!("vertex {}", self.name_of(*id)),
            FetchItem::Batch(slot, digest) => format!("batch {slot}:{}", self.name_of(*digest)),
            FetchItem::Certificate(phase, claim) => format!("{phase:?} certificate {}", self.show_claim(claim)),
            FetchItem::StableCheckpoint(slot) => format!("checkpoint {slot}"),
            FetchItem::NewView(view) => format!("new view {view}"),
            FetchItem::Manifest(slot) => format!("manifest {slot}"),
            FetchItem::Chunk(slot, hash) => format!("chunk {slot}:{}", self.name_of(*hash)),
            FetchItem::Recollection => "recollection".to_owned(),
        }
    }

    pub(crate) fn show_message(&self, message: &Message) -> String {
        let what = match message {
            Message::Vertex(vertex) => self.name_of(vertex.id()),
            Message::PrePrepare(message) => self.show_vote(&message.vote.body),
            Message::Vote(vote) => format!("{} by {}", self.show_vote(&vote.body), vote.signer),
            Message::Checkpoint(vote) => {
                format!("{}:{} by {}", vote.body.slot, self.name_of(vote.body.state), vote.signer)
            }
            Message::ViewChange(message) => {
                let stable = if message.stable.is_some() { " +checkpoint" } else { "" };
                let proofs = message.certificates.0.iter().map(|held| format!(" +{}", self.show_claim(&held.claim)));
                let proofs: String = proofs.collect();
                let signed = &message.signed;
                format!("{} by {}{stable}{proofs}", self.show_view_change(&signed.body), signed.signer)
            }
            Message::NewView(message) => {
                let from = list(message.view_changes.iter().map(|held| held.signer));
                format!("{} V=[{from}] by {}", self.show_new_view(&message.signed.body), message.signed.signer)
            }
            Message::Status(status) => self.show_status(&status.body),
            Message::Certificates(set) => {
                list(set.0.iter().map(|held| format!("{:?} {}", held.phase, self.show_certificate(held))))
            }
            Message::StableCheckpoint(proof) => format!("{}:{}", proof.vote.slot, self.name_of(proof.vote.state)),
            Message::Fetch(items) => {
                let items: Vec<_> = items.iter().map(|item| self.show_item(item)).collect();
                items.join(", ")
            }
            Message::Data(data) => match &**data {
                Data::Batch(batch) => format!("batch {}", self.name_of(batch.digest())),
                Data::Manifest(manifest) => format!("manifest {}:{}", manifest.slot, self.name_of(manifest.state())),
                Data::Chunk(chunk) => format!("chunk of {chunk:?}"),
            },
            Message::Recollection(held) => format!("of {} votes", held.votes.len()),
        };
        format!("{} {what}", message.kind())
    }

    pub(crate) fn show_record(&self, record: &Record) -> String {
        match record {
            Record::OwnVertex(vertex) => {
                let carries = match vertex.body.evidence() {
                    Some(found) => evidence(found),
                    None => list(vertex.body.requests().iter().map(|request| self.name_of(request.id()))),
                };
                let prev = self.name_of(vertex.body.prev.id);
                let refs: String =
                    vertex.body.refs.iter().map(|parent| format!(" refs {}", self.name_of(parent.id))).collect();
                format!("OwnVertex {} ({carries}) after {prev}{refs}", self.name_of(vertex.id()))
            }
            Record::Vertex(vertex) => format!("Vertex {}", self.name_of(vertex.id())),
            Record::Batch(slot, batch) => format!("Batch {slot}:{}", self.name_of(batch.digest())),
            Record::Voted(view, slot, digest) => format!("Voted {view} {slot}:{}", self.name_of(*digest)),
            Record::Prepared(certificate) => format!("Prepared {}", self.show_certificate(certificate)),
            Record::Committed(certificate) => format!("Committed {}", self.show_certificate(certificate)),
            Record::OwnCheckpoint(vote) => format!("OwnCheckpoint {}:{}", vote.slot, self.name_of(vote.state)),
            Record::Stable(proof) => format!("Stable {}:{}", proof.vote.slot, self.name_of(proof.vote.state)),
            Record::ViewChangeSent(message) => {
                format!("ViewChangeSent {}", self.show_view_change(&message.signed.body))
            }
            Record::NewViewInstalled(message) => {
                format!("NewViewInstalled {}", self.show_new_view(&message.signed.body))
            }
            Record::StateInstalled(slot) => format!("StateInstalled {slot}"),
            Record::Evidence(evidence) => format!("Evidence {:?} of {}", evidence.kind(), evidence.accused()),
            Record::Halted(halt) => format!("Halted {halt:?}"),
        }
    }

    pub(crate) fn show_task(&self, task: &Task) -> String {
        match task {
            Task::Execute(execution) => {
                let requests = list(execution.requests.iter().map(|request| self.name_of(request.id())));
                // Times that are one nanosecond apart are not the same (F5).
                let rest = match execution.time.0 % 1_000 {
                    0 => String::new(),
                    ns => format!("+{ns}ns"),
                };
                format!("Execute {} at {}{rest} [{requests}]", execution.slot, execution.time)
            }
            Task::Snapshot(core) => format!("Snapshot {}", core.slot),
            Task::Restore(core, _) => format!("Restore {}", core.slot),
            Task::ServeChunk(peer, slot, hash) => format!("ServeChunk {slot}:{} to {peer}", self.name_of(*hash)),
            Task::Reply(reply) => {
                let outcome = |(id, outcome): &(Digest, Outcome)| match outcome {
                    Outcome::Executed(_) => format!("{} executed", self.name_of(*id)),
                    Outcome::NoOp(reason) => format!("{} {reason:?}", self.name_of(*id)),
                };
                let outcomes: Vec<_> = reply.outcomes.iter().map(outcome).collect();
                format!("Reply {}: {}", reply.signed.body.slot, outcomes.join(", "))
            }
            Task::DropSnapshots(slots) => format!("DropSnapshots {}", list(slots)),
        }
    }
}

pub(crate) fn evidence(evidence: &Evidence) -> String {
    let (kind, view, at) = evidence.key();
    format!("{kind:?} against {} ({view}, {at})", evidence.accused())
}
