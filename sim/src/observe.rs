//! The trace of a run: a running hash over everything that happens, and, if somebody listens, the events themselves.

use crate::crypto::mix;
use crate::plan::Fault;
use cretoai_core::input::Ignored;
use cretoai_core::message::Message;
use cretoai_core::outbox::Target;
use cretoai_core::record::Record;
use cretoai_core::replica::Replica;
use cretoai_core::types::{ReplicaId, Slot, View};
use std::fmt;

/// What a replica's protocol looks like from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The installed view.
    pub view: View,
    /// The view it wants to enter.
    pub target: Option<View>,
    /// The low watermark.
    pub stable: Slot,
    /// The last slot handed to the application.
    pub executed: Slot,
}

impl State {
    /// Looks at a replica.
    #[must_use]
    pub fn of(replica: &Replica) -> Self {
        Self { view: replica.view(), target: replica.target(), stable: replica.stable(), executed: replica.executed() }
    }

    fn word(self) -> u64 {
        let view = self.target.map_or(self.view.0 << 1, |target| target.0 << 1 | 1);
        view.rotate_left(40) ^ self.stable.0.rotate_left(20) ^ self.executed.0
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A message was handed to a replica.
    Delivered {
        /// Over the link from this replica.
        from: ReplicaId,
        /// The number of the message; all copies share it.
        letter: u64,
        /// The message.
        message: &'a Message,
        /// What the replica said.
        result: Result<(), Ignored>,
    },
    /// A replica's time came.
    Ticked(Result<(), Ignored>),
    /// A request was handed to a replica.
    Requested {
        /// The number of the operation.
        op: u32,
        /// What the replica said.
        result: Result<(), Ignored>,
    },
    /// A record became durable.
    Recorded(&'a Record),
    /// A message left.
    Sent {
        /// To whom.
        to: Target,
        /// Its number.
        letter: u64,
        /// The message.
        message: &'a Message,
    },
    /// A message left that does not pass verification; nobody gets it.
    Forged(&'a Message),
    /// A slot was given to the application.
    Executes {
        /// Which.
        slot: Slot,
        /// How many requests.
        requests: usize,
    },
    /// The application is done with a slot.
    Executed(Slot),
    /// The snapshot after a slot is durable.
    Snapshot(Slot),
    /// Another replica's state was taken over.
    Restored(Slot),
    /// A replica crashed.
    Crashed,
    /// It came back.
    Restarted {
        /// Whether the end of its log was torn off.
        cut: bool,
    },
    /// It ended for good.
    Ended(&'a str),
    /// A fault happened.
    Fault(&'a Fault),
    /// The safety phase is over; these replicas form the core.
    Calm(u128),
    /// A replica has something to alarm its operator of.
    Alarmed(&'a str),
    /// A client was convinced of a result.
    Answered {
        /// The number of the operation.
        op: u32,
    },
}

/// An event with its circumstances.
#[derive(Clone, Copy, Debug)]
pub struct TraceEvent<'a> {
    /// How many events came before.
    pub number: u64,
    /// When, in nanoseconds of virtual time.
    pub at: u64,
    /// At which replica; `None` for what concerns all, or clients.
    pub replica: Option<ReplicaId>,
    /// What.
    pub what: What<'a>,
    /// The replica afterwards.
    pub state: State,
    /// The running hash afterwards.
    pub hash: u64,
}

/// Somebody who listens.
pub trait TraceSink {
    /// Takes note of an event.
    fn event(&mut self, event: &TraceEvent<'_>);
}

/// The running hash, and who listens.
#[derive(Default)]
pub struct Observer {
    hash: u64,
    events: u64,
    /// Who listens.
    pub sink: Option<Box<dyn TraceSink>>,
    /// The hash after each event, if it is kept.
    pub log: Option<Vec<u64>>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} after {} events", self.hash, self.events)
    }
}

impl Observer {
    /// Begins anew.
    pub fn reset(&mut self, seed: u64) {
        self.hash = mix(seed, 1);
        self.events = 0;
        if let Some(log) = &mut self.log {
            log.clear();
        }
    }

    /// Takes note of an event: its moment, a number that stands for it, and the state it left behind.
    #[inline]
    pub fn note(&mut self, at: u64, word: u64, state: State) {
        self.hash = mix(self.hash ^ at, mix(word, state.word()));
        self.events += 1;
        if let Some(log) = &mut self.log {
            log.push(self.hash);
        }
    }

    /// Tells whoever listens.
    pub fn tell(&mut self, at: u64, replica: Option<ReplicaId>, state: State, what: What<'_>) {
        if let Some(sink) = &mut self.sink {
            let number = self.events;
            sink.event(&TraceEvent { number, at, replica, what, state, hash: self.hash });
        }
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.sink.is_some()
    }

    /// The running hash.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }
}
