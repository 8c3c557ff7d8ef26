//! All states of one honest replica. Each is kept as the events that led to it, since a replica is a function of its
//! inputs; the real core is asked once for every state and event.

use super::alphabet::Alphabet;
use super::catalogue::{Event, RANKS, RESTART, TIME_OUT};
use super::cluster::{Cluster, Machine};
use super::search::LIST;
use crate::facts::Facts;
use crate::observe::State;
use crate::oracles::Oracles;
use cretoai_core::certificate::Claim;
use cretoai_core::message::Message;
use cretoai_core::record::Record;
use cretoai_core::types::{ReplicaId, View};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The number of a state of one replica.
pub(super) type Local = u32;

/// A state of one replica.
#[derive(Debug)]
pub(super) struct Place {
    /// The step on which it was met first.
    pub(super) from: Option<(Local, Event)>,
    /// What it has said, ascending. This is what others know of it.
    pub(super) said: Vec<Event>,
    /// What it was ever prepared for, and what it decided.
    pub(super) prepared: Vec<Claim>,
    pub(super) decided: Vec<Claim>,
    pub(super) view: View,
    /// The view that it wants to enter, or is in.
    aim: View,
    /// The highest rank of what it did.
    pub(super) rank: u64,
    restarts: u32,
    /// What is wrong here.
    pub(super) broken: Option<String>,
    /// Events whose effect is known, as bits, and those of them that have one.
    known: Vec<u64>,
    effects: Vec<(Event, Local)>,
}

/// About how many bytes a state takes with its number in the map and its lists, whose content is counted by itself.
const PLACE: usize = size_of::<Place>() * 3 / 2 + size_of::<([u8; 32], Local)>() * 3 / 2 + 4 * LIST;
/// The same of an effect. A list has room for as many again, or half as many.
const EFFECT: usize = size_of::<(Event, Local)>() * 3 / 2;

/// One replica.
#[derive(Debug)]
pub(super) struct Automaton {
    pub(super) id: ReplicaId,
    places: Vec<Place>,
    numbers: BTreeMap<[u8; 32], Local>,
    /// How often the core was given an event.
    pub(super) steps: u64,
    /// About how much memory all its states take.
    pub(super) bytes: usize,
}

impl Automaton {
    pub(super) fn new(cluster: &Cluster, alphabet: &mut Alphabet, id: ReplicaId) -> Self {
        let mut automaton = Self { id, places: Vec::new(), numbers: BTreeMap::new(), steps: 0, bytes: 0 };
        let machine = Machine::new(cluster, id);
        let nothing = Place {
            from: None,
            said: Vec::new(),
            prepared: Vec::new(),
            decided: Vec::new(),
            view: View(0),
            aim: View(0),
            rank: 0,
            restarts: 0,
            broken: None,
            known: Vec::new(),
            effects: Vec::new(),
        };
        automaton.place(cluster, alphabet, machine, nothing);
        automaton
    }

