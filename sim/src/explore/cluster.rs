//! The cluster that is explored: its chain, its keys, and the vertices that everybody holds from the beginning.

use super::{Bounds, Orders};
use crate::crypto::Keys;
use crate::plan::Crypto;
use cretoai_core::batch::{Batch, HashedBatch};
use cretoai_core::bytes::Bytes;
use cretoai_core::config::{Chain, Config, Genesis, Scheme, Timeouts};
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::input::{Ignored, Input};
use cretoai_core::message::{Message, Signed};
use cretoai_core::outbox::{Envelope, Outbox, Target, Task};
use cretoai_core::record::Record;
use cretoai_core::replica::Replica;
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::signature::{SignatureVerifier, Signer, Statement};
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{Height, Lsn, ReplicaId, Slot, View};
use cretoai_core::verify::{Verified, Verifier};
use cretoai_core::vertex::{Link, Payload, Reference, SignedVertex, Vertex};
use std::sync::Arc;

/// Replicas in the cluster.
pub const N: u16 = 4;

/// What time it is depends on the view alone, so that states which differ in nothing else are the same. A time-out
/// takes the clock of its replica to the next view, which is later than every timer of this one.
const VIEW_TIME: Duration = Duration::from_secs(1000);

/// Everything that does not change.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) bounds: Bounds,
    pub(super) chain: Arc<Chain>,
    pub(super) signatures: Arc<dyn SignatureVerifier>,
    pub(super) verifier: Verifier,
    keys: Keys,
    byzantine: Box<dyn Signer>,
    vertices: Vec<Verified<Message>>,
    /// By replica, a vertex of its own that can never be final: it leaves no room for another one.
    stuck: Vec<Verified<Message>>,
    /// What a Byzantine primary proposes: one or the other.
    pub(super) batches: [Arc<HashedBatch>; 2],
}

impl Cluster {
    pub(super) fn new(bounds: Bounds) -> Self {
        let keys = Keys::new(Crypto::Simulated, 1, N);
        let mut genesis = Genesis::new("explored", Scheme::Simulated, keys.public.clone());
        (genesis.checkpoint_interval, genesis.window) = (4, 8);
        genesis.limits.open_vertices = 1;
        genesis.limits.lifetime = VIEW_TIME.times(1000);
        let chain = Arc::new(Chain::new(genesis, false).expect("these parameters are in range"));
        let signatures = keys.verifier(chain.id);
        let verifier = Verifier::new(Arc::clone(&chain), Arc::clone(&signatures));
        let byzantine = keys.signer(chain.id, bounds.byzantine);
        let honest: Vec<_> = chain.committee.members().filter(|id| *id != bounds.byzantine).collect();
        let sign = |vertex: Vertex| {
            let body = Hashed::new(vertex);
            let signature = keys.signer(chain.id, body.author).sign(Statement::Vertex(body.digest()));
            Arc::new(Signed { signer: body.author, body, signature })
        };
        let genesis = Link::genesis(chain.id);
        let mut first: Vec<_> = [bounds.byzantine, honest[0]]
            .into_iter()
            .map(|author| sign(vertex(&chain, author, genesis, Vec::new())))
            .collect();
        let batch =
            |vertex: &SignedVertex| Arc::new(Hashed::new(Batch { ts: Instant(0), vertices: vec![vertex.id()] }));
        let batches = [batch(&first[0]), batch(&first[1])];
        // A batch holds one vertex of an author, so this one is always waited for, and timers run.
        let prev = Link { height: first[0].body.height, id: first[0].id() };
        first.push(sign(vertex(&chain, bounds.byzantine, prev, Vec::new())));
        let nowhere = |author| {
            let other = if author == bounds.byzantine { honest[0] } else { bounds.byzantine };
            Reference { author: other, height: Height(9), id: Digest([0xee; 32]) }
        };
        let stuck = chain.committee.members().map(|author| {
            let prev = first.iter().rev().find(|vertex| vertex.author() == author);
            let prev = prev.map_or(genesis, |vertex| Link { height: vertex.body.height, id: vertex.id() });
            sign(vertex(&chain, author, prev, vec![nowhere(author)]))
        });
        let verify = |vertex: Arc<SignedVertex>| verifier.message(Message::Vertex(vertex)).expect("it is well-formed");
        let stuck = stuck.map(verify).collect();
        let vertices = first.into_iter().map(verify).collect();
        Self { bounds, signatures, verifier, byzantine, vertices, stuck, batches, keys, chain }
    }

    pub(super) fn is_reduced(&self) -> bool {
        self.bounds.orders == Orders::Reduced
    }

