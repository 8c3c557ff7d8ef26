//! Breadth first through all states of the cluster. A state is one state of each honest replica: what is under way
//! follows from what they have said.

use super::alphabet::Alphabet;
use super::automaton::{Automaton, Local};
use super::catalogue::{Event, Kind, RANKS, VIEW_CHANGE};
use super::cluster::Cluster;
use super::{Bounds, Limit, Report};
use cretoai_core::certificate::Claim;
use std::collections::{BTreeMap, BTreeSet};

mod path;
#[cfg(test)]
mod tests;

/// Honest replicas.
const HONEST: usize = 3;

/// About how many bytes a state of the cluster takes, in the list of them and in the map to its number.
const STATE: usize = 2 * size_of::<(Global, u32)>() + 6;
/// The same of what is remembered of the steps from a state of one replica, lists aside, and of its settled state. The
/// nodes of a map are a third empty.
const STEPS: usize = size_of::<((usize, Local, u32), Vec<Local>)>() * 3 / 2;
const SETTLED: usize = size_of::<((usize, Local, u32), Local)>() * 3 / 2;
/// The same of a combination of what was said, lists aside.
const SOUP: usize = size_of::<(Vec<Event>, u32)>() * 3 / 2 + size_of::<Vec<Event>>();
/// What the allocator adds to a list.
pub(super) const LIST: usize = 16;

/// When a step of this rank is a replica's turn. Where replicas may wait for each other within a rank, there is none.
fn turn(rank: u64, replica: usize) -> (u64, usize) {
    let is_free = rank % RANKS == u64::from(VIEW_CHANGE) || rank.is_multiple_of(RANKS);
    (rank, if is_free { 0 } else { replica })
}

/// Two claims about the same that say something else.
fn rivals<'a>(
    ours: &'a [Claim],
    theirs: &'a [Claim],
    same: impl Fn(&Claim, &Claim) -> bool,
) -> Option<(&'a Claim, &'a Claim)> {
    let pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
    pairs.into_iter().find(|(a, b)| same(a, b) && a.digest != b.digest)
}

type Global = [Local; HONEST];

/// A state between two that show, with the kind of what was delivered since the first.
type Hidden = (Local, Kind);

#[derive(Debug)]
pub(super) struct Search {
    cluster: Cluster,
    alphabet: Alphabet,
    automata: Vec<Automaton>,
    states: Vec<Global>,
    from: Vec<u32>,
    depth: Vec<u16>,
    numbers: BTreeMap<Global, u32>,
    /// By everything that was said, a number.
    soups: BTreeMap<Vec<Event>, u32>,
    events: Vec<Vec<Event>>,
    /// By replica, its state, and what was said: where it can get with one visible step.
    steps: BTreeMap<(usize, Local, u32), Vec<Local>>,
    /// By replica, its state, and what was said: the state after everything that does no harm was delivered.
    settled: BTreeMap<(usize, Local, u32), Local>,
    transitions: u64,
    /// The numbers in all lists of events and states, and what their allocations add.
    lists: usize,
}

impl Search {
    pub(super) fn new(bounds: Bounds) -> Self {
        let cluster = Cluster::new(bounds);
        let mut alphabet = Alphabet::new(&cluster);
        let members = cluster.chain.committee.members().filter(|id| *id != bounds.byzantine);
        let automata = members.map(|id| Automaton::new(&cluster, &mut alphabet, id)).collect();
        Self {
            cluster,
            alphabet,
            automata,
            states: vec![[0; HONEST]],
            from: vec![0],
            depth: vec![0],
            numbers: BTreeMap::from([([0; HONEST], 0)]),
            soups: BTreeMap::new(),
            events: Vec::new(),
            steps: BTreeMap::new(),
            settled: BTreeMap::new(),
            transitions: 0,
            lists: 0,
        }
    }

    pub(super) fn run(mut self) -> Report {
        let mut at = 0;
        let mut found = None;
        let mut limit = None;
        while at < self.states.len() && found.is_none() && limit.is_none() {
            found = self.expand(at);
            at += 1;
            limit = self.limit();
        }
        let depth = self.depth.last().copied().unwrap_or_default();
        let limit = limit.filter(|_| found.is_none() && at < self.states.len());
        let bytes = self.bytes();
        let found = found.map(|(at, sentence)| self.trace(at, sentence));
        Report {
            bounds: self.cluster.bounds,
            states: self.states.len(),
            transitions: self.transitions,
            depth,
            local: self.automata.iter().map(Automaton::len).collect(),
            steps: self.automata.iter().map(|automaton| automaton.steps).sum(),
            messages: self.alphabet.catalogue.len(),
            said: self.soups.len(),
            fingerprint: self.fingerprint(),
            bytes,
            limit,
            found,
        }
    }

