//! `load`: requests at a rate, and how long they take to be final.

use super::args::LoadArgs;
use super::say;
use crate::api::{BinaryAnswer, BinaryStatus, MAX_OPS, encode_ops};
use crate::client::Client;
use crate::error::Stop;
use cretoai_core::bytes::Bytes;
use cretoai_core::kv::{KvOp, MAX_VALUE};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What the calls share. Call `i` is due `i` intervals after the start, whoever makes it: one that comes late because
/// all were busy counts its delay as waiting.
struct Plan {
    args: LoadArgs,
    start: Instant,
    interval: Duration,
    calls: u64,
    next: AtomicU64,
}

/// What became of requests.
#[derive(Debug, Default)]
struct Tally {
    submitted: u64,
    executed: u64,
    refused: u64,
    unknown: u64,
    failed_calls: u64,
    /// For each call whose requests were all executed, from when it was due until its answer.
    waits: Vec<Duration>,
    last_error: Option<String>,
    ended: Option<Instant>,
}

pub(super) async fn run(args: LoadArgs) -> Result<(), Stop> {
    let plan = Arc::new(Plan::new(args)?);
    let workers = plan.args.calls.min(plan.calls);
    let mut running = Vec::new();
    for (worker, url) in (0..workers).zip(plan.args.api.iter().cycle()) {
        let client = Client::new(url, plan.args.timeout + Duration::from_secs(2))?;
        running.push(tokio::spawn(work(Arc::clone(&plan), client, worker)));
    }
    let mut total = Tally::default();
    for worker in running {
        total.add(worker.await.map_err(|error| Stop::Fatal(error.to_string()))?);
    }
    report(&plan, total)
}

impl Plan {
    fn new(args: LoadArgs) -> Result<Self, Stop> {
        let check = |is_fine: bool, what: String| if is_fine { Ok(()) } else { Err(Stop::Usage(what)) };
        let within = |name: &str, value: u64, least: u64, most: u64| {
            let is_fine = least <= value && value <= most;
            check(is_fine, format!("--{name} {value}: must be between {least} and {most}; choose a value within it"))
        };
        within("rate", args.rate, 1, 10_000_000)?;
        within("batch", args.batch, 1, MAX_OPS as u64)?;
        within("size", args.size as u64, 32, MAX_VALUE as u64)?;
        within("keys", args.keys, 1, 100_000_000)?;
        within("calls", args.calls, 1, 65_536)?;
        let interval = Duration::from_secs_f64(as_f64(args.batch) / as_f64(args.rate));
        let calls = (args.span.as_secs_f64() / interval.as_secs_f64()).ceil();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below the limit")]
        let calls = (calls as u64).max(1);
        Ok(Self { args, start: Instant::now(), interval, calls, next: AtomicU64::new(0) })
    }
}

async fn work(plan: Arc<Plan>, mut client: Client, worker: u64) -> Tally {
    let mut tally = Tally::default();
    let path = format!("/v1/requests?wait=finalized&timeout_ms={}", plan.args.timeout.as_millis());
    // Any generator will do: requests are told apart by their nonces, which the node makes.
    let mut random = 0x9e37_79b9_7f4a_7c15 ^ (worker + 1);
    loop {
        let call = plan.next.fetch_add(1, Ordering::Relaxed);
        if plan.calls <= call {
            return tally;
        }
        let due = plan.start + plan.interval.mul_f64(as_f64(call));
        if plan.start + plan.args.span + plan.args.timeout < Instant::now() {
            return tally; // so late that the end is long past
        }
        let ops: Vec<Bytes> = (0..plan.args.batch).map(|_| operation(&plan.args, &mut random)).collect();
        let body = encode_ops(ops.iter().map(|op| op.0.as_slice()));
        sleep_until(due).await;
        tally.submitted += plan.args.batch;
        let answer = client.post(&path, "application/octet-stream", body).await;
        tally.ended = Some(Instant::now());
        match answer {
            Ok(answer) if answer.status.is_success() => tally.count(&answer.body, due),
            Ok(answer) => tally.failed(plan.args.batch, answer.text()),
            Err(stop) => tally.failed(plan.args.batch, stop.to_string()),
        }
    }
}

