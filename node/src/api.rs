//! The HTTP API: requests in, answers and finalized data out.
//!
//! What it reads is this replica's own state, as it stands after some finalized slot: it may be behind others', and a
//! faulty replica may say anything. A client that trusts no single replica asks `f + 1` of them
//! (`docs/protocol.md` F10), or reads by a request, which is ordered like a write.

mod binary;
mod gate;
mod health;
mod json;
mod read;
mod submit;

pub use binary::{BinaryAnswer, BinaryError, MAX_OPS, Status as BinaryStatus, encode_ops};
pub use gate::Gate;
pub use submit::Wait;

use crate::metrics::Metrics;
use crate::observer::Heads;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cretoai_core::config::Chain;
use cretoai_core::kv::KvStore;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verifier;
use cretoai_runtime::driver::Handle;
use cretoai_runtime::env::TokioEnv;
use cretoai_runtime::store::Store;
use serde_json::json;
use std::fmt;
use std::sync::Arc;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the API answers from.
pub struct Api {
    /// Which replica this is.
    pub id: ReplicaId,
    /// The way to the driver.
    pub handle: Handle<KvStore>,
    /// What is finalized.
    pub store: Arc<dyn Store>,
    /// Verifies what clients bring.
    pub verifier: Verifier,
    /// The clock.
    pub env: TokioEnv,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// How far others are.
    pub heads: Arc<Heads>,
    /// Who is let in.
    pub gate: Gate,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("id", &self.id).field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Api {
    /// From now on, nothing is accepted and the node is not ready.
    pub fn stop(&self) {
        self.gate.close();
    }

    fn is_stopping(&self) -> bool {
        self.gate.is_closed()
    }

    fn chain(&self) -> &Chain {
        self.handle.chain()
    }
}

/// The routes.
pub fn router(api: Arc<Api>) -> Router {
    let body_bytes = api.gate.body_bytes();
    Router::new()
        .route("/v1/requests", post(submit::post))
        .route("/v1/kv/{*key}", get(read::key))
        .route("/v1/vertices/{id}", get(read::vertex))
        .route("/v1/finalized", get(read::finalized))
        .route("/v1/status", get(health::status))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is no such path; see /v1/status") })
        .layer(DefaultBodyLimit::max(body_bytes))
        .with_state(api)
}

/// Why a call is refused: a status and one line.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    line: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, line: impl Into<String>) -> Self {
        Self { status, line: line.into() }
    }

    pub(crate) fn bad(line: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, line)
    }

    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the node is shutting down; ask another one")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = axum::Json(json!({ "error": self.line }));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            return (self.status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (self.status, body).into_response()
    }
}
