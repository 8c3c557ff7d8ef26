//! The production node of CretoAI: arguments, configuration, keys, the API, metrics and logging around the runtime.
//!
//! ```text
//!  node.toml, genesis.toml ──► config ──► node ──► Driver (runtime)
//!                                          │
//!           clients ──► api ──► Handle ────┤
//!       Prometheus ──► metrics ◄── observer┘
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod error;
pub mod events;
pub mod genesis;
pub mod hex;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod observer;
pub mod server;
pub mod testnet;
