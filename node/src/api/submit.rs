//! POST /v1/requests: from a body to what became of each request in it.

use super::{Api, Problem, binary, json};
use axum::body::Bytes as Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use cretoai_core::Ignored;
use cretoai_core::bytes::Bytes;
use cretoai_core::reply::NoOp;
use cretoai_core::request::{ClientRequest, Request, RequestId};
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::Slot;
use cretoai_core::verify::{Rejected, Verified};
use cretoai_runtime::driver::Answer;
use serde::Deserialize;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// What a client waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Nothing: the requests are well-formed.
    None,
    /// The replica took them up.
    #[default]
    Accepted,
    /// They were executed, or did nothing for good.
    Finalized,
}

impl Wait {
    /// The name in queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Accepted => "accepted",
            Self::Finalized => "finalized",
        }
    }
}

/// How long somebody waits who does not say so, in milliseconds.
pub(super) const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// How long somebody may wait, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 60_000;

/// What stands behind the question mark.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub(super) wait: Option<Wait>,
    pub(super) timeout_ms: Option<u64>,
}

/// What a client waits for, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) wait: Wait,
    pub(super) timeout: std::time::Duration,
}

impl Options {
    /// # Errors
    /// [`Problem`] when the time-out is out of range.
    pub(super) fn patience(self) -> Result<Patience, Problem> {
        let timeout_ms = self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        if !(1 <= timeout_ms && timeout_ms <= MAX_TIMEOUT_MS) {
            let line = format!("timeout_ms = {timeout_ms}: must be between 1 and {MAX_TIMEOUT_MS}; set 10000");
            return Err(Problem::bad(line));
        }
        let timeout = std::time::Duration::from_millis(timeout_ms);
        Ok(Patience { wait: self.wait.unwrap_or_default(), timeout })
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well-formed; nobody waited for more.
    Sent,
    /// Taken up, or taken up before.
    Accepted,
    /// Executed, with its result.
    Executed(Slot, Bytes),
    /// Had been executed before; its result is gone.
    ExecutedBefore(Slot),
    /// Listed, and did nothing.
    NoOp(Slot, NoOp),
    /// The replica does not take it now.
    Ignored(Ignored),
    /// It is wrong.
    Rejected(Rejected),
    /// Taken up, and nothing was heard of it in time.
    Unknown,
    /// Too many are waited for.
    Busy,
}

/// The requests of one call, with their ids, in order.
pub(super) type Outcomes = Vec<(RequestId, Outcome)>;

/// POST /v1/requests.
pub(super) async fn post(
    State(api): State<Arc<Api>>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if api.is_stopping() {
        return Err(Problem::stopping());
    }
    let Ok(_place) = Arc::clone(&api.submissions).try_acquire_owned() else {
        let line =
            format!("{} submissions are under way, the limit; send larger batches, or less", api.limits.submissions);
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, line));
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/octet-stream" => binary::post(&api, options, &body).await,
        // curl says so when nobody tells it otherwise.
        "application/json" | "application/x-www-form-urlencoded" | "" => json::post(&api, options, &body).await,
        other => {
            let line = format!("content-type = {other}: must be application/json or application/octet-stream");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, line))
        }
    }
}

impl Api {
    /// When a request expires whose client does not say so: after half of the chain's lifetime, since the effective
    /// time of slots may lag behind this clock.
    pub(super) fn expiry(&self) -> Instant {
        use cretoai_runtime::env::Env;
        self.env.now() + Duration(self.chain.genesis.limits.lifetime.0 / 2)
    }

    /// Requests for these operations, told apart by random nonces.
    ///
    /// # Errors
    /// [`Problem`] when the operating system gives no randomness.
    pub(super) fn requests(&self, ops: Vec<Bytes>) -> Result<Vec<Arc<ClientRequest>>, Problem> {
        let expires = self.expiry();
        let nonces = nonces(ops.len())?;
        let make = |(op, nonce)| self.request(op, nonce, expires);
        Ok(ops.into_iter().zip(nonces).map(make).collect())
    }

    pub(super) fn request(&self, op: Bytes, nonce: [u8; 16], expires: Instant) -> Arc<ClientRequest> {
        let request = Request { chain_id: self.chain.id, expires, nonce, caller: None, op };
        Arc::new(ClientRequest::anonymous(request))
    }

