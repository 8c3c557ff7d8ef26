//! O16: a replica leaves a view for a reason, and where it has to (`docs/protocol.md` V8, V9, T7, T15).

use super::Finding;
use crate::audit::well_formed;
use crate::observe::State;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::message::{Signed, ViewChange};
use cretoai_core::replica::Replica;
use cretoai_core::types::{ReplicaId, Slot, View};
use std::sync::Arc;

/// What a replica was given when it took a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its time had come.
    Tick,
    /// A NEW-VIEW for this view, which convicts whoever made it or does not.
    NewView(View, bool),
    /// Something else.
    Other,
}

/// A step of a replica after which it is somewhere else than before, and what it knew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    id: ReplicaId,
    cause: Cause,
    before: State,
    after: State,
    /// Who is banned in the slot that it executes next.
    banned: ReplicaSet,
    /// Whether it may vote.
    speaks: bool,
    /// How many vertices it waits to see executed.
    pending: usize,
    /// Whether its disk has a certificate for the slot that it executes next, and had before the step.
    has_decided_next: bool,
}

impl Step {
    pub(super) fn new(replica: &Replica, cause: Cause, before: State, has_decided: impl Fn(Slot) -> bool) -> Self {
        let after = State::of(replica);
        Self {
            id: replica.id(),
            cause,
            before,
            after,
            banned: replica.ledger().standings().banned(),
            speaks: replica.halted().is_none() && !replica.has_diverged() && !replica.is_silent(),
            pending: replica.pending(),
            has_decided_next: has_decided(before.executed.next()) && has_decided(after.executed.next()),
        }
    }

    /// Whether no new primary could have helped, neither before the step nor after it.
    fn waits_for_itself(&self, window: u64) -> bool {
        let waits =
            |state: State| state.executed < state.stable || state.stable.0.saturating_add(window) <= state.executed.0;
        self.has_decided_next || waits(self.before) && waits(self.after)
    }
}

/// For which views each replica has heard each of the others ask.
#[derive(Debug)]
pub(super) struct Departures {
    chain: Arc<Chain>,
    n: u64,
    /// By replica and sender, the highest view of a VIEW-CHANGE that keeps the rules, since the replica started.
    asked: Vec<Vec<View>>,
}

impl Departures {
    pub(super) fn new(chain: &Arc<Chain>) -> Self {
        let n = chain.genesis.keys.len();
        Self { chain: Arc::clone(chain), n: n as u64, asked: vec![vec![View(0); n]; n] }
    }

    /// A replica is handed a VIEW-CHANGE.
    pub(super) fn hears(&mut self, id: ReplicaId, said: &Signed<ViewChange>) {
        let asked = &mut self.asked[id.index()][said.signer.index()];
        if *asked < said.body.view && said.signer != id && well_formed(&said.body, &self.chain).is_ok() {
            *asked = said.body.view;
        }
    }

    /// A replica came back, and knows nothing of what others asked for.
    pub(super) fn recovered(&mut self, id: ReplicaId) {
        self.asked[id.index()].fill(View(0));
    }

    /// A replica is somewhere else after a step than before.
    pub(super) fn moved(&self, step: &Step) -> Finding {
        let Step { id, before, after, .. } = *step;
        let goal = after.target.unwrap_or(after.view);
        if step.speaks && self.next_unbanned(goal, step.banned) != goal {
            let primary = self.primary(goal);
            return Err(format!("{id} stays with {goal} after {}, whose primary {primary} is banned", after.executed));
        }
        let from = before.target.unwrap_or(before.view).max(after.view);
        match after.target {
            Some(target) if from < target => self.leaves(step, from, target),
            _ => Ok(()),
        }
    }

    fn leaves(&self, step: &Step, from: View, target: View) -> Finding {
        let Step { id, cause, before, after, banned, .. } = *step;
        let asked = self.wanted_by_enough(id);
        if target <= self.next_unbanned(from, banned).max(self.next_unbanned(asked, banned)) {
            return Ok(());
        }
        let lost = match cause {
            Cause::Tick => true,
            Cause::NewView(view, is_guilty) => is_guilty && before.target == Some(view),
            Cause::Other => false,
        };
        if !lost || self.next_unbanned(from.next(), banned) < target {
            return Err(format!("{id} leaves {from} for {target}, and f + 1 others ask for {asked} at the most"));
        }
        if cause != Cause::Tick || before.target.is_some() || before.view != after.view {
            return Ok(());
        }
        // Its time came in a view that it had installed.
        if step.pending == 0 {
            return Err(format!("{id} gives up {from}, and waits for nothing"));
        }
        if step.waits_for_itself(self.chain.genesis.window) {
            return Err(format!("{id} gives up {from} after {}, and the next step is its own", after.executed));
        }
        Ok(())
    }

    fn primary(&self, view: View) -> ReplicaId {
        ReplicaId(u16::try_from(view.0 % self.n).expect("fewer than 2^16 replicas"))
    }

    /// The highest view that each of f + 1 others asks for, or for a higher one.
    fn wanted_by_enough(&self, id: ReplicaId) -> View {
        let mut asked = self.asked[id.index()].clone();
        asked.sort_unstable();
        let bearable = (asked.len() - 1) / 3;
        asked[asked.len() - 1 - bearable]
    }

