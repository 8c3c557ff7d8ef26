//! Runs spelled out: writing down who is handed what, and handing out what is written down.

use super::{Letter, Run};
use crate::host::Waiting;
use crate::inbox::Lane;
use crate::meta::Meta;
use crate::observe::{State, What};
use crate::plan::{Fault, Happening, Name, Operation, Step, Transcript, from_hex, to_hex};
use crate::schedule::{Due, Event};
use crate::workload::{ClientEvent, Op};
use cretoai_core::outbox::Target;
use cretoai_core::types::ReplicaId;
use cretoai_core::wire;
use std::collections::BTreeMap;

/// Numbers messages of the same name.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<Name, u32>);

impl Names {
    /// The place of the next one among those of its name.
    fn next(&mut self, from: ReplicaId, meta: &Meta) -> u32 {
        let count = self.0.entry(name(from, meta, 0)).or_default();
        *count += 1;
        *count - 1
    }
}

fn name(from: ReplicaId, meta: &Meta, nth: u32) -> Name {
    Name { from: from.0, kind: meta.kind, view: meta.view, slots: meta.slots, nth }
}

/// Writes a run down.
#[derive(Debug, Default)]
pub(super) struct Scribe {
    transcript: Transcript,
    /// Where what Byzantine replicas said is, by the numbers of messages.
    said: BTreeMap<u64, usize>,
    /// Where operations are, by their numbers.
    operations: BTreeMap<u32, usize>,
    /// The last message that was sent before it was calm.
    before_calm: Option<u64>,
}

impl Scribe {
    fn step(&mut self, at_ns: u64, what: Happening) {
        self.transcript.steps.push(Step { at_ns, what });
    }

    fn operation(&mut self, number: u32, op: &Op) -> usize {
        let list = &mut self.transcript.operations;
        *self.operations.entry(number).or_insert_with(|| {
            let request = &op.request.request;
            list.push(Operation {
                client: op.client,
                submitted_ns: op.submitted,
                expires_ns: request.expires.0,
                nonce: to_hex(&request.nonce),
                op: to_hex(&request.op.0),
            });
            list.len() - 1
        })
    }
}

/// Hands out what is written down.
#[derive(Debug)]
pub(super) struct Prompter {
    /// To whom each message goes: the receiver, the time, the step.
    due: BTreeMap<Name, Vec<(u16, u64, u32)>>,
}

impl Prompter {
    pub(super) fn new(transcript: &Transcript) -> Self {
        let mut due: BTreeMap<Name, Vec<_>> = BTreeMap::new();
        for (step, Step { at_ns, what }) in (0..).zip(&transcript.steps) {
            if let Happening::Deliver { to, message } = what {
                due.entry(*message).or_default().push((*to, *at_ns, step));
            }
        }
        Self { due }
    }
}