    fn limit(&self) -> Option<Limit> {
        let bounds = &self.cluster.bounds;
        if bounds.states <= self.states.len() {
            return Some(Limit::States);
        }
        (bounds.memory <= self.bytes()).then_some(Limit::Memory)
    }

    /// About how much memory all that is kept takes.
    fn bytes(&self) -> usize {
        let maps = self.settled.len() * SETTLED + self.steps.len() * STEPS;
        let automata: usize = self.automata.iter().map(|automaton| automaton.bytes).sum();
        self.states.len() * STATE + maps + self.lists * size_of::<u32>() + self.soups.len() * SOUP + automata
    }

    /// A hash of every combination of what was said.
    fn fingerprint(&self) -> u64 {
        let name = |event: &Event| self.alphabet.catalogue.get(*event).name.to_string();
        let sorted = |said: &Vec<Event>| said.iter().map(name).collect::<BTreeSet<_>>();
        let all: BTreeSet<_> = self.soups.keys().map(sorted).collect();
        let bytes = postcard::to_stdvec(&all).expect("it encodes");
        u64::from_be_bytes(*blake3::hash(&bytes).as_bytes().first_chunk().expect("32 bytes"))
    }

    fn said(&self, state: Global) -> Vec<Event> {
        let mut said: Vec<Event> =
            self.automata.iter().zip(state).flat_map(|(automaton, at)| &automaton.get(at).said).copied().collect();
        said.sort_unstable();
        said
    }

    /// The number of everything that was said in a state.
    fn soup(&mut self, state: Global) -> u32 {
        let said = self.said(state);
        if let Some(soup) = self.soups.get(&said) {
            return *soup;
        }
        let soup = u32::try_from(self.events.len()).expect("few enough");
        let events = self.alphabet.available(&self.cluster, &said);
        self.lists += said.len() + events.len() + 2 * LIST / size_of::<u32>();
        self.events.push(events);
        self.soups.insert(said, soup);
        soup
    }

    /// Delivers at once what honest replicas said, where that changes nothing in what may still happen.
    fn settle(&mut self, state: Global) -> Global {
        let soup = self.soup(state);
        std::array::from_fn(|replica| {
            let key = (replica, state[replica], soup);
            if let Some(known) = self.settled.get(&key) {
                return *known;
            }
            let settled = self.settle_one(replica, state[replica], soup);
            self.settled.insert(key, settled);
            settled
        })
    }

    fn settle_one(&mut self, replica: usize, start: Local, soup: u32) -> Local {
        let Self { cluster, alphabet, automata, .. } = self;
        let automaton = &mut automata[replica];
        let harmless = alphabet.harmless(cluster, &self.events[soup as usize], automaton.id);
        let mut at = start;
        loop {
            let before = at;
            for event in &harmless {
                if !alphabet.is_ripe(*event, &automaton.get(at).said, automaton.id) {
                    continue;
                }
                let to = automaton.after(cluster, alphabet, at, *event);
                if !automaton.is_audible(at, to) {
                    at = to;
                }
            }
            if at == before {
                return at;
            }
        }
    }

    /// Takes every step of a state. The first violation ends it.
    fn expand(&mut self, at: usize) -> Option<(u32, String)> {
        let state = self.states[at];
        let soup = self.soup(state);
        for replica in 0..HONEST {
            let key = (replica, state[replica], soup);
            if !self.steps.contains_key(&key) {
                let next = self.visible_steps(replica, state[replica], soup);
                self.lists += next.len() + LIST / size_of::<u32>();
                self.steps.insert(key, next);
            }
            for next in self.steps[&key].clone() {
                if self.cluster.is_reduced() && !self.is_in_order(state, replica, next) {
                    continue;
                }
                self.transitions += 1;
                let mut to = state;
                to[replica] = next;
                if self.cluster.is_reduced() {
                    to = self.settle(to);
                }
                if self.numbers.contains_key(&to) {
                    continue;
                }
                let number = u32::try_from(self.states.len()).expect("bounded");
                self.numbers.insert(to, number);
                self.states.push(to);
                self.from.push(u32::try_from(at).expect("bounded"));
                self.depth.push(self.depth[at] + 1);
                if let Some(sentence) = self.violation(to) {
                    return Some((number, sentence));
                }
            }
        }
        None
    }

