//! In a few phases it says something a little different to some of the others, or nothing, or what it said before
//! (after Winter et al., "ByzzFuzz").

use super::mutator::mutate;
use super::{Adversary, Stage, whole};
use crate::meta::Meta;
use crate::plan::{Instead, Kind, Mutation};
use crate::rules::set_or_all;
use cretoai_core::committee::{ReplicaSet, singleton};
use cretoai_core::message::Message;
use cretoai_core::outbox::Envelope;
use std::collections::BTreeMap;

/// Mutates what it says in some phases.
#[derive(Debug)]
pub(super) struct SmallScope {
    mutations: Vec<(Mutation, ReplicaSet)>,
    /// Of each kind the last message, and the last one that was another.
    said: BTreeMap<Kind, (Message, Option<Message>)>,
}

impl SmallScope {
    pub(super) fn new(mutations: &[Mutation]) -> Self {
        let mutations = mutations.iter().map(|mutation| (mutation.clone(), set_or_all(&mutation.to)));
        Self { mutations: mutations.collect(), said: BTreeMap::new() }
    }

    /// Who is to get this instead of a message.
    fn meant(&self, meta: &Meta, instead: Instead) -> ReplicaSet {
        let is_in = |mutation: &Mutation| {
            mutation.instead == instead
                && mutation.kind == meta.kind
                && mutation.view.is_none_or(|view| meta.view == Some(view))
                && mutation.slot.is_none_or(|slot| meta.slots.is_some_and(|(low, high)| low <= slot && slot <= high))
        };
        self.mutations.iter().filter(|(mutation, _)| is_in(mutation)).fold(0, |set, (_, to)| set | to)
    }

    /// The last message of this kind that was another one. What is sent again is none.
    fn earlier(&mut self, kind: Kind, message: &Message) -> Option<Message> {
        let (last, other) = self.said.entry(kind).or_insert_with(|| (message.clone(), None));
        if last != message {
            *other = Some(std::mem::replace(last, message.clone()));
        }
        other.clone()
    }
}

impl Adversary for SmallScope {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let meta = Meta::of(&envelope.message);
        let mut spared = whole(envelope.to) & stage.others() & !self.meant(&meta, Instead::Nothing);
        let old = self.meant(&meta, Instead::Earlier) & spared;
        if let Some(earlier) = self.earlier(meta.kind, &envelope.message)
            && old != 0
        {
            spared &= !old;
            stage.say(old, earlier);
        }
        let meant = self.meant(&meta, Instead::Changed) & spared;
        for id in stage.committee().members().filter(|id| meant & singleton(*id) != 0) {
            if let Some(mutant) = mutate(stage, &envelope.message) {
                spared &= !singleton(id);
                stage.say(singleton(id), mutant);
            }
        }
        stage.say(spared, envelope.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::hash::Digest;
    use cretoai_core::message::Signed;
    use cretoai_core::signature::Signature;
    use cretoai_core::types::{ReplicaId, Slot, View};
    use cretoai_core::vote::{Phase, Vote};

    #[test]
    fn the_earlier_message_is_the_last_other_one_of_its_kind() {
        let vote = |slot| {
            let body = Vote::one(Phase::Commit, View(0), Slot(slot), Digest([7; 32]));
            Message::Vote(Signed { signer: ReplicaId(0), body, signature: Signature::new(&[0; 16]) })
        };
        let mut said = SmallScope::new(&[]);
        let mut earlier = |kind, slot| said.earlier(kind, &vote(slot));
        assert_eq!([earlier(Kind::Commit, 1), earlier(Kind::Commit, 1)], [None, None], "sent again");
        assert_eq!([earlier(Kind::Commit, 2), earlier(Kind::Commit, 2)], [Some(vote(1)), Some(vote(1))]);
        assert_eq!([earlier(Kind::Prepare, 3), earlier(Kind::Commit, 4)], [None, Some(vote(2))]);
    }

    #[test]
    fn each_receiver_gets_what_its_mutation_says() {
        let mutation =
            |to, instead| Mutation { kind: Kind::Commit, view: Some(1), slot: Some(3), to: vec![to], instead };
        let scope = SmallScope::new(&[mutation(1, Instead::Changed), mutation(2, Instead::Nothing)]);
        let meta = |kind, view| Meta { kind, view: Some(view), slots: Some((3, 3)), fingerprint: 0 };
        let meant =
            |meta: Meta| [Instead::Changed, Instead::Nothing, Instead::Earlier].map(|what| scope.meant(&meta, what));
        assert_eq!(meant(meta(Kind::Commit, 1)), [0b10, 0b100, 0]);
        assert_eq!(meant(meta(Kind::Commit, 2)), [0; 3]);
        assert_eq!(meant(meta(Kind::Prepare, 1)), [0; 3]);
    }
}
