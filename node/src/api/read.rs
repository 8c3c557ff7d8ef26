//! What is finalized here: keys of the application, and the DAG.

use super::json::readable;
use super::{Api, Problem};
use crate::hex;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use cretoai_core::bytes::Bytes;
use cretoai_core::evidence::Evidence;
use cretoai_core::hash::Digest;
use cretoai_core::types::Slot;
use cretoai_runtime::store::{FinalizedVertex, Store, StoreError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Vertices in one answer, at the most.
const MAX_VERTICES: usize = 1000;

/// How a key is written in the path.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Text,
    Hex,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyOptions {
    #[serde(default)]
    encoding: Encoding,
}

/// GET /v1/kv/{key}: the value after the last slot that this replica's application has executed.
pub(super) async fn key(
    State(api): State<Arc<Api>>,
    Path(key): Path<String>,
    Query(options): Query<KeyOptions>,
) -> Result<Json<Value>, Problem> {
    let bytes = match options.encoding {
        Encoding::Text => Bytes(key.as_bytes().to_vec()),
        Encoding::Hex => {
            let bytes = hex::decode(&key);
            Bytes(bytes.ok_or_else(|| Problem::bad(format!("key = {key}: must be hexadecimal digits, two a byte")))?)
        }
    };
    let value = api.handle.ask(move |store| store.get(&bytes).cloned()).await.map_err(|_| Problem::stopping())?;
    let Some(value) = value else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("key = {key}: not there at this replica")));
    };
    let applied = api.handle.status().borrow().applied;
    Ok(Json(json!({ "key": key, "value": readable(Some(&value)), "applied": applied.0 })))
}

/// GET /v1/vertices/{id}.
pub(super) async fn vertex(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let Some(digest) = hex::array(&id).map(Digest) else {
        return Err(Problem::bad(format!("id = {id}: must be 64 hexadecimal digits")));
    };
    let Some(found) = query(&api, move |store| store.vertex(digest)).await? else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("id = {id}: no vertex finalized at this replica")));
    };
    Ok(Json(describe(&found)))
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    from: Option<u64>,
    to: Option<u64>,
    limit: Option<usize>,
}

/// GET /v1/finalized: vertices of a range of slots, in the order in which they are final.
pub(super) async fn finalized(State(api): State<Arc<Api>>, Query(range): Query<Range>) -> Result<Json<Value>, Problem> {
    let limit = range.limit.unwrap_or(100);
    if !(1 <= limit && limit <= MAX_VERTICES) {
        return Err(Problem::bad(format!("limit = {limit}: must be between 1 and {MAX_VERTICES}")));
    }
    let (from, to) = (range.from.unwrap_or(1), range.to.unwrap_or(u64::MAX));
    if to < from {
        return Err(Problem::bad(format!("to = {to}: must be at least from = {from}")));
    }
    let slots = Slot(from)..=Slot(to);
    let (found, last) = query(&api, move |store| Ok((store.finalized(slots, limit)?, store.last_finalized()?))).await?;
    let vertices: Vec<Value> = found.iter().map(describe).collect();
    Ok(Json(json!({ "vertices": vertices, "last_finalized": last.0 })))
}

async fn query<T: Send + 'static>(
    api: &Api,
    question: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(&api.store);
    let answer = tokio::task::spawn_blocking(move || question(&*store)).await;
    let answer = answer.map_err(|_| Problem::stopping())?;
    answer.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn describe(found: &FinalizedVertex) -> Value {
    let vertex = &found.vertex.body;
    let requests: Vec<String> = vertex.requests().iter().map(|request| request.id().to_string()).collect();
    let refs: Vec<String> = vertex.refs.iter().map(|parent| parent.id.to_string()).collect();
    let accuses =
        |evidence: &Arc<Evidence>| json!({ "kind": format!("{:?}", evidence.kind()), "accused": evidence.accused().0 });
    json!({
        "id": found.vertex.id().to_string(),
        "slot": found.slot.0,
        "position": found.position,
        "effective_time_ns": found.time.0,
        "author": vertex.author.0,
        "height": vertex.height.0,
        "ts_ns": vertex.ts.0,
        "prev": vertex.prev.id.to_string(),
        "refs": refs,
        "requests": requests,
        "evidence": vertex.evidence().map(accuses),
    })
}
