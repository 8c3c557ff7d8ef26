//! What a replica computes: the step of a backup, without signatures checked, disk or network.
//!
//! Messages are made and verified beforehand. The backup goes from slot to slot as in a run without faults, with a
//! checkpoint wherever one is due, so that tables have the size that they have in practice.

use cretoai_benches::{Committee, Script};
use cretoai_core::application::Application;
use cretoai_core::input::Ignored;
use cretoai_core::ledger::chunk_hash;
use cretoai_core::message::Message;
use cretoai_core::outbox::{Outbox, Task};
use cretoai_core::time::Instant;
use cretoai_core::types::Slot;
use cretoai_core::verify::Verified;
use cretoai_core::{Input, Replica};
use cretoai_sim::app::Tally;
use cretoai_sim::plan::Crypto;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant as Moment};

/// A backup, and everything that it wants done.
struct Backup<'a> {
    committee: &'a Committee,
    replica: Replica,
    out: Outbox,
    app: Tally,
    now: Instant,
    votes: usize,
}

impl<'a> Backup<'a> {
    fn new(committee: &'a Committee) -> Self {
        let replica = committee.backup();
        Self { committee, replica, out: Outbox::default(), app: Tally::default(), now: Instant::GENESIS, votes: 0 }
    }

    /// A step alone. What comes out stays where it is.
    fn step(&mut self, message: &Verified<Message>) -> Result<(), Ignored> {
        let link = message.speaker().unwrap_or(cretoai_benches::PRIMARY);
        self.replica.step(self.now, Input::Message(link, message), &mut self.out)
    }

    /// A step, and everything that follows from it.
    fn take(&mut self, message: &Verified<Message>) {
        // Votes beyond a quorum are ignored, as they should be.
        let _ = self.step(message);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let last = self.out.take_records().map(|(lsn, record)| (lsn, drop(black_box(record)))).last();
            if let Some((lsn, ())) = last {
                self.out.mark_durable(lsn);
            }
            while let Some(envelope) = self.out.next_send() {
                match black_box(envelope.message) {
                    Message::Checkpoint(own) => {
                        for id in self.committee.others() {
                            let vote = Message::Checkpoint(self.committee.checkpoint(id, own.body));
                            let _ = self.step(&self.committee.verified(vote));
                        }
                    }
                    Message::Vote(_) => self.votes += 1,
                    _ => {}
                }
            }
            let Some(task) = self.out.next_task() else {
                if self.out.has_records() {
                    continue;
                }
                return;
            };
            self.work(task);
        }
    }

    fn work(&mut self, task: Task) {
        let input = match task {
            Task::Execute(execution) => Input::Executed(execution.slot, self.app.execute(&execution)),
            Task::Snapshot(core) => {
                let chunks = self.app.snapshot();
                Input::SnapshotDurable(core.slot, chunks.iter().map(|chunk| chunk_hash(&chunk.0)).collect())
            }
            _ => return,
        };
        self.replica.step(self.now, input, &mut self.out).expect("it asked for this");
    }

    /// All of a slot.
    fn slot(&mut self, script: &Script) {
        self.now = script.now;
        let proposal = [&script.vertex, &script.proposal];
        proposal.into_iter().chain(&script.prepares).chain(&script.commits).for_each(|message| self.take(message));
    }
}

/// Runs so many slots through a new backup, and adds up the part of each that is measured.
fn slots(committee: &Committee, slots: u64, part: impl Fn(&mut Backup<'_>, &Script) -> Duration) -> Duration {
    let scripts = committee.scripts(slots);
    let mut backup = Backup::new(committee);
    let time = scripts.iter().map(|script| part(&mut backup, script)).sum();
    assert_eq!(backup.replica.executed(), Slot(slots), "every slot is executed");
    assert_eq!(backup.votes as u64, 2 * slots, "a PREPARE and a COMMIT in every slot");
    time
}

/// A PREPARE that is counted and makes no quorum.
fn vote(c: &mut Criterion) {
    let committee = Committee::new(Crypto::Simulated, 31);
    // The primary's and the backup's own are counted already, and the last one makes the quorum.
    let counted = usize::from(committee.chain.committee.quorum()) - 3;
    let part = |backup: &mut Backup<'_>, script: &Script| {
        backup.now = script.now;
        backup.take(&script.vertex);
        backup.take(&script.proposal);
        let (early, late) = script.prepares.split_at(counted);
        let started = Moment::now();
        early.iter().for_each(|vote| black_box(backup.step(vote)).expect("it counts"));
        let time = started.elapsed();
        late.iter().chain(&script.commits).for_each(|vote| backup.take(vote));
        time
    };
    let counted = counted as u64;
    c.benchmark_group("step").throughput(Throughput::Elements(1)).bench_function("vote", |b| {
        b.iter_custom(|votes| {
            let count = votes.div_ceil(counted);
            slots(&committee, count, part).mul_f64(votes as f64 / (count * counted) as f64)
        });
    });
}

/// A PRE-PREPARE that is accepted: recorded, voted for, the vote signed and counted.
fn proposal(c: &mut Criterion) {
    let committee = Committee::new(Crypto::Simulated, 4);
    let part = |backup: &mut Backup<'_>, script: &Script| {
        backup.now = script.now;
        backup.take(&script.vertex);
        let started = Moment::now();
        black_box(backup.step(&script.proposal)).expect("it is accepted");
        let time = started.elapsed();
        backup.drain();
        script.prepares.iter().chain(&script.commits).for_each(|vote| backup.take(vote));
        time
    };
    c.benchmark_group("step").throughput(Throughput::Elements(1)).bench_function("proposal", |b| {
        b.iter_custom(|count| slots(&committee, count, part));
    });
}

/// A slot of one replica from the vertex to the last COMMIT, executed, with its share of a checkpoint.
fn slot(c: &mut Criterion) {
    let mut group = c.benchmark_group("step/slot");
    group.throughput(Throughput::Elements(1));
    for n in [4, 31] {
        let committee = Committee::new(Crypto::Simulated, n);
        let part = |backup: &mut Backup<'_>, script: &Script| {
            let started = Moment::now();
            backup.slot(script);
            started.elapsed()
        };
        group.bench_function(BenchmarkId::new("n", n), |b| {
            b.iter_custom(|count| slots(&committee, count, part));
        });
    }
}

criterion_group!(benches, vote, proposal, slot);
criterion_main!(benches);
