//! Who is let in with a body: how many at once, how large, and how long they may take.

use super::{Api, Problem};
use crate::config::ApiLimits;
use crate::metrics::Metrics;
use axum::body::Bytes as Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What bounds an [`Api`], counts whom it refuses, and closes it.
#[derive(Debug)]
pub struct Gate {
    limits: ApiLimits,
    submissions: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
    is_stopping: AtomicBool,
    metrics: Arc<Metrics>,
}

/// A body, and the room that its call takes until it is answered.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) body: Body,
    _place: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Gate {
    /// Open, within these limits.
    #[must_use]
    pub fn new(limits: ApiLimits, metrics: Arc<Metrics>) -> Self {
        let submissions = Arc::new(Semaphore::new(limits.submissions));
        let body_bytes = Arc::new(Semaphore::new(limits.all_bodies_bytes));
        Self { limits, submissions, body_bytes, is_stopping: AtomicBool::new(false), metrics }
    }

    /// From now on, nobody is let in.
    pub fn close(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether nobody is let in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Bytes of a body, at the most.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.limits.body_bytes
    }

    /// Makes room before it reads, so that all bodies together stay within their limit.
    async fn admit(&self, call: Request) -> Result<Admitted, Problem> {
        if self.is_closed() {
            return Err(Problem::stopping());
        }
        let limits = &self.limits;
        let refused = |reason, status, line: String| {
            self.metrics.refuse_call(reason);
            Problem::new(status, line)
        };
        let busy = |reason, line| refused(reason, StatusCode::SERVICE_UNAVAILABLE, line);
        let place = Arc::clone(&self.submissions).try_acquire_owned().map_err(|_| {
            let line = format!("{} submissions are under way, the limit; send larger batches", limits.submissions);
            busy("submissions", line)
        })?;
        // Of a body that does not say how long it is, the most is expected.
        let length = call.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.map_or(limits.body_bytes, |length: usize| length.min(limits.body_bytes));
        let permits = u32::try_from(length).expect("validated");
        let room = Arc::clone(&self.body_bytes).try_acquire_many_owned(permits).map_err(|_| {
            let line = format!("bodies of {} bytes are under way, the limit; try again", limits.all_bodies_bytes);
            busy("memory", line)
        })?;
        match timeout(limits.read_timeout(), Body::from_request(call, &())).await {
            Ok(Ok(body)) => Ok(Admitted { body, _place: place, _room: room }),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let line = format!("the body is longer than {} bytes; send several", limits.body_bytes);
                Err(refused("body_bytes", StatusCode::PAYLOAD_TOO_LARGE, line))
            }
            Ok(Err(rejection)) => Err(refused("body_cut", rejection.status(), rejection.body_text())),
            Err(_) => {
                let line = format!("the body was not there within {} ms", limits.read_timeout_ms);
                Err(refused("body_timeout", StatusCode::REQUEST_TIMEOUT, line))
            }
        }
    }
}

impl FromRequest<Arc<Api>> for Admitted {
    type Rejection = Problem;

    async fn from_request(call: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        api.gate.admit(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Server, Stopping};
    use axum::Router;
    use axum::extract::{DefaultBodyLimit, State};
    use axum::routing::post;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    const SOON: Duration = Duration::from_secs(60);

    /// A server that answers with the length of a body, once the body that is held back may be answered.
    struct Served {
        address: SocketAddr,
        gate: Arc<Gate>,
        hold: watch::Sender<bool>,
        _stop: watch::Sender<Stopping>,
    }

    impl Served {
        async fn new(change: impl FnOnce(&mut ApiLimits)) -> Self {
            let mut limits = ApiLimits::default();
            change(&mut limits);
            let metrics = Arc::new(Metrics::new());
            let gate = Arc::new(Gate::new(limits.clone(), Arc::clone(&metrics)));
            let hold = watch::Sender::new(false);
            let held = hold.clone();
            let answer = move |State(gate): State<Arc<Gate>>, call: Request| {
                let mut held = held.subscribe();
                async move {
                    let admitted = gate.admit(call).await?;
                    let _ = held.wait_for(|hold| !hold).await;
                    Ok::<_, Problem>(admitted.body.len().to_string())
                }
            };
            let router = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(limits.body_bytes));
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let address = listener.local_addr().expect("it listens");
            let (sender, stop) = watch::channel(Stopping::No);
            Server::new(listener, router.with_state(Arc::clone(&gate)), &limits, &metrics, &stop).spawn();
            Self { address, gate, hold, _stop: sender }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.expect("it listens")
        }

        async fn send(&self, bytes: &str) -> TcpStream {
            let mut stream = self.connect().await;
            stream.write_all(bytes.as_bytes()).await.expect("it reads");
            stream
        }

        fn refused(&self, reason: &'static str) -> u64 {
            self.gate.metrics.calls_refused_for(reason)
        }

        /// Others are served as if nothing were.
        async fn serves(&self) {
            assert!(
                all(self.send("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi").await)
                    .await
                    .ends_with("\r\n\r\n2")
            );
        }
    }

