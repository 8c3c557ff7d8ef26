//! Two complete replicas with one key, each connected to a part of the others (after Bano et al., "Twins").

use super::{Adversary, Stage, whole};
use crate::rules::set_or_all;
use cretoai_core::committee::{ReplicaSet, singleton};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;

/// Two replicas with one key.
#[derive(Debug)]
pub(super) struct Twin {
    fixed: Option<ReplicaSet>,
    period: u64,
    turns: Vec<ReplicaSet>,
    /// How often the others were divided.
    divided: usize,
    both_per_mille: u32,
    /// Who is connected to each of them.
    sides: [ReplicaSet; 2],
}

impl Twin {
    pub(super) fn new(first: &[u16], change_every_us: u64, turns: &[Vec<u16>], both_per_mille: u32) -> Self {
        let fixed = (!first.is_empty()).then(|| set_or_all(first));
        let turns = turns.iter().map(|first| set_or_all(first)).collect();
        let period = change_every_us.saturating_mul(1000);
        Self { fixed, period, turns, divided: 0, both_per_mille, sides: [0; 2] }
    }

    fn divide(&mut self, stage: &mut Stage<'_>) {
        let turn = self.turns.get(self.divided % self.turns.len().max(1)).copied();
        let first = self.fixed.take().or(turn).unwrap_or_else(|| stage.some_others());
        self.divided += 1;
        self.sides = [first, stage.others() & !first];
        for id in stage.committee().members() {
            if stage.rng.chance(self.both_per_mille) {
                self.sides.iter_mut().for_each(|side| *side |= singleton(id));
            }
        }
        if self.period > 0 {
            stage.wakes.push(stage.now + self.period);
        }
    }
}

impl Adversary for Twin {
    fn puppets(&self) -> usize {
        2
    }

    fn start(&mut self, stage: &mut Stage<'_>) {
        self.divide(stage);
    }

    fn receives(&mut self, _stage: &mut Stage<'_>, from: ReplicaId, _message: &Verified<Message>) -> u32 {
        let hears = |side: usize| u32::from(self.sides[side] & singleton(from) != 0) << side;
        hears(0) | hears(1)
    }

    fn sends(&mut self, stage: &mut Stage<'_>, puppet: usize, envelope: Envelope) {
        stage.say(whole(envelope.to) & self.sides[puppet], envelope.message);
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        self.divide(stage);
    }
}
