//! A small HTTP client for the API: one connection that is kept and used again.

use crate::error::Stop;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes of an answer, at the most.
const MAX_ANSWER: usize = 64 << 20;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What a node says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client of one node.
#[derive(Debug)]
pub struct Client {
    /// `host:port`.
    authority: String,
    patience: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of the API at `http://host:port`. It connects when it is used.
    ///
    /// # Errors
    /// [`Stop::Usage`] when the address is none.
    pub fn new(url: &str, patience: Duration) -> Result<Self, Stop> {
        let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let port = authority.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) || authority.contains('/') {
            return Err(Stop::Usage(format!(
                "--api {url}: must be http://HOST:PORT; use what `dev` or `start` prints"
            )));
        }
        Ok(Self { authority: authority.to_owned(), patience, connection: None })
    }

    /// Asks.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn get(&mut self, path: &str) -> Result<Answer, Stop> {
        self.call(Method::GET, path, "", Bytes::new()).await
    }

    /// Sends a body.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn post(&mut self, path: &str, kind: &str, body: impl Into<Bytes>) -> Result<Answer, Stop> {
        self.call(Method::POST, path, kind, body.into()).await
    }

    /// Calls the node.
    ///
    /// # Errors
    /// [`Stop::Unavailable`] when it does not answer in time.
    pub async fn call(&mut self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Answer, Stop> {
        let patience = self.patience;
        let answered = timeout(patience, self.try_call(method, path, kind, body)).await;
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.connection = None;
                Err(self.unavailable(&error.to_string()))
            }
            Err(_) => {
                self.connection = None;
                Err(self.unavailable(&format!("no answer within {} ms", patience.as_millis())))
            }
        }
    }

    fn unavailable(&self, what: &str) -> Stop {
        Stop::Unavailable(format!("http://{}: {what}; is the node running, and is this its API?", self.authority))
    }

    async fn try_call(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        connection.ready().await?;
        let response = connection.send_request(request.body(Full::new(body))?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status, body })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = timeout(CONNECT, TcpStream::connect(&self.authority)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
