//! What the benchmarks of the core share: a committee with its keys, and what its replicas say.
//!
//! The benchmarks are `step` (what a replica computes), `wire` (encodings and signatures) and `cluster` (the simulator
//! as a whole). `cargo bench -p cretoai-benches` runs all of them, `cargo bench -p cretoai-benches --bench step` one.
#![forbid(unsafe_code)]

use cretoai_core::Replica;
use cretoai_core::batch::Batch;
use cretoai_core::bytes::Bytes;
use cretoai_core::certificate::{Certificate, Claim};
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::config::{Chain, Config, Timeouts};
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::message::{Message, PrePrepare, Signed};
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::signature::{Signer, Statement};
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::verify::{Verified, Verifier};
use cretoai_core::vertex::{Link, Payload, SignedVertex, Vertex};
use cretoai_core::vote::{Phase, Vote};
use cretoai_sim::crypto::Keys;
use cretoai_sim::plan::{Crypto, Plan};
use std::sync::Arc;

/// The primary of view 0, in which everything here happens.
pub const PRIMARY: ReplicaId = ReplicaId(0);

/// The backup that is measured.
pub const BACKUP: ReplicaId = ReplicaId(1);

/// A chain, and whatever its replicas may say.
#[derive(Debug)]
pub struct Committee {
    /// The chain.
    pub chain: Arc<Chain>,
    /// What checks messages.
    pub verifier: Verifier,
    keys: Keys,
    signers: Vec<Box<dyn Signer>>,
}

/// What a backup receives in a slot, from the first vertex to the last COMMIT.
#[derive(Debug)]
pub struct Script {
    /// When all of it arrives.
    pub now: Instant,
    /// The primary's vertex.
    pub vertex: Verified<Message>,
    /// The PRE-PREPARE of a batch of this vertex.
    pub proposal: Verified<Message>,
    /// Of everyone but the primary and the backup.
    pub prepares: Vec<Verified<Message>>,
    /// Of everyone but the backup.
    pub commits: Vec<Verified<Message>>,
}

impl Committee {
    /// A committee of `n`, with the default parameters.
    ///
    /// # Panics
    /// When `n` replicas are no committee.
    #[must_use]
    pub fn new(crypto: Crypto, n: u16) -> Self {
        let keys = Keys::new(crypto, 1, n);
        let plan = Plan { crypto, n, ..Plan::default() };
        let chain = Arc::new(Chain::new(plan.genesis(keys.public.clone()), false).expect("a valid genesis"));
        let signers = chain.committee.members().map(|id| keys.signer(chain.id, id)).collect();
        let verifier = Verifier::new(Arc::clone(&chain), keys.verifier(chain.id));
        Self { chain, verifier, keys, signers }
    }

    /// The backup at genesis.
    #[must_use]
    pub fn backup(&self) -> Replica {
        let config = Config::new(BACKUP, &self.chain, Timeouts::from_base(Duration::from_millis(400)));
        Replica::new(Arc::clone(&self.chain), config, self.keys.signer(self.chain.id, BACKUP))
    }

    /// Everyone but the backup.
    pub fn others(&self) -> impl Iterator<Item = ReplicaId> {
        self.chain.committee.members().filter(|id| *id != BACKUP)
    }

    /// A message as a replica is given it.
    ///
    /// # Panics
    /// When the message is not valid.
    #[must_use]
    pub fn verified(&self, message: Message) -> Verified<Message> {
        self.verifier.message(message).expect("made by its signer")
    }

    /// A vote for one slot.
    #[must_use]
    pub fn vote(&self, signer: ReplicaId, phase: Phase, slot: Slot, digest: Digest) -> Signed<Vote> {
        let body = Vote::one(phase, View(0), slot, digest);
        let signature = self.signers[signer.index()].sign(Statement::Vote(&body));
        Signed { signer, body, signature }
    }

    /// A CHECKPOINT.
    #[must_use]
    pub fn checkpoint(&self, signer: ReplicaId, body: CheckpointVote) -> Signed<CheckpointVote> {
        let signature = self.signers[signer.index()].sign(Statement::Checkpoint(&body));
        Signed { signer, body, signature }
    }

    /// A quorum's votes for one slot.
    #[must_use]
    pub fn certificate(&self, phase: Phase, slot: Slot, digest: Digest) -> Certificate {
        let quorum = usize::from(self.chain.committee.quorum());
        let signers = self.chain.committee.members().take(quorum);
        let votes = signers.map(|signer| self.vote(signer, phase, slot, digest)).collect();
        Certificate::from_votes(phase, Claim { slot, view: View(0), digest }, votes)
    }

    /// A vertex of the primary with so many requests of so many bytes, made at some time.
    #[must_use]
    pub fn vertex(&self, prev: Link, ts: Instant, requests: u8, bytes: usize) -> Arc<SignedVertex> {
        let request = |number: u8| {
            let mut nonce = [number; 16];
            nonce[..8].copy_from_slice(&ts.0.to_le_bytes());
            let expires = ts + Duration::from_secs(20);
            let op = Bytes(vec![number; bytes]);
            Arc::new(ClientRequest::anonymous(Request { chain_id: self.chain.id, expires, nonce, caller: None, op }))
        };
        let payload = Payload::Requests((0..requests).map(request).collect());
        let height = Height(prev.height.0 + 1);
        let body = Hashed::new(Vertex { author: PRIMARY, height, ts, prev, refs: Vec::new(), payload });
        let signature = self.signers[PRIMARY.index()].sign(Statement::Vertex(body.digest()));
        Arc::new(Signed { signer: PRIMARY, body, signature })
    }

    /// The PRE-PREPARE of a batch of one vertex.
    #[must_use]
    pub fn pre_prepare(&self, slot: Slot, vertex: &SignedVertex) -> PrePrepare {
        let batch = Arc::new(Hashed::new(Batch { ts: vertex.body.ts, vertices: vec![vertex.id()] }));
        PrePrepare { vote: self.vote(PRIMARY, Phase::Prepare, slot, batch.digest()), batches: vec![batch] }
    }

    /// What the backup receives in the first slots, one every millisecond, each with one request of 16 bytes.
    #[must_use]
    pub fn scripts(&self, slots: u64) -> Vec<Script> {
        let mut prev = Link::genesis(self.chain.id);
        let script = |number: u64| {
            let (slot, now) = (Slot(number), Instant::GENESIS + Duration::from_millis(number));
            let vertex = self.vertex(prev, now, 1, 16);
            prev = Link { height: vertex.body.height, id: vertex.id() };
            let proposal = self.pre_prepare(slot, &vertex);
            let digest = proposal.batches[0].digest();
            let vote = |signer, phase| self.verified(Message::Vote(self.vote(signer, phase, slot, digest)));
            let prepares = self.others().filter(|id| *id != PRIMARY).map(|id| vote(id, Phase::Prepare)).collect();
            let commits = self.others().map(|id| vote(id, Phase::Commit)).collect();
            let vertex = self.verified(Message::Vertex(vertex));
            let proposal = self.verified(Message::PrePrepare(Arc::new(proposal)));
            Script { now, vertex, proposal, prepares, commits }
        };
        (1..=slots).map(script).collect()
    }
}
