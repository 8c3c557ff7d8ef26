//! States that are taken for one behave as one.

use super::super::automaton::{happen, run};
use super::super::catalogue::{Event, RESTART, TIME_OUT};
use super::super::cluster::Machine;
use super::super::{Bounds, Orders};
use super::{Global, HONEST, Local, Search};
use crate::rng::{Concern, Rng};
use cretoai_core::certificate::Claim;
use cretoai_core::record::Record;
use cretoai_core::replica::{Essence, Halt};
use cretoai_core::types::ReplicaId;
use std::collections::BTreeSet;

/// What others, and the oracles, can tell of a replica, and its essence again.
#[derive(Debug, PartialEq)]
struct Seen {
    said: BTreeSet<Event>,
    prepared: BTreeSet<Claim>,
    decided: BTreeSet<Claim>,
    halted: Option<Halt>,
    essence: Essence,
}

/// A replica that was led to a state in one of several ways.
struct Led {
    machine: Machine,
    said: BTreeSet<Event>,
}

/// How many states were reached in another way than the explorer's own, and after how many inputs they were compared.
#[derive(Debug, Default)]
struct Compared {
    detours: u32,
    inputs: u32,
}

impl Search {
    fn lead(&self, replica: usize, way: &[Event], said: &[Event]) -> Led {
        let machine = run(&self.cluster, &self.alphabet, self.automata[replica].id, way);
        Led { machine, said: said.iter().copied().collect() }
    }

    fn give(&mut self, led: &mut Led, event: Event) -> Seen {
        happen(&self.cluster, &self.alphabet, &mut led.machine, event);
        for envelope in std::mem::take(&mut led.machine.sent) {
            led.said.extend(self.alphabet.note(&self.cluster, &envelope));
        }
        let (mut prepared, mut decided) = (BTreeSet::new(), BTreeSet::new());
        for record in &led.machine.records {
            match record {
                Record::Prepared(certificate) => prepared.insert(certificate.claim),
                Record::Committed(certificate) => decided.insert(certificate.claim),
                _ => continue,
            };
        }
        let replica = &led.machine.replica;
        Seen { said: led.said.clone(), prepared, decided, halted: replica.halted(), essence: replica.essence() }
    }

    /// Events for one replica after what was said in a state.
    fn inputs(&mut self, state: Global, replica: usize) -> Vec<Event> {
        let (soup, id) = (self.soup(state), self.automata[replica].id);
        let events = self.events[soup as usize].iter().copied();
        events.filter(|event| self.alphabet.catalogue.get(*event).is_for(id)).collect()
    }

    /// Gives a replica that took one way to a state, and one that took the explorer's, the same inputs.
    fn compare(&mut self, state: Global, replica: usize, way: &[Event], rng: &mut Rng) -> u32 {
        let (at, inputs) = (state[replica], self.inputs(state, replica));
        let place = self.automata[replica].get(at);
        let (said, is_over) = (place.said.clone(), place.broken.is_some());
        let (mut here, mut there) = {
            let own = self.automata[replica].path(at);
            (self.lead(replica, way, &said), self.lead(replica, &own, &said))
        };
        let mut given = Vec::new();
        while !is_over && given.len() < 12 {
            let event = inputs[rng.index(inputs.len())];
            let aim = here.machine.replica.target().unwrap_or(here.machine.replica.view());
            if event == TIME_OUT && self.cluster.bounds.views <= aim.0 + 1 {
                continue;
            }
            given.push(event);
            let (ours, theirs) = (self.give(&mut here, event), self.give(&mut there, event));
            if ours != theirs {
                let name = |event: &Event| self.alphabet.catalogue.get(*event).name.to_string();
                let list = |events: &[Event]| events.iter().map(name).collect::<Vec<_>>().join("\n  ");
                let own = self.automata[replica].path(at);
                panic!(
                    "two ways to one state:\n  {}\nand\n  {}\ndiffer after\n  {}\nin\n{}",
                    list(way),
                    list(&own),
                    list(&given),
                    difference(&ours, &theirs)
                );
            }
        }
        u32::try_from(given.len()).expect("few")
    }

    /// A random walk through the cluster, at whose end each replica is compared.
    fn walk(&mut self, rng: &mut Rng, compared: &mut Compared) {
        let mut state: Global = [0; HONEST];
        let mut ways = [const { Vec::new() }; HONEST];
        for _ in 0..rng.between(5, 60) {
            let replica = rng.index(HONEST);
            let inputs = self.inputs(state, replica);
            let event = inputs[rng.index(inputs.len())];
            let to = self.follow(replica, state[replica], event);
            // Without effect: kept now and then, as it must not matter.
            if to != state[replica] || rng.chance(100) && !(event == TIME_OUT || event == RESTART) {
                ways[replica].push(event);
            }
            state[replica] = to;
        }
        for (replica, way) in ways.iter().enumerate() {
            if *way != self.automata[replica].path(state[replica]) {
                compared.detours += 1;
                compared.inputs += self.compare(state, replica, way, rng);
            }
        }
    }

    fn follow(&mut self, replica: usize, at: Local, event: Event) -> Local {
        let Self { cluster, alphabet, automata, .. } = self;
        automata[replica].after(cluster, alphabet, at, event)
    }
}

/// The lines that only one of the two has.
fn difference(ours: &Seen, theirs: &Seen) -> String {
    let [ours, theirs] = [ours, theirs].map(|seen| format!("{seen:#?}"));
    let lines = |mine: &str, other: &str, sign: char| -> Vec<String> {
        let other: Vec<_> = other.lines().collect();
        mine.lines().filter(|line| !other.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [lines(&ours, &theirs, '-'), lines(&theirs, &ours, '+')].concat().join("\n")
}

#[test]
fn replicas_that_came_to_equal_essences_in_different_ways_answer_the_same_inputs_alike() {
    for (byzantine, slots, restarts) in [(0, 1, 0), (1, 1, 0), (3, 1, 0), (0, 2, 0), (1, 1, 1)] {
        let byzantine = ReplicaId(byzantine);
        let bounds = Bounds { byzantine, views: 3, slots, restarts, orders: Orders::All, states: 0, memory: 0 };
        let mut search = Search::new(bounds);
        let mut compared = Compared::default();
        let mut rng = Rng::new(u64::from(byzantine.0), Concern::Order);
        for _ in 0..150 {
            search.walk(&mut rng, &mut compared);
        }
        assert!(200 < compared.detours && 2000 < compared.inputs, "{compared:?}");
    }
}
