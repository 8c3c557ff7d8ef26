//! How links come up: one end calls, the other listens, both say hello.

use super::hello::{HelloError, hear, say};
use super::link::{self, note_end, refuse};
use super::peer::Peer;
use super::stats::Refusal;
use super::tls::SERVER_NAME;
use super::{Closed, Shared};
use backon::{BackoffBuilder, ExponentialBuilder};
use quinn::{Connection, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Calls a peer, carries the link, and calls again when it is lost, until the transport closes.
pub(super) async fn call(shared: Arc<Shared>, peer: Arc<Peer>, client: quinn::ClientConfig) {
    let limits = &shared.config.limits;
    let waits = ExponentialBuilder::new()
        .with_min_delay(limits.retry_first)
        .with_max_delay(limits.retry_max)
        .with_jitter()
        .without_max_times();
    let mut backoff = waits.build();
    while *shared.closed.borrow() == Closed::No {
        let attempt = async {
            let connection = timeout(limits.handshake_timeout, reach(&shared, &peer, &client)).await.ok()??;
            let began = Instant::now();
            link::run(Arc::clone(&peer), connection, shared.link_limits).await;
            Some(began.elapsed())
        };
        match attempt.await {
            // Who lets us in and throws us out again is called as seldom as who does not answer.
            Some(lasted) if limits.retry_max <= lasted => backoff = waits.build(),
            Some(_) => {}
            None => peer.counters.add(&peer.counters.failures, 1),
        }
        let wait = backoff.next().unwrap_or(limits.retry_max);
        tokio::select! {
            () = sleep(wait) => {}
            () = shared.closing() => return,
        }
    }
}

/// A connection on which both sides have said hello.
async fn reach(shared: &Shared, peer: &Peer, client: &quinn::ClientConfig) -> Option<Connection> {
    let address = shared.config.peers.get(&peer.id)?;
    let found = lookup_host(address.as_str()).await;
    let found: Vec<SocketAddr> =
        found.inspect_err(|error| tracing::debug!(%address, %error, "no address")).ok()?.collect();
    for address in found {
        let Ok(connecting) = shared.endpoint.connect_with(client.clone(), address, SERVER_NAME) else { continue };
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(peer = %peer.id, %address, %error, "no connection");
                continue;
            }
        };
        if shared.identity.members().peer(&connection) != Some(peer.id) {
            refuse(peer, &connection, Refusal::Stranger);
            continue;
        }
        match greet(shared, peer, &connection).await {
            Ok(()) => return Some(connection),
            Err(HelloError::Refused(refusal)) => refuse(peer, &connection, refusal),
            Err(HelloError::Lost) => note_end(peer, &connection),
        }
    }
    None
}

async fn greet(shared: &Shared, peer: &Peer, connection: &Connection) -> Result<(), HelloError> {
    let (send, recv) = connection.open_bi().await.map_err(|_| HelloError::Lost)?;
    say(&shared.hello, send).await?;
    hear(&shared.hello, peer.id, recv).await
}

/// Takes connections until the transport closes.
pub(super) async fn listen(shared: Arc<Shared>) {
    let limit = shared.config.limits.handshakes;
    let places = Arc::new(Semaphore::new(limit));
    loop {
        let incoming = tokio::select! {
            incoming = shared.endpoint.accept() => incoming,
            () = shared.closing() => return,
        };
        let Some(incoming) = incoming else { return };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            shared.strangers.count(Refusal::Busy);
            incoming.refuse();
            continue;
        };
        // Under pressure an address has to prove itself first, so that invented ones take no places.
        let is_pressed = places.available_permits() < limit / 2;
        if is_pressed && incoming.may_retry() && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answered = answer(&shared, incoming).await;
            drop(place);
            if let Some((peer, connection)) = answered {
                link::run(peer, connection, shared.link_limits).await;
            }
        });
    }
}

/// Lets a caller in, if it is a member that is on the same chain and has the right to call.
async fn answer(shared: &Shared, incoming: Incoming) -> Option<(Arc<Peer>, Connection)> {
    let limit = shared.config.limits.handshake_timeout;
    let address = incoming.remote_address();
    let handshake = async { incoming.accept()?.await };
    let Ok(Ok(connection)) = timeout(limit, handshake).await else {
        tracing::debug!(%address, "no handshake");
        shared.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        shared.events.notify_waiters();
        return None;
    };
    let member = shared.identity.members().peer(&connection);
    let Some(peer) = member.and_then(|id| shared.peers.get(id.index())).and_then(Option::as_ref) else {
        connection.close(Refusal::Stranger.code(), Refusal::Stranger.name().as_bytes());
        shared.strangers.count(Refusal::Stranger);
        return None;
    };
    if shared.id < peer.id {
        refuse(peer, &connection, Refusal::Direction);
        return None;
    }
    let exchange = async {
        let (send, recv) = connection.accept_bi().await.map_err(|_| HelloError::Lost)?;
        hear(&shared.hello, peer.id, recv).await?;
        say(&shared.hello, send).await
    };
    match timeout(limit, exchange).await.unwrap_or(Err(HelloError::Refused(Refusal::Timeout))) {
        Ok(()) => Some((Arc::clone(peer), connection)),
        Err(HelloError::Refused(refusal)) => {
            refuse(peer, &connection, refusal);
            None
        }
        Err(HelloError::Lost) => {
            note_end(peer, &connection);
            None
        }
    }
}
