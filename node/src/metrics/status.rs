//! What the replica is at.

use super::{Sheet, seconds};
use crate::observer::Heads;
use cretoai_core::kv::KvStore;
use cretoai_runtime::driver::Handle;
use cretoai_runtime::env::{Env, TokioEnv};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Figures of a replica's state.
#[derive(Debug)]
pub struct StatusCollector {
    /// The way to the driver.
    pub handle: Handle<KvStore>,
    /// How far others are.
    pub heads: Arc<Heads>,
    /// The clock.
    pub env: TokioEnv,
}

impl Collector for StatusCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = *self.handle.status().borrow();
        let lag = self.heads.lag(status.executed, self.env.now());
        let changes = status.target.map_or(0, |target| target.0 - status.view.0);
        let mut sheet = Sheet(encoder);
        sheet.gauge("view", "The installed view", status.view.0)?;
        sheet.gauge(
            "view_target_distance",
            "How far ahead the view is that it wants to enter; 0 in a view",
            changes,
        )?;
        sheet.gauge("active", "1 while it takes part in its view", u64::from(status.is_active()))?;
        sheet.gauge("executed_slot", "The last slot given to the application", status.executed.0)?;
        sheet.gauge("applied_slot", "The last slot whose results are known", status.applied.0)?;
        sheet.gauge("stable_slot", "The stable checkpoint", status.stable.0)?;
        sheet.gauge("head_slot", "A slot that some honest replica has executed", lag.head.0)?;
        sheet.gauge("in_touch", "Other replicas heard of within 5 s", lag.heard_from as u64)?;
        sheet.gauge("pending_vertices", "Vertices waited for to be executed", status.pending as u64)?;
        sheet.gauge("halted", "1 if it stopped for good", u64::from(status.halted.is_some()))?;
        sheet.gauge("diverged", "1 while its state contradicts a certified one", u64::from(status.diverged))?;
        sheet.gauge("transferring", "1 while a state is being transferred", u64::from(status.transferring))?;
        sheet.gauge("silent", "1 while it distrusts its log and keeps silent", u64::from(status.silent))?;
        sheet.gauge("halted_at_high", "1 while no checkpoint becomes stable", u64::from(status.halted_at_high))?;
        sheet.counter(
            "slow_proposals",
            "Proposals that came late from a primary not suspected",
            status.slow_proposals,
        )?;
        sheet.gauge("banned_replicas", "Members proven faulty and banned", u64::from(status.banned.count_ones()))?;
        sheet.gauge("back_off", "The back-off exponent", u64::from(status.back_off))?;
        sheet.gauge_f64("timeout_seconds", "The current time-out", seconds(status.timeout))?;
        let counts = self.handle.counts();
        let frames = [
            ("taken", &counts.taken),
            ("useless", &counts.useless),
            ("rejected", &counts.rejected),
            ("undecodable", &counts.undecodable),
        ];
        let frames = frames.map(|(fate, count)| ([("fate", fate.to_owned())], count.load(Ordering::Relaxed)));
        sheet.counters("frames", "Frames from other replicas, by what became of them", &frames)
    }
}
