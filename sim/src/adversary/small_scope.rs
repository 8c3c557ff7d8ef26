//! In a few phases it says something a little different to some of the others (after Winter et al., "ByzzFuzz").

use super::mutator::mutate;
use super::{Adversary, Stage, whole};
use crate::meta::Meta;
use crate::plan::Mutation;
use crate::rules::set_or_all;
use cretoai_core::committee::{ReplicaSet, singleton};
use cretoai_core::outbox::Envelope;

/// Mutates what it says in some phases.
#[derive(Debug)]
pub(super) struct SmallScope {
    mutations: Vec<(Mutation, ReplicaSet)>,
}

impl SmallScope {
    pub(super) fn new(mutations: &[Mutation]) -> Self {
        Self { mutations: mutations.iter().map(|mutation| (mutation.clone(), set_or_all(&mutation.to))).collect() }
    }

    /// Who is to get a mutant of a message.
    fn meant(&self, meta: &Meta) -> ReplicaSet {
        let is_in = |mutation: &Mutation| {
            mutation.kind == meta.kind
                && mutation.view.is_none_or(|view| meta.view == Some(view))
                && mutation.slot.is_none_or(|slot| meta.slots.is_some_and(|(low, high)| low <= slot && slot <= high))
        };
        self.mutations.iter().filter(|(mutation, _)| is_in(mutation)).fold(0, |set, (_, to)| set | to)
    }
}

impl Adversary for SmallScope {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let to = whole(envelope.to) & stage.others();
        let meant = self.meant(&Meta::of(&envelope.message)) & to;
        let mut spared = to;
        for id in stage.committee().members().filter(|id| meant & singleton(*id) != 0) {
            if let Some(mutant) = mutate(stage, &envelope.message) {
                spared &= !singleton(id);
                stage.say(singleton(id), mutant);
            }
        }
        stage.say(spared, envelope.message);
    }
}
