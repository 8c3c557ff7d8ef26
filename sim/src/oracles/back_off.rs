//! O18: a time-out that was doubled shrinks again once everything goes well within it (`docs/protocol.md` T4).

use super::Finding;
use crate::observe::State;
use cretoai_core::types::ReplicaId;

/// How each replica has been getting on.
#[derive(Debug)]
pub(super) struct BackOff(Vec<Pace>);

/// What a replica executed between two stable checkpoints, as far as it is known in full.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Its exponent.
    k: u32,
    /// Whether everything that it executed since its last stable checkpoint is in here.
    is_whole: bool,
    /// Whether some of that it had made itself, and so waited for.
    has_own: bool,
    /// The greatest age of what it executed, in nanoseconds.
    oldest: u64,
}

/// A step of a replica after which it is somewhere else than before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    pub(super) before: State,
    pub(super) after: State,
    /// Its exponent after the step.
    pub(super) k: u32,
    /// Whether it waits for nothing, nor has anything been given up on because of a ban.
    pub(super) is_idle: bool,
    /// Whether the application was given every slot that it has executed.
    pub(super) is_released: bool,
}

impl BackOff {
    pub(super) fn new(n: u16) -> Self {
        Self(vec![Pace::default(); usize::from(n)])
    }

    /// Whether a replica's time-out is longer than at first.
    pub(super) fn is_raised(&self, id: ReplicaId) -> bool {
        0 < self.0[id.index()].k
    }

    /// A replica executed something of this age, or of one that nobody knows; it may be its own.
    pub(super) fn executed(&mut self, id: ReplicaId, age: Option<u64>, is_own: bool) {
        let pace = &mut self.0[id.index()];
        pace.is_whole &= age.is_some();
        pace.oldest = pace.oldest.max(age.unwrap_or(0));
        pace.has_own |= is_own;
    }

    /// A replica lost its memory, or took over a state.
    pub(super) fn interrupted(&mut self, id: ReplicaId, k: u32) {
        self.0[id.index()] = Pace { k, ..Pace::default() };
    }

    /// A replica is somewhere else after a step than before. `timeout` is its `T(k)` in
    /// nanoseconds of true time.
    pub(super) fn moved(&mut self, id: ReplicaId, shift: &Shift, timeout: impl Fn(u32) -> u64) -> Finding {
        let Shift { before, after, k, .. } = *shift;
        let pace = &mut self.0[id.index()];
        let known = *pace;
        if before.stable == after.stable {
            // A longer time-out may have waited for what is executed by now.
            pace.is_whole &= known.k == k;
            pace.k = k;
            return Ok(());
        }
        // What was executed in this very step may belong to either side of the checkpoint.
        let is_whole = shift.is_released && before.executed == after.executed;
        *pace = Pace { k, is_whole, ..Pace::default() };
        let stays = (before.view, before.target) == (after.view, after.target);
        if !is_whole || !known.is_whole || !known.has_own || !shift.is_idle || !stays || known.k == 0 {
            return Ok(());
        }
        // What clocks show is rounded.
        let age = known.oldest + known.oldest / 100;
        let half = timeout(known.k - 1) / 2;
        if age < half && known.k <= k {
            let (stable, oldest) = (after.stable, known.oldest);
            return Err(format!(
                "{id} leaves k at {k} at {stable}, though all that it executed was done after {oldest} of {half} ns"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::types::{Slot, View};

    const R: ReplicaId = ReplicaId(2);

    fn state(stable: u64, executed: u64) -> State {
        State { stable: Slot(stable), executed: Slot(executed), ..State::default() }
    }

    /// A stable checkpoint after which `k` is this.
    fn stable(slot: u64, k: u32) -> Shift {
        let (before, after) = (state(slot - 4, slot), state(slot, slot));
        Shift { before, after, k, is_idle: true, is_released: true }
    }

    /// What the oracle says of a checkpoint between whose predecessor and it one vertex was executed, while k was 2.
    fn judged(age: Option<u64>, is_own: bool, shift: Shift) -> Finding {
        let timeout = |k| 1000_u64 << k;
        let mut back_off = BackOff::new(4);
        back_off.interrupted(R, 0);
        let left = State { target: Some(View(1)), ..state(0, 4) };
        let leaves = Shift { before: state(0, 4), after: left, k: 2, is_idle: false, is_released: true };
        assert_eq!(back_off.moved(R, &leaves, timeout), Ok(()));
        assert!(back_off.is_raised(R));
        back_off.executed(R, Some(9), true);
        assert_eq!(back_off.moved(R, &stable(4, 2), timeout), Ok(()), "of the first part little is known");
        back_off.executed(R, age, is_own);
        back_off.moved(R, &shift, timeout)
    }

    #[test]
    fn what_goes_well_within_the_time_out_shrinks_it() {
        assert!(judged(Some(900), true, stable(8, 2)).is_err());
        assert_eq!(judged(Some(900), true, stable(8, 1)), Ok(()));
        assert_eq!(judged(Some(1000), true, stable(8, 2)), Ok(()), "it took half of T(1)");
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        assert_eq!(judged(None, true, stable(8, 2)), Ok(()), "somebody else's, of any age");
        assert_eq!(judged(Some(1), false, stable(8, 2)), Ok(()), "it may never have waited");
        assert_eq!(judged(Some(1), true, Shift { is_idle: false, ..stable(8, 2) }), Ok(()), "something waits");
        assert_eq!(judged(Some(1), true, Shift { is_released: false, ..stable(8, 2) }), Ok(()));
        let executes = Shift { before: state(4, 7), ..stable(8, 2) };
        assert_eq!(judged(Some(1), true, executes), Ok(()), "a slot executed in the same step");
        let left = State { target: Some(View(2)), ..state(8, 8) };
        assert_eq!(judged(Some(1), true, Shift { after: left, ..stable(8, 3) }), Ok(()), "it left the view besides");
    }
}
