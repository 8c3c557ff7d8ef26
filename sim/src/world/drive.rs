//! Driving replicas: inputs in, and what they want done.

use super::Run;
use crate::crypto::mix;
use crate::disk::{Item, Snapshot, Write};
use crate::host::{Completion, Mode, Waiting};
use crate::observe::{State, What};
use crate::plan::Boundary;
use crate::probes::Probe;
use crate::schedule::Due;
use cretoai_core::application::Application;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::bytes::Bytes;
use cretoai_core::input::{Ignored, Input};
use cretoai_core::ledger::{CoreSnapshot, chunk_hash};
use cretoai_core::message::{Data, Message};
use cretoai_core::outbox::{Execution, Target, Task};
use cretoai_core::record::Record;
use std::sync::Arc;

impl Run<'_> {
    /// Gives a machine something to do, now or when it has time.
    pub(super) fn hand(&mut self, host: usize, waiting: Waiting) {
        let machine = &mut self.hosts[host];
        match machine.mode {
            Mode::Up if machine.busy_until <= self.now && machine.inbox.is_empty() => self.process(host, waiting),
            Mode::Up => {
                machine.inbox.push_back(waiting);
                self.wake_later(host);
            }
            Mode::Paused => machine.inbox.push_back(waiting),
            Mode::Down | Mode::Dead(_) => self.discard(waiting),
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
        if let Some(waiting) = machine.inbox.pop_front_if(|_| machine.mode == Mode::Up) {
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
        }
    }

    fn step_letter(&mut self, host: usize, index: u32) {
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
        self.release(index);
        self.spend(host, 1);
        self.after(host, state, result);
    }

    fn step_request(&mut self, host: usize, op: u32) {
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
        self.after(host, state, result);
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
            let is_due = |replica: &mut cretoai_core::Replica| replica.deadline().is_some_and(|due| due <= local);
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
        let state = State::of(replica);
        let id = machine.id;
        self.observer.note(self.now, mix(3, host as u64), state);
        self.observer.tell(self.now, Some(id), state, What::Ticked(result));
        self.after(host, state, result);
        if self.is_honest(id)
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
    fn after(&mut self, host: usize, state: State, result: Result<(), Ignored>) {
        self.stepped(host, state);
        self.tallies.took(result);
        self.drain(host);
        self.rearm(host);
    }

    fn stepped(&mut self, host: usize, state: State) {
        let id = self.hosts[host].id;
        if !self.is_honest(id) {
            return;
        }
        if let Some(before) = self.oracles.stepped(id, state) {
            self.changed(host, before, state);
        }
    }

    /// A replica changed its view, target, watermark or execution.
    fn changed(&mut self, host: usize, before: State, state: State) {
        let id = self.hosts[host].id;
        self.tallies.highest_view = self.tallies.highest_view.max(state.view.0);
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
        if let Some(replica) = &self.hosts[host].replica {
            self.probes.hit_if(state.executed.0 >= state.stable.0 + self.plan.window, Probe::WindowFull);
            if before.stable < state.stable {
                self.probes.hit_if(replica.has_diverged(), Probe::Diverged);
                self.oracles.weigh(id, &replica.footprint());
            }
        }
    }

    /// Moves a machine's entry in the schedule to its replica's deadline, if that is earlier.
    pub(super) fn rearm(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(replica) = machine.replica.as_mut().filter(|_| machine.mode == Mode::Up) else { return };
        let Some(deadline) = replica.deadline() else { return };
        let at = machine.clock.when(deadline).max(self.now);
        if machine.alarm.is_none_or(|alarm| at < alarm) {
            machine.alarm = Some(at);
            self.schedule(at, Due::Deadline, host, 0);
        }
    }

    /// Does what a replica wants, until it wants nothing more that can be done now.
    pub(super) fn drain(&mut self, host: usize) {
        let incarnation = self.hosts[host].incarnation;
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
        let is_judged = self.honest >> id.0 & 1 == 1 && !machine.flipped;
        let (input, word, what) = match completion {
            Completion::Executed(slot, results) => {
                if is_judged {
                    self.oracles.results(id, slot, &results, &mut self.facts);
                }
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
        self.stepped(host, state);
    }

    /// The application finished something.
    pub(super) fn completed(&mut self, host: usize, incarnation: u32) {
        if self.hosts[host].is_running(incarnation) {
            self.drain(host);
            self.rearm(host);
        }
    }

    fn write(&mut self, host: usize) {
        let mut items = std::mem::take(&mut self.scratch.items);
        let machine = &mut self.hosts[host];
        items.extend(machine.outbox.take_records().map(|(_, record)| Item::Record(record)));
        self.write_items(host, &mut items);
        self.scratch.items = items;
    }

    fn write_items(&mut self, host: usize, items: &mut Vec<Item>) {
        let machine = &mut self.hosts[host];
        match machine.disk.write(items, self.now, &mut self.disk_rng) {
            Write::Done => self.written(host),
            Write::Until(at) => {
                let incarnation = machine.incarnation;
                self.schedule(at, Due::Synced, host, incarnation);
            }
            Write::Queued => {}
        }
    }

    /// A disk finished a write.
    pub(super) fn synced(&mut self, host: usize, incarnation: u32) {
        let machine = &self.hosts[host];
        if machine.incarnation != incarnation || !machine.has_power() {
            return;
        }
        self.written(host);
        if self.hosts[host].is_running(incarnation) {
            self.drain(host);
            self.rearm(host);
        }
    }

    fn written(&mut self, host: usize) {
        if !self.hosts[host].disk.sync(&mut self.disk_rng) {
            self.probes.hit(Probe::DiskFailure);
            return self.end_host(host, "its disk failed");
        }
        let crashes = self.crash_in_frame(host);
        let id = self.hosts[host].id;
        let mut stable = false;
        if self.is_honest(id) {
            stable = self.record_all(host);
        }
        let machine = &mut self.hosts[host];
        for item in machine.disk.writing() {
            if let Item::Snapshot(snapshot) = item
                && snapshot.awaited
            {
                machine.stored.push_back((snapshot.core.slot, snapshot.hashes.clone()));
            }
        }
        let next = machine.disk.commit(self.now, &mut self.disk_rng);
        machine.outbox.mark_durable(machine.disk.end());
        if stable
            && self.plan.disk.prune
            && machine.outbox.is_durable()
            && let Some(replica) = &machine.replica
        {
            machine.disk.prune(|record| replica.is_obsolete(record));
        }
        if crashes {
            return self.crash_at_point(host);
        }
        if let Some(at) = next {
            let incarnation = self.hosts[host].incarnation;
            self.schedule(at, Due::Synced, host, incarnation);
        }
    }

    /// Shows the oracles what became durable. Whether the low watermark is among it.
    fn record_all(&mut self, host: usize) -> bool {
        let machine = &self.hosts[host];
        let id = machine.id;
        let mut stable = false;
        for item in machine.disk.writing() {
            let Item::Record(record) = item else { continue };
            self.oracles.recorded(id, record, &mut self.facts);
            if !self.triggers.is_empty() {
                self.triggers.recorded(id, record);
            }
            match record {
                Record::Stable(_) => stable = true,
                Record::Evidence(evidence) => {
                    self.tallies.evidence.push((id, evidence.accused(), evidence.kind()));
                    self.probes.hit(Probe::Evidence);
                }
                Record::Committed(certificate) => {
                    let proposed = self.facts.slot(certificate.claim.slot).proposed_in;
                    self.probes.hit_if(proposed.is_some_and(|view| view < certificate.claim.view), Probe::DecidedLater);
                }
                Record::Halted(_) => self.probes.hit(Probe::Halted),
                Record::OwnVertex(vertex) | Record::Vertex(vertex) => {
                    for request in &vertex.body.payload {
                        if let Some(op) = self.clients.numbers.get(&request.id()) {
                            self.oracles.liveness.hold(op, id, self.now);
                        }
                    }
                }
                Record::NewViewInstalled(message) => {
                    let body = &message.signed.body;
                    self.probes.hit_if(!body.proposals.is_empty(), Probe::Reproposal);
                    self.probes.hit_if(body.proposals.iter().any(|(_, digest)| *digest == NULL_BATCH), Probe::NullProposal);
                    let executed = machine.replica.as_ref().map_or(body.stable, cretoai_core::Replica::executed);
                    self.probes.hit_if(executed < body.stable, Probe::NewViewMovesWatermark);
                    self.probes.hit_if(!message.certificates.0.is_empty(), Probe::PreparedCarried);
                }
                _ => {}
            }
            self.observer.tell(self.now, Some(id), State::default(), What::Recorded(record));
        }
        stable
    }

    /// Whether the plan has a machine crash at a record that is being written; if so, the frame ends there.
    fn crash_in_frame(&mut self, host: usize) -> bool {
        let machine = &mut self.hosts[host];
        let points = &self.plan.crash_points;
        for (place, item) in machine.disk.writing().iter().enumerate() {
            if !matches!(item, Item::Record(_)) {
                continue;
            }
            machine.effects.records += 1;
            let nth = machine.effects.records;
            let is_at = |at| points.iter().any(|point| (point.replica, point.at, point.nth) == (machine.id.0, at, nth));
            let kept = if is_at(Boundary::BeforeRecord) {
                place
            } else if is_at(Boundary::AfterRecord) {
                place + 1
            } else {
                continue;
            };
            machine.disk.cut_short(kept);
            return true;
        }
        false
    }

    fn task(&mut self, host: usize, task: Task) {
        match task {
            Task::Execute(execution) => self.execute(host, &execution),
            Task::Snapshot(core) => self.snapshot(host, core),
            Task::Restore(core, app) => self.restore(host, core, app),
            Task::ServeChunk(to, slot, hash) => {
                if let Some(chunk) = self.hosts[host].disk.chunk(slot, hash) {
                    let message = Message::Data(Arc::new(Data::Chunk(chunk)));
                    let envelope = cretoai_core::outbox::Envelope { to: Target::One(to), message };
                    self.send(host, envelope);
                }
            }
            Task::Reply(reply) => self.reply(host, reply),
            Task::KeepSnapshots(slots) => self.hosts[host].disk.keep_snapshots(&slots),
        }
    }

    fn execute(&mut self, host: usize, execution: &Execution) {
        let id = self.hosts[host].id;
        let slot = execution.slot;
        if self.is_honest(id) {
            self.note_execution(host, execution);
        }
        let machine = &mut self.hosts[host];
        let results = machine.app.execute(execution);
        let at_checkpoint = slot.is_checkpoint(self.plan.checkpoint_interval);
        if at_checkpoint {
            machine.fix_state(slot);
        }
        let cpu = &self.plan.cpu;
        let mut cost = cpu.execute_slot_ns + cpu.execute_request_ns * execution.requests.len() as u64;
        cost += if at_checkpoint { cpu.snapshot_ns } else { 0 };
        machine.app_busy_until = machine.app_busy_until.max(self.now) + cost;
        let ready = machine.app_busy_until;
        machine.executing.push_back((ready, slot, results));
        if self.now < ready {
            let incarnation = machine.incarnation;
            self.schedule(ready, Due::Executed, host, incarnation);
        }
        let what = What::Executes { slot, requests: execution.requests.len() };
        self.observer.tell(self.now, Some(id), State::default(), what);
    }

    fn note_execution(&mut self, host: usize, execution: &Execution) {
        let machine = &self.hosts[host];
        let (id, slot) = (machine.id, execution.slot);
        if self.oracles.executes(id, execution, &mut self.facts, &mut self.clients) {
            let facts = self.facts.slot(slot);
            self.probes.hit_if(facts.decided == Some(NULL_BATCH), Probe::NullExecuted);
        }
        if !self.triggers.is_empty() {
            self.triggers.executed(id, slot);
        }
        if self.facts.execute(id, slot, self.now) {
            let facts = self.facts.slot(slot);
            if let (Some(decided), Some((proposed, at))) = (facts.decided, facts.proposed)
                && decided == proposed
            {
                self.facts.finality.push(self.now - at);
            }
        } else {
            self.probes.hit(Probe::Reexecution);
        }
        self.consider_ending();
    }

    fn snapshot(&mut self, host: usize, core: Arc<CoreSnapshot>) {
        let machine = &mut self.hosts[host];
        let (slot, app, hashes) = machine.fixed.take().expect("a checkpoint slot was executed");
        assert_eq!(slot, core.slot, "the snapshot that is asked for is of the last checkpoint slot");
        let snapshot = Snapshot { core, app, hashes, awaited: true };
        let (id, is_flipped) = (machine.id, machine.flipped);
        if self.is_honest(id) && !is_flipped {
            self.oracles.snapshot(id, &snapshot);
        }
        self.write_items(host, &mut vec![Item::Snapshot(snapshot)]);
    }

    fn restore(&mut self, host: usize, core: Arc<CoreSnapshot>, app: Vec<Arc<Bytes>>) {
        let machine = &mut self.hosts[host];
        let chunks: Vec<&[u8]> = app.iter().map(|chunk| chunk.0.as_slice()).collect();
        let restored = machine.app.restore(&chunks);
        let (id, slot) = (machine.id, core.slot);
        if let Err(error) = restored {
            return self.fail("O6", format!("{id} was told to restore a state that is none: {error}"));
        }
        machine.flipped = false;
        machine.fixed = None;
        let hashes = app.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
        let snapshot = Snapshot { core, app, hashes, awaited: false };
        if self.is_honest(id) {
            self.oracles.restored(id, &snapshot);
            self.facts.execute(id, slot, self.now);
            self.tallies.transfers += 1;
            self.tallies.transferred |= 1 << id.0;
            self.probes.hit(Probe::Transfer);
        }
        self.observer.tell(self.now, Some(id), State::default(), What::Restored(slot));
        self.write_items(host, &mut vec![Item::Snapshot(snapshot)]);
    }
}

fn reason(result: Result<(), Ignored>) -> u64 {
    result.err().map_or(0, |reason| reason as u64 + 1)
}
