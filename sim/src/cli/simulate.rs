//! Running plans, listening to them, and comparing them.

use super::event;
use crate::observe::{TraceEvent, TraceSink};
use crate::plan::Plan;
use crate::report::{Failure, RunReport, Verdict};
use crate::world::World;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// A world that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Simulator {
    world: World,
}

/// A listener that its owner gets back.
struct Shared<S>(Rc<RefCell<S>>);

impl<S: TraceSink> TraceSink for Shared<S> {
    fn event(&mut self, event: &TraceEvent<'_>) {
        self.0.borrow_mut().event(event);
    }
}

impl Simulator {
    /// The world that it uses.
    pub(super) fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Runs a plan.
    pub(super) fn run(&mut self, plan: &Plan) -> RunReport {
        self.world.run(plan)
    }

    /// Runs a plan while somebody listens.
    pub(super) fn listen<S: TraceSink + 'static>(&mut self, plan: &Plan, listener: S) -> (RunReport, S) {
        let shared = Rc::new(RefCell::new(listener));
        self.world.listen(Some(Box::new(Shared(Rc::clone(&shared)))));
        let report = self.world.run(plan);
        self.world.listen(None);
        let listener = Rc::into_inner(shared).expect("the world gave its share back");
        (report, listener.into_inner())
    }

    /// Runs a plan again. What it should have been and was not, as a report of nondeterminism.
    pub(super) fn repeat(&mut self, plan: &Plan, first: &RunReport) -> Option<RunReport> {
        let second = self.run(plan);
        if second == *first {
            return None;
        }
        let difference = self.difference([plan, plan], Depth::Hashes);
        let (at, event) = difference.as_ref().map_or((0, 0), |difference| (difference.at_ns, difference.number));
        let sentence = difference.map_or_else(
            || format!("hash {} and then {}; the difference did not show a third time", first.hash, second.hash),
            |difference| difference.sentence(),
        );
        let failure = Failure { oracle: "O12".to_owned(), sentence, at_ns: at, event };
        Some(RunReport { verdict: Verdict::Nondeterminism(failure), ..first.clone() })
    }

    /// The first event in which two runs differ.
    pub(super) fn difference(&mut self, plans: [&Plan; 2], depth: Depth) -> Option<Difference> {
        let [a, b] = plans.map(|plan| self.listen(plan, Fingerprints { depth, list: Vec::new() }).1.list);
        let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        if same == a.len() && same == b.len() {
            return None;
        }
        let range = same.saturating_sub(CONTEXT)..same + CONTEXT + 1;
        let [a, b] = plans.map(|plan| self.listen(plan, Excerpt::new(range.clone())).1);
        let index = same - range.start;
        let first = a.heads.get(index).or(b.heads.get(index)).copied();
        let (number, at_ns) = first.unwrap_or_default();
        let before = a.lines.iter().take(index).cloned().collect();
        let after = |excerpt: Excerpt| excerpt.lines.into_iter().skip(index).collect();
        Some(Difference { index: same as u64, number, at_ns, before, after: [after(a), after(b)] })
    }
}

/// How many events around a difference are shown.
const CONTEXT: usize = 5;

/// What counts as a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What is shown of an event.
    Words,
    /// That, and the running hash. Runs of different seeds differ in it from the start.
    Hashes,
}

/// The first event in which two runs differ.
#[derive(Debug)]
pub(super) struct Difference {
    /// How many events are the same.
    pub(super) index: u64,
    /// The number of the event.
    pub(super) number: u64,
    /// When it happened in the first run.
    pub(super) at_ns: u64,
    /// The last events that are the same.
    pub(super) before: Vec<String>,
    /// The event that differs and some after it, in each run. Nothing if a run was over.
    pub(super) after: [Vec<String>; 2],
}

impl Difference {
    fn sentence(&self) -> String {
        let show = |lines: &[String]| {
            let line = lines.first().map_or("the end of the run", String::as_str);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let [a, b] = [&self.after[0], &self.after[1]].map(|lines| show(lines));
        let difference = if a == b { "same words, another state".to_owned() } else { format!("`{a}` and then `{b}`") };
        format!("the same plan ran differently from event {} on: {difference}", self.index)
    }
}

/// A number for each event.
struct Fingerprints {
    depth: Depth,
    list: Vec<u64>,
}

impl TraceSink for Fingerprints {
    fn event(&mut self, event: &TraceEvent<'_>) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(event::line(event).as_bytes());
        hasher.update(&event.at.to_le_bytes());
        if self.depth == Depth::Hashes {
            hasher.update(&event.hash.to_le_bytes());
        }
        let head = *hasher.finalize().as_bytes().first_chunk::<8>().expect("a hash has more than 8 bytes");
        self.list.push(u64::from_le_bytes(head));
    }
}

/// Some events as lines.
struct Excerpt {
    range: Range<usize>,
    heard: usize,
    lines: Vec<String>,
    /// The number and the time of each.
    heads: Vec<(u64, u64)>,
}

impl Excerpt {
    fn new(range: Range<usize>) -> Self {
        Self { range, heard: 0, lines: Vec::new(), heads: Vec::new() }
    }
}

impl TraceSink for Excerpt {
    fn event(&mut self, event: &TraceEvent<'_>) {
        if self.range.contains(&self.heard) {
            self.lines.push(event::line(event));
            self.heads.push((event.number, event.at));
        }
        self.heard += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_run_that_is_not_repeated_to_the_last_bit_is_nondeterminism() {
        let mut simulator = Simulator::default();
        let plan = Scenario::load("canary").unwrap().plan(1).unwrap();
        let mut report = simulator.run(&plan);
        assert_eq!(simulator.repeat(&plan, &report), None);
        report.hash = "of another run".to_owned();
        let report = simulator.repeat(&plan, &report).expect("the hashes differ");
        assert_eq!(report.verdict.exit_code(), 3);
        let sentence = &report.verdict.failure().unwrap().sentence;
        assert!(sentence.starts_with("hash of another run and then "), "{sentence}");
    }

    #[test]
    fn the_first_event_that_differs_is_shown_with_those_before_it() {
        let mut simulator = Simulator::default();
        let plan = Scenario::load("canary").unwrap().plan(1).unwrap();
        let mut other = plan.clone();
        other.workload.start_us += 5_000;
        let difference = simulator.difference([&plan, &other], Depth::Words).expect("the second starts later");
        let heads = difference.after.each_ref().map(|lines| lines[0].trim_start().split_once(' ').unwrap().0);
        assert_eq!(heads, ["0.010000", "0.015000"], "{difference:?}");
        assert_eq!(difference.before.len(), CONTEXT, "{difference:?}");
        assert!(simulator.difference([&plan, &plan], Depth::Hashes).is_none());
    }
}
