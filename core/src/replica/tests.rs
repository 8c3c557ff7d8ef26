//! A cluster in a few lines: replicas, a queue of messages, no time lost on the way.

use crate::application::Application;
use crate::bytes::Bytes;
use crate::checkpoint::{CheckpointCertificate, CheckpointVote};
use crate::config::{Config, Timeouts};
use crate::hash::Digest;
use crate::input::Input;
use crate::kv::{KvOp, KvStore};
use crate::ledger::{CoreSnapshot, Ledger, chunk_hash};
use crate::message::{Data, FetchItem, Message};
use crate::outbox::{Outbox, Target, Task};
use crate::record::Record;
use crate::replica::{Halt, OwnSnapshot, Replica};
use crate::request::{ClientRequest, Request};
use crate::time::{Duration, Instant};
use crate::types::{Lsn, ReplicaId, Slot, View};
use crate::verify::testing::World;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

mod accountability;
mod agreement;
mod alarms;
mod essence;
mod execution;
mod holding;
mod recollection;
mod records;
mod restarts;
mod serving;

struct Node {
    replica: Replica,
    out: Outbox,
    app: KvStore,
    log: Vec<Record>,
    snapshots: Vec<(OwnSnapshot, Vec<Bytes>)>,
    executed: Vec<(Slot, usize)>,
    up: bool,
    /// Snapshots that it begins do not get done.
    is_slow: bool,
}

struct Cluster {
    world: World,
    nodes: Vec<Node>,
    wire: VecDeque<(ReplicaId, ReplicaId, Message)>,
    now: Instant,
    nonce: u8,
}

impl Cluster {
    fn new(n: u16) -> Self {
        let world = World::new(n);
        let nodes = world.chain.committee.members().map(|id| Node {
            replica: Replica::new(world.chain.clone(), config(&world, id), Box::new(world.signer(id.0))),
            out: Outbox::default(),
            app: KvStore::new(),
            log: Vec::new(),
            snapshots: Vec::new(),
            executed: Vec::new(),
            up: true,
            is_slow: false,
        });
        let nodes = nodes.collect();
        Self { world, nodes, wire: VecDeque::new(), now: Instant(1), nonce: 0 }
    }

    fn step(&mut self, at: usize, input: Input<'_>) {
        let node = &mut self.nodes[at];
        let _ = node.replica.step(self.now, input, &mut node.out);
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        let id = ReplicaId(u16::try_from(at).unwrap());
        let n = self.nodes.len();
        let node = &mut self.nodes[at];
        let records: Vec<_> = node.out.take_records().collect();
        if let Some((lsn, _)) = records.last() {
            node.out.mark_durable(*lsn);
        }
        node.log.extend(records.into_iter().map(|(_, record)| record));
        while let Some(envelope) = node.out.next_send() {
            match envelope.to {
                Target::One(to) => self.wire.push_back((id, to, envelope.message)),
                Target::All => {
                    for to in (0..n).filter(|to| *to != at) {
                        self.wire.push_back((id, ReplicaId(u16::try_from(to).unwrap()), envelope.message.clone()));
                    }
                }
            }
        }
        while let Some(task) = self.nodes[at].out.next_task() {
            self.work(at, task);
        }
    }

