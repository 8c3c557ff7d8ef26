//! Everything at once: what the swarm leaves out in half of the runs is in all of these.

use crate::plan::Plan;
use crate::swarm;

/// The plan of a seed.
#[must_use]
pub(super) fn plan(seed: u64) -> Plan {
    Plan { name: "random".to_owned(), ..swarm::everything(seed) }
}
