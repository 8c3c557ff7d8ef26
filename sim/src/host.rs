//! A machine: one replica with everything around it, through all its incarnations.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::guest::Guest;
use crate::inbox::Inbox;
use cretoai_core::bytes::Bytes;
use cretoai_core::hash::Digest;
use cretoai_core::ledger::chunk_hash;
use cretoai_core::outbox::Outbox;
use cretoai_core::replica::Replica;
use cretoai_core::time::Instant;
use cretoai_core::types::{ReplicaId, Slot};
use std::collections::VecDeque;
use std::sync::Arc;

/// Whether a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It runs.
    Up,
    /// It does nothing until it is resumed.
    Paused,
    /// It crashed.
    Down,
    /// It will never run again, for this reason.
    Dead(String),
}

/// Something that waits until a machine has time for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A message, by its place among those under way.
    Letter(u32),
    /// A request, by the number of the operation.
    Request(u32),
    /// A message that nobody accepts: to find that out is all there is to do.
    Junk,
}

/// An application's state as it was after a checkpoint slot, in chunks with their hashes.
pub type FixedState = (Slot, Vec<Arc<Bytes>>, Vec<Digest>);

/// How many effects a machine had, over all incarnations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Records that became durable, or would have.
    pub records: u64,
    /// Messages that left, or would have.
    pub sends: u64,
}

/// What a replica is told next, besides messages.
#[derive(Debug)]
pub enum Completion {
    /// The application has executed a slot.
    Executed(Slot, Vec<Bytes>),
    /// A snapshot is durable.
    Stored(Slot, Vec<Digest>),
}

/// A machine.
#[derive(Debug)]
pub struct Host {
    /// Which replica it runs. Two machines run the same one only if it is Byzantine.
    pub id: ReplicaId,
    /// Whether it runs.
    pub mode: Mode,
    /// The replica, while it runs or pauses.
    pub replica: Option<Replica>,
    /// What the replica wants.
    pub outbox: Outbox,
    /// The application.
    pub app: Guest,
    /// The disk.
    pub disk: Disk,
    /// How often it started, modulo what an event can hold.
    pub incarnation: u32,
    /// The clock.
    pub clock: Clock,
    /// The latest time it has shown.
    pub shown: Instant,
    /// The time of its entry in the schedule for the replica's deadline.
    pub alarm: Option<u64>,
    /// The deadline that this entry was last compared with.
    pub armed_for: Instant,
    /// How often its replica's deadline came.
    pub ticks: u64,
    /// When it has finished what it is computing.
    pub busy_until: u64,
    /// What waits until then, or until it is resumed.
    pub inbox: Inbox,
    /// Whether an entry in the schedule will wake it.
    pub will_wake: bool,
    /// Slots that the application has executed, and is not yet done with.
    pub executing: VecDeque<(u64, Slot, Vec<Bytes>)>,
    /// When the application is done with all of them.
    pub app_busy_until: u64,
    /// Snapshots that have become durable, and that the replica waits for.
    pub stored: VecDeque<(Slot, Vec<Digest>)>,
    /// Records and messages so far, for crashes between them.
    pub effects: Effects,
    /// The application's state after the last checkpoint slot.
    pub fixed: Option<FixedState>,
    /// Whether its application's state is wrong.
    pub flipped: bool,
    /// What its replica alarmed of so far: slow proposals, and whether it stands at the high watermark.
    pub alarms: (u64, bool),
    /// Whether the end of its log was cut off and nobody has told yet what it said: kept over crashes.
    pub distrusts_log: bool,
}

impl Host {
    /// A machine that was never started.
    #[must_use]
    pub fn new(id: ReplicaId, clock: Clock, disk: Disk, app: Guest) -> Self {
        Self {
            id,
            mode: Mode::Down,
            replica: None,
            outbox: Outbox::default(),
            app,
            disk,
            incarnation: 0,
            clock,
            shown: Instant::GENESIS,
            alarm: None,
            armed_for: Instant::GENESIS,
            ticks: 0,
            busy_until: 0,
            inbox: Inbox::default(),
            will_wake: false,
            executing: VecDeque::new(),
            app_busy_until: 0,
            stored: VecDeque::new(),
            effects: Effects::default(),
            fixed: None,
            flipped: false,
            alarms: (0, false),
            distrusts_log: false,
        }
    }

    /// What its clock shows. Never less than before.
    pub fn time(&mut self, now: u64) -> Instant {
        self.shown = self.would_show(now);
        self.shown
    }

    /// What its clock would show if it was looked at.
    #[must_use]
    pub fn would_show(&self, now: u64) -> Instant {
        self.shown.max(self.clock.local(now))
    }

    /// Whether it runs now, and has not crashed since an incarnation.
    #[must_use]
    pub fn is_running(&self, incarnation: u32) -> bool {
        self.mode == Mode::Up && self.incarnation == incarnation
    }

    /// Whether its memory is alive.
    #[must_use]
    pub fn has_power(&self) -> bool {
        matches!(self.mode, Mode::Up | Mode::Paused)
    }

    /// Fixes the application's state as that after a checkpoint slot.
    pub fn fix_state(&mut self, slot: Slot) {
        let chunks: Vec<_> = self.app.snapshot().into_iter().map(Arc::new).collect();
        let hashes = chunks.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
        self.fixed = Some((slot, chunks, hashes));
    }

    /// Work that was finished by now, and of which the replica does not know yet.
    pub fn completion(&mut self, now: u64) -> Option<Completion> {
        if let Some((slot, hashes)) = self.stored.pop_front() {
            return Some(Completion::Stored(slot, hashes));
        }
        let (ready, ..) = self.executing.front()?;
        if now < *ready {
            return None;
        }
        let (_, slot, results) = self.executing.pop_front()?;
        Some(Completion::Executed(slot, results))
    }

    /// Whether it can owe progress: it runs or can come back, and neither its memory nor its disk holds a wrong state,
    /// which is a fault until others have mended it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let is_wrong = self.flipped || self.disk.snapshots.iter().any(|snapshot| snapshot.flipped);
        !is_wrong && !matches!(self.mode, Mode::Dead(_))
    }

    /// Memory is gone. The disk stays.
    pub fn lose_memory(&mut self) {
        if let Some(replica) = self.replica.take() {
            self.distrusts_log = replica.is_silent();
        }
        self.outbox = Outbox::default();
        self.app.reset();
        self.alarm = None;
        self.executing.clear();
        self.stored.clear();
        self.fixed = None;
        self.will_wake = false;
        self.flipped = false;
    }
}