    /// Whether a step is not one of those that could as well have been taken before the last one of another replica.
    fn is_in_order(&self, state: Global, replica: usize, next: Local) -> bool {
        let place = |replica: usize| self.automata[replica].get(state[replica]);
        let (here, there) = (place(replica), self.automata[replica].get(next));
        let is_new = |event: &&Event| here.said.binary_search(event).is_err();
        let goes_back = there.said.iter().filter(is_new).any(|event| self.rank(*event) < here.rank);
        if there.rank == here.rank || goes_back {
            return true;
        }
        let last = (0..HONEST).map(|other| turn(place(other).rank, other)).max();
        last <= Some(turn(there.rank, replica))
    }

    fn rank(&self, event: Event) -> u64 {
        self.alphabet.catalogue.get(event).name.rank(self.cluster.chain.committee)
    }

    /// What is wrong in a state: at one replica, or between two.
    fn violation(&self, state: Global) -> Option<String> {
        let place = |replica: usize| self.automata[replica].get(state[replica]);
        let broken = (0..HONEST).find_map(|replica| place(replica).broken.clone());
        let pairs = [(0, 1), (0, 2), (1, 2)].into_iter();
        let mut forks = pairs.filter_map(|(one, other)| {
            let (a, b) = (self.automata[one].id, self.automata[other].id);
            let decided = rivals(&place(one).decided, &place(other).decided, |a, b| a.slot == b.slot);
            let prepared =
                rivals(&place(one).prepared, &place(other).prepared, |a, b| (a.slot, a.view) == (b.slot, b.view));
            let decided = decided.map(|(x, y)| {
                format!(
                    "O1: {a} decided {:?} for {} in {}, and {b} decided {:?} in {}",
                    x.digest, x.slot, x.view, y.digest, y.view
                )
            });
            let prepared = prepared.map(|(x, y)| {
                format!(
                    "O14: {a} is prepared for {:?} for {} in {}, and {b} for {:?}",
                    x.digest, x.slot, x.view, y.digest
                )
            });
            decided.or(prepared)
        });
        broken.or_else(|| forks.next())
    }

    /// Where a replica can get with one step that shows. What does not show is put off until it matters: nothing that was
    /// said is ever lost, so it can still be delivered then.
    fn visible_steps(&mut self, replica: usize, start: Local, soup: u32) -> Vec<Local> {
        let Self { cluster, alphabet, automata, .. } = self;
        let automaton = &mut automata[replica];
        let id = automaton.id;
        let events: Vec<Event> = self.events[soup as usize]
            .iter()
            .copied()
            .filter(|event| alphabet.catalogue.get(*event).is_for(id))
            .collect();
        // Invisible states, each with the steps that lead to it.
        let mut hidden: BTreeMap<Hidden, Vec<(Local, Event)>> = BTreeMap::from([((start, Kind::Any), Vec::new())]);
        let mut shown: Vec<(Hidden, Event, Local)> = Vec::new();
        let mut open = vec![(start, Kind::Any)];
        let mixes = !cluster.is_reduced();
        while let Some((at, kind)) = open.pop() {
            let of_kind = |event: &Event| mixes || kind.goes_with(alphabet.catalogue.get(*event).name.kind());
            let fitting: Vec<Event> = events.iter().copied().filter(of_kind).collect();
            automaton.learn(cluster, alphabet, at, &fitting);
            for event in fitting {
                let to = automaton.after(cluster, alphabet, at, event);
                if to == at {
                    continue;
                }
                if automaton.is_visible(start, to) {
                    shown.push(((at, kind), event, to));
                    continue;
                }
                let of_event = alphabet.catalogue.get(event).name.kind();
                let next = if mixes || of_event == Kind::Any { kind } else { of_event };
                hidden.entry((to, next)).or_insert_with(|| {
                    open.push((to, next));
                    Vec::new()
                });
                hidden.get_mut(&(to, next)).expect("just there").push((at, event));
            }
        }
        let mut steps = Vec::new();
        for (at, event, to) in shown {
            // What was delivered before without need can be delivered after.
            let is_needless = hidden[&at].iter().any(|(before, needless)| {
                let first = automaton.after(cluster, alphabet, *before, event);
                first != *before
                    && automaton.is_visible(start, first)
                    && automaton.after(cluster, alphabet, first, *needless) == to
            });
            if !is_needless {
                steps.push(to);
            }
        }
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}
