//! Clients: what they submit, and what they have been told.

use crate::crypto::Keys;
use crate::guest::MakeOperation;
use crate::plan::{Entry, Load, Operation, Plan, from_hex};
use crate::rng::{Concern, Rng};
use crate::table::Table;
use cretoai_core::bytes::Bytes;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::ChainId;
use cretoai_core::reply::{NoOp, Outcome, Reply};
use cretoai_core::request::{ClientRequest, Request, RequestId};
use cretoai_core::time::Instant;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::{Verified, Verifier};
use std::fmt;
use std::sync::Arc;

/// An operation that a client submitted.
#[derive(Debug)]
pub struct Op {
    /// The request.
    pub request: Verified<Arc<ClientRequest>>,
    /// Whose.
    pub client: u32,
    /// When it was first submitted.
    pub submitted: u64,
    /// In which slot it was executed.
    pub slot: Option<u64>,
    /// When its client was convinced of its result.
    pub answered: Option<u64>,
    /// A hash of what its client was told.
    pub told: Option<u64>,
    /// Whether its client learnt, or time showed, that it will never be executed.
    pub expired: bool,
    /// Whether the client sends it again.
    pub resend: bool,
    /// Whether it belongs to the stream.
    pub in_stream: bool,
    answers: Vec<(u64, ReplicaSet)>,
}

/// Something that will happen at or to a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// The stream goes on.
    Stream,
    /// A client of a closed loop submits its next operation.
    Next(u32),
    /// A scripted operation, by its place in the plan.
    Script(u32),
    /// A request reaches a replica.
    Arrive(u32, ReplicaId),
    /// A client has waited long enough for an answer.
    Timeout(u32),
    /// An answer reaches the clients.
    Reply(Box<Reply>),
    /// A step of the transcript is due.
    Prompt(u32),
}

/// All clients of a run.
#[derive(Debug)]
pub struct Clients {
    /// Their operations, by number.
    pub ops: Vec<Op>,
    /// The numbers of operations by the ids of their requests.
    pub numbers: Table,
    /// The labels of scripted operations, by number.
    pub labels: Vec<(String, u32)>,
    /// How many operations of the stream were submitted.
    pub streamed: u64,
    /// Operations that are neither executed nor expired.
    pub open: u64,
    rng: Rng,
    next_replica: u16,
    weak_quorum: u32,
    operation: Option<Operations>,
}

/// Makes the bytes of operations.
struct Operations(MakeOperation);

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("operations of a guest")
    }
}

/// What an answer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The operation.
    pub op: u32,
    /// Its client.
    pub client: u32,
    /// How long its client waited.
    pub waited: u64,
}

impl Clients {
    /// The clients of a run with this seed.
    #[must_use]
    pub fn new(seed: u64, weak_quorum: u16) -> Self {
        Self {
            ops: Vec::new(),
            numbers: Table::default(),
            labels: Vec::new(),
            streamed: 0,
            open: 0,
            rng: Rng::new(seed, Concern::Workload),
            next_replica: 0,
            weak_quorum: u32::from(weak_quorum),
            operation: None,
        }
    }

    /// The same clients, who ask for something else than numbers.
    #[must_use]
    pub fn asking_for(self, operation: Option<MakeOperation>) -> Self {
        Self { operation: operation.map(Operations), ..self }
    }

    /// Whose request it is, if it is that of an operation.
    #[must_use]
    pub fn client_of(&self, id: &RequestId) -> Option<u32> {
        self.numbers.get(id).map(|number| self.ops[number as usize].client)
    }

    /// The number of an operation by its label; `#i` is operation `i` of the stream.
    #[must_use]
    pub fn number_of(&self, label: &str) -> Option<u32> {
        if let Some(index) = label.strip_prefix('#') {
            let index: usize = index.parse().ok()?;
            let mut stream = (0..).zip(&self.ops).filter(|(_, op)| op.in_stream);
            return stream.nth(index).map(|(number, _)| number);
        }
        self.labels.iter().find(|(known, _)| known == label).map(|(_, number)| *number)
    }

