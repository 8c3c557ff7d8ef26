//! The deterministic simulator of CretoAI: a whole cluster in one thread, from one seed.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod adversary;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod crypto;
pub mod disk;
mod expectations;
pub mod explore;
pub mod facts;
pub mod guest;
mod history;
pub mod host;
pub mod inbox;
pub mod judge;
pub mod meta;
pub mod network;
pub mod observe;
pub mod oracles;
pub mod plan;
pub mod probes;
pub mod report;
pub mod rng;
pub mod rules;
pub mod scenario;
pub mod schedule;
pub mod shrink;
pub mod strategy;
pub mod swarm;
pub mod table;
pub mod tallies;
pub mod trial;
pub mod triggers;
pub mod workload;
pub mod world;