impl Run<'_> {
    /// What becomes of a run that was written down.
    pub(super) fn take_transcript(&mut self) -> Transcript {
        self.scribe.take().map_or_else(Transcript::default, |scribe| scribe.transcript)
    }

    /// The place of a message that leaves among those of its name, if anybody wants to know.
    pub(super) fn number(&mut self, from: ReplicaId, meta: &Meta) -> u32 {
        if self.scribe.is_none() && self.prompter.is_none() {
            return 0;
        }
        self.names.next(from, meta)
    }

    /// Whether a message from one replica to another arrives because the transcript says so, or not at all.
    pub(super) fn is_spelled_out(&self, from: ReplicaId, to: ReplicaId) -> bool {
        self.prompter.is_some() && !self.is_live(from, to)
    }

    /// Whether it is calm, and two replicas are connected whatever the plan says.
    fn is_live(&self, from: ReplicaId, to: ReplicaId) -> bool {
        self.core.is_some() && self.healed >> from.0 & 1 == 1 && self.healed >> to.0 & 1 == 1
    }

    /// Schedules the arrivals of a message that the transcript lists. How many there are.
    pub(super) fn prompt_copies(
        &mut self,
        index: u32,
        meta: &Meta,
        (from, to): (ReplicaId, ReplicaId),
        nth: u32,
    ) -> u32 {
        let Some(prompter) = &self.prompter else { return 0 };
        let Some(due) = prompter.due.get(&name(from, meta, nth)) else { return 0 };
        let mut copies = 0;
        for (_, at, step) in due.iter().filter(|(receiver, ..)| *receiver == to.0) {
            let host = u8::try_from(to.index()).expect("below 128");
            let event = Event { time: self.now.max(*at), due: Due::Delivery, host, index };
            self.schedule.push_as(event, *step);
            copies += 1;
        }
        copies
    }

    /// Schedules everything that nobody has to send first.
    pub(super) fn begin_transcript(&mut self) {
        let Some(transcript) = &self.plan.transcript else { return };
        for operation in &transcript.operations {
            self.clients.spell(operation, self.plan.signed_requests, self.chain.id, &self.keys, &self.verifier);
        }
        for (step, Step { at_ns, what }) in (0..).zip(&transcript.steps) {
            if !matches!(what, Happening::Deliver { .. }) {
                let index = self.client_events.insert(ClientEvent::Prompt(step));
                self.schedule.push_as(Event { time: *at_ns, due: Due::Client, host: 0, index }, step);
            }
        }
    }

    /// A step of the transcript is due.
    pub(super) fn prompt(&mut self, step: u32) {
        let plan = self.plan;
        let Some(transcript) = &plan.transcript else { return };
        match &transcript.steps[step as usize].what {
            Happening::Deliver { .. } => {}
            Happening::Said { from, to, message } => self.say_again(*from, *to, &transcript.said[*message]),
            Happening::Request { to, operation } => {
                self.request_arrives(u32::try_from(*operation).expect("its place"), ReplicaId(*to));
            }
            Happening::Fault(fault) => self.fault_happens(fault.clone()),
        }
    }

    /// What a Byzantine replica said is said again, if those whose signatures are in it have signed by now.
    fn say_again(&mut self, from: u16, to: u16, bytes: &str) {
        let (from, to) = (ReplicaId(from), ReplicaId(to));
        let bytes = from_hex(bytes).expect("the plan was validated");
        let Ok(message) = wire::decode(&bytes, wire::max_frame(&self.chain)) else { return };
        if self.seats[to.index()].is_some() || self.seats[from.index()].is_none() {
            return;
        }
        let meta = Meta::of(&message);
        self.serial += 1;
        let what = What::Sent { to: Target::One(to), letter: self.serial, message: &message };
        self.observer.tell(self.now, Some(from), State::default(), what);
        self.note_proposal(&message);
        let Ok(message) = self.verifier.message(message) else { return };
        let letter = Letter { message, from, meta, serial: self.serial, copies: 1, nth: 0 };
        let index = self.mail.insert(letter);
        self.hand(to.index(), Lane::Peer(from.0), Waiting::Letter(index));
    }

    /// Writes down that a message is handed to a machine.
    pub(super) fn write_letter(&mut self, host: usize, index: u32) {
        let to = self.hosts[host].id;
        let letter = self.mail.get(index);
        let from = letter.from;
        let is_live = self.is_live(from, to);
        let Some(scribe) = &mut self.scribe else { return };
        if self.seats[to.index()].is_some() {
            return;
        }
        let is_byzantine = self.seats[from.index()].is_some();
        if !is_byzantine {
            let is_late = scribe.before_calm.is_some_and(|last| last < letter.serial);
            if !(is_live && is_late) {
                let message = name(from, &letter.meta, letter.nth);
                scribe.step(self.now, Happening::Deliver { to: to.0, message });
            }
            return;
        }
        let list = &mut scribe.transcript.said;
        let message = *scribe.said.entry(letter.serial).or_insert_with(|| {
            list.push(to_hex(&wire::encode(letter.message.get())));
            list.len() - 1
        });
        scribe.step(self.now, Happening::Said { from: from.0, to: to.0, message });
    }

    /// Writes down that a request is handed to a machine.
    pub(super) fn write_request(&mut self, host: usize, op: u32) {
        let to = self.hosts[host].id;
        let Some(scribe) = &mut self.scribe else { return };
        if self.seats[to.index()].is_none() {
            let operation = scribe.operation(op, &self.clients.ops[op as usize]);
            scribe.step(self.now, Happening::Request { to: to.0, operation });
        }
    }

    /// Writes down a fault, unless it is one of links: what arrives shows them.
    pub(super) fn write_fault(&mut self, fault: &Fault) {
        let Some(scribe) = &mut self.scribe else { return };
        match fault {
            Fault::Partition { .. }
            | Fault::Cut { .. }
            | Fault::Connect { .. }
            | Fault::Isolate { .. }
            | Fault::Heal
            | Fault::EnableRule { .. }
            | Fault::DisableRule { .. } => {}
            // Those who come back do so one by one, in faults of their own.
            Fault::PowerLoss { .. } => {
                (0..self.plan.n).for_each(|replica| scribe.step(self.now, Happening::Fault(Fault::Crash { replica })));
            }
            fault => scribe.step(self.now, Happening::Fault(fault.clone())),
        }
    }

    /// Writes down that from now on replicas are connected whatever the plan says.
    pub(super) fn write_calm(&mut self) {
        if let Some(scribe) = &mut self.scribe {
            scribe.before_calm = Some(self.serial);
        }
    }
}
