//! Adversaries that say too much: views without end, floods, forgeries.

use super::craft::later;
use super::{Adversary, Stage, whole};
use crate::plan::Kind;
use crate::rules::set_or_all;
use cretoai_core::bytes::Bytes;
use cretoai_core::committee::{ReplicaSet, singleton};
use cretoai_core::message::{
    FetchItem, MAX_FETCH, Message, NewView, NewViewMessage, STATUS_PENDING, Signed, Status, ViewChange,
};
use cretoai_core::outbox::Envelope;
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::signature::{Signature, Statement};
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vertex::{Link, Payload, Vertex};
use cretoai_core::vote::{Phase, Vote};
use std::sync::Arc;

/// VIEW-CHANGEs and NEW-VIEWs for view after view, up to the largest there is.
#[derive(Debug)]
pub(super) struct ViewSpammer {
    period: u64,
    view: u64,
    /// The highest view that somebody wants.
    heard: View,
}

impl ViewSpammer {
    pub(super) fn new(period_us: u64) -> Self {
        Self { period: period_us.max(1) * 1000, view: 0, heard: View(0) }
    }
}

impl Adversary for ViewSpammer {
    fn start(&mut self, stage: &mut Stage<'_>) {
        stage.wakes.push(stage.now + self.period);
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        // The next view now and then; and one by one at first, then by doubling: the end is reached in about 70 steps.
        self.view = if self.view < 10 { self.view + 1 } else { self.view.saturating_mul(2) };
        self.call(stage, View(self.view));
        self.call(stage, later(self.heard));
        stage.wakes.push(stage.now + self.period);
    }

    fn receives(&mut self, _stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        self.heard = match message.get() {
            Message::ViewChange(message) => self.heard.max(message.signed.body.view),
            Message::NewView(message) => self.heard.max(message.signed.body.view),
            _ => self.heard,
        };
        u32::MAX
    }
}

impl ViewSpammer {
    /// A VIEW-CHANGE and a NEW-VIEW for a view.
    fn call(&self, stage: &mut Stage<'_>, view: View) {
        let body = ViewChange { view, stable: Slot(0), state: stage.chain.id, prepared: vec![], voted: vec![] };
        let view_change = stage.view_change(body, None);
        let body = NewView { view, view_changes: vec![view_change.signed.id()], stable: Slot(0), proposals: vec![] };
        let new_view = NewViewMessage {
            signed: stage.sign(body, |body| Statement::NewView(body)),
            view_changes: vec![Arc::clone(&view_change.signed)],
            stable: None,
            certificates: Default::default(),
        };
        stage.say(stage.others(), Message::ViewChange(Arc::new(view_change)));
        stage.say(stage.others(), Message::NewView(Arc::new(new_view)));
    }
}

/// Many messages, valid and useless.
#[derive(Debug)]
pub(super) struct Flooder {
    period: u64,
    to: ReplicaSet,
    kinds: Vec<Kind>,
    forged_per_mille: u32,
    height: u64,
}

impl Flooder {
    pub(super) fn new(per_second: u32, to: &[u16], kinds: &[Kind], forged_per_mille: u32) -> Self {
        let all = [Kind::Prepare, Kind::Commit, Kind::Vertex, Kind::Status, Kind::Fetch];
        let kinds = if kinds.is_empty() { all.to_vec() } else { kinds.to_vec() };
        let period = 1_000_000_000 / u64::from(per_second.max(1));
        Self { period, to: set_or_all(to), kinds, forged_per_mille, height: 0 }
    }