    /// Signs as the Byzantine replica.
    pub(super) fn sign<T>(&self, body: T, statement: impl FnOnce(&T) -> Statement<'_>) -> Signed<T> {
        let signature = self.byzantine.sign(statement(&body));
        Signed { signer: self.bounds.byzantine, body, signature }
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View> + use<> {
        (0..self.bounds.views).map(View)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (1..=self.bounds.slots).map(Slot)
    }

    fn config(&self, id: ReplicaId) -> Config {
        let timeouts = Timeouts {
            base: Duration::from_secs(1),
            max: Duration::from_secs(1),
            status: Duration::from_millis(100),
            retransmit: VIEW_TIME.times(1000),
            precision: VIEW_TIME.times(1000),
            message_delay: Duration::from_secs(1),
        };
        Config { pipeline: self.bounds.slots, ..Config::new(id, &self.chain, timeouts) }
    }

    fn signer(&self, id: ReplicaId) -> Box<dyn Signer> {
        self.keys.signer(self.chain.id, id)
    }
}

fn vertex(chain: &Chain, author: ReplicaId, prev: Link, refs: Vec<Reference>) -> Vertex {
    let request = Request {
        chain_id: chain.id,
        expires: Instant(VIEW_TIME.times(900).0),
        nonce: [0; 16],
        caller: None,
        op: Bytes(author.0.to_le_bytes().to_vec()),
    };
    let payload = Payload::Requests(vec![Arc::new(ClientRequest::anonymous(request))]);
    let mut vertex = Vertex { author, height: Height(0), ts: Instant(0), prev, refs, payload };
    vertex.height = vertex.due_height();
    vertex
}

/// One honest replica with what it has written and said.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) replica: Replica,
    outbox: Outbox,
    pub(super) records: Vec<Record>,
    /// What left since somebody looked.
    pub(super) sent: Vec<Envelope>,
}

impl Machine {
    /// A replica that holds the vertices, and has heard nothing else.
    pub(super) fn new(cluster: &Cluster, id: ReplicaId) -> Self {
        let replica = Replica::new(Arc::clone(&cluster.chain), cluster.config(id), cluster.signer(id));
        let mut machine = Self { replica, outbox: Outbox::default(), records: Vec::new(), sent: Vec::new() };
        machine.begin(cluster);
        machine
    }

    fn begin(&mut self, cluster: &Cluster) {
        let _ = self.step(self.now(), Input::Tick);
        let stuck = &cluster.stuck[self.replica.id().index()];
        for vertex in cluster.vertices.iter().chain([stuck]) {
            self.deliver(vertex);
        }
    }

    /// Whether the replica took notice.
    pub(super) fn deliver(&mut self, message: &Verified<Message>) -> bool {
        let from = message.get().speaker().unwrap_or(self.replica.id());
        self.step(self.now(), Input::Message(from, message)) != Err(Ignored::WrongView)
    }

    /// Every timer of the view is due.
    pub(super) fn time_out(&mut self) {
        let _ = self.step(self.now() + VIEW_TIME, Input::Tick);
    }

    /// A crash after everything was written, and the restart from that.
    pub(super) fn restart(&mut self, cluster: &Cluster) {
        let id = self.replica.id();
        let (chain, records) = (Arc::clone(&cluster.chain), self.records.clone());
        let recovered = Replica::recover(chain, cluster.config(id), cluster.signer(id), [], records);
        self.replica = recovered.unwrap_or_else(|error| panic!("{id} cannot restart: {error}"));
        self.outbox = Outbox::resume_at(Lsn(self.records.len() as u64));
        self.begin(cluster);
    }

    fn now(&self) -> Instant {
        let view = self.replica.view().max(self.replica.target().unwrap_or_default());
        Instant(VIEW_TIME.times(view.0).0)
    }

    fn step(&mut self, now: Instant, input: Input<'_>) -> Result<(), Ignored> {
        let done = self.replica.step(now, input, &mut self.outbox);
        loop {
            for (lsn, record) in self.outbox.take_records().collect::<Vec<_>>() {
                self.records.push(record);
                self.outbox.mark_durable(lsn);
            }
            while let Some(envelope) = self.outbox.next_send() {
                self.sent.push(envelope);
            }
            let Some(task) = self.outbox.next_task() else { break };
            if let Task::Execute(execution) = task {
                let results = vec![Bytes(Vec::new()); execution.requests.len()];
                let _ = self.replica.step(now, Input::Executed(execution.slot, results), &mut self.outbox);
            }
        }
        while self.outbox.next_evidence().is_some() {}
        done
    }
}

/// Whether a message is for everybody.
pub(super) fn is_broadcast(envelope: &Envelope) -> bool {
    envelope.to == Target::All
}