    fn work(&mut self, at: usize, task: Task) {
        let node = &mut self.nodes[at];
        match task {
            Task::Execute(execution) => {
                let results = node.app.execute(&execution);
                node.executed.push((execution.slot, execution.requests.len()));
                self.step(at, Input::Executed(execution.slot, results));
            }
            Task::Snapshot(_) if node.is_slow => {}
            Task::Snapshot(core) => {
                let chunks = node.app.snapshot();
                let app: Vec<Digest> = chunks.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
                let slot = core.slot;
                node.snapshots.push((OwnSnapshot { core, app: app.clone() }, chunks));
                self.step(at, Input::SnapshotDurable(slot, app));
            }
            Task::Restore(core, chunks) => {
                let app = chunks.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
                let chunks: Vec<Bytes> = chunks.iter().map(|chunk| (**chunk).clone()).collect();
                let bytes: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.0.as_slice()).collect();
                node.app.restore(&bytes).unwrap();
                node.snapshots.push((OwnSnapshot { core, app }, chunks));
            }
            Task::ServeChunk(to, slot, digest) => {
                let held = node.snapshots.iter().find(|(own, _)| own.core.slot == slot);
                let Some((own, chunks)) = held else { return };
                let core = own.core.chunks.iter().map(|chunk| (**chunk).clone());
                let chunk = core.chain(chunks.iter().cloned()).find(|chunk| chunk_hash(&chunk.0) == digest);
                let chunk = chunk.expect("a listed chunk is stored");
                let message = Message::Data(Arc::new(Data::Chunk(Arc::new(chunk))));
                self.wire.push_back((ReplicaId(u16::try_from(at).unwrap()), to, message));
            }
            Task::DropSnapshots(slots) => node.snapshots.retain(|(own, _)| !slots.contains(&own.core.slot)),
            Task::Reply(_) => {}
        }
    }

    /// Delivers everything that is on the wire and whatever follows from it, without any time passing.
    fn settle(&mut self, lose: impl Fn(ReplicaId, ReplicaId, &Message) -> bool) {
        while let Some((from, to, message)) = self.wire.pop_front() {
            if !self.nodes[to.index()].up || !self.nodes[from.index()].up || lose(from, to, &message) {
                continue;
            }
            let verified = self.world.verifier.message(message).expect("honest replicas send valid messages");
            self.step(to.index(), Input::Message(from, &verified));
        }
    }

    /// Lets time pass until every timer that falls due in `span` was ticked.
    fn run(&mut self, span: Duration, lose: impl Fn(ReplicaId, ReplicaId, &Message) -> bool) {
        let end = self.now + span;
        loop {
            self.settle(&lose);
            let next = self.nodes.iter_mut().enumerate().filter(|(_, node)| node.up);
            let next = next.filter_map(|(at, node)| node.replica.deadline().map(|due| (due, at))).min();
            let Some((due, at)) = next.filter(|(due, _)| *due <= end) else { break };
            self.now = self.now.max(due);
            self.step(at, Input::Tick);
        }
        self.now = end;
    }

    fn request(&mut self, at: usize) {
        self.nonce += 1;
        let op = KvOp::Put { key: Bytes(vec![self.nonce]), value: Bytes(vec![7]) }.encode();
        let request = Request {
            chain_id: self.world.chain.id,
            expires: self.now + Duration::from_secs(20),
            nonce: [self.nonce; 16],
            caller: None,
            op,
        };
        let request = self.world.verifier.request(Arc::new(ClientRequest::anonymous(request))).unwrap();
        self.step(at, Input::Requests(&[request]));
    }

    fn crash(&mut self, at: usize) {
        self.nodes[at].up = false;
    }

    fn restart(&mut self, at: usize) {
        let id = ReplicaId(u16::try_from(at).unwrap());
        let node = &mut self.nodes[at];
        let newest = node.snapshots.iter().max_by_key(|(own, _)| own.core.slot).cloned();
        let (own, chunks) = newest.map_or((None, Vec::new()), |(own, chunks)| (Some(own), chunks));
        node.app = KvStore::new();
        if own.is_some() {
            let bytes: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.0.as_slice()).collect();
            node.app.restore(&bytes).unwrap();
        }
        let signer = Box::new(self.world.signer(id.0));
        let config = config(&self.world, id);
        node.replica = Replica::recover(self.world.chain.clone(), config, signer, own, node.log.clone()).unwrap();
        node.out = Outbox::resume_at(Lsn(node.log.len() as u64));
        node.up = true;
    }

    fn executed(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.replica.executed().0).collect()
    }
}

fn config(world: &World, id: ReplicaId) -> Config {
    Config::new(id, &world.chain, Timeouts::from_base(Duration::from_millis(400)))
}

fn keep_all(_: ReplicaId, _: ReplicaId, _: &Message) -> bool {
    false
}

#[test]
fn four_replicas_execute_what_clients_ask_and_checkpoints_become_stable() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    for round in 0..100 {
        cluster.request(round % 4);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    assert_eq!(cluster.executed(), [100; 4]);
    for node in &cluster.nodes {
        assert_eq!(node.replica.stable(), Slot(100));
        assert_eq!(node.replica.view(), View(0));
        assert_eq!(node.replica.pending(), 0);
        assert_eq!(node.app.len(), 100);
    }
}

#[test]
fn a_dead_primary_is_replaced() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.crash(0);
    cluster.request(1);
    cluster.run(Duration::from_millis(500), keep_all);
    assert_eq!(cluster.executed()[1..], [1; 3]);
    assert!(cluster.nodes[1..].iter().all(|node| node.replica.view() == View(1)));
}

