//! The simulator's oracles over what the replicas of a chain wrote into their files of events.

use cretoai_core::batch::NULL_BATCH;
use cretoai_core::bytes::Bytes;
use cretoai_core::config::Chain;
use cretoai_core::message::Message;
use cretoai_core::outbox::Execution;
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{ReplicaId, View};
use cretoai_node::events::{Entry, Place, Stamped, read};
use cretoai_node::genesis::GenesisFile;
use cretoai_runtime::signatures::{Cached, verifier};
use cretoai_sim::judge::Judge;
use cretoai_sim::observe::State;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Signatures that are remembered as right.
const REMEMBERED: usize = 1 << 16;

/// The chain of a file.
pub(crate) fn chain(genesis: &Path) -> Arc<Chain> {
    let (_, chain) = GenesisFile::load(genesis).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(chain)
}

/// Lets the oracles judge what the replicas of a chain told, of which the files are in the order of their ids.
pub(crate) fn judge_files(chain: &Arc<Chain>, files: &[PathBuf]) -> Judge {
    judge(chain, || files.iter().map(|path| told(path)).collect())
}

/// What a replica told.
pub(crate) fn told(path: &Path) -> Box<dyn Iterator<Item = Stamped>> {
    let shown = path.display().to_string();
    let events = read(path).unwrap_or_else(|error| panic!("{shown}: {error}"));
    Box::new(events.map(move |event| event.unwrap_or_else(|error| panic!("{shown}: {error}"))))
}

/// Lets the oracles judge what the replicas of a chain told. It is read twice.
pub(crate) fn judge<I: Iterator<Item = Stamped>>(chain: &Arc<Chain>, streams: impl Fn() -> Vec<I>) -> Judge {
    let signatures = Cached::new(verifier(chain).expect("the keys of a chain"), chain, REMEMBERED);
    let mut judge = Judge::new(chain, &(Arc::new(signatures) as _));
    // Each process reads the machine's clock when it starts and goes by its own after that, so clocks differ by what
    // passes between two instructions. Only proposals are needed by others than those who tell of them.
    for entry in streams().into_iter().flatten().map(|stamped| stamped.entry) {
        if let Entry::Released(_, Message::PrePrepare(message)) = entry {
            judge.proposed(&message.vote);
        }
    }
    let mut streams: Vec<_> = streams().into_iter().map(Iterator::peekable).collect();
    loop {
        let heads = (0..).zip(&mut streams).filter_map(|(id, stream)| Some((stream.peek()?.at, id)));
        let Some((_, id)) = heads.min() else { return judge };
        let stamped = streams[usize::from(id)].next().expect("it has a head");
        tell(&mut judge, chain, ReplicaId(id), stamped);
    }
}

fn tell(judge: &mut Judge, chain: &Chain, id: ReplicaId, stamped: Stamped) {
    let Stamped { at, entry } = stamped;
    match entry {
        Entry::Found(lsn, record) => judge.found(id, lsn, &record),
        Entry::Started { chain: of, replica, place, end } => {
            assert_eq!((of, replica), (chain.id, id), "the files are those of this chain, in order");
            judge.started(id, state(place), end);
        }
        Entry::Recorded(lsn, record) => judge.recorded(id, lsn, &record),
        Entry::Released(_, message) => judge.released(id, &message),
        Entry::Reached(place) => {
            judge.stepped(id, state(place));
            if place.diverged {
                judge.fail(format!("{id} diverged at {}", place.executed));
            }
        }
        Entry::Holds(footprint) => judge.weigh(id, &footprint),
        Entry::Executes { slot, time, requests, .. } => {
            let execution = Execution { slot, time, requests, listed: Vec::new() };
            judge.executes(id, &execution, at.0);
        }
        Entry::Executed(slot, results) => judge.results(id, slot, &[Bytes(results.0.to_vec())]),
        Entry::Restored(slot, state) => judge.restored(id, slot, state, at.0),
        Entry::Accused(evidence) => judge.accused(id, &evidence),
        Entry::Replied { slot, .. } => judge.replied(id, slot),
    }
}

fn state(place: Place) -> State {
    let Place { view, target, stable, executed, diverged: _ } = place;
    State { view, target, stable, executed }
}

/// How a true story is made a wrong one.
enum Wrong {
    /// This event is left out.
    Without,
    /// Another one is told in its place.
    Instead(Entry),
}

use Wrong::{Instead, Without};

/// A lie, by which oracle it has to be noticed, and what it does to the first event that it can be told of.
type Lie = (&'static str, &'static str, fn(&Entry) -> Option<Wrong>);

const LIES: [Lie; 9] = [
    ("no vote on record", "O5", |entry| matches!(entry, Entry::Recorded(_, Record::Voted(..))).then_some(Without)),
    ("no batch on record", "O5", |entry| matches!(entry, Entry::Recorded(_, Record::Batch(..))).then_some(Without)),
    ("no prepared slot", "O5", |entry| matches!(entry, Entry::Recorded(_, Record::Prepared(_))).then_some(Without)),
    ("no committed slot", "O5", |entry| matches!(entry, Entry::Recorded(_, Record::Committed(_))).then_some(Without)),
    ("no execution", "O2", |entry| matches!(entry, Entry::Executes { .. }).then_some(Without)),
    ("no request executed", "O1", |entry| match entry.clone() {
        Entry::Executes { slot, time, listed, .. } => {
            Some(Instead(Entry::Executes { slot, time, requests: Vec::new(), listed }))
        }
        _ => None,
    }),
    ("another time", "O1", |entry| match entry.clone() {
        Entry::Executes { slot, requests, listed, .. } => {
            Some(Instead(Entry::Executes { slot, time: Instant(1), requests, listed }))
        }
        _ => None,
    }),
    ("other results", "O2", |entry| match entry {
        Entry::Executed(slot, _) => Some(Instead(Entry::Executed(*slot, NULL_BATCH))),
        _ => None,
    }),
    ("a higher view before", "O8", |entry| match *entry {
        Entry::Reached(place) if place.executed.0 == 1 => {
            Some(Instead(Entry::Reached(Place { view: View(9), ..place })))
        }
        _ => None,
    }),
];

/// Replica 0 tells lies about what it did: each is noticed, by the oracle whose matter it is.
pub(crate) fn assert_lies_are_noticed(chain: &Arc<Chain>, files: &[PathBuf]) {
    let stories: Vec<Vec<Stamped>> = files.iter().map(|path| told(path).collect()).collect();
    let verdict = |own: &[Stamped]| {
        let stories = || std::iter::once(own).chain(stories[1..].iter().map(Vec::as_slice));
        judge(chain, || stories().map(|story| story.iter().cloned()).collect()).violation()
    };
    assert_eq!(verdict(&stories[0]), None);
    for (lie, oracle, change) in LIES {
        let mut own = stories[0].clone();
        let at = own.iter().position(|stamped| change(&stamped.entry).is_some());
        let at = at.unwrap_or_else(|| panic!("{lie}: nothing to lie about"));
        match change(&own[at].entry).expect("it was found") {
            Without => drop(own.remove(at)),
            Instead(entry) => own[at].entry = entry,
        }
        let found = verdict(&own).unwrap_or_else(|| panic!("{lie}: nobody notices"));
        assert!(found.starts_with(oracle), "{lie}: {found}");
    }
}
