//! It makes vertices of evidence that proves nothing: forged, misread, repeated, of another chain, of two views.

use super::{Adversary, Stage, whole};
use cretoai_core::evidence::Evidence;
use cretoai_core::message::{Message, Signed, ViewChange};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vertex::{Link, Payload, Vertex};
use cretoai_core::vote::{Phase, Vote};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Accuses others of what they did not do.
#[derive(Debug)]
pub(super) struct FalseAccuser {
    period: u64,
    /// The last vote and VIEW-CHANGE that it heard from each of the others.
    votes: BTreeMap<ReplicaId, Signed<Vote>>,
    view_changes: BTreeMap<ReplicaId, Arc<Signed<ViewChange>>>,
    /// By slot, signer and phase, the last vote. The lowest slots are forgotten first.
    by_slot: BTreeMap<(Slot, ReplicaId, Phase), Signed<Vote>>,
    /// Two votes of one signer and phase for one slot, in two views for two batches, as is right after a view change.
    /// The oldest are forgotten first.
    changed: VecDeque<(Signed<Vote>, Signed<Vote>)>,
    /// The last vertex of its puppet: what follows upon it could be final.
    last: Option<Link>,
}

/// How much of what it heard it remembers.
const REMEMBERED: usize = 512;

impl FalseAccuser {
    pub(super) fn new(period_us: u64) -> Self {
        Self {
            period: period_us.max(1) * 1000,
            votes: BTreeMap::new(),
            view_changes: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            changed: VecDeque::new(),
            last: None,
        }
    }

    fn hears(&mut self, vote: &Signed<Vote>) {
        self.votes.insert(vote.signer, vote.clone());
        for (slot, digest) in vote.body.entries.iter() {
            let before = self.by_slot.insert((slot, vote.signer, vote.body.phase), vote.clone());
            let is_changed = |before: &Signed<Vote>| {
                before.body.view != vote.body.view && before.body.digest_for(slot) != Some(digest)
            };
            self.changed.extend(before.filter(is_changed).map(|before| (before, vote.clone())));
        }
        self.changed.drain(..self.changed.len().saturating_sub(REMEMBERED));
        while REMEMBERED < self.by_slot.len() {
            self.by_slot.pop_first();
        }
    }

    fn accusation(&self, stage: &mut Stage<'_>) -> Evidence {
        if !self.changed.is_empty() && stage.rng.chance(500) {
            let (first, second) = &self.changed[stage.rng.index(self.changed.len())];
            return Evidence::Votes(first.clone(), second.clone());
        }
        let victim = ReplicaId((stage.id.0 + 1) % stage.committee().n());
        let heard = self.votes.get(&victim).cloned();
        let own = || Vote::one(Phase::Commit, View(0), Slot(1), stage.chain.id);
        let vote = heard.unwrap_or_else(|| stage.signed_vote(own()));
        let changed = |vote: &Signed<Vote>, digest| {
            let (slot, _) = vote.body.entries.iter().next().expect("votes are about a slot");
            Vote::one(vote.body.phase, vote.body.view, slot, digest)
        };
        match stage.rng.below(5) {
            // The other statement in the victim's name, with a signature of its own, or the one of the first.
            0 => {
                let body = changed(&vote, stage.some_digest());
                let signature = stage.signer.sign(Statement::Vote(&body));
                Evidence::Votes(vote.clone(), Signed { signer: victim, body, signature })
            }
            1 => {
                let body = changed(&vote, stage.some_digest());
                Evidence::Votes(vote.clone(), Signed { body, ..vote })
            }
            // Twice the same.
            2 => Evidence::Votes(vote.clone(), vote),
            // A vote that came before the victim left its view, and to which it owns up.
            3 if self.view_changes.contains_key(&victim) => {
                Evidence::LeftOut(vote, Arc::clone(&self.view_changes[&victim]))
            }
            // What it said itself, on another chain.
            _ => {
                let [a, b] = [stage.some_digest(), stage.some_digest()].map(|digest| changed(&vote, digest));
                let abroad = |body: Vote| {
                    let signature = stage.elsewhere.in_another_chain(stage.id, Statement::Vote(&body));
                    Signed { signer: stage.id, body, signature }
                };
                Evidence::Votes(abroad(a), abroad(b))
            }
        }
    }
}

impl Adversary for FalseAccuser {
    fn start(&mut self, stage: &mut Stage<'_>) {
        stage.wakes.push(stage.now + self.period);
    }

    fn receives(&mut self, _stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        match message.get() {
            Message::Vote(vote) => self.hears(vote),
            Message::ViewChange(message) => {
                self.view_changes.insert(message.signed.signer, Arc::clone(&message.signed));
            }
            _ => {}
        }
        u32::MAX
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        if let Message::Vertex(vertex) = &envelope.message
            && vertex.signer == stage.id
        {
            self.last = Some(Link { height: vertex.body.height, id: vertex.id() });
        }
        stage.say(whole(envelope.to), envelope.message);
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        let payload = Payload::Evidence(Arc::new(self.accusation(stage)));
        let prev = self.last.unwrap_or(Link::genesis(stage.chain.id));
        let (author, ts, height) = (stage.id, stage.time, Height(prev.height.0 + 1));
        let vertex = Vertex { author, height, ts, prev, refs: Vec::new(), payload };
        let message = Message::Vertex(stage.vertex(vertex));
        stage.say(stage.others(), message);
        stage.wakes.push(stage.now + self.period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::hash::Digest;
    use cretoai_core::signature::Signature;

    fn vote(signer: u16, view: u64, slot: u64) -> Signed<Vote> {
        let digest = Digest([u8::try_from(view).expect("a small view"); 32]);
        let body = Vote::one(Phase::Commit, View(view), Slot(slot), digest);
        Signed { signer: ReplicaId(signer), body, signature: Signature::new(&[0; 16]) }
    }

    #[test]
    fn a_false_accuser_forgets_the_lowest_slots_and_the_oldest_changes_first() {
        let mut accuser = FalseAccuser::new(1);
        let last = 2 * REMEMBERED as u64;
        for slot in 1..=last {
            for view in 0..2 {
                accuser.hears(&vote(0, view, slot));
                accuser.hears(&vote(1, view, slot));
            }
        }
        assert!(accuser.by_slot.len() <= REMEMBERED && accuser.changed.len() <= REMEMBERED);
        assert!(accuser.by_slot.contains_key(&(Slot(last), ReplicaId(0), Phase::Commit)), "r0's is as new as r1's");
        let changed = accuser.changed.back().expect("all changed");
        assert_eq!(changed.1, vote(1, 1, last));
    }
}