    /// Everything until the other end closes.
    async fn all(mut stream: TcpStream) -> String {
        let mut text = String::new();
        // A reset is an end, too.
        let _ = timeout(SOON, stream.read_to_string(&mut text)).await.expect("it closes");
        text
    }

    #[tokio::test]
    async fn a_head_that_comes_too_slowly_is_cut_off_and_counted() {
        let served = Served::new(|limits| limits.read_timeout_ms = 1000).await;
        let answer = all(served.send("POST / HTTP/1.1\r\nhost:").await).await;
        assert!(!answer.contains("200"), "{answer}");
        assert_eq!(served.refused("head_timeout"), 1);
        served.serves().await;
    }

    #[tokio::test]
    async fn a_body_that_comes_too_slowly_is_refused_and_counted() {
        let served = Served::new(|limits| limits.read_timeout_ms = 1000).await;
        let answer = all(served.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nslow").await).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("within 1000 ms"), "{answer}");
        assert_eq!(served.refused("body_timeout"), 1);
        served.serves().await;
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused_and_counted_whether_it_says_so_or_not() {
        let served = Served::new(|limits| limits.body_bytes = 8).await;
        let long = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n123456789";
        let chunked = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n";
        for call in [long, chunked] {
            let answer = all(served.send(call).await).await;
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("longer than 8 bytes"), "{answer}");
        }
        assert_eq!(served.refused("body_bytes"), 2);
        served.serves().await;
    }

    #[tokio::test]
    async fn calls_and_bytes_beyond_their_limits_are_refused_while_others_are_answered() {
        for (reason, submissions, all_bodies_bytes) in [("submissions", 1, 1000), ("memory", 9, 1000)] {
            let served = Served::new(|limits| {
                (limits.submissions, limits.all_bodies_bytes) = (submissions, all_bodies_bytes);
            })
            .await;
            served.hold.send_replace(true);
            let body = "x".repeat(999);
            let call = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 999\r\n\r\n{body}");
            let first = served.send(&call).await;
            let is_in = async {
                while served.gate.submissions.available_permits() == submissions {
                    tokio::task::yield_now().await;
                }
            };
            timeout(SOON, is_in).await.expect("the first one is let in");
            let answer = all(served.send(&call).await).await;
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the limit"), "{answer}");
            assert_eq!(served.refused(reason), 1);
            served.hold.send_replace(false);
            assert!(all(first).await.ends_with("999"));
            served.serves().await;
        }
    }

    #[tokio::test]
    async fn connections_beyond_their_limit_are_closed_and_counted() {
        let served = Served::new(|limits| limits.connections = 1).await;
        let mut first = served.connect().await;
        // It is in when it was answered.
        first.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.expect("it reads");
        timeout(SOON, first.read_u8()).await.expect("an answer").expect("an answer");
        assert_eq!(all(served.connect().await).await, "");
        assert_eq!(served.refused("connections"), 1);
        drop(first);
        let again = async {
            while !all(served
                .send("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .await)
            .await
            .starts_with("HTTP/1.1 200 ")
            {}
        };
        timeout(SOON, again).await.expect("the place is free again");
    }
}
