//! Faults that happen when something else does.

use crate::meta::Meta;
use crate::observe::State;
use crate::plan::{Condition, Fault, Kind, Trigger};
use cretoai_core::certificate::Claim;
use cretoai_core::record::Record;
use cretoai_core::types::{ReplicaId, Slot};

/// The triggers of a run.
#[derive(Debug, Default)]
pub struct Triggers {
    armed: Vec<(Trigger, bool)>,
    /// What has been set off: after how long, and what.
    pub fired: Vec<(u64, Fault)>,
}

impl Triggers {
    /// The triggers of a plan.
    #[must_use]
    pub fn new(triggers: &[Trigger]) -> Self {
        Self { armed: triggers.iter().map(|trigger| (trigger.clone(), true)).collect(), fired: Vec::new() }
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    fn fire(&mut self, is_met: impl Fn(&Condition) -> bool) {
        for (trigger, armed) in &mut self.armed {
            if *armed && is_met(&trigger.when) {
                *armed = trigger.repeat;
                self.fired.extend(trigger.then.iter().map(|fault| (trigger.after_us * 1000, fault.clone())));
            }
        }
    }

    /// A replica recorded something.
    pub fn recorded(&mut self, id: ReplicaId, record: &Record) {
        match record {
            Record::Prepared(certificate) => {
                let at = certificate.claim;
                self.fire(
                    |when| matches!(when, Condition::Prepared { replica, slot } if is(replica, id) && of(at, *slot)),
                );
            }
            Record::Committed(certificate) => {
                let at = certificate.claim;
                self.fire(
                    |when| matches!(when, Condition::Committed { replica, slot } if is(replica, id) && of(at, *slot)),
                );
            }
            Record::Evidence(evidence) => {
                let against = evidence.accused();
                self.fire(|when| {
                    matches!(when, Condition::Accuses { replica, accused } if is(replica, id) && *accused == against.0)
                });
            }
            _ => {}
        }
    }

    /// A replica executed a slot.
    pub fn executed(&mut self, id: ReplicaId, at: Slot) {
        self.fire(|when| matches!(when, Condition::Executed { replica, slot } if is(replica, id) && *slot <= at.0));
    }

    /// A replica took a step that changed its state.
    pub fn stepped(&mut self, id: ReplicaId, state: State) {
        self.fire(|when| match when {
            Condition::Stable { replica, slot } => is(replica, id) && *slot <= state.stable.0,
            Condition::Installed { replica, view } => is(replica, id) && *view <= state.view.0,
            Condition::Targets { replica, view } => {
                is(replica, id) && state.target.is_some_and(|target| *view <= target.0)
            }
            _ => false,
        });
    }

    /// A replica sends a message.
    pub fn sends(&mut self, id: ReplicaId, meta: &Meta) {
        self.fire(|when| match when {
            Condition::Sends { replica, kind, slot, view } => is(replica, id) && about(meta, *kind, *slot, *view),
            _ => false,
        });
    }

    /// A replica is about to process a message.
    pub fn receives(&mut self, id: ReplicaId, meta: &Meta) {
        self.fire(|when| match when {
            Condition::Receives { replica, kind, slot, view } => is(replica, id) && about(meta, *kind, *slot, *view),
            _ => false,
        });
    }
}

fn is(replica: &Option<u16>, id: ReplicaId) -> bool {
    replica.is_none_or(|replica| replica == id.0)
}

fn of(claim: Claim, slot: u64) -> bool {
    claim.slot.0 == slot
}

fn about(meta: &Meta, kind: Kind, slot: Option<u64>, view: Option<u64>) -> bool {
    meta.kind == kind
        && view.is_none_or(|view| meta.view == Some(view))
        && slot.is_none_or(|slot| meta.slots.is_some_and(|(first, last)| first <= slot && slot <= last))
}
