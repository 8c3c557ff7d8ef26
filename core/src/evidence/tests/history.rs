//! Soundness (`docs/protocol.md` X9): a replica that keeps the rules signs nothing that satisfies a predicate,
//! whatever happens to it.

use super::*;
use crate::vote::{Entries, Vote};

/// What may happen to a replica. Numbers are choices, to be reduced to what is possible.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It votes for a batch in a slot of its window.
    Prepare(u64),
    /// A slot that it voted for becomes prepared.
    Commit(u64),
    /// It signs its votes again in vectors that are cut elsewhere.
    Repeat(usize),
    /// A checkpoint becomes stable, perhaps before it executed so far.
    Stable,
    /// It leaves its view for one so much higher.
    Leave(u64),
    /// A new view begins.
    Enter,
}

#[derive(Debug, Default)]
struct Honest {
    view: u64,
    target: Option<u64>,
    stable: u64,
    voted: BTreeMap<u64, Claim>,
    prepared: BTreeMap<u64, Claim>,
    votes: Vec<Signed<Vote>>,
    view_changes: Vec<Arc<Signed<ViewChange>>>,
}

impl Honest {
    /// What the view orders in a slot: every view something else, so that mistakes show.
    fn claim(&self, slot: u64) -> Claim {
        claim(slot, self.view, u8::try_from(self.view * 16 + slot % 16).unwrap())
    }

    fn handle(&mut self, world: &World, event: Event) {
        let slot = |choice| self.stable + 1 + choice % 8;
        let is_active = self.target.is_none();
        match event {
            Event::Prepare(choice) if is_active => {
                let claim = self.claim(slot(choice));
                self.voted.insert(claim.slot.0, claim);
                self.votes.push(world.sign(1, Vote::one(Prepare, claim.view, claim.slot, claim.digest)));
            }
            Event::Commit(choice) if is_active => {
                let claim = self.claim(slot(choice));
                if self.voted.get(&claim.slot.0) == Some(&claim) {
                    self.prepared.insert(claim.slot.0, claim);
                    self.votes.push(world.sign(1, Vote::one(Commit, claim.view, claim.slot, claim.digest)));
                }
            }
            Event::Repeat(cut) if is_active => {
                let own = self.voted.values().filter(|claim| claim.view.0 == self.view);
                let entries: Vec<_> = own.map(|claim| (claim.slot, claim.digest)).collect();
                let (head, tail) = entries.split_at(cut.min(entries.len()));
                for part in [head, tail].into_iter().filter(|part| !part.is_empty()) {
                    let vote = Vote { phase: Prepare, view: View(self.view), entries: Entries::new(part) };
                    self.votes.push(world.sign(1, vote));
                }
            }
            Event::Stable => {
                self.stable += 4;
                self.voted.retain(|slot, _| self.stable < *slot);
                self.prepared.retain(|slot, _| self.stable < *slot);
            }
            Event::Leave(distance) => {
                let target = self.target.unwrap_or(self.view) + 1 + distance;
                self.target = Some(target);
                let body = ViewChange {
                    view: View(target),
                    stable: Slot(self.stable),
                    state: digest(0),
                    prepared: self.prepared.values().copied().collect(),
                    voted: self.voted.values().copied().collect(),
                };
                self.view_changes.push(world.sign_view_change(1, body));
            }
            Event::Enter => self.view = self.target.take().unwrap_or(self.view),
            Event::Prepare(_) | Event::Commit(_) | Event::Repeat(_) => {}
        }
    }
}

fn some_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..8_u64).prop_map(Event::Prepare),
        6 => (0..8_u64).prop_map(Event::Commit),
        2 => (0..8_usize).prop_map(Event::Repeat),
        1 => Just(Event::Stable),
        1 => (0..2_u64).prop_map(Event::Leave),
        2 => Just(Event::Enter),
    ]
}

proptest! {
    #[test]
    fn a_replica_that_keeps_the_rules_never_convicts_itself(events in proptest::collection::vec(some_event(), 1..60)) {
        let world = world();
        let mut honest = Honest::default();
        // Views stay below 16, where claims tell them apart.
        let leaves = events.iter().filter(|event| matches!(event, Event::Leave(_))).count();
        prop_assume!(leaves < 7);
        for event in events {
            honest.handle(&world, event);
        }
        for (at, one) in honest.votes.iter().enumerate() {
            for other in &honest.votes[at..] {
                prop_assert_eq!(Evidence::from_votes(one, other), None);
            }
            for view_change in &honest.view_changes {
                prop_assert_eq!(Evidence::from_left_out(one, view_change), None);
            }
        }
        for (at, one) in honest.view_changes.iter().enumerate() {
            prop_assert_eq!(Evidence::from_view_change(&world.chain, one), None);
            for other in &honest.view_changes[at..] {
                prop_assert_eq!(Evidence::from_view_changes(one, other), None);
            }
        }
    }
}
