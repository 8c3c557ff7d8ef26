//! A signature scheme and statements for tests.

use super::Verifier;
use crate::bytes::Bytes;
use crate::certificate::{Certificate, Claim};
use crate::checkpoint::{CheckpointCertificate, CheckpointVote};
use crate::config::{Chain, Genesis, Scheme};
use crate::hash::Digest;
use crate::hashed::Hashed;
use crate::message::{NewView, NewViewMessage, Signed, Status, ViewChange};
use crate::reply::ReplyStatement;
use crate::request::{Caller, ClientRequest, Request, RequestId};
use crate::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use crate::time::Instant;
use crate::types::{Height, ReplicaId, Slot, View};
use crate::vertex::{Link, Payload, SignedVertex, Vertex};
use crate::vote::{Entries, Phase, Vote};
use std::sync::Arc;

/// Tags in place of signatures: the keyed hash of the signed bytes, under a key that anyone knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeScheme {
    pub(crate) context: SigningContext,
}

impl FakeScheme {
    pub(crate) fn sign(&self, signer: ReplicaId, statement: Statement<'_>) -> Signature {
        tag(&signer.0.to_be_bytes(), &statement.signing_bytes(self.context, signer))
    }
}

fn tag(key: &[u8], signed: &[u8]) -> Signature {
    let key = blake3::derive_key("cretoai test signatures", key);
    Signature::new(&blake3::keyed_hash(&key, signed).as_bytes()[..16])
}

impl SignatureVerifier for FakeScheme {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        self.sign(signer, statement) == *signature
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        tag(&caller.key.0, &id.0) == *signature
    }
}

/// What a replica signs.
pub(crate) trait Signable {
    fn statement(&self) -> Statement<'_>;
}

impl Signable for Vote {
    fn statement(&self) -> Statement<'_> {
        Statement::Vote(self)
    }
}

impl Signable for CheckpointVote {
    fn statement(&self) -> Statement<'_> {
        Statement::Checkpoint(self)
    }
}

impl Signable for ViewChange {
    fn statement(&self) -> Statement<'_> {
        Statement::ViewChange(self)
    }
}

impl Signable for NewView {
    fn statement(&self) -> Statement<'_> {
        Statement::NewView(self)
    }
}

impl Signable for Hashed<Vertex> {
    fn statement(&self) -> Statement<'_> {
        Statement::Vertex(self.digest())
    }
}

impl Signable for Status {
    fn statement(&self) -> Statement<'_> {
        Statement::Status(self)
    }
}

impl Signable for ReplyStatement {
    fn statement(&self) -> Statement<'_> {
        Statement::Reply(self)
    }
}

/// Signs as one replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeSigner {
    pub(crate) id: ReplicaId,
    pub(crate) scheme: FakeScheme,
}

impl Signer for FakeSigner {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        self.scheme.sign(self.id, statement)
    }
}

/// A chain of `n` replicas with a checkpoint every 4 slots and a window of 8.
pub(crate) fn chain(n: u16) -> Arc<Chain> {
    let keys = (0..n).map(|id| id.to_be_bytes().to_vec()).collect();
    let mut genesis = Genesis::new("test", Scheme::Simulated, keys);
    (genesis.checkpoint_interval, genesis.window) = (4, 8);
    Arc::new(Chain::new(genesis, false).expect("a valid genesis"))
}

/// A digest that consists of one byte, repeated.
pub(crate) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn claim(slot: u64, view: u64, byte: u8) -> Claim {
    Claim { slot: Slot(slot), view: View(view), digest: digest(byte) }
}

/// A chain, and statements that its replicas sign.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) chain: Arc<Chain>,
    pub(crate) scheme: FakeScheme,
    pub(crate) verifier: Verifier,
}

impl World {
    pub(crate) fn new(n: u16) -> Self {
        Self::of(chain(n))
    }

    pub(crate) fn of(chain: Arc<Chain>) -> Self {
        let scheme = FakeScheme { context: SigningContext { chain: chain.id, epoch: 0 } };
        let verifier = Verifier::new(Arc::clone(&chain), Arc::new(scheme));
        Self { chain, scheme, verifier }
    }

    pub(crate) fn signer(&self, id: u16) -> FakeSigner {
        FakeSigner { id: ReplicaId(id), scheme: self.scheme }
    }

    pub(crate) fn sign<T: Signable>(&self, signer: u16, body: T) -> Signed<T> {
        let signature = self.signer(signer).sign(body.statement());
        Signed { signer: ReplicaId(signer), body, signature }
    }

    pub(crate) fn vote(&self, signer: u16, phase: Phase, view: u64, entries: &[(u64, u8)]) -> Signed<Vote> {
        let entries: Vec<_> = entries.iter().map(|(slot, byte)| (Slot(*slot), digest(*byte))).collect();
        self.sign(signer, Vote { phase, view: View(view), entries: Entries::new(&entries) })
    }