#[test]
fn what_was_prepared_survives_the_view_change() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    let lose_commits = |_: ReplicaId, _: ReplicaId, message: &Message| message.kind() == "COMMIT";
    for at in 0..3 {
        cluster.request(at);
        cluster.run(Duration::from_millis(1), lose_commits);
    }
    assert_eq!(cluster.executed(), [0; 4]);
    cluster.crash(0);
    cluster.run(Duration::from_secs(1), keep_all);
    assert_eq!(cluster.executed()[1..], [3; 3]);
}

#[test]
fn a_restarted_replica_catches_up() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.request(0);
    cluster.run(Duration::from_millis(5), keep_all);
    cluster.crash(3);
    for round in 0..40 {
        cluster.request(round % 3);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    cluster.restart(3);
    cluster.run(Duration::from_secs(1), keep_all);
    assert_eq!(cluster.executed(), [41; 4]);
}

#[test]
fn a_replica_that_was_away_for_several_windows_has_its_state_transferred() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.crash(3);
    for round in 0..230 {
        cluster.request(round % 3);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    cluster.restart(3);
    cluster.run(Duration::from_secs(2), keep_all);
    assert_eq!(cluster.executed(), [230; 4]);
    assert_eq!(cluster.nodes[3].app.len(), 230);
    assert!(cluster.nodes[3].executed.len() < 100);
}

#[test]
fn all_replicas_come_back_from_their_disks() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    for round in 0..50 {
        cluster.request(round % 4);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    for at in 0..4 {
        cluster.crash(at);
    }
    cluster.wire.clear();
    for at in 0..4 {
        cluster.restart(at);
    }
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.request(2);
    cluster.run(Duration::from_secs(1), keep_all);
    assert_eq!(cluster.executed(), [51; 4]);
}

/// A replica of a committee of four, alone.
pub(super) fn alone(world: &World, id: u16) -> Replica {
    let id = ReplicaId(id);
    Replica::new(world.chain.clone(), config(world, id), Box::new(world.signer(id.0)))
}

fn deliver(world: &World, replica: &mut Replica, out: &mut Outbox, from: u16, message: Message) {
    let message = world.verifier.message(message).expect("valid");
    let _ = replica.step(Instant(1), Input::Message(ReplicaId(from), &message), out);
}

/// The state after so many NULL slots, and the proof that it is stable with this application's state.
fn certified(world: &World, slots: u64, app: &[Digest]) -> (CoreSnapshot, CheckpointCertificate) {
    let mut ledger = Ledger::new(world.chain.clone());
    for slot in 1..=slots {
        let _ = ledger.finalize(Slot(slot), None, |_| unreachable!("NULL lists nothing"));
    }
    let core = ledger.snapshot();
    let vote = CheckpointVote { slot: Slot(slots), state: core.manifest(app.to_vec()).state() };
    (core, CheckpointCertificate { vote, votes: (0..3).map(|signer| world.sign(signer, vote)).collect() })
}

#[test]
fn a_state_of_many_chunks_is_taken_over_although_its_target_moves_on_the_way() {
    let world = World::new(4);
    let chunks: Vec<Bytes> = (0..30_000_u32).map(|number| Bytes(number.to_be_bytes().to_vec())).collect();
    let app: Vec<Digest> = chunks.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
    let (mut replica, mut out) = (alone(&world, 3), Outbox::default());
    let mut served = 0;
    for (slots, upto) in [(12, 29_000), (16, usize::MAX)] {
        let (core, proof) = certified(&world, slots, &app);
        deliver(&world, &mut replica, &mut out, 0, Message::StableCheckpoint(Arc::new(proof)));
        let manifest = Data::Manifest(Arc::new(core.manifest(app.clone())));
        deliver(&world, &mut replica, &mut out, 0, Message::Data(Arc::new(manifest)));
        let core = core.chunks.iter().map(|chunk| (**chunk).clone());
        let by_hash: BTreeMap<Digest, Bytes> =
            core.chain(chunks.iter().cloned()).map(|chunk| (chunk_hash(&chunk.0), chunk)).collect();
        while replica.is_transferring() && served < upto {
            let _ = replica.step(Instant(1), Input::Tick, &mut out);
            let asked: Vec<_> = std::iter::from_fn(|| out.next_send()).map(|envelope| envelope.message).collect();
            assert!(asked.iter().any(|message| message.kind() == "FETCH"), "after {served} chunks");
            for item in asked
                .iter()
                .filter_map(|message| if let Message::Fetch(items) = message { Some(items) } else { None })
                .flat_map(|items| items.iter())
            {
                let FetchItem::Chunk(_, hash) = item else { continue };
                served += 1;
                let chunk = Message::Data(Arc::new(Data::Chunk(Arc::new(by_hash[hash].clone()))));
                deliver(&world, &mut replica, &mut out, 0, chunk);
            }
        }
    }
    assert_eq!(replica.executed(), Slot(16));
    assert!(served < chunks.len() + 10, "{served} chunks were sent, some of them twice");
}

