//! What happens to and because of clients.

use super::Run;
use crate::host::Waiting;
use crate::inbox::Lane;
use crate::meta::Meta;
use crate::observe::{State, What};
use crate::plan::{Kind, Load};
use crate::probes::Probe;
use crate::schedule::Due;
use crate::workload::{ClientEvent, NewOp};
use cretoai_core::reply::{NoOp, Outcome, Reply};
use cretoai_core::time::Instant;
use cretoai_core::types::ReplicaId;

/// What stands for clients where rules want a replica.
const CLIENT: u16 = 127;

fn meta(kind: Kind) -> Meta {
    Meta { kind, view: None, slots: None, fingerprint: 0 }
}

impl Run<'_> {
    pub(super) fn begin_workload(&mut self) {
        let workload = &self.plan.workload;
        let start = workload.start_us * 1000;
        if workload.ops > 0 {
            match workload.load {
                Load::Open { .. } => self.client_later(start, ClientEvent::Stream),
                Load::Closed { outstanding, .. } => {
                    for client in (0..outstanding).flat_map(|_| 0..workload.clients) {
                        self.client_later(start, ClientEvent::Next(client));
                    }
                }
            }
        }
        for (index, submit) in (0..).zip(&workload.scripted) {
            self.client_later(submit.at_us * 1000, ClientEvent::Script(index));
        }
    }

    fn client_later(&mut self, at: u64, event: ClientEvent) {
        let index = self.client_events.insert(event);
        self.schedule(at, Due::Client, 0, index);
    }

    pub(super) fn client_event(&mut self, index: u32) {
        match self.client_events.remove(index) {
            ClientEvent::Stream => {
                let clients = self.plan.workload.clients;
                let client = u32::try_from(self.clients.streamed % u64::from(clients)).expect("below 2^32");
                self.stream(client);
                if let Some(interval) = self.clients.interval(self.plan)
                    && self.has_stream()
                {
                    self.client_later(self.now + interval, ClientEvent::Stream);
                }
            }
            ClientEvent::Next(client) => self.stream(client),
            ClientEvent::Script(index) => self.script(index),
            ClientEvent::Arrive(op, to) => self.request_arrives(op, to),
            ClientEvent::Timeout(op) => self.resend(op),
            ClientEvent::Reply(reply) => self.reply_arrives(&reply),
            ClientEvent::Prompt(step) => self.prompt(step),
        }
    }

    /// Whether operations of the stream are left.
    pub(super) fn has_stream(&self) -> bool {
        let workload = &self.plan.workload;
        self.clients.streamed < workload.ops && workload.stop_us.is_none_or(|stop| self.now < stop * 1000)
    }

    fn stream(&mut self, client: u32) {
        if !self.has_stream() {
            return;
        }
        self.clients.streamed += 1;
        let workload = &self.plan.workload;
        let new = NewOp {
            client,
            submitted: self.now,
            expires: Instant(self.now + workload.expiry_us * 1000),
            payload_bytes: workload.payload_bytes,
            signed: self.plan.signed_requests,
            resend: true,
            in_stream: true,
        };
        let op = self.clients.make(&new, self.chain.id, &self.keys, &self.verifier);
        for to in self.clients.entries(self.plan, client) {
            self.submit(op, to);
        }
        self.wait_for_answer(op);
    }

    fn script(&mut self, index: u32) {
        let plan = self.plan;
        let submit = &plan.workload.scripted[index as usize];
        let known = if submit.op.is_empty() { None } else { self.clients.number_of(&submit.op) };
        let op = known.unwrap_or_else(|| {
            let expiry = submit.expiry_us.unwrap_or(plan.workload.expiry_us);
            let new = NewOp {
                client: index,
                submitted: self.now,
                expires: Instant(self.now + expiry * 1000),
                payload_bytes: submit.payload_bytes.unwrap_or(plan.workload.payload_bytes),
                signed: plan.signed_requests,
                resend: submit.resend,
                in_stream: false,
            };
            let op = self.clients.make(&new, self.chain.id, &self.keys, &self.verifier);
            self.clients.labels.push((submit.op.clone(), op));
            op
        });
        for to in &submit.to {
            if submit.direct {
                self.request_arrives(op, ReplicaId(*to));
            } else {
                self.submit(op, *to);
            }
        }
        self.wait_for_answer(op);
    }

    fn submit(&mut self, op: u32, to: u16) {
        if let Some(at) = self.network.client(&meta(Kind::Request), (CLIENT, to), self.now) {
            self.client_later(at, ClientEvent::Arrive(op, ReplicaId(to)));
        }
    }

    fn wait_for_answer(&mut self, op: u32) {
        if let Some(timeout) = self.plan.workload.timeout_us
            && self.clients.ops[op as usize].resend
        {
            self.client_later(self.now + timeout * 1000, ClientEvent::Timeout(op));
        }
    }

    fn resend(&mut self, op: u32) {
        let state = &self.clients.ops[op as usize];
        let is_over = state.request.request.expires.0 <= self.now;
        if state.answered.is_some() || state.expired || is_over {
            return;
        }
        for to in self.clients.others(self.plan) {
            self.submit(op, to);
        }
        self.wait_for_answer(op);
    }

    pub(super) fn request_arrives(&mut self, op: u32, to: ReplicaId) {
        if self.seats[to.index()].is_some() {
            return self.adversary_requested(to.index(), op);
        }
        self.hand(to.index(), Lane::Clients, Waiting::Request(op));
    }

    /// A replica answers the clients.
    pub(super) fn reply(&mut self, host: usize, reply: Reply) {
        let machine = &self.hosts[host];
        let id = machine.id;
        let leaves = machine.busy_until.max(self.now);
        if self.is_honest(id) {
            self.oracles.replied(id, reply.signed.body.slot);
            let expired = reply.outcomes.iter().any(|(_, outcome)| *outcome == Outcome::NoOp(NoOp::Expired));
            self.probes.hit_if(expired, Probe::Expired);
            self.probes.hit_if(reply.results.iter().any(Option::is_none), Probe::Moot);
        }
        if self.clients.ops.is_empty() {
            return;
        }
        match self.network.client(&meta(Kind::Reply), (id.0, CLIENT), leaves) {
            Some(at) if at == self.now => self.reply_arrives(&reply),
            Some(at) => self.client_later(at, ClientEvent::Reply(Box::new(reply))),
            None => {}
        }
    }

    fn reply_arrives(&mut self, reply: &Reply) {
        let mut answered = std::mem::take(&mut self.scratch.answered);
        self.clients.answer(reply, self.now, &mut answered);
        for done in answered.drain(..) {
            self.facts.answers.push(done.waited);
            self.observer.note(self.now, u64::from(done.op), State::default());
            self.observer.tell(self.now, None, State::default(), What::Answered { op: done.op });
            if let Load::Closed { think_us, .. } = self.plan.workload.load
                && self.clients.ops[done.op as usize].in_stream
                && self.has_stream()
            {
                self.client_later(self.now + think_us * 1000, ClientEvent::Next(done.client));
            }
        }
        self.scratch.answered = answered;
        self.consider_ending();
    }
}
