//! What a replica chooses for its links, and the limits that keep one peer from harming the others.

use crate::signatures::KeyError;
use cretoai_core::config::Chain;
use cretoai_core::types::ReplicaId;
use cretoai_core::wire::max_frame;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// Where a replica listens, where the others are, and how much it takes from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicConfig {
    /// The UDP address to listen at. Port 0 lets the system choose one.
    pub bind: SocketAddr,
    /// Where other replicas are, as `host:port`. Names are resolved before every attempt to connect. Of each pair the
    /// replica with the lower id connects, so those with a lower id than this one may be left out.
    pub peers: BTreeMap<ReplicaId, String>,
    /// The limits.
    pub limits: QuicLimits,
}

/// The limits of a replica's links. Where they say "lane", there is one for each peer, class and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicLimits {
    /// Frames in a lane that waits to be sent.
    pub send_frames: usize,
    /// Bytes in a lane that waits to be sent. A larger frame is taken when the lane is empty.
    pub send_bytes: usize,
    /// Frames received in a lane that nobody has taken yet.
    pub receive_frames: usize,
    /// Bytes received in a lane that nobody has taken yet. A larger frame is taken when the lane is empty.
    pub receive_bytes: usize,
    /// Frames a second received in a lane; as many may come at once after a pause.
    pub frames_per_second: u32,
    /// Kibibytes a second received in a lane, a frame counting as at least one; a second's worth, or one largest frame,
    /// may come at once after a pause.
    pub kibibytes_per_second: u32,
    /// Bytes of a lane that are under way on the network and not acknowledged. It bounds the throughput to this many
    /// bytes for each round trip.
    pub window_bytes: u32,
    /// How long a connection may take until both sides have said hello.
    pub handshake_timeout: Duration,
    /// Connections to this replica that have not said hello yet, at the most.
    pub handshakes: usize,
    /// A link that hears nothing for this long is down.
    pub idle_timeout: Duration,
    /// A link that has nothing to say says so this often.
    pub keep_alive: Duration,
    /// The wait after the first failed attempt to connect. It doubles with each further one, and up to as much again is
    /// added at random.
    pub retry_first: Duration,
    /// What the wait between attempts grows to, without the random part.
    pub retry_max: Duration,
    /// Frames that waited longer than this for a link to come up are dropped when it does.
    pub stale_after: Duration,
    /// How long closing may wait for what is under way.
    pub close_timeout: Duration,
}

impl Default for QuicLimits {
    fn default() -> Self {
        Self {
            send_frames: 4096,
            send_bytes: 16 << 20,
            receive_frames: 1024,
            receive_bytes: 4 << 20,
            frames_per_second: 50_000,
            kibibytes_per_second: 128 << 10,
            window_bytes: 4 << 20,
            handshake_timeout: Duration::from_secs(3),
            handshakes: 64,
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(2),
            retry_first: Duration::from_millis(50),
            retry_max: Duration::from_secs(1),
            stale_after: Duration::from_secs(2),
            close_timeout: Duration::from_secs(1),
        }
    }
}

/// Why a transport does not start.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// A limit is out of its range.
    #[error("quic.limits.{field} = {value}: must be {limit}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it was.
        value: u128,
        /// What it may be.
        limit: &'static str,
    },
    /// The address of a peer is missing or is none.
    #[error("quic.peers[{}] = {address:?}: {what}", .replica.0)]
    Peer {
        /// Whose.
        replica: ReplicaId,
        /// The address.
        address: String,
        /// What is wrong, and what it may be.
        what: &'static str,
    },
    /// The address to listen at cannot be had.
    #[error("quic.bind = {address}: {error}; choose a free address of this machine")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The keys do not fit the chain.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The TLS library does not take the keys.
    #[error("TLS: {0}")]
    Tls(String),
}

impl QuicConfig {
    /// A configuration with the default limits.
    #[must_use]
    pub fn new(bind: SocketAddr, peers: BTreeMap<ReplicaId, String>) -> Self {
        Self { bind, peers, limits: QuicLimits::default() }
    }

    /// Checks the configuration of a replica of `chain`.
    ///
    /// # Errors
    /// [`QuicError`] names the first field that is wrong.
    pub fn check(&self, chain: &Chain, id: ReplicaId) -> Result<(), QuicError> {
        for (&replica, address) in &self.peers {
            let wrong = |what| QuicError::Peer { replica, address: address.clone(), what };
            if !chain.committee.contains(replica) {
                return Err(wrong("there is no such replica in the genesis"));
            }
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            if port.and_then(|port| port.parse::<NonZeroU16>().ok()).is_none() {
                return Err(wrong("must be HOST:PORT, with a port from 1 to 65535"));
            }
        }
        for replica in chain.committee.members().filter(|other| id < *other) {
            if !self.peers.contains_key(&replica) {
                let what = "is missing; this replica connects to all that have a higher id";
                return Err(QuicError::Peer { replica, address: String::new(), what });
            }
        }
        self.limits.check()
    }
}

impl QuicLimits {
    fn check(&self) -> Result<(), QuicError> {
        let counts = [
            ("send_frames", self.send_frames),
            ("send_bytes", self.send_bytes),
            ("receive_frames", self.receive_frames),
            ("receive_bytes", self.receive_bytes),
            ("handshakes", self.handshakes),
        ];
        for (field, value) in counts {
            within(field, value as u128, 1, u128::from(u32::MAX), "between 1 and 4294967295")?;
        }
        let rate = u128::from(self.frames_per_second);
        within("frames_per_second", rate, 1, 1_000_000, "between 1 and 1000000")?;
        let rate = u128::from(self.kibibytes_per_second);
        within("kibibytes_per_second", rate, 1, 64 << 20, "between 1 and 67108864")?;
        let window = u128::from(self.window_bytes);
        within("window_bytes", window, 16 << 10, 256 << 20, "between 16384 and 268435456")?;
        let times = [
            ("handshake_timeout", self.handshake_timeout),
            ("idle_timeout", self.idle_timeout),
            ("keep_alive", self.keep_alive),
            ("retry_first", self.retry_first),
            ("retry_max", self.retry_max),
            ("stale_after", self.stale_after),
            ("close_timeout", self.close_timeout),
        ];
        for (field, time) in times {
            within(field, time.as_nanos(), 1_000_000, 3_600_000_000_000, "between a millisecond and an hour, in ns")?;
        }
        let idle = self.idle_timeout.as_nanos();
        within("keep_alive", self.keep_alive.as_nanos(), 0, idle / 2, "at most half of idle_timeout, in ns")?;
        let longest = self.retry_max.as_nanos();
        within("retry_first", self.retry_first.as_nanos(), 0, longest, "at most retry_max, in ns")
    }

    /// The kibibytes that may come at once: never less than a largest frame, which could else never come.
    pub(super) fn burst_kibibytes(&self, chain: &Chain) -> NonZeroU32 {
        let frame = kibibytes(max_frame(chain));
        frame.max(NonZeroU32::new(self.kibibytes_per_second).unwrap_or(NonZeroU32::MIN))
    }
}

fn within(field: &'static str, value: u128, least: u128, most: u128, limit: &'static str) -> Result<(), QuicError> {
    let is_within = least <= value && value <= most;
    if is_within { Ok(()) } else { Err(QuicError::OutOfRange { field, value, limit }) }
}

/// What a frame counts for in a bucket of kibibytes.
pub(super) fn kibibytes(bytes: usize) -> NonZeroU32 {
    let count = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}
