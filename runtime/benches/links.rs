//! How long a message takes between two replicas over loopback: half of a round trip, and there and back one by one.
//! Run it with
//! `cargo bench --profile quick -p cretoai-node -p cretoai-runtime --all-features --bench links`.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use cretoai_core::config::{Chain, Genesis, Scheme};
use cretoai_core::types::ReplicaId;
use cretoai_runtime::quic::{QuicConfig, QuicTransport};
use cretoai_runtime::signatures::Keys;
use cretoai_runtime::transport::{Class, Frame, Transport};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5000;

/// A vote with an ML-DSA-87 signature, and a full vertex.
const LENGTHS: [usize; 2] = [5 << 10, 64 << 10];

#[tokio::main]
async fn main() {
    for scheme in [Scheme::MlDsa87, Scheme::Ed25519] {
        let keys: Vec<Keys> = (0..2).map(|_| Keys::generate(scheme).expect("randomness")).collect();
        let public = keys.iter().map(|keys| keys.public().to_vec()).collect();
        let chain = Chain::new(Genesis::new("links", scheme, public), true).expect("a good genesis");
        let start = |id: usize, peers| {
            let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            QuicTransport::start(&chain, &keys[id], QuicConfig::new(anywhere, peers)).expect("a free port")
        };
        let one = start(1, BTreeMap::new());
        let address = one.local_addr().expect("it listens").to_string();
        let zero = start(0, BTreeMap::from([(ReplicaId(1), address)]));
        for transport in [&zero, &one] {
            transport.until(|transport| transport.peers().iter().all(|peer| peer.connected)).await;
        }
        let back = tokio::spawn(async move {
            while let Some(frame) = one.recv(ReplicaId(0)).await {
                one.send(ReplicaId(0), Class::Consensus, frame);
            }
        });
        for length in LENGTHS {
            let mut took = Vec::with_capacity(ROUNDS);
            let frame: Frame = vec![0; length].into();
            for _ in 0..ROUNDS {
                let began = Instant::now();
                zero.send(ReplicaId(1), Class::Consensus, Arc::clone(&frame));
                zero.recv(ReplicaId(1)).await.expect("it is open");
                took.push(began.elapsed() / 2);
            }
            took.sort_unstable();
            let at = |percent: usize| -> Duration { took[(ROUNDS - 1) * percent / 100] };
            println!("{scheme:?}, {length} bytes one way: p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
        }
        zero.close().await;
        back.abort();
    }
}
