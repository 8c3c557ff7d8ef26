//! Figures for Prometheus, in its text format, on a port of their own.
//!
//! What happens is counted as it happens, by the observer; what is so now is asked for when somebody reads it.

mod network;
mod process;
mod status;
mod storage;

pub use network::NetworkCollector;
pub use process::ProcessCollector;
pub use status::StatusCollector;
pub use storage::StorageCollector;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cretoai_core::Ignored;
use cretoai_core::ledger::Verdict;
use cretoai_core::outbox::Execution;
use cretoai_core::record::Record;
use cretoai_core::reply::{NoOp, Outcome, Reply};
use cretoai_core::time::Instant;
use cretoai_core::types::ReplicaId;
use cretoai_runtime::driver::Event;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// One label.
type Label = [(&'static str, &'static str); 1];

/// What is counted as it happens.
#[derive(Debug)]
pub struct Metrics {
    finality: Histogram,
    /// Requests that clients brought to this node.
    pub submitted: Counter,
    refused: Family<Label, Counter>,
    calls_refused: Family<Label, Counter>,
    executed: Counter,
    no_ops: Family<Label, Counter>,
    slots: Counter,
    batches_empty: Counter,
    vertices: Family<Label, Counter>,
    own_vertices: Counter,
    view_changes: Counter,
    views_installed: Counter,
    checkpoints: Counter,
    transfers: Counter,
    records: Counter,
    sent: Family<Label, Counter>,
    received: Family<Label, Counter>,
    ignored: Family<Label, Counter>,
    evidence: Family<[(&'static str, String); 2], Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        // From a local cluster's milliseconds to a minute's worth of view changes.
        const SECONDS: [f64; 16] =
            [0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5, 10.0, 60.0];
        Self {
            finality: Histogram::new(SECONDS),
            submitted: Counter::default(),
            refused: Family::default(),
            calls_refused: Family::default(),
            executed: Counter::default(),
            no_ops: Family::default(),
            slots: Counter::default(),
            batches_empty: Counter::default(),
            vertices: Family::default(),
            own_vertices: Counter::default(),
            view_changes: Counter::default(),
            views_installed: Counter::default(),
            checkpoints: Counter::default(),
            transfers: Counter::default(),
            records: Counter::default(),
            sent: Family::default(),
            received: Family::default(),
            ignored: Family::default(),
            evidence: Family::default(),
        }
    }

    /// Everything under its name.
    fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        add("requests_submitted", "Requests that clients brought to this node", &self.submitted);
        add("requests_executed", "Requests executed by this replica, whoever brought them", &self.executed);
        add("slots_executed", "Slots given to the application", &self.slots);
        add("slots_empty", "Slots given to the application without a request", &self.batches_empty);
        add("vertices_made", "Vertices that this replica made", &self.own_vertices);
        add("view_changes", "Views that this replica tried to enter", &self.view_changes);
        add("views_installed", "Views that this replica entered", &self.views_installed);
        add("checkpoints_stable", "Times that the stable checkpoint moved", &self.checkpoints);
        add("state_transfers", "Times that a transferred state took the place of the own one", &self.transfers);
        add("records_durable", "Records that became durable", &self.records);
        registry.register(
            "finality_seconds",
            "From the making of an own vertex to its execution here",
            self.finality.clone(),
        );
        let mut add = |name: &str, help: &str, family: &Family<Label, Counter>| {
            registry.register(name, help, family.clone());
        };
        add("requests_refused", "Requests that were not taken, by reason", &self.refused);
        add("api_refused", "Calls and connections that were refused or cut off, by reason", &self.calls_refused);
        add("requests_no_op", "Requests that were listed and did nothing, by reason", &self.no_ops);
        add("vertices_listed", "Vertices in executed slots, by verdict", &self.vertices);
        add("messages_sent", "Messages to other replicas, a broadcast counting once, by kind", &self.sent);
        add("messages_received", "Verified messages from other replicas, by kind", &self.received);
        add("inputs_ignored", "Inputs that changed nothing, by reason", &self.ignored);
        let help = "Proofs of other replicas' faults found, by kind and accused";
        registry.register("evidence", help, self.evidence.clone());
    }

