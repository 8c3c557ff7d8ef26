//! Every order of deliveries at small scope, with the real core (`docs/exploration.md`).
//!
//! A replica is a function of its inputs, and what is under way follows from what has been said. So a state of the cluster
//! is one state of each honest replica, and a state of a replica is the path that led to it.

mod alphabet;
mod automaton;
mod catalogue;
mod cluster;
mod file;
mod search;

pub use cluster::N;
use cretoai_core::types::ReplicaId;
pub use file::{FORMAT, ViolationFile};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Bytes of memory, at the most: about, as they are counted and not measured.
    pub memory: usize,
}

/// Views at the most.
pub const VIEWS: u64 = 4;
/// Slots at the most.
pub const SLOTS: u64 = 2;
/// Restarts of each honest replica at the most.
pub const RESTARTS: u32 = 2;

/// Which orders of deliveries are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Orders {
    /// All of them.
    All,
    /// Of those that differ in nothing but the order of steps that do not depend on each other, one.
    Reduced,
}

/// Something that happens to a replica on the way to a violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// To whom.
    pub replica: ReplicaId,
    /// What: a message that it receives, a time-out, a restart.
    pub event: String,
    /// What it says and decides then.
    pub follows: Vec<String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  ->  {}", self.replica, self.event, self.follows.join("; "))
    }
}

/// A violation.
#[derive(Clone, Debug)]
pub struct Found {
    /// What is wrong.
    pub sentence: String,
    /// How it came about.
    pub steps: Vec<Step>,
}

/// Steps that were taken again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retraced {
    /// Up to the violation, or all of them.
    pub steps: Vec<Step>,
    /// What is wrong then.
    pub violation: Option<String>,
}

/// What ended an exploration before everything was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Bounds::states`].
    States,
    /// [`Bounds::memory`].
    Memory,
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
    /// About how many bytes of memory it took.
    pub bytes: usize,
    /// What ended it before every state within the bounds was visited, violations aside.
    pub limit: Option<Limit>,
    /// The first violation.
    pub found: Option<Found>,
}

/// Explores everything within bounds.
#[must_use]
pub fn explore(bounds: Bounds) -> Report {
    search::Search::new(bounds).run()
}

/// Takes the steps to a violation again, each in the state that the ones before it led to.
///
/// # Errors
/// In one line, when a step is none that can be taken there.
pub fn retrace(bounds: Bounds, steps: &[Step]) -> Result<Retraced, String> {
    search::Search::new(bounds).retrace(steps)
}
