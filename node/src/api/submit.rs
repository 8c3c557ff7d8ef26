//! POST /v1/requests: from a body to what became of each request in it.

use super::gate::Admitted;
use super::{Api, Problem, binary, json};
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
use std::sync::Arc;
use tokio::time::timeout;

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
    Admitted { body, .. }: Admitted,
) -> Result<Response, Problem> {
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
        self.env.now() + Duration(self.chain().genesis.limits.lifetime.0 / 2)
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
        let request = Request { chain_id: self.chain().id, expires, nonce, caller: None, op };
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
        let mut indices = Vec::with_capacity(verified.len());
        for (index, request) in verified.into_iter().enumerate() {
            match request {
                Err(rejected) => outcomes[index].1 = Outcome::Rejected(rejected),
                Ok(request) => {
                    good.push(request);
                    indices.push(index);
                }
            }
        }
        if patience.wait == Wait::None {
            let handle = self.handle.clone();
            // Whoever does not ask is not told; the driver's queue bounds how many there are.
            tokio::spawn(async move { handle.submit(good).await });
        } else {
            self.follow(good, patience, &mut outcomes, &indices).await?;
        }
        self.metrics.count_outcomes(outcomes.iter().filter_map(|(_, outcome)| outcome.refusal()));
        Ok(outcomes)
    }

    /// Gives requests to the replica and notes what becomes of them, each at its index.
    async fn follow(
        &self,
        requests: Vec<Verified<Arc<ClientRequest>>>,
        patience: Patience,
        outcomes: &mut Outcomes,
        indices: &[usize],
    ) -> Result<(), Problem> {
        let waiting = if patience.wait == Wait::Finalized {
            let ids: Vec<RequestId> = requests.iter().map(|request| request.id()).collect();
            let Some(waiting) = self.handle.wait(&ids) else {
                indices.iter().for_each(|index| outcomes[*index].1 = Outcome::Busy);
                return Ok(());
            };
            Some(waiting)
        } else {
            None
        };
        // As long as the replica does not say so, it is unknown whether it has taken them up.
        indices.iter().for_each(|index| outcomes[*index].1 = Outcome::Unknown);
        let followed = async {
            let results = self.handle.submit(requests).await.map_err(|_| Problem::stopping())?;
            for (index, result) in indices.iter().zip(results) {
                outcomes[*index].1 = match result {
                    Ok(()) | Err(Ignored::Duplicate) => Outcome::Accepted,
                    Err(ignored) => Outcome::Ignored(ignored),
                };
                if let (Outcome::Ignored(_), Some(waiting)) = (&outcomes[*index].1, &waiting) {
                    waiting.give_up();
                }
            }
            if let Some(waiting) = &waiting {
                waiting.complete().await;
            }
            Ok(())
        };
        if let Ok(followed) = timeout(patience.timeout, followed).await {
            followed?;
        }
        let Some(waiting) = waiting else { return Ok(()) };
        for (index, answer) in indices.iter().zip(waiting.answers()) {
            let outcome = &mut outcomes[*index].1;
            if let Outcome::Accepted | Outcome::Unknown = outcome {
                *outcome = answer.map_or(Outcome::Unknown, Outcome::from);
            }
        }
        Ok(())
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

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Executed(slot, result) => Self::Executed(slot, result),
            Answer::ExecutedBefore(slot) => Self::ExecutedBefore(slot),
            Answer::NoOp(slot, reason) => Self::NoOp(slot, reason),
        }
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