    fn junk(&mut self, stage: &mut Stage<'_>) -> Message {
        let view = View(if stage.rng.chance(500) { stage.rng.below(4) } else { stage.rng.next_u64() });
        let slot = Slot(if stage.rng.chance(500) { stage.rng.between(1, 1000) } else { stage.rng.next_u64().max(1) });
        let digest = stage.some_digest();
        match stage.rng.pick(&self.kinds) {
            Kind::Commit => stage.vote(Phase::Commit, view, slot, digest),
            Kind::Vertex => self.vertex(stage),
            Kind::Status => {
                let body = Status {
                    view,
                    target: Some(later(view)),
                    stable: Slot(0),
                    executed: Slot(stage.rng.below(10)),
                    progress: vec![],
                    pending: vec![digest; STATUS_PENDING],
                };
                Message::Status(Arc::new(stage.sign(body, |body| Statement::Status(body))))
            }
            Kind::Fetch => {
                let item = |index| FetchItem::Batch(Slot(slot.0.saturating_add(index)), digest);
                Message::Fetch(Arc::new((0..MAX_FETCH as u64).map(item).collect()))
            }
            _ => stage.vote(Phase::Prepare, view, slot, digest),
        }
    }

    /// A vertex whose parent does not exist.
    fn vertex(&mut self, stage: &mut Stage<'_>) -> Message {
        self.height += 2;
        let request = Request {
            chain_id: stage.chain.id,
            expires: stage.time + stage.chain.genesis.limits.lifetime,
            nonce: [7; 16],
            caller: None,
            op: Bytes(self.height.to_le_bytes().to_vec()),
        };
        let vertex = Vertex {
            author: stage.id,
            height: Height(self.height),
            ts: stage.time,
            prev: Link { height: Height(self.height - 1), id: stage.some_digest() },
            refs: vec![],
            payload: Payload::Requests(vec![Arc::new(ClientRequest::anonymous(request))]),
        };
        Message::Vertex(stage.vertex(vertex))
    }
}

impl Adversary for Flooder {
    fn start(&mut self, stage: &mut Stage<'_>) {
        stage.wakes.push(stage.now + self.period);
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        let mut junk = self.junk(stage);
        if let Message::Vote(vote) = &mut junk
            && self.forged_per_mille > 0
            && stage.rng.chance(self.forged_per_mille)
        {
            vote.signature = Signature::new(&stage.some_digest().0[..16]);
        }
        stage.say(self.to & stage.others(), junk);
        stage.wakes.push(stage.now + self.period);
    }
}

/// Messages with wrong signatures and signers.
#[derive(Debug)]
pub(super) struct Forger {
    per_mille: u32,
}

impl Forger {
    pub(super) fn new(per_mille: u32) -> Self {
        Self { per_mille }
    }

    /// The same vote of somebody else or of another chain, or somebody else's vote for something else.
    fn forge(stage: &mut Stage<'_>, vote: &Signed<Vote>) -> Message {
        let mut forged = vote.clone();
        let n = stage.committee().n();
        match stage.rng.below(6) {
            0 => forged.signer = ReplicaId(u16::try_from(stage.rng.below(u64::from(n))).expect("below n")),
            1 => forged.signer = ReplicaId(n + u16::try_from(stage.rng.below(5)).expect("small")),
            2 => forged.body.view = later(forged.body.view),
            3 => {
                let other = if vote.body.phase == Phase::Prepare { Phase::Commit } else { Phase::Prepare };
                forged.body.phase = other;
            }
            // What it would have said in another chain.
            4 => {
                forged.signer = stage.id;
                forged.signature = stage.elsewhere.in_another_chain(stage.id, Statement::Vote(&forged.body));
            }
            _ => {
                let digest = stage.some_digest();
                forged.signature = Signature::new(&digest.0[..16]);
            }
        }
        Message::Vote(forged)
    }
}

impl Adversary for Forger {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let again = match &envelope.message {
            Message::Vote(vote) if stage.rng.chance(self.per_mille) => Some(vote.body.clone()),
            _ => None,
        };
        let to = whole(envelope.to);
        stage.say(to, envelope.message);
        if let Some(body) = again {
            let hand = stage.rng.next_u64();
            let message = stage.vote_with(hand, body);
            stage.say(to, message);
        }
    }

    fn receives(&mut self, stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        if let Message::Vote(vote) = message.get()
            && stage.rng.chance(self.per_mille)
        {
            let forged = Self::forge(stage, vote);
            stage.say(stage.others() & !singleton(vote.signer), forged);
        }
        u32::MAX
    }
}
