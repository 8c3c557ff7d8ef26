//! The course of a run: from the phase in which anything may happen to the one in which progress is due.

use super::{End, Run};
use crate::host::Mode;
use crate::observe::{State, What};
use crate::oracles::Bound;
use crate::plan::Calm;
use crate::schedule::Due;
use cretoai_core::committee::ReplicaSet;

/// The safety phase is over.
pub(super) const CALM: u32 = 0;
/// Time to see whether everything is done.
pub(super) const REVIEW: u32 = 1;

impl Run<'_> {
    pub(super) fn phase(&mut self, index: u32) {
        match index {
            CALM => self.calm(),
            _ => self.review(),
        }
    }

    fn review(&mut self) {
        let margin = self.plan.timeouts.base_us * 1000;
        self.clients.expire(margin, self.now);
        self.consider_ending();
        let period = self.plan.timeouts.base_us.max(1) * 1000;
        self.schedule(self.now + period, Due::Phase, 0, REVIEW);
    }

    fn calm(&mut self) {
        self.tallies.slots_safety = self.facts.last;
        let plan = self.plan;
        let Some(calm) = &plan.phases.calm else { return };
        let Some(core) = self.choose_core(calm) else { return };
        self.core = Some(core);
        self.observer.tell(self.now, None, State::default(), What::Calm(core));
        let healed = if calm.heal_all { self.honest } else { core };
        self.network.calm(healed, calm.delay_us);
        self.healed = healed;
        self.write_calm();
        let hosts = (0..self.plan.n).filter(|id| healed >> id & 1 == 1).map(usize::from);
        for host in hosts {
            self.resume(host);
            self.restart(host);
        }
        // Who distrusts its log waits for more replicas than a quorum may have; who refuses to come back is lost.
        let speaks = |replica: &cretoai_core::Replica| !replica.is_silent();
        if !self.members(core).all(|id| self.hosts[usize::from(id)].replica.as_ref().is_some_and(speaks)) {
            return;
        }
        let back_off =
            |id: u16| self.hosts[usize::from(id)].replica.as_ref().map_or(0, cretoai_core::Replica::back_off);
        let k = self.members(core).map(back_off).max().unwrap_or(0);
        let bound = Bound::new(self.plan, self.chain.committee, k, self.delay_ns(calm));
        self.oracles.begin(core, bound, self.plan, self.now);
    }

    /// How long a message takes between replicas of the core, with everything it takes to make and to use it.
    fn delay_ns(&self, calm: &Calm) -> u64 {
        let (disk, cpu) = (&self.plan.disk, &self.plan.cpu);
        let slowest_disk = self.hosts.iter().map(|host| host.disk.slowest_us()).max().unwrap_or(disk.sync_us);
        let computing = cpu.sign_ns + cpu.verify_ns + cpu.step_ns;
        let application = cpu.execute_slot_ns + cpu.snapshot_ns;
        (calm.delay_us + 2 * slowest_disk) * 1000 + u64::from(self.plan.n) * 2 * computing + application
    }

    /// A quorum of honest replicas that run or can come back, with states that are right.
    fn choose_core(&mut self, calm: &Calm) -> Option<ReplicaSet> {
        if !calm.core.is_empty() {
            return Some(calm.core.iter().fold(0, |set, id| set | 1 << id));
        }
        let is_sound = |id: &u16| self.hosts[usize::from(*id)].is_sound();
        let mut able: Vec<u16> = self.members(self.honest).filter(is_sound).collect();
        let quorum = usize::from(self.chain.committee.quorum());
        if able.len() < quorum {
            return None;
        }
        self.fault_rng.shuffle(&mut able);
        Some(able[..quorum].iter().fold(0, |set, id| set | 1 << id))
    }

    pub(super) fn members(&self, set: ReplicaSet) -> impl Iterator<Item = u16> + use<> {
        (0..self.plan.n).filter(move |id| set >> id & 1 == 1)
    }

    /// Ends the run if it may end early, and everything is done.
    pub(super) fn consider_ending(&mut self) {
        let phases = &self.plan.phases;
        let is_over = phases.stop_when_done
            && phases.safety_until_us * 1000 <= self.now
            && self.clients.open == 0
            && !self.has_stream()
            && self.clients.ops.len() >= self.plan.workload.scripted.len()
            && (self.core.is_some() || self.returning == 0)
            && matches!(self.end, End::Open);
        if !is_over || !self.is_everybody_done() || self.oracles.owes_conviction() {
            return;
        }
        self.ends_at = self.ends_at.min(self.now + phases.linger_us * 1000);
    }

    /// Whether everybody who owes progress has executed every operation.
    fn is_everybody_done(&self) -> bool {
        let last = self.clients.ops.iter().filter_map(|op| op.slot).max().unwrap_or(0);
        let runs = |id: &u16| self.hosts[usize::from(*id)].mode == Mode::Up;
        let owing = self.core.unwrap_or(self.honest);
        self.members(owing).filter(runs).all(|id| last <= self.facts.executed_by(id))
    }
}
