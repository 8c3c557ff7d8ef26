//! Every order of deliveries at small scope, with the real core (`docs/exploration.md`).
//!
//! A replica is a function of its inputs, and what is under way follows from what has been said. So a state of the cluster
//! is one state of each honest replica, and a state of a replica is the path that led to it.

mod alphabet;
mod automaton;
mod catalogue;
mod cluster;
mod search;

use cretoai_core::types::ReplicaId;

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The Byzantine one of the four replicas.
    pub byzantine: ReplicaId,
    /// Views, from view 0 on.
    pub views: u64,
    /// Slots, from slot 1 on.
    pub slots: u64,
    /// Restarts of each honest replica.
    pub restarts: u32,
    /// Which orders of deliveries are tried.
    pub orders: Orders,
    /// States of the cluster, at the most.
    pub states: usize,
}

/// Which orders of deliveries are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// All of them.
    All,
    /// Of those that differ in nothing but the order of steps that do not depend on each other, one.
    Reduced,
}

/// A violation.
#[derive(Clone, Debug)]
pub struct Found {
    /// What is wrong.
    pub sentence: String,
    /// How it came about, one line for each step.
    pub trace: Vec<String>,
}

/// What was explored.
#[derive(Clone, Debug)]
pub struct Report {
    /// The bounds.
    pub bounds: Bounds,
    /// States of the cluster.
    pub states: usize,
    /// Steps between them.
    pub transitions: u64,
    /// The length of the longest shortest way to a state.
    pub depth: u16,
    /// States of each honest replica.
    pub local: Vec<usize>,
    /// How often the core was given an event.
    pub steps: u64,
    /// Different messages.
    pub messages: usize,
    /// Different combinations of everything that honest replicas said.
    pub said: usize,
    /// A hash of these: it does not depend on which orders were tried.
    pub fingerprint: u64,
    /// Whether every state within the bounds was visited, or a violation was found.
    pub is_complete: bool,
    /// The first violation.
    pub found: Option<Found>,
}

/// Explores everything within bounds.
#[must_use]
pub fn explore(bounds: Bounds) -> Report {
    search::Search::new(bounds).run()
}
