//! Two complete replicas with one key, each connected to a part of the others (after Bano et al., "Twins").

use super::{Adversary, Stage, whole};
use crate::meta::Meta;
use crate::plan::Kind;
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

/// Two replicas with one key, each connected to others view by view.
#[derive(Debug)]
pub(super) struct TwinByView {
    sides: Vec<[ReplicaSet; 2]>,
}

impl TwinByView {
    pub(super) fn new(by_view: &[[Vec<u16>; 2]]) -> Self {
        let set = |list: &Vec<u16>| list.iter().fold(0, |set, id| set | 1 << id);
        Self { sides: by_view.iter().map(|sides| sides.each_ref().map(set)).collect() }
    }

    /// Who is connected to one of the two in messages like this one.
    fn side(&self, puppet: usize, message: &Message) -> ReplicaSet {
        let meta = Meta::of(message);
        // STATUS says in which view its sender is, and belongs to none.
        let view = meta.view.filter(|_| meta.kind != Kind::Status);
        let sides = view.and_then(|view| self.sides.get(usize::try_from(view).ok()?));
        sides.map_or(ReplicaSet::MAX, |sides| sides[puppet])
    }
}

impl Adversary for TwinByView {
    fn puppets(&self) -> usize {
        2
    }

    fn receives(&mut self, _stage: &mut Stage<'_>, from: ReplicaId, message: &Verified<Message>) -> u32 {
        let hears = |puppet| u32::from(self.side(puppet, message.get()) & singleton(from) != 0) << puppet;
        hears(0) | hears(1)
    }

    fn sends(&mut self, stage: &mut Stage<'_>, puppet: usize, envelope: Envelope) {
        let side = self.side(puppet, &envelope.message);
        stage.say(whole(envelope.to) & side, envelope.message);
    }
}
