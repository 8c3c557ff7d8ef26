//! The asynchronous driver of the CretoAI core. **Nothing is built here yet.**
//!
//! This crate will run the same [`cretoai_core`] state machine that the simulator runs, against the
//! real world instead of a simulated one:
//!
//! - a driver loop that feeds messages, timer expiries and completed work into the replica, and carries
//!   out what the replica asks for, in the order it asks for it;
//! - a transport over QUIC, with one long-lived stream per peer and class of message;
//! - storage with group commit, which reports a record durable only when it is;
//! - a pool of threads that verifies signatures before a message may reach the replica;
//! - metrics.
//!
//! It will decide nothing about the protocol: what a replica may say, and when, is the core's business.
//! Until it exists, this crate exports no items, so that nothing can be built on an empty promise.
#![forbid(unsafe_code)]
