//! Messages from one replica to others.

use super::{Letter, Run};
use crate::host::Waiting;
use crate::inbox::Lane;
use crate::meta::Meta;
use crate::observe::{State, What};
use crate::plan::{Boundary, Kind};
use crate::probes::Probe;
use crate::schedule::{Due, MAX_INDEX};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::message::Message;
use cretoai_core::outbox::{Envelope, Target};
use cretoai_core::types::ReplicaId;

/// Stands, with the sender's number added, for a message that nobody accepts, and that is therefore not kept.
const JUNK: u32 = MAX_INDEX - 128;

impl Run<'_> {
    /// A replica's message leaves its outbox.
    pub(super) fn send(&mut self, host: usize, envelope: Envelope) {
        let machine = &mut self.hosts[host];
        let id = machine.id;
        if self.seats[id.index()].is_some() {
            return self.puppet_sends(host, envelope);
        }
        machine.effects.sends += 1;
        let nth = machine.effects.sends;
        let points = &self.plan.crash_points;
        let is_at = |at| points.iter().any(|point| (point.replica, point.at, point.nth) == (id.0, at, nth));
        if !points.is_empty() && is_at(Boundary::BeforeSend) {
            return self.crash_at_point(host);
        }
        if self.has_cpu_costs && envelope.message.is_gated() {
            machine.busy_until = machine.busy_until.max(self.now) + self.plan.cpu.sign_ns;
        }
        let leaves = machine.busy_until.max(self.now);
        if self.honest >> id.0 & 1 == 1 {
            self.oracles.released(id, &envelope.message);
        }
        self.post(id, address(envelope.to), leaves, envelope.message);
        if !self.plan.crash_points.is_empty() && is_at(Boundary::AfterSend) {
            self.crash_at_point(host);
        }
    }

    /// A message leaves a replica for others. Whatever it says, and whoever made it.
    pub(super) fn post(&mut self, from: ReplicaId, to: ReplicaSet, leaves: u64, message: Message) {
        let meta = Meta::of(&message);
        if self.observer.is_heard() {
            let to = if to.is_power_of_two() { Target::One(receivers(to).next().unwrap_or(from)) } else { Target::All };
            let what = What::Sent { to, letter: self.serial + 1, message: &message };
            self.observer.tell(self.now, Some(from), State::default(), what);
        }
        self.note_proposal(&message);
        let signer = message.speaker();
        let bytes = if self.network.needs_sizes() { cretoai_core::wire::encode(&message).len() as u64 } else { 0 };
        let verified = match self.verifier.message(message) {
            Ok(verified) => verified,
            Err(reason) => {
                self.tallies.forged += 1;
                if self.is_honest(from) {
                    let sentence =
                        format!("{from}, which is honest, sent a {:?} that nobody accepts: {reason}", meta.kind);
                    self.fail("O4", sentence);
                }
                return self.post_junk(from, to, leaves, (&meta, bytes));
            }
        };
        let index = self.mail.insert(Letter { message: verified, from, meta, serial: 0, copies: 0, nth: 0 });
        assert!(index < JUNK, "{index} messages under way at once");
        let nth = self.number(from, &meta);
        let mut arrivals = std::mem::take(&mut self.scratch.arrivals);
        let (mut copies, mut addressed) = (0, 0);
        for to in receivers(to).take_while(|to| to.0 < self.plan.n).filter(|to| *to != from) {
            addressed += 1;
            if self.is_spelled_out(from, to) {
                copies += self.prompt_copies(index, &meta, (from, to), nth);
                continue;
            }
            self.network.route(&meta, (from, to), leaves, bytes, &mut arrivals);
            for at in arrivals.drain(..) {
                copies += 1;
                self.schedule(at, Due::Delivery, to.index(), index);
            }
        }
        self.scratch.arrivals = arrivals;
        self.serial += 1;
        let letter = self.mail.get_mut(index);
        (letter.copies, letter.serial, letter.nth) = (copies, self.serial, nth);
        if copies == 0 {
            self.mail.discard(index);
        }
        self.note_sent(from, signer, &meta, addressed);
    }

    /// A message that nobody accepts costs those who get it the time to find that out, and does nothing else.
    fn post_junk(&mut self, from: ReplicaId, to: ReplicaSet, leaves: u64, (meta, bytes): (&Meta, u64)) {
        if !self.has_cpu_costs {
            return;
        }
        let mut arrivals = std::mem::take(&mut self.scratch.arrivals);
        for to in receivers(to).take_while(|to| to.0 < self.plan.n).filter(|to| *to != from) {
            self.network.route(meta, (from, to), leaves, bytes, &mut arrivals);
            for at in arrivals.drain(..) {
                self.schedule(at, Due::Delivery, to.index(), JUNK + u32::from(from.0));
            }
        }
        self.scratch.arrivals = arrivals;
    }

    fn note_sent(&mut self, from: ReplicaId, signer: Option<ReplicaId>, meta: &Meta, copies: u64) {
        self.tallies.send(from, signer, meta, copies, self.now);
        if !self.triggers.is_empty() {
            self.triggers.sends(from, meta);
        }
        if self.tallies.by_slot
            && matches!(meta.kind, Kind::PrePrepare | Kind::Prepare | Kind::Commit)
            && let Some((first, last)) = meta.slots
        {
            for slot in first..=last {
                let facts = self.facts.slot(cretoai_core::types::Slot(slot));
                facts.messages += u32::try_from(copies).unwrap_or(u32::MAX);
            }
        }
    }

    /// Remembers what is proposed, and when it first was.
    pub(super) fn note_proposal(&mut self, message: &Message) {
        let Message::PrePrepare(message) = message else { return };
        self.oracles.proposed(&message.vote);
        for (slot, digest) in message.vote.body.entries.iter() {
            // A Byzantine primary may speak of any slot.
            if slot.0 > self.facts.last + 4 * self.plan.window {
                continue;
            }
            let facts = self.facts.slot(slot);
            facts.proposed_in.get_or_insert(message.vote.body.view);
            match facts.proposed {
                Some((known, _)) if known == digest => {}
                Some(_) => {
                    facts.proposed = Some((digest, self.now));
                    self.probes.hit(Probe::TwoProposals);
                }
                None => facts.proposed = Some((digest, self.now)),
            }
        }
    }

    /// A copy of a message reached a replica.
    pub(super) fn arrive(&mut self, id: usize, letter: u32) {
        if let Some(from) = letter.checked_sub(JUNK) {
            if self.seats[id].is_none() {
                self.hand(id, Lane::Peer(u16::try_from(from).expect("below 128")), Waiting::Junk);
            }
            return;
        }
        if self.seats[id].is_some() {
            return self.adversary_receives(id, letter);
        }
        let from = self.mail.get(letter).from;
        self.hand(id, Lane::Peer(from.0), Waiting::Letter(letter));
    }

    /// A copy of a message is gone.
    pub(super) fn release(&mut self, index: u32) {
        let letter = self.mail.get_mut(index);
        letter.copies -= 1;
        if letter.copies == 0 {
            self.mail.discard(index);
        }
    }
}

/// The replicas that an address means; whoever sends is left out later.
pub(super) fn address(to: Target) -> ReplicaSet {
    match to {
        Target::All => ReplicaSet::MAX,
        Target::One(id) => 1 << id.0,
    }
}

fn receivers(mut set: ReplicaSet) -> impl Iterator<Item = ReplicaId> {
    std::iter::from_fn(move || {
        if set == 0 {
            return None;
        }
        let id = set.trailing_zeros();
        set &= set - 1;
        Some(ReplicaId(u16::try_from(id).expect("below 128")))
    })
}
