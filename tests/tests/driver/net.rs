//! madsim's network as a transport.

use cretoai_core::types::ReplicaId;
use cretoai_runtime::transport::{Class, Frame, Transport};
use madsim::net::Endpoint;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// Frames of one peer that wait for the driver, at the most.
const QUEUE: usize = 256;

/// Tasks that wait for datagrams.
const RECEIVERS: usize = 64;

pub(crate) fn ip(id: ReplicaId) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(id.0 + 1).expect("a small cluster")).into()
}

fn address(id: ReplicaId) -> SocketAddr {
    SocketAddr::new(ip(id), 1)
}

#[derive(Debug)]
pub(crate) struct SimNet {
    out: mpsc::UnboundedSender<(ReplicaId, Frame)>,
    queues: Vec<Mutex<mpsc::Receiver<Frame>>>,
}

impl SimNet {
    pub(crate) async fn bind(me: ReplicaId, n: u16) -> Arc<Self> {
        let endpoint = Arc::new(Endpoint::bind(address(me)).await.expect("a free address"));
        let (out, mut due) = mpsc::unbounded_channel::<(ReplicaId, Frame)>();
        let (feeds, queues): (Vec<_>, Vec<_>) = (0..n).map(|_| mpsc::channel(QUEUE)).unzip();
        let sending = Arc::clone(&endpoint);
        // Each call of madsim's takes a moment: one after another they would be a link of a thousand frames a second.
        madsim::task::spawn(async move {
            while let Some((to, frame)) = due.recv().await {
                let sending = Arc::clone(&sending);
                madsim::task::spawn(async move {
                    let _ = sending.send_to_raw(address(to), 0, Box::new(frame)).await;
                });
            }
        });
        for _ in 0..RECEIVERS {
            let (endpoint, feeds) = (Arc::clone(&endpoint), feeds.clone());
            madsim::task::spawn(async move {
                while let Ok((payload, from)) = endpoint.recv_from_raw(0).await {
                    let IpAddr::V4(ip) = from.ip() else { continue };
                    let from = usize::from(ip.octets()[3]) - 1;
                    if let Ok(frame) = payload.downcast::<Frame>() {
                        let _ = feeds[from].try_send(*frame);
                    }
                }
            });
        }
        Arc::new(Self { out, queues: queues.into_iter().map(Mutex::new).collect() })
    }
}

impl Transport for SimNet {
    fn send(&self, to: ReplicaId, _: Class, frame: Frame) {
        let _ = self.out.send((to, frame));
    }

    async fn recv(&self, from: ReplicaId) -> Option<Frame> {
        self.queues[from.index()].lock().await.recv().await
    }
}