    /// A certificate of the votes of the first `quorum` replicas.
    pub(crate) fn certificate(&self, phase: Phase, claim: Claim) -> Certificate {
        let vote = Vote::one(phase, claim.view, claim.slot, claim.digest);
        let signers = 0..self.chain.committee.quorum();
        let votes = signers.map(|signer| self.sign(signer, vote.clone())).collect();
        Certificate::from_votes(phase, claim, votes)
    }

    pub(crate) fn checkpoint(&self, signer: u16, slot: u64, byte: u8) -> Signed<CheckpointVote> {
        self.sign(signer, CheckpointVote { slot: Slot(slot), state: digest(byte) })
    }

    pub(crate) fn checkpoint_certificate(&self, slot: u64, byte: u8) -> CheckpointCertificate {
        let votes: Vec<_> =
            (0..self.chain.committee.quorum()).map(|signer| self.checkpoint(signer, slot, byte)).collect();
        CheckpointCertificate { vote: votes[0].body, votes }
    }

    /// A VIEW-CHANGE whose votes are its prepared claims, with the state digest 0 at its stable checkpoint.
    pub(crate) fn view_change(
        &self,
        signer: u16,
        view: u64,
        stable: u64,
        prepared: &[Claim],
    ) -> Arc<Signed<ViewChange>> {
        let body = ViewChange {
            view: View(view),
            stable: Slot(stable),
            state: digest(0),
            prepared: prepared.to_vec(),
            voted: prepared.to_vec(),
        };
        self.sign_view_change(signer, body)
    }

    pub(crate) fn sign_view_change(&self, signer: u16, body: ViewChange) -> Arc<Signed<ViewChange>> {
        Arc::new(self.sign(signer, body))
    }

    /// The NEW-VIEW that follows from some VIEW-CHANGEs, by the primary of their view.
    pub(crate) fn new_view(&self, bodies: &[Arc<Signed<ViewChange>>]) -> NewView {
        let selection = crate::choice::select(bodies.iter().map(|signed| &signed.body)).expect("no contradiction");
        NewView {
            view: bodies[0].body.view,
            view_changes: bodies.iter().map(|signed| signed.id()).collect(),
            stable: selection.stable,
            proposals: selection.proposals,
        }
    }

    pub(crate) fn sign_new_view(&self, body: NewView) -> Signed<NewView> {
        let primary = self.chain.committee.primary(body.view);
        self.sign(primary.0, body)
    }

    /// A NEW-VIEW with everything that proves it.
    pub(crate) fn new_view_message(&self, bodies: &[Arc<Signed<ViewChange>>]) -> NewViewMessage {
        let selection = crate::choice::select(bodies.iter().map(|signed| &signed.body)).expect("no contradiction");
        let proof = |claim: &Claim| Arc::new(self.certificate(Phase::Prepare, *claim));
        let stable = selection.stable.0;
        NewViewMessage {
            signed: self.sign_new_view(self.new_view(bodies)),
            view_changes: bodies.to_vec(),
            stable: (stable > 0).then(|| Arc::new(self.checkpoint_certificate(stable, 0))),
            certificates: crate::certificate::CertificateSet(selection.selected.iter().map(proof).collect()),
        }
    }

    pub(crate) fn request(&self, op: &[u8]) -> Request {
        Request {
            chain_id: self.chain.id,
            expires: Instant(1_000_000),
            nonce: [7; 16],
            caller: None,
            op: Bytes(op.to_vec()),
        }
    }

    /// A request with its caller's signature.
    pub(crate) fn signed_request(&self, op: &[u8]) -> ClientRequest {
        let caller = Caller { scheme: Scheme::Ed25519, key: Bytes(b"alice".to_vec()) };
        let signed = Request { caller: Some(caller), ..self.request(op) };
        let request = Hashed::new(signed);
        let signature = tag(b"alice", &request.digest().0);
        ClientRequest { request, signature: Some(signature) }
    }

    /// An author's first vertex, with one request.
    pub(crate) fn vertex(&self, author: u16, op: &[u8]) -> Vertex {
        Vertex {
            author: ReplicaId(author),
            height: Height(1),
            ts: Instant(5),
            prev: Link::genesis(self.chain.id),
            refs: Vec::new(),
            payload: Payload::Requests(vec![Arc::new(ClientRequest::anonymous(self.request(op)))]),
        }
    }

    pub(crate) fn sign_vertex(&self, vertex: Vertex) -> Arc<SignedVertex> {
        let author = vertex.author;
        Arc::new(self.sign(author.0, Hashed::new(vertex)))
    }
}
