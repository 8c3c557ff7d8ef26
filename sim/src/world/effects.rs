//! Doing what replicas want: records onto disks, slots to applications, snapshots.

use super::Run;
use crate::disk::{Item, Snapshot, Write};
use crate::observe::{State, What};
use crate::plan::Boundary;
use crate::probes::Probe;
use crate::schedule::Due;
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::bytes::Bytes;
use cretoai_core::ledger::{CoreSnapshot, Verdict, chunk_hash};
use cretoai_core::message::{Data, Message};
use cretoai_core::outbox::{Execution, Target, Task};
use cretoai_core::record::Record;
use cretoai_core::types::ReplicaId;
use std::sync::Arc;

impl Run<'_> {
    pub(super) fn write(&mut self, host: usize) {
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
                Record::OwnVertex(vertex) | Record::Vertex(vertex) => {
                    for request in vertex.body.requests() {
                        if let Some(op) = self.clients.numbers.get(&request.id()) {
                            self.oracles.liveness.hold(op, id, self.now);
                        }
                    }
                }
                Record::NewViewInstalled(message) => {
                    let body = &message.signed.body;
                    self.probes.hit_if(!body.proposals.is_empty(), Probe::Reproposal);
                    self.probes
                        .hit_if(body.proposals.iter().any(|(_, digest)| *digest == NULL_BATCH), Probe::NullProposal);
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

    pub(super) fn task(&mut self, host: usize, task: Task) {
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
            Task::DropSnapshots(slots) => self.hosts[host].disk.drop_snapshots(&slots),
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
        if self.honest >> id.0 & 1 == 1 && !machine.flipped {
            self.oracles.results(id, slot, &results, &mut self.facts);
        }
        let at_checkpoint = slot.is_checkpoint(self.plan.checkpoint_interval);
        if at_checkpoint {
            machine.fix_state(slot);
        }
        self.hear_complaint(host);
        let machine = &mut self.hosts[host];
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

    /// An application under test may have been found wrong.
    fn hear_complaint(&mut self, host: usize) {
        let machine = &self.hosts[host];
        if let Some(complaint) = machine.app.complaint()
            && self.is_honest(machine.id)
        {
            let sentence = format!("the application of {}: {complaint}", machine.id);
            self.fail("application", sentence);
        }
    }

    /// Somebody correct found a batch timely that is decided: its time is not ahead of the fastest clock by more than
    /// that allows (D16, F5).
    fn check_time(&mut self, execution: &Execution) {
        let honest = self.hosts.iter().map(|host| host.would_show(self.now)).max().unwrap_or_default();
        let allowed = self.plan.all_timeouts().map(|t| t.precision_us + t.message_delay_us).max().unwrap_or_default();
        // A slot is later than the one before by a nanosecond at the least, whatever its batch says.
        let last = honest.0 + allowed * 1000 + execution.slot.0;
        if last < execution.time.0 {
            let what = format!("{} is executed at {} ns, which no clock allows", execution.slot, execution.time.0);
            self.oracles.judge(2, Err(what));
        }
    }

    fn note_execution(&mut self, host: usize, execution: &Execution) {
        let machine = &self.hosts[host];
        let (id, slot) = (machine.id, execution.slot);
        if self.oracles.executes(id, execution, &mut self.facts, &mut self.clients) {
            let facts = self.facts.slot(slot);
            self.probes.hit_if(facts.decided == Some(NULL_BATCH), Probe::NullExecuted);
            for (vertex, verdict) in &execution.listed {
                let accuses = *verdict == Verdict::Final && vertex.body.evidence().is_some();
                self.probes.hit_if(accuses, Probe::Accusation);
                self.probes.hit_if(*verdict == Verdict::Banned, Probe::BannedVertex);
            }
            if self.guests.is_examined {
                self.executions.push(execution.clone());
            }
            self.check_time(execution);
        }
        if self.oracles.is_pace_of_interest(id) {
            self.note_pace(id, execution);
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

    /// How old is what a replica executes. Of what a Byzantine one made nobody knows, nor where clocks are set.
    fn note_pace(&mut self, id: ReplicaId, execution: &Execution) {
        for (vertex, verdict) in &execution.listed {
            let author = vertex.body.author;
            let made = (self.is_honest(author) && !self.sets_clocks)
                .then(|| self.hosts[author.index()].clock.when(vertex.body.ts));
            let age = made.map(|made| self.now.saturating_sub(made));
            self.oracles.paces(id, age, author == id && *verdict == Verdict::Final);
        }
    }

    fn snapshot(&mut self, host: usize, core: Arc<CoreSnapshot>) {
        let machine = &mut self.hosts[host];
        let (slot, app, hashes) = machine.fixed.take().expect("a checkpoint slot was executed");
        assert_eq!(slot, core.slot, "the snapshot that is asked for is of the last checkpoint slot");
        let snapshot = Snapshot { core, app, hashes, awaited: true, flipped: machine.flipped };
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
        let snapshot = Snapshot { core, app, hashes, awaited: false, flipped: false };
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
