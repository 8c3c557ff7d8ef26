//! HTTP connections, for the API and for the metrics: how many there may be, and how long one may take to say what it
//! wants. Whoever sends its request byte by byte is cut off, and so is whoever keeps a connection and asks nothing.

use crate::config::ApiLimits;
use crate::metrics::Metrics;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// After the system refused a connection, because files or memory ran out, others are given this long to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether the servers have to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// Not yet.
    No,
    /// Connections answer what they were asked, and close.
    Yes,
}

/// A listener with what it answers.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    router: Router,
    /// How long a connection may take until the head of its next request is there.
    head_timeout: Duration,
    connections: usize,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<Stopping>,
}

impl Server {
    /// A server within these limits, which counts whom it refuses.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        router: Router,
        limits: &ApiLimits,
        metrics: &Arc<Metrics>,
        stop: &watch::Receiver<Stopping>,
    ) -> Self {
        let (head_timeout, connections) = (limits.read_timeout(), limits.connections);
        Self { listener, router, head_timeout, connections, metrics: Arc::clone(metrics), stop: stop.clone() }
    }

    /// Answers until it is told to stop, and every connection has ended.
    pub fn spawn(self) -> JoinHandle<()> {
        tokio::spawn(self.run())
    }

    async fn run(mut self) {
        let places = Arc::new(Semaphore::new(self.connections));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stopped(&mut self.stop) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "no connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.metrics.refuse_call("connections");
                continue;
            };
            let connection = self.connection(stream);
            tokio::spawn(async move {
                connection.await;
                drop(place);
            });
        }
        // No socket listens from here on.
        drop(self.listener);
        let all = u32::try_from(self.connections).expect("validated");
        let _ = places.acquire_many(all).await;
    }

    fn connection(&self, stream: TcpStream) -> impl Future<Output = ()> + use<> {
        let _ = stream.set_nodelay(true);
        let router = TowerToHyperService::new(self.router.clone());
        let was_asked = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&was_asked);
        let answer = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            router.call(request)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .serve_connection(TokioIo::new(stream), answer);
        let (metrics, mut stop) = (Arc::clone(&self.metrics), self.stop.clone());
        async move {
            let mut served = std::pin::pin!(served);
            let ended = tokio::select! {
                ended = served.as_mut() => ended,
                () = stopped(&mut stop) => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if ended.is_err_and(|error| error.is_timeout()) {
                // Whoever was answered before and asks nothing more is no rarity.
                metrics.refuse_call(if was_asked.load(Ordering::Relaxed) { "idle" } else { "head_timeout" });
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<Stopping>) {
    let _ = stop.wait_for(|stopping| *stopping == Stopping::Yes).await;
}