    /// Counts why a call or a connection was refused.
    pub(crate) fn refuse_call(&self, reason: &'static str) {
        self.calls_refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// How often a call or a connection was refused for this reason.
    #[cfg(test)]
    pub(crate) fn calls_refused_for(&self, reason: &'static str) -> u64 {
        self.calls_refused.get_or_create(&[("reason", reason)]).get()
    }

    /// Counts why requests were not taken.
    pub(crate) fn count_outcomes(&self, refusals: impl Iterator<Item = &'static str>) {
        for reason in refusals {
            self.refused.get_or_create(&[("reason", reason)]).inc();
        }
    }

    /// Counts an event at a replica.
    pub(crate) fn observe(&self, id: ReplicaId, event: &Event<'_>, now: impl Fn() -> Instant) {
        match event {
            Event::Recorded(_, record) => {
                self.records.inc();
                match record {
                    Record::OwnVertex(_) => _ = self.own_vertices.inc(),
                    Record::ViewChangeSent(_) => _ = self.view_changes.inc(),
                    Record::NewViewInstalled(_) => _ = self.views_installed.inc(),
                    Record::Stable(_) => _ = self.checkpoints.inc(),
                    _ => {}
                }
            }
            Event::Released(envelope) => {
                self.sent.get_or_create(&[("kind", envelope.message.kind())]).inc();
            }
            Event::Received(_, message) => {
                self.received.get_or_create(&[("kind", message.kind())]).inc();
            }
            Event::Stepped(_, Err(reason)) => {
                self.ignored.get_or_create(&[("reason", ignored_name(*reason))]).inc();
            }
            Event::Executes(execution) => self.executes(id, execution, &now),
            Event::Restored(..) => _ = self.transfers.inc(),
            Event::Accused(evidence) => {
                let labels =
                    [("kind", format!("{:?}", evidence.kind())), ("accused", evidence.accused().0.to_string())];
                self.evidence.get_or_create(&labels).inc();
            }
            Event::Replied(reply) => self.replied(reply),
            Event::Recovered(..) | Event::Executed(..) | Event::Stepped(_, Ok(())) => {}
        }
    }

    fn executes(&self, id: ReplicaId, execution: &Execution, now: &impl Fn() -> Instant) {
        self.slots.inc();
        self.executed.inc_by(execution.requests.len() as u64);
        if execution.requests.is_empty() {
            self.batches_empty.inc();
        }
        for (vertex, verdict) in &execution.listed {
            self.vertices.get_or_create(&[("verdict", verdict_name(*verdict))]).inc();
            if vertex.author() == id && *verdict == Verdict::Final {
                self.finality.observe(seconds(now().since(vertex.body.ts)));
            }
        }
    }

    fn replied(&self, reply: &Reply) {
        for (_, outcome) in reply.outcomes.iter() {
            let reason = match outcome {
                Outcome::Executed(_) => continue,
                Outcome::NoOp(NoOp::Expired) => "expired",
                Outcome::NoOp(NoOp::TooEarly) => "too_early",
                Outcome::NoOp(NoOp::Full) => "full",
            };
            self.no_ops.get_or_create(&[("reason", reason)]).inc();
        }
    }
}

/// Seconds, as Prometheus wants them.
#[allow(clippy::cast_precision_loss, reason = "a span is shown with a few digits")]
fn seconds(span: cretoai_core::time::Duration) -> f64 {
    span.0 as f64 / 1e9
}

/// The name of a reason in figures and answers.
#[must_use]
pub(crate) fn ignored_name(reason: Ignored) -> &'static str {
    match reason {
        Ignored::Duplicate => "duplicate",
        Ignored::OutOfWindow => "out_of_window",
        Ignored::WrongView => "wrong_view",
        Ignored::NotPrimary => "not_primary",
        Ignored::ViewChanging => "view_changing",
        Ignored::Conflict => "conflict",
        Ignored::Settled => "settled",
        Ignored::Untimely => "untimely",
        Ignored::Waiting => "waiting",
        Ignored::Full => "full",
        Ignored::Moot => "moot",
        Ignored::Unproven => "unproven",
        Ignored::Stopped => "stopped",
        Ignored::Unasked => "unasked",
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Final => "final",
        Verdict::Duplicate => "duplicate",
        Verdict::Missing => "missing",
        Verdict::Dead => "dead",
        Verdict::Banned => "banned",
    }
}

