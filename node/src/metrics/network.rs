//! The links to other replicas.

use super::{Labels, Sheet};
use cretoai_runtime::quic::{PeerStats, QuicTransport, Refusal, Traffic};
use cretoai_runtime::transport::CLASSES;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;

/// Figures of a transport.
#[derive(Debug)]
pub struct NetworkCollector(pub Arc<QuicTransport>);

impl Collector for NetworkCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let peers = self.0.peers();
        let mut sheet = Sheet(encoder);
        let each = |figure: &dyn Fn(&PeerStats) -> u64| -> Vec<(Labels<1>, u64)> {
            peers.iter().map(|peer| ([("peer", peer.id.0.to_string())], figure(peer))).collect()
        };
        sheet.gauges("network_connected", "1 while the link is up", &each(&|peer| u64::from(peer.connected)))?;
        let rtt = |peer: &PeerStats| peer.rtt.map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX));
        sheet.gauges("network_rtt_microseconds", "Round trip time; 0 while the link is down", &each(&rtt))?;
        sheet.counters("network_connects", "Connections made", &each(&|peer| peer.connects))?;
        sheet.counters("network_failures", "Attempts to connect that failed", &each(&|peer| peer.failures))?;
        sheet.counters("network_stale", "Frames too old when the link came up", &each(&|peer| peer.stale))?;
        let throttled: Vec<(Labels<2>, u64)> = peers
            .iter()
            .flat_map(|peer| [(peer, "frames", peer.throttled_frames), (peer, "bytes", peer.throttled_bytes)])
            .map(|(peer, of, count)| ([("peer", peer.id.0.to_string()), ("of", of.to_owned())], count))
            .collect();
        sheet.counters("network_throttled", "Pauses because a peer sent too much, by what", &throttled)?;
        let classes = |figure: &dyn Fn(&PeerStats, usize) -> u64| -> Vec<(Labels<2>, u64)> {
            let labels = |peer: &PeerStats, class: usize| {
                let class = format!("{:?}", CLASSES[class]).to_lowercase();
                [("peer", peer.id.0.to_string()), ("class", class)]
            };
            let of = |peer: &PeerStats, class| (labels(peer, class), figure(peer, class));
            peers.iter().flat_map(|peer| (0..CLASSES.len()).map(move |class| of(peer, class))).collect()
        };
        let frames = |traffic: &[Traffic], class: usize| traffic[class].frames;
        let bytes = |traffic: &[Traffic], class: usize| traffic[class].bytes;
        let sent = classes(&|peer, class| frames(&peer.sent, class));
        sheet.counters("network_sent_frames", "Frames sent", &sent)?;
        sheet.counters("network_sent_bytes", "Bytes sent", &classes(&|peer, class| bytes(&peer.sent, class)))?;
        let received = classes(&|peer, class| frames(&peer.received, class));
        sheet.counters("network_received_frames", "Frames received", &received)?;
        let received = classes(&|peer, class| bytes(&peer.received, class));
        sheet.counters("network_received_bytes", "Bytes received", &received)?;
        let dropped = classes(&|peer, class| peer.dropped[class]);
        sheet.counters("network_dropped_frames", "Frames that found a full queue", &dropped)?;
        let refused = refusals(&peers, &|peer| &peer.refused);
        sheet.counters("network_refused", "Connections refused, by reason", &refused)?;
        let refused = refusals(&peers, &|peer| &peer.refused_by_peer);
        sheet.counters("network_refused_by_peer", "Connections that the other side refused, by reason", &refused)?;
        let strangers: Vec<_> =
            self.0.refused().iter().map(|(reason, count)| ([("reason", reason.name().to_owned())], *count)).collect();
        sheet.counters(
            "network_strangers_refused",
            "Connections of no known replica refused, by reason",
            &strangers,
        )?;
        let failed = self.0.failed_handshakes();
        sheet.counter("network_failed_handshakes", "Handshakes of others that came to nothing", failed)
    }
}

fn refusals(peers: &[PeerStats], which: &dyn Fn(&PeerStats) -> &Vec<(Refusal, u64)>) -> Vec<(Labels<2>, u64)> {
    let labelled = |peer: &PeerStats, reason: &Refusal, count: u64| {
        ([("peer", peer.id.0.to_string()), ("reason", reason.name().to_owned())], count)
    };
    peers
        .iter()
        .flat_map(|peer| which(peer).iter().map(move |(reason, count)| labelled(peer, reason, *count)))
        .collect()
}