    pub(super) fn get(&self, at: Local) -> &Place {
        &self.places[at as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether others, or the oracles, can tell the second state from the first.
    pub(super) fn is_visible(&self, before: Local, after: Local) -> bool {
        self.is_audible(before, after) || self.get(before).decided != self.get(after).decided
    }

    /// The same, decisions aside.
    pub(super) fn is_audible(&self, before: Local, after: Local) -> bool {
        let (before, after) = (self.get(before), self.get(after));
        before.said != after.said || before.view != after.view || after.broken.is_some()
    }

    /// Where an event leads: to the same state if it has no effect.
    pub(super) fn after(&mut self, cluster: &Cluster, alphabet: &mut Alphabet, at: Local, event: Event) -> Local {
        if !self.is_known(at, event) {
            self.learn(cluster, alphabet, at, &[event]);
        }
        let effects = &self.get(at).effects;
        effects.iter().find(|(cause, _)| *cause == event).map_or(at, |(_, to)| *to)
    }

    fn is_known(&self, at: Local, event: Event) -> bool {
        let (word, bit) = (event.0 as usize / 64, event.0 % 64);
        self.get(at).known.get(word).is_some_and(|bits| bits >> bit & 1 == 1)
    }

    /// Asks the core what each of these events does. One that has no effect leaves the replica as it was, for the next.
    pub(super) fn learn(&mut self, cluster: &Cluster, alphabet: &mut Alphabet, at: Local, events: &[Event]) {
        let mut fresh = None;
        for event in events {
            if self.is_known(at, *event) {
                continue;
            }
            let to = self.try_event(cluster, alphabet, at, *event, &mut fresh);
            let place = &mut self.places[at as usize];
            let (word, bit) = (event.0 as usize / 64, event.0 % 64);
            if place.known.len() <= word {
                self.bytes += (word + 1 - place.known.len()) * size_of::<u64>();
                place.known.resize(word + 1, 0);
            }
            place.known[word] |= 1 << bit;
            if to != at {
                place.effects.push((*event, to));
                self.bytes += EFFECT;
            }
        }
    }

    fn try_event(
        &mut self,
        cluster: &Cluster,
        alphabet: &mut Alphabet,
        at: Local,
        event: Event,
        fresh: &mut Option<Machine>,
    ) -> Local {
        let here = self.get(at);
        let out_of_bounds = match event {
            TIME_OUT => self.is_in_last_view(cluster, at),
            RESTART => cluster.bounds.restarts <= here.restarts,
            _ => alphabet.catalogue.get(event).message.is_none(),
        };
        if out_of_bounds || here.broken.is_some() {
            return at;
        }
        let mut next = Place {
            from: Some((at, event)),
            restarts: here.restarts + u32::from(event == RESTART),
            said: here.said.clone(),
            prepared: here.prepared.clone(),
            decided: here.decided.clone(),
            view: here.view,
            aim: here.aim,
            rank: here.rank,
            broken: None,
            known: Vec::new(),
            effects: Vec::new(),
        };
        self.steps += 1;
        let path = self.path(at);
        let (id, old) = (self.id, fresh.take());
        let run = AssertUnwindSafe(|| {
            let mut machine = old.unwrap_or_else(|| run(cluster, alphabet, id, &path));
            let noticed = happen(cluster, alphabet, &mut machine, event);
            (machine, noticed)
        });
        let to = match catch_unwind(run) {
            Ok((machine, false)) if machine.sent.is_empty() => (at, machine),
            Ok((machine, _)) => self.place(cluster, alphabet, machine, next),
            Err(panic) => {
                next.broken = Some(format!("{id} panicked: {}", what(&*panic)));
                return self.push(next);
            }
        };
        if to.0 == at {
            *fresh = Some(to.1);
        }
        to.0
    }

    fn is_in_last_view(&self, cluster: &Cluster, at: Local) -> bool {
        cluster.bounds.views <= self.get(at).aim.0 + 1
    }

    /// The state that a machine is in now; a new one is judged.
    fn place(
        &mut self,
        cluster: &Cluster,
        alphabet: &mut Alphabet,
        mut machine: Machine,
        mut next: Place,
    ) -> (Local, Machine) {
        for envelope in machine.sent.drain(..) {
            if let Some(event) = alphabet.note(cluster, &envelope)
                && let Err(place) = next.said.binary_search(&event)
            {
                next.said.insert(place, event);
            }
        }
        next.view = machine.replica.view();
        let committee = cluster.chain.committee;
        let installed = next.view.0 * RANKS + u64::from(committee.primary(next.view) != self.id && next.view > View(0));
        let said = next.said.iter().map(|event| alphabet.catalogue.get(*event).name.rank(committee));
        next.rank = said.max().unwrap_or(0).max(installed);
        next.aim = machine.replica.target().unwrap_or(next.view);
        for record in &machine.records {
            let (list, certificate) = match record {
                Record::Prepared(certificate) => (&mut next.prepared, certificate),
                Record::Committed(certificate) => (&mut next.decided, certificate),
                _ => continue,
            };
            if !list.contains(&certificate.claim) {
                list.push(certificate.claim);
            }
        }
        let said: Vec<u32> = next.said.iter().map(|event| event.0).collect();
        let whole = (machine.replica.essence(), said, &next.prepared, &next.decided, next.restarts);
        let bytes = postcard::to_stdvec(&whole).expect("it encodes");
        let key = *blake3::hash(&bytes).as_bytes();
        if let Some(known) = self.numbers.get(&key) {
            return (*known, machine);
        }
        next.broken = match machine.replica.halted() {
            Some(halt) => Some(format!("{} stops: {halt:?}", self.id)),
            None => self.judge(cluster, alphabet, &next),
        };
        let at = self.push(next);
        self.numbers.insert(key, at);
        (at, machine)
    }

    fn push(&mut self, place: Place) -> Local {
        let at = Local::try_from(self.places.len()).expect("few enough");
        let claims = (place.prepared.len() + place.decided.len()) * size_of::<Claim>();
        self.bytes += PLACE + place.said.len() * size_of::<Event>() + claims;
        self.places.push(place);
        at
    }

    /// The events that lead to a state.
    pub(super) fn path(&self, at: Local) -> Vec<Event> {
        let steps = std::iter::successors(self.get(at).from, |(before, _)| self.get(*before).from);
        let mut path: Vec<_> = steps.map(|(_, event)| event).collect();
        path.reverse();
        path
    }

    /// What the oracles say of everything that this replica ever wrote and said.
    fn judge(&self, cluster: &Cluster, alphabet: &Alphabet, place: &Place) -> Option<String> {
        let (before, last) = place.from?;
        let path = [self.path(before), vec![last]].concat();
        let honest = cluster.chain.committee.members().filter(|id| *id != cluster.bounds.byzantine);
        let honest = honest.fold(0, |set, id| set | 1 << id.0);
        // Whom a replica accuses is not judged: one VIEW-CHANGE stands for all that it cannot tell apart.
        let mut oracles = Oracles::new(&cluster.chain, &cluster.signatures, honest, &["O11".to_owned()]);
        let mut facts = Facts::default();
        facts.reset(super::cluster::N);
        let mut machine = Machine::new(cluster, self.id);
        let mut seen = 0;
        for event in [None].into_iter().chain(path.into_iter().map(Some)) {
            if let Some(event) = event {
                happen(cluster, alphabet, &mut machine, event);
            }
            machine.records[seen..].iter().for_each(|record| oracles.recorded(self.id, record, &mut facts));
            seen = machine.records.len();
            for envelope in machine.sent.drain(..) {
                // Vertices were given to it, not made by it.
                if !matches!(envelope.message, Message::Vertex(_)) {
                    oracles.released(self.id, &envelope.message);
                }
            }
            oracles.stepped(self.id, State::of(&machine.replica));
        }
        oracles.violation().map(|found| format!("{}: {}", found.oracle, found.sentence))
    }
}

pub(super) fn run(cluster: &Cluster, alphabet: &Alphabet, id: ReplicaId, path: &[Event]) -> Machine {
    let mut machine = Machine::new(cluster, id);
    for event in path {
        happen(cluster, alphabet, &mut machine, *event);
    }
    machine.sent.clear();
    machine
}

/// Whether the replica took notice.
pub(super) fn happen(cluster: &Cluster, alphabet: &Alphabet, machine: &mut Machine, event: Event) -> bool {
    match event {
        TIME_OUT => machine.time_out(),
        RESTART => machine.restart(cluster),
        _ => {
            let message = alphabet.catalogue.get(event).message.as_ref();
            return machine.deliver(message.expect("only messages that pass verification are delivered"));
        }
    }
    true
}

fn what(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
