//! What is counted about links.

use crate::transport::{CLASSES, Class};
use cretoai_core::types::ReplicaId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Why a connection was refused or ended by one of its ends. Each has a code on the wire; variants are only ever
/// appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Its key is not in the committee, or is another replica's than was called.
    Stranger,
    /// A replica with a higher id called one with a lower id.
    Direction,
    /// Its hello is none of this protocol.
    Magic,
    /// Its hello has another version.
    Version,
    /// It is on another chain.
    Chain,
    /// It is in another epoch.
    Epoch,
    /// It names itself otherwise than its key does.
    Sender,
    /// It said no hello in time.
    Timeout,
    /// It announced a frame that is longer than any message.
    Oversize,
    /// It opened a stream that has no class, or the class of another one.
    Stream,
    /// Too many connections had not said hello yet.
    Busy,
    /// It shows a member's key, and cannot sign with it.
    Proof,
}

/// All reasons, in the order of their codes.
pub const REFUSALS: [Refusal; 12] = [
    Refusal::Stranger,
    Refusal::Direction,
    Refusal::Magic,
    Refusal::Version,
    Refusal::Chain,
    Refusal::Epoch,
    Refusal::Sender,
    Refusal::Timeout,
    Refusal::Oversize,
    Refusal::Stream,
    Refusal::Busy,
    Refusal::Proof,
];

/// The code of the first reason; smaller ones are for connections that end in peace.
const FIRST_CODE: u32 = 16;

impl Refusal {
    /// The name, for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Direction => "direction",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::Chain => "chain",
            Self::Epoch => "epoch",
            Self::Sender => "sender",
            Self::Timeout => "timeout",
            Self::Oversize => "oversize",
            Self::Stream => "stream",
            Self::Busy => "busy",
            Self::Proof => "proof",
        }
    }

    pub(super) fn code(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(FIRST_CODE + self as u32)
    }

    pub(super) fn from_code(code: quinn::VarInt) -> Option<Self> {
        let index = code.into_inner().checked_sub(u64::from(FIRST_CODE))?;
        REFUSALS.get(usize::try_from(index).ok()?).copied()
    }
}

/// Counts refusals, and wakes who waits for something to happen.
#[derive(Debug)]
pub(super) struct Refusals {
    counts: [AtomicU64; REFUSALS.len()],
    events: Arc<Notify>,
}

impl Refusals {
    pub(super) fn new(events: &Arc<Notify>) -> Self {
        Self { counts: Default::default(), events: Arc::clone(events) }
    }

    pub(super) fn count(&self, refusal: Refusal) {
        self.counts[refusal as usize].fetch_add(1, Ordering::Relaxed);
        self.events.notify_waiters();
    }

    pub(super) fn read(&self) -> Vec<(Refusal, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        REFUSALS.into_iter().zip(counts).filter(|(_, count)| *count != 0).collect()
    }
}

/// What a class of frames came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames.
    pub frames: u64,
    /// Their bytes, without what links add.
    pub bytes: u64,
}

/// The link to a replica, since the transport was started.
#[derive(Clone, Debug)]
pub struct PeerStats {
    /// The replica.
    pub id: ReplicaId,
    /// Whether both sides have said hello on a connection that is up.
    pub connected: bool,
    /// Where it is, if it is connected.
    pub address: Option<SocketAddr>,
    /// The smoothed round trip time, if it is connected.
    pub rtt: Option<Duration>,
    /// What was written to the connection, by class.
    pub sent: [Traffic; CLASSES.len()],
    /// What was received, by class.
    pub received: [Traffic; CLASSES.len()],
    /// Frames that found a full queue, by class.
    pub dropped: [u64; CLASSES.len()],
    /// Frames that were too old when the link came up.
    pub stale: u64,
    /// How often receiving had to pause because too many frames came.
    pub throttled_frames: u64,
    /// How often receiving had to pause because too many bytes came.
    pub throttled_bytes: u64,
    /// Connections on which both sides said hello.
    pub connects: u64,
    /// Attempts to connect that came to nothing.
    pub failures: u64,
    /// Connections that this replica refused, by reason.
    pub refused: Vec<(Refusal, u64)>,
    /// Connections that the other replica refused, by reason.
    pub refused_by_peer: Vec<(Refusal, u64)>,
}

impl PeerStats {
    /// Connections after the first one.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.connects.saturating_sub(1)
    }
}

/// The counters behind [`PeerStats`].
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) sent: [TrafficCounter; CLASSES.len()],
    pub(super) received: [TrafficCounter; CLASSES.len()],
    pub(super) dropped: [AtomicU64; CLASSES.len()],
    pub(super) stale: AtomicU64,
    pub(super) throttled_frames: AtomicU64,
    pub(super) throttled_bytes: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) refused: Arc<Refusals>,
    pub(super) refused_by_peer: Refusals,
    events: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct TrafficCounter {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl TrafficCounter {
    fn read(&self) -> Traffic {
        Traffic { frames: self.frames.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    fn add(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn new(events: &Arc<Notify>) -> Self {
        Self {
            sent: Default::default(),
            received: Default::default(),
            dropped: Default::default(),
            stale: AtomicU64::new(0),
            throttled_frames: AtomicU64::new(0),
            throttled_bytes: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refused: Arc::new(Refusals::new(events)),
            refused_by_peer: Refusals::new(events),
            events: Arc::clone(events),
        }
    }

    pub(super) fn add(&self, counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
        self.events.notify_waiters();
    }

    /// Something has happened that no counter tells.
    pub(super) fn notify(&self) {
        self.events.notify_waiters();
    }

    pub(super) fn sent(&self, class: Class, bytes: usize) {
        self.sent[class as usize].add(bytes);
        self.events.notify_waiters();
    }

    pub(super) fn received(&self, class: Class, bytes: usize) {
        self.received[class as usize].add(bytes);
        self.events.notify_waiters();
    }

    pub(super) fn read(&self, id: ReplicaId, connection: Option<&quinn::Connection>) -> PeerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerStats {
            id,
            connected: connection.is_some(),
            address: connection.map(quinn::Connection::remote_address),
            rtt: connection.map(quinn::Connection::rtt),
            sent: std::array::from_fn(|class| self.sent[class].read()),
            received: std::array::from_fn(|class| self.received[class].read()),
            dropped: std::array::from_fn(|class| read(&self.dropped[class])),
            stale: read(&self.stale),
            throttled_frames: read(&self.throttled_frames),
            throttled_bytes: read(&self.throttled_bytes),
            connects: read(&self.connects),
            failures: read(&self.failures),
            refused: self.refused.read(),
            refused_by_peer: self.refused_by_peer.read(),
        }
    }
}