#[test]
fn a_checkpoint_that_came_as_a_certificate_says_nothing_of_how_fast_the_others_are() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    let only = |to_3: &'static [&'static str]| {
        move |from: ReplicaId, to: ReplicaId, message: &Message| {
            from == ReplicaId(3) && message.kind() != "STATUS" && message.kind() != "FETCH"
                || to == ReplicaId(3) && !to_3.contains(&message.kind())
        }
    };
    // Replica 3 learns of a request and of nothing that is done about it, and leaves the view.
    cluster.request(0);
    cluster.run(Duration::from_millis(900), only(&["VERTEX"]));
    assert_eq!(cluster.nodes[3].replica.back_off(), 1);
    // It is given the state, and so has nothing to wait for any more.
    for round in 0..40 {
        cluster.request(round % 3);
        cluster.run(Duration::from_millis(1), only(&[]));
    }
    cluster.run(Duration::from_secs(2), only(&["STABLE-CHECKPOINT", "DATA"]));
    let stable = cluster.nodes[3].replica.stable();
    assert_eq!((stable, cluster.nodes[3].replica.pending()), (Slot(40), 0));
    for round in 0..8 {
        cluster.request(round % 3);
        cluster.run(Duration::from_millis(1), only(&[]));
    }
    cluster.run(Duration::from_secs(2), only(&["STABLE-CHECKPOINT"]));
    assert!(stable < cluster.nodes[3].replica.stable(), "another checkpoint came");
    assert_eq!(cluster.nodes[3].replica.back_off(), 1, "it executed nothing since");
}

#[test]
fn own_vertices_are_kept_when_a_replica_comes_back_from_an_old_snapshot() {
    // More than an author may have open: each was finalized before the crash, and the replica no longer knows.
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.nodes[3].is_slow = true;
    for _ in 0..40 {
        cluster.request(3);
        cluster.run(Duration::from_millis(1), keep_all);
    }
    // A last vertex that nobody has heard of.
    let lose = |from: ReplicaId, _: ReplicaId, _: &Message| from == ReplicaId(3);
    cluster.request(3);
    cluster.run(Duration::from_millis(1), lose);
    cluster.crash(3);
    cluster.wire.clear();
    cluster.restart(3);
    cluster.run(Duration::from_secs(2), keep_all);
    assert_eq!(cluster.executed(), [41; 4]);
}

#[test]
fn a_replica_with_an_empty_disk_and_a_key_that_spoke_before_says_nothing_and_stops_for_good() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.request(3);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.crash(3);
    cluster.nodes[3].log.clear();
    cluster.nodes[3].snapshots.clear();
    cluster.restart(3);
    cluster.nodes[3].replica.distrust_log();
    let said = std::cell::RefCell::new(Vec::new());
    cluster.run(Duration::from_secs(5), |from, _, message| {
        if from == ReplicaId(3) {
            said.borrow_mut().push(message.kind());
        }
        false
    });
    assert_eq!(cluster.nodes[3].replica.halted(), Some(Halt::IdentityLost));
    let said = said.into_inner();
    assert!(said.iter().all(|kind| ["STATUS", "FETCH"].contains(kind)), "{said:?}");
    assert_eq!(cluster.executed()[..3], [1; 3]);
}

#[test]
fn a_replica_with_an_empty_disk_and_a_new_key_takes_part_when_others_told_that_it_never_spoke() {
    let mut cluster = Cluster::new(4);
    for node in &mut cluster.nodes {
        node.replica.distrust_log();
    }
    cluster.run(Duration::from_secs(1), keep_all);
    cluster.request(3);
    cluster.run(Duration::from_secs(1), keep_all);
    assert_eq!(cluster.executed(), [1; 4]);
}