/// A write to one of the keys, of the wanted size.
fn operation(args: &LoadArgs, random: &mut u64) -> Bytes {
    let mut draw = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    };
    let key = Bytes(format!("load/{}", draw() % args.keys).into_bytes());
    // The kind, and two lengths.
    let length = args.size.saturating_sub(key.0.len() + 4).max(1);
    let mut value = Vec::with_capacity(length + 8);
    while value.len() < length {
        value.extend_from_slice(&draw().to_le_bytes());
    }
    value.truncate(length);
    KvOp::Put { key, value: Bytes(value) }.encode()
}

impl Tally {
    fn count(&mut self, body: &[u8], due: Instant) {
        let Ok(answer) = BinaryAnswer::decode(body) else {
            return self.failed(0, "an answer of another version".to_owned());
        };
        let count = |status| answer.count(status) as u64;
        let (executed, unknown) = (count(BinaryStatus::Executed), count(BinaryStatus::Unknown));
        let total = answer.statuses.len() as u64;
        self.executed += executed;
        self.unknown += unknown;
        self.refused += total - executed - unknown;
        if executed == total {
            self.waits.push(due.elapsed());
        }
    }

    fn failed(&mut self, requests: u64, why: String) {
        self.failed_calls += 1;
        self.unknown += requests;
        self.last_error = Some(why);
    }

    fn add(&mut self, other: Self) {
        self.submitted += other.submitted;
        self.executed += other.executed;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.failed_calls += other.failed_calls;
        self.waits.extend(other.waits);
        self.last_error = other.last_error.or(self.last_error.take());
        self.ended = self.ended.max(other.ended);
    }
}

fn report(plan: &Plan, mut total: Tally) -> Result<(), Stop> {
    total.waits.sort_unstable();
    let millis = |percent: usize| {
        let last = total.waits.len().checked_sub(1)?;
        Some(total.waits[last * percent / 100].as_secs_f64() * 1000.0)
    };
    let took = total.ended.map_or(0.0, |ended| ended.duration_since(plan.start).as_secs_f64());
    let achieved = if took > 0.0 { as_f64(total.executed) / took } else { 0.0 };
    let shown = |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.1} ms"));
    let Tally { submitted, executed, refused, unknown, failed_calls, .. } = total;
    say(&format!(
        "offered {}/s in batches of {} for {:?}\n\
         submitted {submitted}, executed {executed}, refused {refused}, unknown {unknown}, failed calls {failed_calls}\n\
         achieved {achieved:.0}/s\n\
         finality p50 {}, p99 {}, max {}",
        plan.args.rate,
        plan.args.batch,
        plan.args.span,
        shown(millis(50)),
        shown(millis(99)),
        shown(millis(100)),
    ))?;
    let summary = json!({
        "offered_per_second": plan.args.rate,
        "batch": plan.args.batch,
        "size": plan.args.size,
        "seconds": took,
        "submitted": submitted,
        "executed": executed,
        "refused": refused,
        "unknown": unknown,
        "failed_calls": failed_calls,
        "achieved_per_second": achieved,
        "finality_ms": { "p50": millis(50), "p99": millis(99), "max": millis(100) },
    });
    say(&summary.to_string())?;
    match (executed, total.last_error) {
        (0, Some(error)) => Err(Stop::Unavailable(format!("nothing was executed: {}", error.trim()))),
        (0, None) => Err(Stop::Unavailable("nothing was executed".to_owned())),
        _ => Ok(()),
    }
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with a few digits")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_wanted_size() {
        let args = LoadArgs {
            api: Vec::new(),
            rate: 1,
            span: Duration::from_secs(1),
            size: 256,
            batch: 1,
            keys: 1000,
            calls: 1,
            timeout: Duration::from_secs(1),
        };
        let mut random = 7;
        for _ in 0..100 {
            let op = operation(&args, &mut random);
            assert!((255..=257).contains(&op.0.len()), "{} bytes", op.0.len());
            assert!(matches!(KvOp::decode(&op.0), Ok(KvOp::Put { .. })));
        }
    }
}
