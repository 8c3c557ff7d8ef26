//! O8: views, targets and the low watermark never fall (`docs/protocol.md` O8).

use super::Finding;
use crate::observe::State;
use cretoai_core::record::Record;
use cretoai_core::types::{ReplicaId, Slot, View};

/// What each replica's memory said last, and what its disk says.
#[derive(Debug)]
pub(super) struct Monotone {
    last: Vec<State>,
    durable: Vec<Durable>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Durable {
    view: View,
    target: View,
    stable: Slot,
}

/// The view that a replica is in or wants.
fn goal(state: State) -> View {
    state.target.unwrap_or(state.view)
}

impl Monotone {
    pub(super) fn new(n: u16) -> Self {
        let n = usize::from(n);
        Self { last: vec![State::default(); n], durable: vec![Durable::default(); n] }
    }

    /// A record became durable.
    pub(super) fn recorded(&mut self, id: ReplicaId, record: &Record) {
        let durable = &mut self.durable[id.index()];
        match record {
            Record::Stable(proof) => durable.stable = durable.stable.max(proof.vote.slot),
            Record::ViewChangeSent(message) => durable.target = durable.target.max(message.signed.body.view),
            Record::NewViewInstalled(message) => {
                durable.view = durable.view.max(message.signed.body.view);
                durable.target = durable.target.max(durable.view);
            }
            _ => {}
        }
    }

    /// A replica took a step. If that changed anything: the state before, and what is wrong. Execution may fall back to
    /// a state that is taken over in place of a wrong one; that slots then go on in order is O2's matter.
    #[inline]
    pub(super) fn stepped(&mut self, id: ReplicaId, state: State) -> Option<(State, Finding)> {
        let last = &mut self.last[id.index()];
        if *last == state {
            return None;
        }
        let last = std::mem::replace(last, state);
        let fell = state.view < last.view || goal(state) < goal(last) || state.stable < last.stable;
        Some((last, if fell { Err(format!("{id} went back from {last:?} to {state:?}")) } else { Ok(()) }))
    }

    /// A replica came back from its disk.
    pub(super) fn recovered(&mut self, id: ReplicaId, state: State) -> Finding {
        let durable = self.durable[id.index()];
        self.last[id.index()] = state;
        let fell = state.view < durable.view || goal(state) < durable.target || state.stable < durable.stable;
        if fell { Err(format!("{id} came back with {state:?}, and its disk says {durable:?}")) } else { Ok(()) }
    }
}
