//! O10: what a core replica holds is executed in time (`docs/protocol.md` O10).

use crate::plan::Plan;
use crate::workload::Clients;
use cretoai_core::committee::{Committee, ReplicaSet};
use cretoai_core::types::ReplicaId;
use std::collections::VecDeque;

/// The bound, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub u64);

impl Bound {
    /// The bound of a plan, when the core's largest back-off is `k` at calm and a message takes up to `delay`.
    #[must_use]
    pub fn new(plan: &Plan, committee: Committee, k: u32, delay: u64) -> Self {
        let ns = |us: u64| us.saturating_mul(1000);
        let most = |of: fn(&crate::plan::TimeoutPlan) -> u64| plan.all_timeouts().map(|t| ns(of(t))).max().unwrap_or(0);
        let (base, max) = (most(|t| t.base_us), most(|t| t.max_us));
        let timeout = |k: u32| base.saturating_mul(1_u64.checked_shl(k).unwrap_or(u64::MAX)).min(max);
        let doublings =
            (0..64).find(|m| timeout(k + m) >= delay.saturating_mul(10) || timeout(k + m) == max).unwrap_or(64);
        let last = u32::from(committee.n() - committee.quorum()) + doublings + 1;
        let views = (0..=last).map(|i| timeout(k + i).saturating_mul(4).saturating_add(6 * delay));
        let transfer = plan.phases.calm.as_ref().map_or(0, |calm| ns(calm.transfer_us));
        let fixed = most(|t| t.retransmit_us) + 2 * most(|t| t.status_us) + transfer + 12 * delay;
        Self(views.fold(fixed, u64::saturating_add))
    }
}

/// What is due, and when.
#[derive(Debug, Default)]
pub struct Liveness {
    bound: Option<Bound>,
    core: ReplicaSet,
    calm_at: u64,
    /// Which core replicas hold each operation, before calm which replicas do.
    held: Vec<ReplicaSet>,
    due: VecDeque<(u64, u32)>,
}

impl Liveness {
    /// A replica came to hold an operation.
    pub fn hold(&mut self, op: u32, id: ReplicaId, now: u64) {
        let at = op as usize;
        if self.held.len() <= at {
            self.held.resize(at + 1, 0);
        }
        let had = self.held[at] & self.core != 0;
        self.held[at] |= 1 << id.0;
        let has = self.held[at] & self.core != 0;
        if let Some(Bound(bound)) = self.bound
            && has
            && !had
        {
            self.due.push_back((now.saturating_add(bound), op));
        }
    }

    /// A replica lost its memory.
    pub fn forget(&mut self, id: ReplicaId) {
        self.held.iter_mut().for_each(|held| *held &= !(1 << id.0));
    }

    /// From now on these replicas owe progress.
    pub fn begin(&mut self, core: ReplicaSet, bound: Bound, now: u64) {
        self.core = core;
        self.bound = Some(bound);
        self.calm_at = now;
        let held = (0..).zip(&self.held).filter(|(_, held)| **held & core != 0);
        self.due = held.map(|(op, _)| (now.saturating_add(bound.0), op)).collect();
    }

    /// The watch ends: the protocol promises nothing any more.
    pub fn end(&mut self) {
        self.bound = None;
        self.due.clear();
    }

    /// The next moment at which something is due.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.due.front().map(|(due, _)| *due)
    }

    /// What was due by now and has not happened. `executed` is the last slot that each replica executed.
    pub fn overdue(&mut self, now: u64, clients: &Clients, executed: impl Fn(u16) -> u64) -> Option<String> {
        while let Some((_, op)) = self.due.front().filter(|(due, _)| *due < now).copied() {
            self.due.pop_front();
            let state = &clients.ops[op as usize];
            // A request that ran out of time need not be executed, but before that the bound must be over.
            if state.expired || state.slot.is_none() && state.request.request.expires.0 < now {
                continue;
            }
            let is_late = |id: &u16| self.core >> id & 1 == 1 && state.slot.is_none_or(|slot| executed(*id) < slot);
            let Some(late) = (0..128).find(is_late) else { continue };
            let Bound(bound) = self.bound.unwrap_or(Bound(0));
            return Some(format!(
                "operation {op}, which the core {:?} held at {} ms, is not executed at r{late} {} ms later",
                members(self.core),
                (now.saturating_sub(bound)) / 1_000_000,
                bound / 1_000_000,
            ));
        }
        None
    }
}

fn members(set: ReplicaSet) -> Vec<u16> {
    (0..128).filter(|id| set >> id & 1 == 1).collect()
}
