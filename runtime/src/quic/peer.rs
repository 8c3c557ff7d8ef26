//! What a replica keeps about another one, whether it is connected or not.

use super::config::{QuicLimits, kibibytes};
use super::lane::{Lane, Room};
use super::stats::Counters;
use crate::transport::{CLASSES, Class, Frame};
use cretoai_core::config::Chain;
use cretoai_core::types::ReplicaId;
use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: ReplicaId,
    pub(super) counters: Counters,
    /// What waits to be sent, by class.
    pub(super) outbox: [Lane; CLASSES.len()],
    /// What was received, by class.
    pub(super) inbox: [Lane; CLASSES.len()],
    /// Told when something is in the inbox.
    arrived: Arc<Notify>,
    rates: [Rate; CLASSES.len()],
    link: Mutex<Option<quinn::Connection>>,
    /// Held by the task that runs the link, so that a new link starts when the old one has ended.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// The rates at which a class of frames may come from a peer. They outlive its connections.
#[derive(Debug)]
struct Rate {
    frames: DefaultDirectRateLimiter,
    kibibytes: DefaultDirectRateLimiter,
}

impl Rate {
    fn new(limits: &QuicLimits, chain: &Chain) -> Self {
        let rate = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        let frames = Quota::per_second(rate(limits.frames_per_second));
        let volume = Quota::per_second(rate(limits.kibibytes_per_second)).allow_burst(limits.burst_kibibytes(chain));
        Self { frames: RateLimiter::direct(frames), kibibytes: RateLimiter::direct(volume) }
    }
}

impl Peer {
    pub(super) fn new(id: ReplicaId, chain: &Chain, limits: &QuicLimits, events: &Arc<Notify>) -> Self {
        let arrived = Arc::new(Notify::new());
        let send = Room { frames: limits.send_frames, bytes: limits.send_bytes };
        let receive = Room { frames: limits.receive_frames, bytes: limits.receive_bytes };
        Self {
            id,
            counters: Counters::new(events),
            outbox: CLASSES.map(|_| Lane::new(send, Arc::new(Notify::new()))),
            inbox: CLASSES.map(|_| Lane::new(receive, Arc::clone(&arrived))),
            arrived,
            rates: CLASSES.map(|_| Rate::new(limits, chain)),
            link: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The connection on which both sides have said hello.
    pub(super) fn link(&self) -> Option<quinn::Connection> {
        self.lock_link().clone()
    }

    /// Makes a connection the link, and gives back the one that was it.
    pub(super) fn set_link(&self, link: &quinn::Connection) -> Option<quinn::Connection> {
        self.lock_link().replace(link.clone())
    }

    /// Makes a connection the link no more, if another one has not become it since.
    pub(super) fn clear_link(&self, old: &quinn::Connection) {
        self.lock_link().take_if(|link| link.stable_id() == old.stable_id());
    }

    fn lock_link(&self) -> MutexGuard<'_, Option<quinn::Connection>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn send(&self, class: Class, frame: Frame) {
        if self.outbox[class as usize].try_push(frame).is_err() {
            self.counters.add(&self.counters.dropped[class as usize], 1);
        }
    }

    /// The next frame, of the most urgent class that has one.
    pub(super) fn try_next(&self) -> Option<Frame> {
        self.inbox.iter().find_map(Lane::try_pop)
    }

    /// The next frame, as soon as there is one.
    pub(super) async fn next(&self) -> Frame {
        loop {
            if let Some(frame) = self.try_next() {
                return frame;
            }
            self.arrived.notified().await;
        }
    }

    /// Waits until a frame of this length may come. Meanwhile nothing more of its class is read, and QUIC makes the
    /// peer wait.
    pub(super) async fn admit(&self, class: Class, bytes: usize) {
        let (rate, counters) = (&self.rates[class as usize], &self.counters);
        self.take(&rate.frames, NonZeroU32::MIN, &counters.throttled_frames).await;
        self.take(&rate.kibibytes, kibibytes(bytes), &counters.throttled_bytes).await;
    }

    async fn take(&self, bucket: &DefaultDirectRateLimiter, count: NonZeroU32, throttled: &AtomicU64) {
        let mut is_late = false;
        loop {
            let wait = match bucket.check_n(count).expect("a bucket holds a largest frame") {
                Ok(()) => return,
                Err(early) => early.wait_time_from(bucket.clock().now()),
            };
            if !is_late {
                self.counters.add(throttled, 1);
                is_late = true;
            }
            tokio::time::sleep(wait).await;
        }
    }
}