    /// Gives requests to the replica and waits for what the client wants to know.
    ///
    /// # Errors
    /// [`Problem`] when the node shuts down.
    pub(super) async fn submit(
        self: &Arc<Self>,
        requests: Vec<Arc<ClientRequest>>,
        patience: Patience,
    ) -> Result<Outcomes, Problem> {
        self.metrics.submitted.inc_by(requests.len() as u64);
        let mut outcomes: Outcomes = requests.iter().map(|request| (request.id(), Outcome::Sent)).collect();
        let verified = self.verify(requests).await;
        let mut good = Vec::with_capacity(verified.len());
        let mut waiting: Vec<(usize, Option<oneshot::Receiver<Answer>>)> = Vec::with_capacity(verified.len());
        for (index, request) in verified.into_iter().enumerate() {
            let outcome = &mut outcomes[index];
            match request {
                Err(rejected) => outcome.1 = Outcome::Rejected(rejected),
                Ok(request) => match self.waiter(outcome.0, patience.wait) {
                    Err(busy) => outcome.1 = busy,
                    Ok(waiter) => {
                        good.push(request);
                        waiting.push((index, waiter));
                    }
                },
            }
        }
        let taken = async {
            if patience.wait == Wait::None {
                let handle = self.handle.clone();
                // Whoever does not ask is not told; the driver's queue bounds how many there are.
                tokio::spawn(async move { handle.submit(good).await });
                return Ok(());
            }
            let results = self.handle.submit(good).await.map_err(|_| Problem::stopping())?;
            for ((index, _), result) in waiting.iter().zip(results) {
                outcomes[*index].1 = match result {
                    Ok(()) | Err(Ignored::Duplicate) => Outcome::Accepted,
                    Err(ignored) => Outcome::Ignored(ignored),
                };
            }
            Ok(())
        };
        let mut deadline = pin!(sleep(patience.timeout));
        tokio::select! {
            taken = taken => taken?,
            () = &mut deadline => {
                // The replica is busy; they may be taken up yet.
                for (index, _) in &waiting {
                    outcomes[*index].1 = Outcome::Unknown;
                }
            }
        }
        for (index, waiter) in waiting {
            let outcome = &mut outcomes[index].1;
            if let (Some(waiter), Outcome::Accepted | Outcome::Unknown) = (waiter, &*outcome) {
                *outcome = wait(waiter, deadline.as_mut()).await;
            }
        }
        self.metrics.count_outcomes(outcomes.iter().filter_map(|(_, outcome)| outcome.refusal()));
        Ok(outcomes)
    }

    fn waiter(&self, id: RequestId, wait: Wait) -> Result<Option<oneshot::Receiver<Answer>>, Outcome> {
        if wait != Wait::Finalized {
            return Ok(None);
        }
        self.handle.wait(id).map(Some).ok_or(Outcome::Busy)
    }

    /// Signatures take time, and a task must not: they are checked elsewhere.
    async fn verify(
        self: &Arc<Self>,
        requests: Vec<Arc<ClientRequest>>,
    ) -> Vec<Result<Verified<Arc<ClientRequest>>, Rejected>> {
        if requests.iter().all(|request| request.signature.is_none()) {
            return requests.into_iter().map(|request| self.verifier.request(request)).collect();
        }
        let verifier = self.verifier.clone();
        let verify = move || requests.into_iter().map(|request| verifier.request(request)).collect();
        tokio::task::spawn_blocking(verify).await.expect("verification does not panic")
    }
}

async fn wait(waiter: oneshot::Receiver<Answer>, deadline: std::pin::Pin<&mut Sleep>) -> Outcome {
    let answer = tokio::select! {
        biased;
        answer = waiter => answer.ok(),
        () = deadline => None,
    };
    match answer {
        Some(Answer::Executed(slot, result)) => Outcome::Executed(slot, result),
        Some(Answer::ExecutedBefore(slot)) => Outcome::ExecutedBefore(slot),
        Some(Answer::NoOp(slot, reason)) => Outcome::NoOp(slot, reason),
        None => Outcome::Unknown,
    }
}

impl Outcome {
    /// The name in answers.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Executed(..) => "executed",
            Self::ExecutedBefore(_) => "executed_before",
            Self::NoOp(..) => "no_op",
            Self::Ignored(_) | Self::Rejected(_) | Self::Busy => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// Why it was refused, for counting.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Ignored(reason) => Some(crate::metrics::ignored_name(*reason)),
            Self::Rejected(_) => Some("rejected"),
            Self::Busy => Some("busy"),
            _ => None,
        }
    }
}

/// Random nonces.
///
/// # Errors
/// [`Problem`] when the operating system gives no randomness.
pub(super) fn nonces(count: usize) -> Result<impl Iterator<Item = [u8; 16]>, Problem> {
    let mut bytes = vec![0; 16 * count];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the operating system gives no randomness; name a nonce")
    })?;
    Ok((0..count).map(move |at| bytes[16 * at..16 * (at + 1)].try_into().expect("sixteen bytes")))
}
