//! Links between replicas over QUIC (`docs/protocol.md` A4, M16).
//!
//! Each pair of replicas has one connection, which the one with the lower id opens and, when it is lost, opens again.
//! Both ends show their keys in the TLS handshake, and then say hello; from then on they are connected. Each class of
//! frames has a stream of its own in each direction, and the more urgent class goes first: into the connection, onto
//! the network, and out of the queue at the other end.
//!
//! Everything a peer can fill is bounded, for each peer and class alone: queues in frames and bytes, rates in frames and
//! kibibytes a second, what is under way in bytes. A peer that sends more is made to wait, and nobody else notices.
//! What is dropped, throttled or refused is counted.

mod config;
mod connect;
mod hello;
mod lane;
mod link;
mod peer;
mod reset;
mod stats;
#[cfg(test)]
mod tests;
mod tls;

pub use config::{QuicConfig, QuicError, QuicLimits};
pub use stats::{PeerStats, REFUSALS, Refusal, Traffic};

use crate::signatures::{Keys, verifier};
use crate::transport::{Class, Frame, Transport};
use cretoai_core::config::Chain;
use cretoai_core::types::ReplicaId;
use cretoai_core::wire::max_frame;
use hello::Hello;
use link::LinkLimits;
use peer::Peer;
use quinn::{Endpoint, TokioRuntime};
use stats::Refusals;
use std::fmt;
use std::future::pending;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tls::{Identity, Members};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// The links of a replica to all others. It closes when it is dropped, [more politely](Self::close) when it is asked.
pub struct QuicTransport {
    shared: Arc<Shared>,
}

/// What all tasks of a transport share.
struct Shared {
    id: ReplicaId,
    hello: Hello,
    identity: Identity,
    endpoint: Endpoint,
    config: QuicConfig,
    link_limits: LinkLimits,
    /// The other replicas, by id; `None` for this one.
    peers: Vec<Option<Arc<Peer>>>,
    /// Refusals of connections that belong to no replica.
    strangers: Arc<Refusals>,
    /// Handshakes of others that came to nothing.
    failed_handshakes: AtomicU64,
    /// Told whenever something is counted.
    events: Arc<Notify>,
    /// Whether the transport is closed.
    closed: watch::Sender<Closed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    No,
    /// Connections carry what is under way, and no new ones are made.
    Closing,
    Yes,
}

impl QuicTransport {
    /// Listens, and begins to connect to the replicas of a chain with a higher id than the one that these keys belong
    /// to. Has to be called within a tokio runtime, in which its tasks then run.
    ///
    /// # Errors
    /// [`QuicError`] names what is wrong with the configuration or the keys.
    pub fn start(chain: &Chain, keys: &Keys, config: QuicConfig) -> Result<Self, QuicError> {
        // Looks into all keys of the genesis: each is one, and no two are the same.
        verifier(chain)?;
        let id = keys.replica(chain)?;
        config.check(chain, id)?;
        let events = Arc::new(Notify::new());
        let strangers = Arc::new(Refusals::new(&events));
        let identity = Identity::new(keys, Arc::new(Members::new(chain)), &config.limits)?;
        let server = identity.server(Arc::clone(&strangers))?;
        let endpoint = UdpSocket::bind(config.bind)
            .and_then(|socket| Endpoint::new(reset::endpoint(keys), Some(server), socket, Arc::new(TokioRuntime)))
            .map_err(|error| QuicError::Bind { address: config.bind, error })?;
        let peer = |other| (other != id).then(|| Arc::new(Peer::new(other, chain, &config.limits, &events)));
        let shared = Arc::new(Shared {
            id,
            hello: Hello::new(chain, id),
            identity,
            endpoint,
            link_limits: LinkLimits { max_frame: max_frame(chain), stale_after: config.limits.stale_after },
            peers: chain.committee.members().map(peer).collect(),
            config,
            strangers,
            failed_handshakes: AtomicU64::new(0),
            events,
            closed: watch::Sender::new(Closed::No),
        });
        for peer in shared.peers.iter().flatten().filter(|peer| id < peer.id) {
            let client = shared.identity.client(peer.id, Arc::clone(&peer.counters.refused))?;
            tokio::spawn(connect::call(Arc::clone(&shared), Arc::clone(peer), client));
        }
        tokio::spawn(connect::listen(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// The replica whose links these are.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.shared.id
    }

    /// The address at which it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.shared.endpoint.local_addr()
    }

    /// The state of the link to every other replica, ascending by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStats> {
        let peers = self.shared.peers.iter().flatten();
        peers.map(|peer| peer.counters.read(peer.id, peer.link().as_ref())).collect()
    }

    /// Connections that were refused before it was known whose they are, by reason.
    #[must_use]
    pub fn refused(&self) -> Vec<(Refusal, u64)> {
        self.shared.strangers.read()
    }

    /// Connections of others whose handshake failed, for whatever reason.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.shared.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Waits until a condition holds. It is asked again whenever something about a link was counted.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        loop {
            let event = self.shared.events.notified();
            tokio::pin!(event);
            // From here on no event is missed.
            event.as_mut().enable();
            if condition(self) {
                return;
            }
            event.await;
        }
    }

    /// Sends what is queued for replicas that are connected, waits for a while until they have read it, and closes.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.closed.send_replace(Closed::Closing);
        for peer in shared.peers.iter().flatten() {
            peer.outbox.iter().for_each(lane::Lane::close);
        }
        let all_down = self.until(|transport| transport.peers().iter().all(|peer| !peer.connected));
        // Whoever does not take what it is sent loses it.
        let _ = timeout(shared.config.limits.close_timeout, all_down).await;
        shared.close();
        let _ = timeout(shared.config.limits.close_timeout, shared.endpoint.wait_idle()).await;
    }

    fn peer(&self, id: ReplicaId) -> Option<&Arc<Peer>> {
        self.shared.peers.get(id.index())?.as_ref()
    }
}

impl Shared {
    fn close(&self) {
        self.closed.send_replace(Closed::Yes);
        self.endpoint.close(link::CLOSED, b"closed");
    }

    /// Waits until the transport is closed or about to be.
    async fn closing(&self) {
        // The sender is part of `self`, so waiting cannot fail.
        let _ = self.closed.subscribe().wait_for(|closed| *closed != Closed::No).await;
    }
}

impl Transport for QuicTransport {
    /// # Panics
    /// When the frame is longer than any message of the chain.
    fn send(&self, to: ReplicaId, class: Class, frame: Frame) {
        let limit = self.shared.link_limits.max_frame;
        assert!(frame.len() <= limit, "a frame of {} bytes, and at most {limit} are allowed", frame.len());
        if let Some(peer) = self.peer(to) {
            peer.send(class, frame);
        }
    }

    async fn recv(&self, from: ReplicaId) -> Option<Frame> {
        let peer = self.peer(from);
        if *self.shared.closed.borrow() != Closed::Yes
            && let Some(frame) = peer.and_then(|peer| peer.try_next())
        {
            return Some(frame);
        }
        let mut closed = self.shared.closed.subscribe();
        let next = async {
            match peer {
                Some(peer) => peer.next().await,
                // Nothing ever comes from oneself, or from nobody.
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed == Closed::Yes) => None,
            frame = next => Some(frame),
        }
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for QuicTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = self.shared.peers.iter().flatten().filter(|peer| peer.link().is_some()).count();
        write!(f, "links of {}, {connected} of {} up", self.shared.id, self.shared.peers.len() - 1)
    }
}