    /// The first view from this one on whose primary is not banned.
    fn next_unbanned(&self, mut view: View, banned: ReplicaSet) -> View {
        // At most f are banned, so the search ends.
        while banned >> self.primary(view).0 & 1 == 1 {
            view = view.next();
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use cretoai_core::hash::Digest;
    use cretoai_core::signature::Signature;

    /// The oracle among four replicas, of which r0 heard these ask for these views, with claims of this window's slots.
    fn heard(asked: &[(u16, u64)], stable: u64) -> Departures {
        let plan = Plan::default();
        let chain = Chain::new(plan.genesis(vec![vec![0]; usize::from(plan.n)]), false).expect("four replicas");
        let mut departures = Departures::new(&Arc::new(chain));
        for (signer, view) in asked {
            let (stable, state) = (Slot(stable), Digest([0; 32]));
            let body = ViewChange { view: View(*view), stable, state, prepared: Vec::new(), voted: Vec::new() };
            let signed = Signed { signer: ReplicaId(*signer), body, signature: Signature::new(&[0]) };
            departures.hears(ReplicaId(0), &signed);
        }
        departures
    }

    /// r0 leaves view 1 for this one.
    fn step(cause: Cause, target: u64) -> Step {
        let before = State { view: View(1), ..State::default() };
        let after = State { target: Some(View(target)), ..before };
        let (id, banned, speaks, pending) = (ReplicaId(0), 0, true, 1);
        Step { id, cause, before, after, banned, speaks, pending, has_decided_next: false }
    }

    #[test]
    fn a_view_is_joined_that_f_and_one_others_ask_for_and_none_above() {
        for (asked, stable, target, is_right) in [
            (&[(1, 3), (2, 5)][..], 0, 3, true),
            (&[(1, 3), (2, 5)], 0, 5, false),
            (&[(1, 3), (2, 5)], 0, 2, true),
            (&[(1, 3), (1, 5)], 0, 3, false),
            (&[(0, 3), (1, 3)], 0, 3, false),
            (&[(1, 3), (2, 3)], 1, 3, false),
        ] {
            let finding = heard(asked, stable).moved(&step(Cause::Other, target));
            assert_eq!(finding.is_ok(), is_right, "{asked:?}, stable at {stable}, for {target}: {finding:?}");
        }
        let mut forgotten = heard(&[(1, 3), (2, 5)], 0);
        forgotten.recovered(ReplicaId(0));
        assert!(forgotten.moved(&step(Cause::Other, 3)).is_err(), "heard before it crashed");
    }

    #[test]
    fn a_time_out_leads_to_the_next_view_if_something_waits_and_the_others_are_to_blame() {
        let departures = heard(&[], 0);
        let window = departures.chain.genesis.window;
        assert_eq!(departures.moved(&step(Cause::Tick, 2)), Ok(()));
        assert!(departures.moved(&step(Cause::Tick, 3)).is_err(), "a view too far");
        assert!(departures.moved(&step(Cause::Other, 2)).is_err(), "no time-out");
        assert!(departures.moved(&Step { pending: 0, ..step(Cause::Tick, 2) }).is_err(), "nothing waits");
        assert!(departures.moved(&Step { has_decided_next: true, ..step(Cause::Tick, 2) }).is_err());
        for (stable, executed, is_right) in [(0, window - 1, true), (0, window, false), (4, 3, false), (4, 4, true)] {
            let mut step = step(Cause::Tick, 2);
            for state in [&mut step.before, &mut step.after] {
                (state.stable, state.executed) = (Slot(stable), Slot(executed));
            }
            assert_eq!(departures.moved(&step).is_ok(), is_right, "stable at {stable}, executed {executed}");
        }
    }

    #[test]
    fn a_view_is_lost_over_its_own_guilty_new_view_to_whoever_waits_for_it() {
        let departures = heard(&[], 0);
        for (target, view, is_guilty, next, is_right) in [
            (Some(2), 2, true, 3, true),
            (Some(2), 2, true, 4, false),
            (Some(2), 2, false, 3, false),
            (Some(2), 3, true, 3, false),
            (Some(2), 3, true, 4, false),
            (None, 2, true, 2, false),
            (None, 1, true, 2, false),
        ] {
            let mut step = Step { pending: 0, ..step(Cause::NewView(View(view), is_guilty), next) };
            step.before.target = target.map(View);
            let finding = departures.moved(&step);
            assert_eq!(finding.is_ok(), is_right, "NEW-VIEW of {view}, waits for {target:?}: {finding:?}");
        }
    }

    #[test]
    fn nobody_stays_with_a_banned_primary_who_may_leave_it() {
        let departures = heard(&[], 0);
        let stays = |banned| {
            let mut step = step(Cause::Other, 1);
            (step.after.target, step.banned) = (None, banned);
            step
        };
        assert_eq!(departures.moved(&stays(0b1101)), Ok(()));
        assert!(departures.moved(&stays(0b10)).is_err());
        assert_eq!(departures.moved(&Step { speaks: false, ..stays(0b10) }), Ok(()));
        assert_eq!(departures.moved(&Step { banned: 0b110, ..step(Cause::Other, 3) }), Ok(()), "over a banned one");
        assert!(departures.moved(&Step { banned: 0b10, ..step(Cause::Other, 3) }).is_err(), "further than it has to");
    }
}