/// All figures of a node.
#[must_use]
pub fn registry(metrics: &Metrics, collectors: Vec<Box<dyn Collector>>) -> Registry {
    let mut registry = Registry::with_prefix("cretoai");
    metrics.register(&mut registry);
    for collector in collectors {
        registry.register_collector(collector);
    }
    registry
}

/// GET /metrics.
pub fn router(registry: Arc<Registry>) -> Router {
    let page = move || {
        let registry = Arc::clone(&registry);
        // Storage is asked too, and may take its time.
        async move { tokio::task::spawn_blocking(move || show(&registry)).await.unwrap_or_else(|_| failed()) }
    };
    Router::new().route("/metrics", get(page))
}

fn show(registry: &Registry) -> Response {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        return failed();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn failed() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "the figures cannot be written\n").into_response()
}

/// Writes what is so now.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn gauge_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn counter_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    /// One figure for each set of labels.
    fn gauges<const N: usize>(&mut self, name: &str, help: &str, all: &[(Labels<N>, u64)]) -> fmt::Result {
        let gauge = ConstGauge::new(0_i64);
        let mut encoder = self.0.encode_descriptor(name, help, None, gauge.metric_type())?;
        for (labels, value) in all {
            let gauge = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    /// One count for each set of labels.
    fn counters<const N: usize>(&mut self, name: &str, help: &str, all: &[(Labels<N>, u64)]) -> fmt::Result {
        let counter = ConstCounter::new(0_u64);
        let mut encoder = self.0.encode_descriptor(name, help, None, counter.metric_type())?;
        for (labels, value) in all {
            let counter = ConstCounter::new(*value);
            counter.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }
}

/// Labels that are made when somebody reads.
type Labels<const N: usize> = [(&'static str, String); N];

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::hash::Digest;
    use cretoai_runtime::store::{Owner, RocksConfig, RocksStore};
    use std::collections::BTreeSet;

    #[test]
    fn the_page_shows_consensus_and_storage_each_figure_with_help() {
        let folder = std::env::temp_dir().join(format!("cretoai-metrics-{}", std::process::id()));
        let owner = Owner { chain: Digest([1; 32]), replica: ReplicaId(0) };
        let store = RocksStore::create(&folder, owner, &RocksConfig::default()).expect("a writable folder");
        let metrics = Metrics::new();
        metrics.refuse_call("connections");
        // What was never counted has no line.
        let by_reason = [&metrics.refused, &metrics.no_ops, &metrics.vertices];
        for family in by_reason.into_iter().chain([&metrics.sent, &metrics.received, &metrics.ignored]) {
            let _ = family.get_or_create(&[("reason", "test")]);
        }
        metrics.evidence.get_or_create(&[("kind", "E1".to_owned()), ("accused", "1".to_owned())]).inc();
        let registry = registry(&metrics, vec![Box::new(StorageCollector(Arc::new(store)))]);
        let mut page = String::new();
        encode(&mut page, &registry).expect("text");
        drop(registry);
        std::fs::remove_dir_all(&folder).expect("it was made");

        let named = |kind: &str| -> BTreeSet<&str> {
            page.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next()).collect()
        };
        let (types, helps) = (named("# TYPE "), named("# HELP "));
        assert_eq!(types, helps);
        let (storage, consensus): (Vec<&str>, Vec<&str>) =
            types.into_iter().partition(|name| name.starts_with("cretoai_storage_"));
        assert!(12 <= storage.len(), "{storage:?}");
        assert!(14 <= consensus.len(), "{consensus:?}");
        for name in ["block_cache_hit_rate", "compactions_running", "compaction_debt_bytes", "append_seconds"] {
            assert!(storage.contains(&format!("cretoai_storage_{name}").as_str()), "{name} is not in {storage:?}");
        }
        for name in ["finality_seconds", "views_installed", "evidence", "requests_executed"] {
            assert!(consensus.contains(&format!("cretoai_{name}").as_str()), "{name} is not in {consensus:?}");
        }
        assert!(page.contains("cretoai_api_refused_total{reason=\"connections\"} 1\n"), "{page}");
    }
}
