//! The store.

use super::Sheet;
use cretoai_runtime::store::{Latency, RocksStore};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// Figures of a store.
pub struct StorageCollector(pub Arc<RocksStore>);

impl fmt::Debug for StorageCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StorageCollector").finish()
    }
}

impl Collector for StorageCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let mut sheet = Sheet(encoder);
        let families = |figure: fn(&cretoai_runtime::store::FamilyStats) -> u64| -> Vec<_> {
            let labelled = |family| ([("family", String::from(family_name(family)))], figure(family));
            stats.families.iter().map(labelled).collect()
        };
        sheet.gauges("storage_sst_bytes", "Bytes of files in use", &families(|family| family.sst_bytes))?;
        sheet.gauges("storage_memtable_bytes", "Bytes not in files yet", &families(|family| family.memtable_bytes))?;
        sheet.gauges("storage_keys", "Keys, roughly", &families(|family| family.keys))?;
        sheet.gauge("storage_block_cache_bytes", "Bytes of blocks in memory", stats.block_cache_bytes)?;
        let pinned = stats.block_cache_pinned_bytes;
        sheet.gauge("storage_block_cache_pinned_bytes", "Bytes of blocks that cannot leave memory", pinned)?;
        sheet.counter("storage_block_cache_hits", "Blocks found in memory", stats.block_cache_hits)?;
        sheet.counter("storage_block_cache_misses", "Blocks that had to be read", stats.block_cache_misses)?;
        let rate = stats.block_cache_hit_rate().unwrap_or_default();
        sheet.gauge_f64(
            "storage_block_cache_hit_rate",
            "The share of blocks found in memory, of all asked for",
            rate,
        )?;
        sheet.gauge("storage_compactions_pending", "Families that wait to be compacted", stats.compactions_pending)?;
        sheet.gauge("storage_compactions_running", "Compactions that run", stats.compactions_running)?;
        sheet.gauge("storage_compaction_debt_bytes", "Bytes still to be rewritten", stats.compaction_debt_bytes)?;
        sheet.gauge("storage_flushes_running", "Buffers being written to files", stats.flushes_running)?;
        sheet.gauge("storage_wal_bytes", "Bytes of the write-ahead log on disk", stats.wal_bytes)?;
        sheet.counter("storage_wal_written_bytes", "Bytes written to the write-ahead log", stats.wal_written_bytes)?;
        sheet.counter("storage_wal_syncs", "Syncs of the write-ahead log", stats.wal_syncs)?;
        sheet.counter_f64("storage_stall_seconds", "Time for which writes were held up", micros(stats.stall_us))?;
        sheet.gauge("storage_write_stopped", "1 while writes are stopped altogether", stats.writes_stopped)?;
        sheet.counter("storage_background_errors", "Errors behind the scenes", stats.background_errors)?;
        sheet.latency("storage_append_seconds", "Appends to the log, with their sync", &stats.append)?;
        sheet.latency("storage_snapshot_seconds", "Writes of snapshots", &stats.snapshot)?;
        sheet.latency("storage_finalize_seconds", "Writes of finalized slots", &stats.finalize)?;
        sheet.latency("storage_read_seconds", "Queries", &stats.read)
    }
}

fn family_name(family: &cretoai_runtime::store::FamilyStats) -> &'static str {
    family.name
}

#[allow(clippy::cast_precision_loss, reason = "a span is shown with a few digits")]
fn micros(us: u64) -> f64 {
    us as f64 / 1e6
}

impl Sheet<'_> {
    #[allow(clippy::cast_precision_loss, reason = "a span is shown with a few digits")]
    fn latency(&mut self, name: &str, help: &str, latency: &Latency) -> fmt::Result {
        let bounds = Latency::BOUNDS_US.iter().map(|bound| micros(*bound)).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(latency.buckets).collect();
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(latency.sum_ns as f64 / 1e9, latency.count, &buckets, None)
    }
}