    /// Makes a new operation.
    pub fn make(&mut self, new: &NewOp, chain: ChainId, keys: &Keys, verifier: &Verifier) -> u32 {
        let number = u32::try_from(self.ops.len()).expect("fewer than 2^32 operations");
        let op = match &self.operation {
            Some(Operations(make)) => make(&mut self.rng, new.client, number.into()),
            None => {
                let mut op = u64::from(number).to_le_bytes().to_vec();
                op.resize(usize::try_from(new.payload_bytes).unwrap_or(8).max(8), 0);
                op
            }
        };
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&number.to_le_bytes());
        nonce[8..].copy_from_slice(&self.rng.next_u64().to_le_bytes());
        let request = Request { chain_id: chain, expires: new.expires, nonce, caller: None, op: Bytes(op) };
        self.admit(new, request, keys, verifier)
    }

    /// Makes an operation that is spelled out.
    ///
    /// # Panics
    /// When it is not valid; `Transcript::validate` says why.
    pub fn spell(
        &mut self,
        operation: &Operation,
        signed: bool,
        chain: ChainId,
        keys: &Keys,
        verifier: &Verifier,
    ) -> u32 {
        let bytes = |text: &str| from_hex(text).expect("the plan was validated");
        let expires = Instant(operation.expires_ns);
        let (client, submitted) = (operation.client, operation.submitted_ns);
        let new = NewOp { client, submitted, expires, payload_bytes: 0, signed, resend: false, in_stream: false };
        let nonce = bytes(&operation.nonce).try_into().expect("the plan was validated");
        let op = Bytes(bytes(&operation.op));
        let request = Request { chain_id: chain, expires, nonce, caller: None, op };
        self.admit(&new, request, keys, verifier)
    }

    fn admit(&mut self, new: &NewOp, request: Request, keys: &Keys, verifier: &Verifier) -> u32 {
        let number = u32::try_from(self.ops.len()).expect("fewer than 2^32 operations");
        let request =
            if new.signed { keys.sign_request(new.client, request) } else { ClientRequest::anonymous(request) };
        self.numbers.insert(&request.id(), number);
        let request = verifier.request(Arc::new(request)).expect("honest clients make valid requests");
        self.ops.push(Op {
            request,
            client: new.client,
            submitted: new.submitted,
            slot: None,
            answered: None,
            told: None,
            expired: false,
            resend: new.resend,
            in_stream: new.in_stream,
            answers: Vec::new(),
        });
        self.open += 1;
        number
    }

    /// To whom a client sends an operation of the stream.
    pub fn entries(&mut self, plan: &Plan, client: u32) -> Vec<u16> {
        let of = |list: &[u16]| list[client as usize % list.len()];
        match &plan.workload.entry {
            Entry::Spread => {
                vec![u16::try_from(client % u32::from(plan.n)).expect("below n")]
            }
            Entry::Random => vec![u16::try_from(self.rng.below(u64::from(plan.n))).expect("below n")],
            Entry::Replicas(list) => vec![of(list)],
            Entry::All(list) => list.clone(),
        }
    }

    /// To whom a client that hears nothing sends an operation again: to all replicas in turn.
    pub fn others(&mut self, plan: &Plan) -> Vec<u16> {
        let count = plan.workload.resend_to.min(plan.n);
        let list = (0..count).map(|step| (self.next_replica + step) % plan.n).collect();
        self.next_replica = (self.next_replica + count) % plan.n;
        list
    }

    /// When the next operation of an open loop comes, from now on.
    pub fn interval(&mut self, plan: &Plan) -> Option<u64> {
        let Load::Open { interval_us, jitter_per_mille } = plan.workload.load else { return None };
        let interval = interval_us * 1000;
        let swing = interval * u64::from(jitter_per_mille.min(1000)) / 1000;
        Some(interval - swing + self.rng.below(2 * swing + 1))
    }

    /// An answer reached the clients at a moment: which operations it completed.
    pub fn answer(&mut self, reply: &Reply, now: u64, done: &mut Vec<Answered>) {
        done.clear();
        for (id, outcome) in reply.outcomes.iter() {
            let Some(number) = self.numbers.get(id) else { continue };
            let op = &mut self.ops[number as usize];
            if op.answered.is_some() {
                continue;
            }
            let said = match outcome {
                Outcome::Executed(result) => result.short() | 1,
                Outcome::NoOp(NoOp::Expired) => 0,
                Outcome::NoOp(_) => continue,
            };
            let known = op.answers.iter().position(|(other, _)| *other == said);
            let at = known.unwrap_or_else(|| {
                op.answers.push((said, 0));
                op.answers.len() - 1
            });
            let (_, from) = &mut op.answers[at];
            *from |= 1 << reply.signed.signer.0;
            if from.count_ones() < self.weak_quorum {
                continue;
            }
            if said == 0 {
                self.open -= u64::from(op.slot.is_none() && !op.expired);
                op.expired = true;
            } else {
                op.answered = Some(now);
                op.told = Some(said);
                op.answers = Vec::new();
                done.push(Answered { op: number, client: op.client, waited: now - op.submitted });
            }
        }
    }

    /// Operations whose time is over by a margin, and that nobody executed, are no longer waited for.
    pub fn expire(&mut self, margin: u64, now: u64) {
        for op in &mut self.ops {
            let is_over = op.request.request.expires.0.saturating_add(margin) < now;
            if is_over && op.slot.is_none() && !op.expired {
                op.expired = true;
                self.open -= 1;
            }
        }
    }

    /// An operation was executed in a slot, for the first time or by one more replica. The slot it was executed in
    /// before, if that is another.
    pub fn executed(&mut self, number: u32, slot: u64) -> Option<u64> {
        let op = &mut self.ops[number as usize];
        if let Some(before) = op.slot {
            return (before != slot).then_some(before);
        }
        op.slot = Some(slot);
        self.open -= u64::from(!op.expired);
        None
    }
}

/// What a new operation is to be like.
#[derive(Clone, Copy, Debug)]
pub struct NewOp {
    /// Whose.
    pub client: u32,
    /// When it is submitted.
    pub submitted: u64,
    /// When it expires.
    pub expires: Instant,
    /// Its size.
    pub payload_bytes: u32,
    /// Whether its client signs it.
    pub signed: bool,
    /// Whether its client sends it again.
    pub resend: bool,
    /// Whether it belongs to the stream.
    pub in_stream: bool,
}
