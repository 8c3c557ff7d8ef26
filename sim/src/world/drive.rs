//! Driving replicas: what happens to them, one step after another.

use super::Run;
use crate::crypto::mix;
use crate::host::{Completion, Mode, Waiting};
use crate::inbox::Lane;
use crate::observe::{State, What};
use crate::oracles::Cause;
use crate::plan::Kind;
use crate::probes::Probe;
use crate::schedule::Due;
use cretoai_core::Replica;
use cretoai_core::input::{Ignored, Input};
use cretoai_core::message::Message;

/// Ticks of a replica from one look at its memory to the next; every stable checkpoint is another occasion.
const TICKS_A_LOOK: u64 = 8;

impl Run<'_> {
    /// Gives a machine something to do, now or when it has time.
    pub(super) fn hand(&mut self, host: usize, lane: Lane, waiting: Waiting) {
        let machine = &mut self.hosts[host];
        match machine.mode {
            Mode::Up if machine.busy_until <= self.now && machine.inbox.is_empty() => self.process(host, waiting),
            Mode::Up => {
                self.put_by(host, lane, waiting);
                self.wake_later(host);
            }
            Mode::Paused => self.put_by(host, lane, waiting),
            Mode::Down | Mode::Dead(_) => self.discard(waiting),
        }
    }

    fn put_by(&mut self, host: usize, lane: Lane, waiting: Waiting) {
        if let Err(waiting) = self.hosts[host].inbox.push(lane, waiting) {
            self.tallies.throttled += 1;
            self.discard(waiting);
        }
    }

    pub(super) fn discard(&mut self, waiting: Waiting) {
        if let Waiting::Letter(letter) = waiting {
            self.release(letter);
        }
    }

    fn wake_later(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        if machine.will_wake {
            return;
        }
        machine.will_wake = true;
        let (at, incarnation) = (machine.busy_until.max(self.now), machine.incarnation);
        self.schedule(at, Due::Wake, host, incarnation);
    }

    /// A machine has time again.
    pub(super) fn wake(&mut self, host: usize, incarnation: u32) {
        if incarnation == super::ADVERSARY {
            return self.adversary_wakes(host);
        }
        let machine = &mut self.hosts[host];
        if machine.incarnation != incarnation {
            return;
        }
        machine.will_wake = false;
        if machine.mode == Mode::Up
            && let Some(waiting) = machine.inbox.pop()
        {
            self.process(host, waiting);
        }
        let machine = &self.hosts[host];
        if machine.mode == Mode::Up && !machine.inbox.is_empty() {
            self.wake_later(host);
        }
    }

    fn process(&mut self, host: usize, waiting: Waiting) {
        match waiting {
            Waiting::Letter(letter) => self.step_letter(host, letter),
            Waiting::Request(op) => self.step_request(host, op),
            Waiting::Junk => self.spend(host, 1),
        }
    }

    fn step_letter(&mut self, host: usize, index: u32) {
        if self.scribe.is_some() {
            self.write_letter(host, index);
        }
        let letter = self.mail.get(index);
        let machine = &mut self.hosts[host];
        if !self.triggers.is_empty() {
            self.triggers.receives(machine.id, &letter.meta);
        }
        let time = machine.time(self.now);
        let Some(replica) = machine.replica.as_mut() else { return self.release(index) };
        let result = replica.step(time, Input::Message(letter.from, &letter.message), &mut machine.outbox);
        let state = State::of(replica);
        self.tallies.deliveries += 1;
        let word = letter.meta.fingerprint ^ (host as u64) << 8 ^ letter.meta.kind as u64;
        self.observer.note(self.now, word ^ reason(result) << 56, state);
        if self.observer.is_heard() {
            let (id, from, serial) = (machine.id, letter.from, letter.serial);
            let what = What::Delivered { from, letter: serial, message: letter.message.get(), result };
            self.observer.tell(self.now, Some(id), state, what);
        }
        let kind = letter.meta.kind;
        let is_late_vote = matches!(kind, Kind::Prepare | Kind::Commit) && result == Err(Ignored::Duplicate);
        let mut cause = Cause::Other;
        match letter.message.get() {
            Message::ViewChange(message) => self.oracles.hears(machine.id, &message.signed),
            Message::NewView(message) => {
                let view = message.signed.body.view;
                // Only then does it matter.
                let leaves = state.target.is_some_and(|target| view < target);
                cause = Cause::NewView(view, leaves && self.oracles.is_guilty(message));
            }
            _ => {}
        }
        self.release(index);
        self.spend(host, 1);
        if is_late_vote {
            // As is one delivery in three. It leaves the state and every deadline as they were.
            debug_assert!(self.is_armed(host), "a late vote moved a deadline");
            self.tallies.took(result);
            return self.drain(host);
        }
        self.after(host, state, result, cause);
    }

    fn step_request(&mut self, host: usize, op: u32) {
        self.write_request(host, op);
        let machine = &mut self.hosts[host];
        let time = machine.time(self.now);
        let Some(replica) = machine.replica.as_mut() else { return };
        let request = &self.clients.ops[op as usize].request;
        let result = replica.step(time, Input::Requests(std::slice::from_ref(request)), &mut machine.outbox);
        let state = State::of(replica);
        let id = machine.id;
        self.observer.note(self.now, mix(u64::from(op), host as u64 | reason(result) << 56), state);
        self.observer.tell(self.now, Some(id), state, What::Requested { op, result });
        if result.is_ok() && self.is_honest(id) {
            self.oracles.liveness.hold(op, id, self.now);
        }
        self.spend(host, 1);
        self.after(host, state, result, Cause::Other);
    }

    /// A replica's deadline may have come.
    pub(super) fn alarm(&mut self, host: usize, time: u64) {
        let machine = &mut self.hosts[host];
        if machine.alarm != Some(time) {
            return;
        }
        machine.alarm = None;
        if machine.mode == Mode::Up {
            let local = machine.time(self.now);
            let is_due = |replica: &mut Replica| replica.deadline().is_some_and(|due| due <= local);
            if machine.replica.as_mut().is_some_and(is_due) {
                self.tick(host);
            }
        }
        self.rearm(host);
    }

    pub(super) fn tick(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let time = machine.time(self.now);
        let Some(replica) = machine.replica.as_mut() else { return };
        let result = replica.step(time, Input::Tick, &mut machine.outbox);
        machine.ticks += 1;
        let is_weighed = machine.ticks.is_multiple_of(TICKS_A_LOOK);
        let state = State::of(replica);
        let id = machine.id;
        self.observer.note(self.now, mix(3, host as u64), state);
        self.observer.tell(self.now, Some(id), state, What::Ticked(result));
        self.after(host, state, result, Cause::Tick);
        self.alarms(host);
        if is_weighed
            && self.is_honest(id)
            && let Some(replica) = &self.hosts[host].replica
        {
            self.oracles.weigh(id, &replica.footprint());
        }
    }

    /// Computing takes time.
    fn spend(&mut self, host: usize, verified: u64) {
        if self.has_cpu_costs {
            let cpu = &self.plan.cpu;
            let cost = cpu.step_ns + verified * cpu.verify_ns;
            let machine = &mut self.hosts[host];
            machine.busy_until = machine.busy_until.max(self.now) + cost;
        }
    }

    /// A replica took a step: looks at it, and does what it wants.
    fn after(&mut self, host: usize, state: State, result: Result<(), Ignored>, cause: Cause) {
        self.stepped(host, state, cause);
        self.tallies.took(result);
        self.drain(host);
        self.rearm(host);
    }

    fn stepped(&mut self, host: usize, state: State, cause: Cause) {
        let id = self.hosts[host].id;
        if !self.is_honest(id) {
            return;
        }
        if let Some(before) = self.oracles.stepped(id, state) {
            if let Some(replica) = &self.hosts[host].replica {
                self.oracles.moved(replica, cause, before, self.plan);
            }
            self.changed(host, before, state);
        }
    }

    /// A replica changed its view, target, watermark or execution.
    fn changed(&mut self, host: usize, before: State, state: State) {
        let id = self.hosts[host].id;
        self.tallies.highest_view = self.tallies.highest_view.max(state.view.0);
        self.alarms(host);
        if !self.triggers.is_empty() {
            self.triggers.stepped(id, state);
        }
        if before.target != state.target
            && let Some(target) = state.target
        {
            self.tallies.view_changes += 1;
            self.probes.hit(Probe::ViewChange);
            let from = before.target.unwrap_or(before.view);
            self.probes.hit_if(target.0 > from.0 + 1, Probe::SkippedView);
            self.probes.hit_if(before.target.is_some(), Probe::SecondTarget);
        }
        self.probes.hit_if(before.stable < state.stable && state.executed < state.stable, Probe::StableAhead);
        let waits = state.executed.is_checkpoint(self.plan.checkpoint_interval) && self.hosts[host].fixed.is_some();
        self.probes.hit_if(before.view < state.view && waits, Probe::ViewChangeAtCheckpoint);
        self.look_at_standings(host, before, state);
        if let Some(replica) = &self.hosts[host].replica {
            self.probes.hit_if(state.executed.0 >= state.stable.0 + self.plan.window, Probe::WindowFull);
            if before.stable < state.stable {
                self.probes.hit_if(replica.has_diverged(), Probe::Diverged);
                self.oracles.weigh(id, &replica.footprint());
            }
        }
    }

    /// What an honest replica has to alarm its operator of (`docs/protocol.md` T17, T18).
    fn alarms(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let id = machine.id;
        if self.honest >> id.0 & 1 == 0 {
            return;
        }
        let Some(replica) = &machine.replica else { return };
        let state = State::of(replica);
        let (slow, halted) = (replica.slow_proposals(), replica.is_halted_at_high());
        let (slow_before, was_halted) = std::mem::replace(&mut machine.alarms, (slow, halted));
        // A replica that came back counts from the beginning.
        let more = slow.saturating_sub(slow_before);
        self.tallies.slow_proposals += more;
        if 0 < more {
            self.probes.hit(Probe::SlowProposal);
            self.observer.tell(self.now, Some(id), state, What::Alarmed("the primary is slow"));
        }
        if halted && !was_halted {
            self.probes.hit(Probe::HaltedAtHigh);
            self.observer.tell(self.now, Some(id), state, What::Alarmed("execution stands at the high watermark"));
        }
    }

    /// Once something is proven against somebody: against whom, and what comes of it.
    fn look_at_standings(&mut self, host: usize, before: State, state: State) {
        let machine = &self.hosts[host];
        let Some(replica) = &machine.replica else { return };
        let standings = replica.ledger().standings();
        if standings.faulty().len() == 0 && !self.oracles.is_any_proven() {
            return; // as in most runs
        }
        if (before.executed, before.stable) != (state.executed, state.stable) {
            self.oracles.standings(machine.id, state.executed, standings);
        }
        let news = standings.banned() & !self.tallies.banned;
        self.probes.hit_if(news != 0, Probe::Ban);
        self.tallies.banned |= standings.banned();
        let left = before.target.unwrap_or(before.view);
        let moves = state.target.is_some_and(|target| left < target);
        self.probes.hit_if(moves && standings.is_banned(self.chain.committee.primary(left)), Probe::BannedPrimary);
    }

    /// Moves a machine's entry in the schedule to its replica's deadline, if that is earlier.
    pub(super) fn rearm(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(replica) = machine.replica.as_mut().filter(|_| machine.mode == Mode::Up) else { return };
        let Some(deadline) = replica.deadline() else { return };
        if machine.alarm.is_some() && machine.armed_for == deadline {
            return;
        }
        machine.armed_for = deadline;
        let at = machine.clock.when(deadline).max(self.now);
        if machine.alarm.is_none_or(|alarm| at < alarm) {
            machine.alarm = Some(at);
            self.schedule(at, Due::Deadline, host, 0);
        }
    }

    /// Whether a machine has an entry in the schedule for its replica's deadline, or an earlier one.
    fn is_armed(&mut self, host: usize) -> bool {
        let machine = &mut self.hosts[host];
        let deadline = machine.replica.as_mut().filter(|_| machine.mode == Mode::Up).and_then(Replica::deadline);
        let at = deadline.map(|deadline| machine.clock.when(deadline).max(self.now));
        at.is_none_or(|at| machine.alarm.is_some_and(|alarm| alarm <= at))
    }

    /// Does what a replica wants, until it wants nothing more that can be done now.
    pub(super) fn drain(&mut self, host: usize) {
        let machine = &self.hosts[host];
        if machine.outbox.is_empty() && machine.executing.is_empty() && machine.stored.is_empty() {
            return; // as after most steps
        }
        let incarnation = machine.incarnation;
        loop {
            if self.hosts[host].outbox.has_records() {
                self.write(host);
            }
            while self.hosts[host].is_running(incarnation)
                && let Some(envelope) = self.hosts[host].outbox.next_send()
            {
                self.send(host, envelope);
            }
            while self.hosts[host].is_running(incarnation)
                && let Some(task) = self.hosts[host].outbox.next_task()
            {
                self.task(host, task);
            }
            if !self.hosts[host].is_running(incarnation) {
                return;
            }
            while self.hosts[host].outbox.next_evidence().is_some() {}
            match self.hosts[host].completion(self.now) {
                Some(completion) => self.complete(host, completion),
                None if self.hosts[host].outbox.has_records() => {}
                None => return,
            }
        }
    }

    fn complete(&mut self, host: usize, completion: Completion) {
        let machine = &mut self.hosts[host];
        let id = machine.id;
        let (input, word, what) = match completion {
            Completion::Executed(slot, results) => {
                (Input::Executed(slot, results), mix(4, slot.0), What::Executed(slot))
            }
            Completion::Stored(slot, hashes) => {
                (Input::SnapshotDurable(slot, hashes), mix(5, slot.0), What::Snapshot(slot))
            }
        };
        let time = machine.time(self.now);
        let Some(replica) = machine.replica.as_mut() else { return };
        let result = replica.step(time, input, &mut machine.outbox);
        let state = State::of(replica);
        self.observer.note(self.now, word ^ (host as u64) << 8, state);
        self.observer.tell(self.now, Some(id), state, what);
        self.tallies.took(result);
        self.stepped(host, state, Cause::Other);
    }

    /// The application finished something.
    pub(super) fn completed(&mut self, host: usize, incarnation: u32) {
        if self.hosts[host].is_running(incarnation) {
            self.drain(host);
            self.rearm(host);
        }
    }
}

fn reason(result: Result<(), Ignored>) -> u64 {
    result.err().map_or(0, |reason| reason as u64 + 1)
}
