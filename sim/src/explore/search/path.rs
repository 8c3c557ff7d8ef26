//! The way to a violation, and the same way again.

use super::super::automaton::Local;
use super::super::catalogue::Event;
use super::super::{Found, Retraced, Step};
use super::{Global, HONEST, Search};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Search {
    /// The way to a state in which something is wrong, as far as the first step after which something is. What it
    /// delivers was said before.
    pub(super) fn trace(&mut self, to: u32, sentence: String) -> Found {
        let mut way = vec![to];
        while let Some(last) = way.last().copied().filter(|last| *last != 0) {
            way.push(self.from[last as usize]);
        }
        way.reverse();
        let mut steps = Vec::new();
        for pair in way.windows(2) {
            let (before, after) = (self.states[pair[0] as usize], self.states[pair[1] as usize]);
            let soups = [self.soup(before), self.soup(after)];
            // Who says something comes first: the others hear it at once.
            let mut movers: Vec<usize> = (0..HONEST).filter(|replica| before[*replica] != after[*replica]).collect();
            movers.sort_by_key(|replica| !self.automata[*replica].is_audible(before[*replica], after[*replica]));
            let mut state = before;
            for replica in movers {
                for (event, next) in self.story(replica, before[replica], after[replica], soups) {
                    steps.push(self.step(replica, state[replica], event, next));
                    state[replica] = next;
                    if let Some(sentence) = self.violation(state) {
                        return Found { sentence, steps };
                    }
                }
            }
        }
        Found { sentence, steps }
    }

    /// What happens to a replica between two of its states, and where each event leads. A state is judged on the way on
    /// which it was met first; where that ended badly, its last step is taken.
    fn story(&mut self, replica: usize, from: Local, to: Local, soups: [u32; 2]) -> Vec<(Event, Local)> {
        let place = self.automata[replica].get(to);
        let judged = place.from.filter(|_| place.broken.is_some()).and_then(|(before, event)| {
            let mut story = self.between(replica, [from, before, to], soups)?;
            story.push((event, to));
            Some(story)
        });
        judged.or_else(|| self.between(replica, [from, to, to], soups)).unwrap_or_default()
    }

    /// The fewest events from the first state to the second, on the way to the third. Until the replica has said what it
    /// says, it hears what was said before.
    fn between(
        &mut self,
        replica: usize,
        [from, goal, end]: [Local; 3],
        soups: [u32; 2],
    ) -> Option<Vec<(Event, Local)>> {
        let Self { cluster, alphabet, automata, .. } = self;
        let automaton = &mut automata[replica];
        let mut came: BTreeMap<Local, (Local, Event)> = BTreeMap::new();
        let mut open = VecDeque::from([from]);
        while let Some(at) = open.pop_front().filter(|at| *at != goal) {
            let has_said = automaton.get(at).said == automaton.get(end).said;
            for event in &self.events[soups[usize::from(has_said)] as usize] {
                if !alphabet.catalogue.get(*event).is_for(automaton.id) {
                    continue;
                }
                let next = automaton.after(cluster, alphabet, at, *event);
                let is_on_the_way =
                    [from, end].iter().any(|known| automaton.get(*known).said == automaton.get(next).said);
                if is_on_the_way && next != from && !came.contains_key(&next) {
                    came.insert(next, (at, *event));
                    open.push_back(next);
                }
            }
        }
        let mut story = Vec::new();
        let mut at = goal;
        while at != from {
            let (before, event) = *came.get(&at)?;
            story.push((event, at));
            at = before;
        }
        story.reverse();
        Some(story)
    }

    fn name(&self, event: Event) -> String {
        self.alphabet.catalogue.get(event).name.to_string()
    }

    /// One event, and what follows from it.
    fn step(&self, replica: usize, before: Local, event: Event, after: Local) -> Step {
        let automaton = &self.automata[replica];
        let (old, new) = (automaton.get(before), automaton.get(after));
        let said = new.said.iter().filter(|event| !old.said.contains(event));
        // By name: their numbers depend on what was explored before.
        let says = said.map(|event| format!("says {}", self.name(*event))).collect::<BTreeSet<_>>();
        let decided = new.decided.iter().filter(|claim| !old.decided.contains(claim));
        let decides = decided.map(|claim| format!("decides {:?} for {} in {}", claim.digest, claim.slot, claim.view));
        Step { replica: automaton.id, event: self.name(event), follows: says.into_iter().chain(decides).collect() }
    }

    /// Takes these steps again, up to the first violation.
    pub(in super::super) fn retrace(mut self, steps: &[Step]) -> Result<Retraced, String> {
        let mut state: Global = [0; HONEST];
        let mut taken = Vec::new();
        for (number, Step { replica, event, .. }) in steps.iter().enumerate() {
            let soup = self.soup(state);
            let Some(place) = self.automata.iter().position(|automaton| automaton.id == *replica) else {
                return Err(format!("steps[{number}].replica = {replica}: is not an honest replica"));
            };
            let is_meant =
                |known: &&Event| self.alphabet.catalogue.get(**known).is_for(*replica) && self.name(**known) == *event;
            let Some(event) = self.events[soup as usize].iter().find(is_meant).copied() else {
                return Err(format!("steps[{number}].event = {event}: cannot happen to {replica} here"));
            };
            let before = state[place];
            let Self { cluster, alphabet, automata, .. } = &mut self;
            state[place] = automata[place].after(cluster, alphabet, before, event);
            taken.push(self.step(place, before, event, state[place]));
            if let Some(sentence) = self.violation(state) {
                return Ok(Retraced { steps: taken, violation: Some(sentence) });
            }
        }
        Ok(Retraced { steps: taken, violation: None })
    }
}
