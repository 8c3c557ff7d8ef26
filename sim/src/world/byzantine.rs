//! Byzantine replicas: what reaches an adversary, and what it does.

use super::{Run, Seat};
use crate::adversary::{Adversary, Saying, Stage};
use crate::host::{Mode, Waiting};
use crate::inbox::Lane;
use crate::schedule::Due;
use cretoai_core::outbox::Envelope;
use cretoai_core::types::ReplicaId;

impl Run<'_> {
    /// Lets an adversary act, and then does what it wants.
    fn on_stage<T>(&mut self, id: usize, act: impl FnOnce(&mut dyn Adversary, &mut Stage<'_>) -> T) -> Option<T> {
        let mut seat = self.seats[id].take()?;
        let Seat { adversary, signer, .. } = &mut seat;
        let replica = ReplicaId(u16::try_from(id).expect("below 128"));
        let mut stage = Stage {
            id: replica,
            now: self.now,
            time: self.hosts[id].time(self.now),
            chain: &self.chain,
            signer: &**signer,
            elsewhere: self.keys.elsewhere(self.chain.id),
            clients: &self.clients,
            rng: &mut self.adversary_rng,
            says: Vec::new(),
            wakes: Vec::new(),
            forgets: false,
        };
        let result = act(&mut **adversary, &mut stage);
        let Stage { says, wakes, forgets, .. } = stage;
        self.seats[id] = Some(seat);
        for at in wakes {
            self.schedule(at.max(self.now), Due::Wake, id, super::ADVERSARY);
        }
        for Saying { to, delay, message } in says {
            self.post(replica, to, self.now + delay, message);
        }
        if forgets {
            self.wipe(id);
        }
        Some(result)
    }

    pub(super) fn start_adversary(&mut self, id: usize) {
        self.on_stage(id, |adversary, stage| adversary.start(stage));
    }

    /// A copy of a message reached a Byzantine replica.
    pub(super) fn adversary_receives(&mut self, id: usize, letter: u32) {
        let message = self.mail.get(letter).message.clone();
        let from = self.mail.get(letter).from;
        let seen = self.on_stage(id, |adversary, stage| adversary.receives(stage, from, &message)).unwrap_or(0);
        let puppets = self.seats[id].as_ref().map_or(0, |seat| seat.puppets.len());
        for puppet in (0..puppets).filter(|puppet| seen >> puppet & 1 == 1) {
            if let Some(host) = self.seats[id].as_ref().map(|seat| seat.puppets[puppet]) {
                self.mail.get_mut(letter).copies += 1;
                self.hand(host, Lane::Peer(from.0), Waiting::Letter(letter));
            }
        }
        self.release(letter);
    }

    /// A request reached a Byzantine replica.
    pub(super) fn adversary_requested(&mut self, id: usize, op: u32) {
        let operation = &self.clients.ops[op as usize];
        let (client, request) = (operation.client, operation.request.clone());
        let seen = self.on_stage(id, |adversary, stage| adversary.requested(stage, client, &request)).unwrap_or(0);
        let puppets = self.seats[id].as_ref().map_or(Vec::new(), |seat| seat.puppets.clone());
        for (_, host) in puppets.into_iter().enumerate().filter(|(puppet, _)| seen >> puppet & 1 == 1) {
            self.hand(host, Lane::Clients, Waiting::Request(op));
        }
    }

    /// A machine of an adversary wants to send something.
    pub(super) fn puppet_sends(&mut self, host: usize, envelope: Envelope) {
        let id = self.hosts[host].id.index();
        let Some(seat) = &self.seats[id] else { return };
        let puppet = seat.puppets.iter().position(|known| *known == host).expect("one of its machines");
        self.on_stage(id, |adversary, stage| adversary.sends(stage, puppet, envelope));
    }

    /// An adversary wanted to be woken.
    pub(super) fn adversary_wakes(&mut self, id: usize) {
        if self.hosts[id].mode != Mode::Paused {
            self.on_stage(id, |adversary, stage| adversary.wakes(stage));
        }
    }
}
