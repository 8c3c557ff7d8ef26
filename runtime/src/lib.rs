//! The asynchronous driver of the CretoAI core: the same [`cretoai_core`] state machine that the simulator runs, against
//! the real world.
//!
//! It decides nothing about the protocol: what a replica may say, and when, is the core's business. What it owes the
//! core stands in `docs/protocol.md` (A9, G1 to G6): inputs in order, records durable before what waits for them
//! leaves, work carried out in the order in which it is given out.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod driver;
pub mod env;
pub mod store;
pub mod transport;

#[cfg(feature = "quic")]
pub mod quic;
#[cfg(feature = "signatures")]
pub mod signatures;
