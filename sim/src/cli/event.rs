//! Events of a run in words, as lines in columns or as JSON.

use super::words::{fault, members, replicas, seconds};
use crate::meta::Meta;
use crate::observe::{State, TraceEvent, What};
use cretoai_core::hash::Digest;
use cretoai_core::input::Ignored;
use cretoai_core::message::{Data, FetchItem, Message};
use cretoai_core::outbox::Target;
use cretoai_core::record::Record;
use cretoai_core::vote::Vote;
use serde_json::{Map, Value, json};

/// The heads of the columns of [`line`].
pub(super) const COLUMNS: &str = "     time, s    who    view  stable   exec  event";

/// An event as a line in columns.
pub(super) fn line(event: &TraceEvent<'_>) -> String {
    let time = seconds(event.at);
    let who = event.replica.map_or("-".to_owned(), |id| id.to_string());
    let [view, stable, executed] = match state(event) {
        Some(state) => [view(state), state.stable.0.to_string(), state.executed.0.to_string()],
        None => Default::default(),
    };
    format!("{time:>12}  {who:>5}  {view:>6}  {stable:>6}  {executed:>5}  {}", text(&event.what))
}

/// What a replica looks like after an event, if the event is one that shows it.
pub(super) fn state(event: &TraceEvent<'_>) -> Option<State> {
    match event.what {
        What::Delivered { .. }
        | What::Ticked(_)
        | What::Requested { .. }
        | What::Executed(_)
        | What::Snapshot(_)
        | What::Restarted { .. } => Some(event.state),
        _ => None,
    }
}

/// A view, and the view that is wanted instead: `3`, `3>4`.
pub(super) fn view(state: State) -> String {
    match state.target {
        Some(target) => format!("{}>{}", state.view.0, target.0),
        None => state.view.0.to_string(),
    }
}

/// An event as a JSON object.
pub(super) fn object(event: &TraceEvent<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("event", json!(event.number));
    put("at_ns", json!(event.at));
    put("replica", json!(event.replica.map(|id| id.0)));
    put("what", json!(name(&event.what)));
    put("text", json!(text(&event.what)));
    match &event.what {
        What::Delivered { from, letter, message, result } => {
            put("from", json!(from.0));
            put("letter", json!(letter));
            put("ignored", json!(result.err().map(|reason| format!("{reason:?}"))));
            message_fields(message, &mut put);
        }
        What::Sent { to, letter, message } => {
            let to = match to {
                Target::All => Value::Null,
                Target::One(id) => json!(id.0),
            };
            put("to", to);
            put("letter", json!(letter));
            message_fields(message, &mut put);
        }
        What::Forged(message) => message_fields(message, &mut put),
        What::Requested { op, result } => {
            put("op", json!(op));
            put("ignored", json!(result.err().map(|reason| format!("{reason:?}"))));
        }
        What::Answered { op } => {
            put("op", json!(op));
        }
        What::Executes { slot, .. } | What::Executed(slot) | What::Snapshot(slot) | What::Restored(slot) => {
            put("slot", json!(slot.0));
        }
        What::Fault(fault) => {
            put("fault", json!(fault));
        }
        What::Calm(core) => {
            put("core", json!(members(*core)));
        }
        What::Ticked(_)
        | What::Recorded(_)
        | What::Crashed
        | What::Restarted { .. }
        | What::Ended(_)
        | What::Alarmed(_) => {}
    }
    if let Some(state) = state(event) {
        put("view", json!(state.view.0));
        put("target", json!(state.target.map(|view| view.0)));
        put("stable", json!(state.stable.0));
        put("executed", json!(state.executed.0));
    }
    put("hash", json!(format!("{:016x}", event.hash)));
    Value::Object(object)
}

fn message_fields(message: &Message, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let meta = Meta::of(message);
    put("kind", json!(meta.kind));
    put("message_view", json!(meta.view));
    put("message_slots", json!(meta.slots.map(|(first, last)| [first, last])));
}

