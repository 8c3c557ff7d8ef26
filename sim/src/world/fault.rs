//! Faults, and coming back from them.

use super::Run;
use crate::disk::{Item, Snapshot};
use crate::host::Mode;
use crate::observe::{State, What};
use crate::plan::Fault;
use crate::probes::Probe;
use crate::rules::set_or_all;
use crate::schedule::{Due, MAX_INDEX};
use cretoai_core::outbox::Outbox;
use cretoai_core::replica::{OwnSnapshot, Replica};
use cretoai_core::types::ReplicaId;
use std::sync::Arc;

impl Run<'_> {
    /// A fault will happen at a time.
    pub(super) fn plan_fault(&mut self, at: u64, fault: Fault) {
        self.returning += u64::from(matches!(fault, Fault::Restart { .. } | Fault::Resume { .. }));
        let index = self.faults.insert(fault);
        self.schedule(at.max(self.now), Due::Fault, 0, index);
    }

    pub(super) fn fault_event(&mut self, index: u32) {
        let fault = self.faults.remove(index);
        self.returning -= u64::from(matches!(fault, Fault::Restart { .. } | Fault::Resume { .. }));
        self.observer.note(self.now, u64::from(index), State::default());
        self.fault_happens(fault);
    }

    pub(super) fn fault_happens(&mut self, fault: Fault) {
        self.observer.tell(self.now, None, State::default(), What::Fault(&fault));
        // Once it is calm, what is outside the core stays as it is, and the core is left alone.
        if self.core.is_none() || matches!(fault, Fault::Restart { .. } | Fault::Resume { .. }) {
            self.write_fault(&fault);
            self.inflict(fault);
        }
    }

    fn inflict(&mut self, fault: Fault) {
        let of = usize::from;
        match fault {
            Fault::Partition { groups } => self.network.partition(&groups),
            Fault::Cut { from, to } => self.network.connect(set_or_all(&from), set_or_all(&to), false),
            Fault::Connect { from, to } => self.network.connect(set_or_all(&from), set_or_all(&to), true),
            Fault::Isolate { replica } => self.network.isolate(ReplicaId(replica)),
            Fault::Heal => self.network.heal(),
            Fault::Crash { replica } => self.crash(of(replica)),
            Fault::Restart { replica } => self.restart(of(replica)),
            Fault::Pause { replica } => self.pause(of(replica)),
            Fault::Resume { replica } => self.resume(of(replica)),
            Fault::PowerLoss { restart_after_us } => self.power_loss(restart_after_us * 1000),
            Fault::Wipe { replica } => self.wipe(of(replica)),
            Fault::Rot { replica } => {
                self.hosts[of(replica)].disk.rot(&mut self.disk_rng, false);
            }
            Fault::RotEnd { replica } => {
                self.hosts[of(replica)].disk.rot(&mut self.disk_rng, true);
            }
            Fault::FailSync { replica } => self.hosts[of(replica)].disk.fail_next = true,
            Fault::FillDisk { replica } => self.hosts[of(replica)].disk.full = true,
            Fault::FlipState { replica } => {
                let machine = &mut self.hosts[of(replica)];
                machine.app.flip();
                machine.flipped = true;
            }
            Fault::SetClock { replica, skew_us } => {
                let machine = &mut self.hosts[of(replica)];
                machine.clock = machine.clock.set(skew_us);
                machine.alarm = None;
                self.rearm(of(replica));
            }
            Fault::SlowDisks { sync_us } => {
                self.hosts.iter_mut().for_each(|machine| machine.disk.set_latency(sync_us));
            }
            Fault::EnableRule { name } => self.switch_rule(&name, true),
            Fault::DisableRule { name } => self.switch_rule(&name, false),
        }
    }

    fn switch_rule(&mut self, name: &str, enabled: bool) {
        assert!(self.network.rules.switch(name, enabled), "the plan has no message rule `{name}`");
    }

    /// The power of a machine goes.
    pub(super) fn crash(&mut self, host: usize) {
        if !self.hosts[host].has_power() {
            return;
        }
        let id = self.hosts[host].id;
        let is_honest = self.is_honest(id);
        let machine = &mut self.hosts[host];
        let (oracles, facts, observer, now) = (&mut self.oracles, &mut self.facts, &mut self.observer, self.now);
        machine.disk.crash(&mut self.disk_rng, |item| {
            if let Item::Record(record) = item
                && is_honest
            {
                oracles.recorded(id, record, facts);
                observer.tell(now, Some(id), State::default(), What::Recorded(record));
            }
        });
        machine.mode = Mode::Down;
        self.forget(host);
        self.tallies.crashes += 1;
        self.observer.note(self.now, host as u64, State::default());
        self.observer.tell(self.now, Some(id), State::default(), What::Crashed);
        self.probes.hit_if(self.hosts.iter().all(|machine| !machine.has_power()), Probe::AllDown);
    }

    fn forget(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        machine.lose_memory();
        machine.incarnation = (machine.incarnation + 1) % (MAX_INDEX - 1);
        let id = machine.id;
        let waiting = machine.inbox.drain();
        waiting.into_iter().for_each(|waiting| self.discard(waiting));
        self.oracles.liveness.forget(id);
    }

    /// A machine ends for good.
    pub(super) fn end_host(&mut self, host: usize, reason: &str) {
        let machine = &mut self.hosts[host];
        machine.mode = Mode::Dead(reason.to_owned());
        let id = machine.id;
        self.tallies.ended |= 1 << id.0;
        self.forget(host);
        self.observer.tell(self.now, Some(id), State::default(), What::Ended(reason));
        if self.core.is_some_and(|core| core >> id.0 & 1 == 1) {
            self.oracles.end();
        }
    }

    /// A machine crashes because the plan says so for one of its effects.
    pub(super) fn crash_at_point(&mut self, host: usize) {
        let (id, effects) = (self.hosts[host].id, self.hosts[host].effects);
        let is_at = |point: &&crate::plan::CrashPoint| {
            use crate::plan::Boundary::{AfterRecord, AfterSend, BeforeRecord, BeforeSend};
            let count = match point.at {
                BeforeRecord | AfterRecord => effects.records,
                BeforeSend | AfterSend => effects.sends,
            };
            point.replica == id.0 && point.nth == count
        };
        let restart = self.plan.crash_points.iter().filter(is_at).find_map(|point| point.restart_after_us);
        self.crash(host);
        if let Some(after) = restart {
            self.plan_fault(self.now + after * 1000, Fault::Restart { replica: id.0 });
        }
    }

    fn power_loss(&mut self, restart_after: u64) {
        for id in 0..self.plan.n {
            self.crash(usize::from(id));
            self.plan_fault(self.now + restart_after, Fault::Restart { replica: id });
        }
    }

    fn pause(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        if machine.mode == Mode::Up {
            machine.mode = Mode::Paused;
        }
    }

    pub(super) fn resume(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        if machine.mode != Mode::Paused {
            return;
        }
        machine.mode = Mode::Up;
        machine.alarm = None;
        let incarnation = machine.incarnation;
        self.drain(host);
        self.rearm(host);
        if !self.hosts[host].inbox.is_empty() {
            self.hosts[host].will_wake = true;
            self.schedule(self.now, Due::Wake, host, incarnation);
        }
    }

    /// A machine's disk is replaced by an empty one, and its replica by one that knows nothing.
    pub(super) fn wipe(&mut self, host: usize) {
        self.crash(host);
        self.hosts[host].disk.wipe();
        if self.seats[host].as_ref().is_none_or(|seat| seat.puppets.contains(&host)) {
            self.boot(host);
        }
    }

    /// A machine comes back from its disk.
    pub(super) fn restart(&mut self, host: usize) {
        if self.hosts[host].mode != Mode::Down {
            return;
        }
        let id = self.hosts[host].id;
        if let Some(seat) = &self.seats[id.index()] {
            // A Byzantine replica needs no disk to come back.
            if seat.puppets.contains(&host) {
                self.hosts[host].disk.wipe();
                self.boot(host);
            }
            return;
        }
        let (records, cut) = match self.hosts[host].disk.read() {
            Ok(read) => read,
            Err(unreadable) => {
                self.probes.hit(Probe::Refused);
                return self.end_host(host, &unreadable.0);
            }
        };
        self.probes.hit_if(cut, Probe::TornLog);
        let config = self.plan.config(id, &self.chain);
        let signer = self.signer(id);
        let machine = &mut self.hosts[host];
        let own = |snapshot: &Snapshot| OwnSnapshot { core: Arc::clone(&snapshot.core), app: snapshot.hashes.clone() };
        let snapshots: Vec<OwnSnapshot> = machine.disk.snapshots.iter().map(own).collect();
        match Replica::recover(Arc::clone(&self.chain), config, signer, snapshots, records) {
            Ok(mut replica) => {
                if cut || machine.distrusts_log {
                    replica.distrust_log();
                }
                machine.outbox = Outbox::resume_at(machine.disk.end());
                self.come_back(host, replica, cut);
            }
            Err(error) => {
                self.probes.hit(Probe::Refused);
                if self.is_honest(id) {
                    self.fail("O8", format!("{id} refuses to come back from an intact disk: {error}"));
                }
                self.end_host(host, &error.to_string());
            }
        }
    }

    fn come_back(&mut self, host: usize, replica: Replica, cut: bool) {
        let state = State::of(&replica);
        let from = replica.executed();
        self.probes.hit_if(state.target.is_some(), Probe::RestartInViewChange);
        let machine = &mut self.hosts[host];
        let id = machine.id;
        machine.app.reset();
        if let Some(newest) = machine.disk.snapshots.iter().find(|snapshot| snapshot.core.slot == replica.applied()) {
            let chunks: Vec<&[u8]> = newest.app.iter().map(|chunk| chunk.0.as_slice()).collect();
            machine.app.restore(&chunks).expect("its own snapshot");
            machine.flipped = newest.flipped;
        }
        machine.replica = Some(replica);
        machine.mode = Mode::Up;
        machine.busy_until = self.now;
        machine.app_busy_until = self.now;
        if self.is_honest(id) {
            self.oracles.recovered(id, state, from);
        }
        self.observer.note(self.now, host as u64, state);
        self.observer.tell(self.now, Some(id), state, What::Restarted { cut });
        self.rearm(host);
    }
}
