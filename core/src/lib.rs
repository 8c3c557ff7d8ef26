//! The CretoAI consensus protocol: signed PBFT over a DAG of vertices, as one pure state machine.
//!
//! Nothing in here does I/O, reads a clock, draws a random number, starts a thread or iterates a hash map. A
//! [`Replica`] is given one [`Input`] at a time with the time at which it happened, and leaves what it wants from
//! the world in an [`Outbox`]. The same inputs give the same outputs, on every machine.
//!
//! # Reading order
//!
//! 1. `docs/protocol.md`, the specification. Its rules have ids (`N5`, `V11`), which the code cites.
//! 2. [`types`], [`committee`], [`message`]: the words.
//! 3. [`replica`]: the struct and its one entry point, [`Replica::step`]; then one file for each phase of the
//!    protocol, named after it: whoever holds a message knows its file.
//! 4. [`outbox`]: what comes out, and the gate that lets nothing leave before its record is durable.
//! 5. [`choice`]: the heart of the view change, as pure functions.
//!
//! # The five invariants everything here serves
//!
//! 1. Any two quorums share an honest replica, and an honest replica says one thing for each view, slot and phase,
//!    for ever ([`committee`], [`slots`]).
//! 2. What a replica says, it remembers: no message leaves before the record that backs it is durable ([`outbox`]).
//! 3. A replica that left a view never votes in it again (`replica/view_change.rs`).
//! 4. A new view proposes, for each slot, what the highest certified view says ([`choice`]).
//! 5. Only verified messages reach the state machine, and only distinct members are counted ([`verify`]).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod application;
pub mod batch;
pub mod bundle;
pub mod bytes;
pub mod certificate;
pub mod checkpoint;
pub mod choice;
pub mod client;
pub mod committee;
pub mod config;
pub mod evidence;
pub mod fetch;
pub mod hash;
pub mod hashed;
pub mod input;
pub mod kv;
pub mod ledger;
pub mod message;
#[cfg(not(feature = "mutants"))]
mod mutant;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod outbox;
pub mod pool;
pub mod record;
pub mod replica;
pub mod reply;
pub mod request;
pub mod signature;
pub mod slots;
pub mod time;
pub mod timers;
pub mod types;
pub mod verify;
pub mod vertex;
pub mod vote;
pub mod wire;

pub use application::Application;
pub use input::{Ignored, Input};
pub use outbox::Outbox;
pub use replica::Replica;
