//! What the replica is at, and whether it is of use.

use super::{Api, VERSION};
use crate::observer::Lag;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cretoai_core::committee::{Committee, ReplicaSet, singleton};
use cretoai_core::signature::PROTOCOL_TAG;
use cretoai_runtime::env::Env;
use serde_json::{Value, json};
use std::sync::Arc;

/// GET /v1/status.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Json<Value> {
    let status = *api.handle.status().borrow();
    let lag = api.heads.lag(status.executed, api.env.now());
    let counts = api.handle.counts();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    Json(json!({
        "version": VERSION,
        "protocol": PROTOCOL_TAG,
        "chain": api.chain().id.to_string(),
        "name": api.chain().genesis.name,
        "id": api.id.0,
        "replicas": api.chain().committee.n(),
        "tolerates": api.chain().committee.f(),
        "view": status.view.0,
        "target": status.target.map(|view| view.0),
        "primary": api.chain().committee.primary(status.view).0,
        "stable": status.stable.0,
        "executed": status.executed.0,
        "applied": status.applied.0,
        "head": lag.head.0,
        "heard_from": lag.heard_from,
        "back_off": status.back_off,
        "timeout_ms": status.timeout.0 / 1_000_000,
        "pending": status.pending,
        "halted": status.halted.map(|halt| format!("{halt:?}")),
        "diverged": status.diverged,
        "transferring": status.transferring,
        "silent": status.silent,
        "halted_at_high": status.halted_at_high,
        "slow_proposals": status.slow_proposals,
        "banned": members_of(status.banned, api.chain().committee),
        "ready": unready(&api).is_empty(),
        "not_ready_because": unready(&api),
        "clock_ns": api.env.now().0,
        "frames": {
            "taken": count(&counts.taken),
            "useless": count(&counts.useless),
            "rejected": count(&counts.rejected),
            "undecodable": count(&counts.undecodable),
        },
    }))
}

fn members_of(set: ReplicaSet, committee: Committee) -> Vec<u16> {
    committee.members().filter(|id| set & singleton(*id) != 0).map(|id| id.0).collect()
}

/// GET /health/live: the process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// GET /health/ready: active in a view, in touch with a quorum, and at the head.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, String) {
    let reasons = unready(&api);
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join(", ")))
}

fn unready(api: &Api) -> Vec<String> {
    let status = *api.handle.status().borrow();
    let Lag { head, heard_from } = api.heads.lag(status.executed, api.env.now());
    let needed = usize::from(api.chain().committee.quorum()) - 1;
    let mut reasons = Vec::new();
    let mut note = |applies: Option<String>| reasons.extend(applies);
    note(api.is_stopping().then(|| "shutting down".to_owned()));
    note(status.halted.map(|halt| format!("halted: {halt:?}")));
    note(status.target.map(|view| format!("changing to view {}", view.0)));
    note(status.diverged.then(|| "its state diverged".to_owned()));
    note(status.silent.then(|| "silent until others told what they hold of it".to_owned()));
    note(status.transferring.then(|| "its state is being transferred".to_owned()));
    note((heard_from < needed).then(|| format!("in touch with {heard_from} others of {needed}")));
    // Slots are decided while others are asked how far they are, so one checkpoint interval behind is at the head.
    let is_behind = status.applied.plus(api.chain().checkpoint_interval()) < head;
    note(is_behind.then(|| format!("at slot {} of {}", status.applied.0, head.0)));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::types::ReplicaId;

    #[test]
    fn the_banned_are_named_by_their_ids() {
        let committee = Committee::new(7).unwrap();
        let banned = singleton(ReplicaId(0)) | singleton(ReplicaId(6));
        assert_eq!(members_of(banned, committee), [0, 6]);
        assert!(members_of(0, committee).is_empty());
    }
}