fn name(what: &What<'_>) -> &'static str {
    match what {
        What::Delivered { .. } => "delivered",
        What::Ticked(_) => "ticked",
        What::Requested { .. } => "requested",
        What::Recorded(_) => "recorded",
        What::Sent { .. } => "sent",
        What::Forged(_) => "forged",
        What::Executes { .. } => "executes",
        What::Executed(_) => "executed",
        What::Snapshot(_) => "snapshot",
        What::Restored(_) => "restored",
        What::Crashed => "crashed",
        What::Restarted { .. } => "restarted",
        What::Ended(_) => "ended",
        What::Fault(_) => "fault",
        What::Calm(_) => "calm",
        What::Alarmed(_) => "alarmed",
        What::Answered { .. } => "answered",
    }
}

/// What happened, in words.
pub(super) fn text(what: &What<'_>) -> String {
    match what {
        What::Delivered { from, letter, message, result } => {
            format!("gets {} from {from} #{letter}{}", summary(message), unless_taken(*result))
        }
        What::Ticked(result) => format!("its time comes{}", unless_taken(*result)),
        What::Requested { op, result } => format!("gets operation {op}{}", unless_taken(*result)),
        What::Recorded(record) => format!("has recorded: {}", recorded(record)),
        What::Sent { to, letter, message } => match to {
            Target::All => format!("sends {} to all #{letter}", summary(message)),
            Target::One(id) => format!("sends {} to {id} #{letter}", summary(message)),
        },
        What::Forged(message) => format!("forges {}", summary(message)),
        What::Executes { slot, requests } => format!("executes {slot} ({requests} requests)"),
        What::Executed(slot) => format!("is done with {slot}"),
        What::Snapshot(slot) => format!("has a snapshot of {slot}"),
        What::Restored(slot) => format!("takes over the state after {slot}"),
        What::Crashed => "crashes".to_owned(),
        What::Restarted { cut: false } => "restarts".to_owned(),
        What::Restarted { cut: true } => "restarts; the end of its log was torn off".to_owned(),
        What::Ended(reason) => format!("ends for good: {reason}"),
        What::Fault(what) => fault(what),
        What::Calm(core) => format!("calm; core: {}", replicas(&members(*core))),
        What::Alarmed(reason) => format!("gives the alarm: {reason}"),
        What::Answered { op } => format!("the client of operation {op} is convinced"),
    }
}

fn unless_taken(result: Result<(), Ignored>) -> String {
    result.err().map_or(String::new(), |reason| format!(" - ignored: {reason:?}"))
}

fn of_vote(vote: &Vote) -> String {
    let entries: Vec<String> = vote.entries.iter().map(|(slot, digest)| format!("{slot} {digest:?}")).collect();
    format!("{} {}", vote.view, entries.join(", "))
}

fn summary(message: &Message) -> String {
    let kind = message.kind();
    let about = match message {
        Message::Vertex(vertex) => {
            let content = &vertex.body;
            format!("{} {} {:?}", content.author, content.height, vertex.id())
        }
        Message::PrePrepare(message) => of_vote(&message.vote.body),
        Message::Vote(vote) => format!("{}{}", of_vote(&vote.body), format_args!(" by {}", vote.signer)),
        Message::Checkpoint(vote) => format!("{} {:?} by {}", vote.body.slot, vote.body.state, vote.signer),
        Message::ViewChange(message) => {
            let signed = &message.signed;
            let body = &signed.body;
            let prepared: Vec<String> = body.prepared.iter().map(|claim| claim.slot.to_string()).collect();
            format!("{} by {}, stable {}, prepared [{}]", body.view, signed.signer, body.stable, prepared.join(" "))
        }
        Message::NewView(message) => {
            let body = &message.signed.body;
            let proposals: Vec<String> = body.proposals.iter().map(proposal).collect();
            format!("{} by {}, stable {}, [{}]", body.view, message.signed.signer, body.stable, proposals.join(" "))
        }
        Message::Status(status) => {
            let body = &status.body;
            format!("{} stable {} executed {}", body.view, body.stable, body.executed)
        }
        Message::Certificates(set) => {
            let show = |claim: &cretoai_core::certificate::Claim| format!("{} {}", claim.view, claim.slot);
            let list: Vec<String> = set.0.iter().map(|certificate| show(&certificate.claim)).collect();
            format!("[{}]", list.join(", "))
        }
        Message::StableCheckpoint(certificate) => format!("{} {:?}", certificate.vote.slot, certificate.vote.state),
        Message::Fetch(items) => items.iter().map(item).collect::<Vec<_>>().join(", "),
        Message::Data(data) => match &**data {
            Data::Batch(batch) => format!("batch {:?}", batch.digest()),
            Data::Manifest(manifest) => format!("manifest {}", manifest.slot),
            Data::Chunk(chunk) => format!("chunk of {} bytes", chunk.0.len()),
        },
        // What is rare is shown by its kind alone.
        _ => String::new(),
    };
    format!("{kind} {about}").trim_end().to_owned()
}

fn proposal((slot, digest): &(cretoai_core::types::Slot, Digest)) -> String {
    format!("{slot}={digest:?}")
}

fn item(item: &FetchItem) -> String {
    match item {
        FetchItem::Vertex(id) => format!("vertex {id:?}"),
        FetchItem::Batch(slot, digest) => format!("batch {slot} {digest:?}"),
        FetchItem::Certificate(phase, claim) => format!("{phase:?} certificate {} {}", claim.view, claim.slot),
        FetchItem::StableCheckpoint(slot) => format!("stable checkpoint {slot}"),
        FetchItem::NewView(view) => format!("new view {view}"),
        FetchItem::Manifest(slot) => format!("manifest {slot}"),
        FetchItem::Chunk(slot, digest) => format!("chunk {slot} {digest:?}"),
        other => format!("{other:?}"),
    }
}

fn recorded(record: &Record) -> String {
    match record {
        Record::OwnVertex(vertex) => format!("own vertex {} {:?}", vertex.body.height, vertex.id()),
        Record::Vertex(vertex) => format!("vertex {} {} {:?}", vertex.body.author, vertex.body.height, vertex.id()),
        Record::Batch(slot, batch) => format!("batch {slot} {:?}", batch.digest()),
        Record::Voted(view, slot, digest) => format!("voted {view} {slot} {digest:?}"),
        Record::Prepared(certificate) => {
            let claim = certificate.claim;
            format!("prepared {} {} {:?}", claim.view, claim.slot, claim.digest)
        }
        Record::Committed(certificate) => {
            let claim = certificate.claim;
            format!("committed {} {} {:?}", claim.view, claim.slot, claim.digest)
        }
        Record::OwnCheckpoint(vote) => format!("own checkpoint {} {:?}", vote.slot, vote.state),
        Record::Stable(certificate) => format!("stable {} {:?}", certificate.vote.slot, certificate.vote.state),
        Record::ViewChangeSent(message) => format!("view change to {}", message.signed.body.view),
        Record::NewViewInstalled(message) => format!("installed {}", message.signed.body.view),
        Record::StateInstalled(slot) => format!("state of {slot}"),
        Record::Halted(reason) => format!("stopped: {reason:?}"),
        Record::Evidence(evidence) => format!("evidence {:?} against {}", evidence.kind(), evidence.accused()),
    }
}
