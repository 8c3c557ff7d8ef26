//! What is known about each slot, over all honest replicas: the memory of the oracles, the report and the
//! expectations.

use cretoai_core::hash::Digest;
use cretoai_core::time::Instant;
use cretoai_core::types::{ReplicaId, Slot, View};

/// What is known about a slot.
#[derive(Clone, Debug, Default)]
pub struct SlotFacts {
    /// The batch that was decided.
    pub decided: Option<Digest>,
    /// Who said so first.
    pub decided_by: ReplicaId,
    /// The latest batch that was proposed, and when that one first was.
    pub proposed: Option<(Digest, u64)>,
    /// The view in which a batch was first proposed.
    pub proposed_in: Option<View>,
    /// A hash of what is to be executed, by whoever executed first.
    pub execution: Option<u64>,
    /// Its effective time, by whoever executed last; O1 sees to it that it is everybody's.
    pub time: Option<Instant>,
    /// A hash of the results, by whoever had them first.
    pub results: Option<u64>,
    /// The operations that execute, as a range of `Facts::executed`.
    pub ops: (u32, u32),
    /// PRE-PREPAREs, PREPAREs and COMMITs sent for it, one for each receiver.
    pub messages: u32,
}

/// What is known about all slots.
#[derive(Debug, Default)]
pub struct Facts {
    slots: Vec<SlotFacts>,
    /// The numbers of executed operations, slot after slot in the order in which slots were first executed.
    pub executed: Vec<u32>,
    /// When each replica executed each slot for the first time, from slot 1 on; `u64::MAX` for never.
    executed_at: Vec<Vec<u64>>,
    /// The last slot that somebody executed.
    pub last: u64,
    /// From proposal to execution, for each slot and honest replica.
    pub finality: Vec<u64>,
    /// From submission to the convincing answer.
    pub answers: Vec<u64>,
}

/// The time of what never happened.
pub const NEVER: u64 = u64::MAX;

impl Facts {
    /// Forgets everything.
    pub fn reset(&mut self, n: u16) {
        self.slots.clear();
        self.executed.clear();
        self.executed_at.resize(usize::from(n), Vec::new());
        self.executed_at.iter_mut().for_each(Vec::clear);
        self.last = 0;
        self.finality.clear();
        self.answers.clear();
    }

    /// About a slot; entries appear as they are asked for.
    ///
    /// # Panics
    /// When the slot is absurd; only slots inside somebody's window are asked for.
    pub fn slot(&mut self, slot: Slot) -> &mut SlotFacts {
        let at = usize::try_from(slot.0).expect("a slot that was reached");
        assert!(at < self.slots.len() + (1 << 20), "{slot} is far beyond everything");
        if self.slots.len() <= at {
            self.slots.resize(at + 1, SlotFacts::default());
        }
        &mut self.slots[at]
    }

    /// About a slot, if anything is known.
    #[must_use]
    pub fn get(&self, slot: u64) -> Option<&SlotFacts> {
        self.slots.get(usize::try_from(slot).ok()?)
    }

    /// The numbers of the operations that a slot executes.
    #[must_use]
    pub fn ops_of(&self, slot: u64) -> &[u32] {
        let (start, end) = self.get(slot).map_or((0, 0), |facts| facts.ops);
        &self.executed[start as usize..end as usize]
    }

    /// A replica executed a slot, or took over a state in which it is executed. Whether that is news.
    pub fn execute(&mut self, id: ReplicaId, slot: Slot, now: u64) -> bool {
        let times = &mut self.executed_at[id.index()];
        let at = usize::try_from(slot.0).expect("a slot that was reached");
        if at <= times.len() {
            return false;
        }
        times.resize(at, now);
        self.last = self.last.max(slot.0);
        true
    }

    /// When a replica first had executed a slot.
    #[must_use]
    pub fn executed_at(&self, id: u16, slot: u64) -> u64 {
        let Some(index) = slot.checked_sub(1) else { return 0 };
        let times = &self.executed_at[usize::from(id)];
        usize::try_from(index).ok().and_then(|at| times.get(at)).copied().unwrap_or(NEVER)
    }

    /// The last slot that a replica ever executed.
    #[must_use]
    pub fn executed_by(&self, id: u16) -> u64 {
        self.executed_at[usize::from(id)].len() as u64
    }
}
