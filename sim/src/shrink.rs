//! The smallest story behind a failure: fewer replicas, faults, operations, messages and less time, and the same
//! failure still (delta debugging, after Zeller & Hildebrandt).
//!
//! First the plan itself is made smaller, as far as the failure survives that. Then the run is spelled out, as a
//! [`Transcript`]: what is left out of it simply does not arrive, and nothing else changes because of it. Everything
//! here is counted in simulated events and not in seconds, so a file shrinks to the same one on every machine.

mod list;
mod plans;
mod remains;
mod sameness;
mod smaller;

pub use remains::Remains;
pub use sameness::Sameness;

use crate::plan::{Happening, Plan, Step, Transcript};
use crate::report::RunReport;
use crate::world::World;
use list::minimize;

/// Events that the search may simulate; about as many as two cores simulate in half a minute.
const EVENTS: u64 = 24_000_000;

/// The part of them that goes into making the plan smaller, before the run is spelled out.
const EVENTS_OF_PLANS: u64 = 8_000_000;

/// Seeds that are tried when a run does not fail once it is spelled out.
const OTHER_SEEDS: u64 = 100;

/// How large a failing run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Replicas.
    pub replicas: u64,
    /// Byzantine ones.
    pub byzantine: u64,
    /// Faults of all kinds.
    pub faults: u64,
    /// Operations that clients submitted.
    pub operations: u64,
    /// The last slot that was executed.
    pub slots: u64,
    /// Messages handed to replicas.
    pub deliveries: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Virtual time.
    pub ns: u64,
}

impl Size {
    fn of(plan: &Plan, report: &RunReport) -> Self {
        let count = |list: usize| list as u64;
        Self {
            replicas: plan.n.into(),
            byzantine: count(plan.byzantine.len()),
            faults: count(plan.all_faults().count() + plan.rules.len() + plan.crash_points.len()),
            operations: report.ops_submitted,
            slots: report.slots_safety + report.slots_calm,
            deliveries: report.deliveries,
            events: report.events,
            ns: report.verdict.failure().map_or(report.end_us * 1000, |failure| failure.at_ns),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan that fails as the first one did.
    pub plan: Plan,
    /// Its run.
    pub report: RunReport,
    /// How large the failure was, and how large it is.
    pub sizes: [Size; 2],
    /// How many runs it took.
    pub runs: u64,
    /// Whether the run is spelled out; if not, it did not fail any more when it was.
    pub is_spelled_out: bool,
    /// Whether nothing more can be left out of it, one by one; if not, the search was over before.
    pub is_minimal: bool,
    /// Of what the plan has, what was tried to have less of and then did not fail so with any of some seeds.
    pub needed: Vec<&'static str>,
}

/// Why a failure cannot be made smaller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoShrink {
    /// It does not fail.
    #[error("the run passes with this program: there is nothing to shrink")]
    Passes,
    /// Any smaller run may fail so.
    #[error("{0} failed, which any smaller run may do as well; only what oracles find can be shrunk")]
    Meaningless(String),
}

/// Shrinks a failing plan. Whatever `world` hosts is hosted.
///
/// # Errors
/// [`NoShrink`] says why it cannot be done.
pub fn shrink(world: &mut World, plan: &Plan) -> Result<Shrunk, NoShrink> {
    // The canary must fail, and that it does is what is to be shown.
    let plan = Plan { must_fail: None, must_say: None, ..plan.clone() };
    let first = world.run(&plan);
    let Some(same) = Sameness::of(&first.verdict) else { return Err(NoShrink::Passes) };
    if !same.is_of_oracle() {
        return Err(NoShrink::Meaningless(same.oracle));
    }
    let plan = Plan { expectations: Vec::new(), ..plan };
    let mut search = Search { world, same, runs: 1, events: first.events, limit: 2 * first.events + 1000 };
    let (smaller, needed) = search.smaller_plan(&plan, &first, EVENTS_OF_PLANS);
    let spelled = search.spell_out(&smaller).or_else(|| search.spell_out(&plan));
    let spelled = spelled.or_else(|| search.spell_out_another(&smaller));
    let is_spelled_out = spelled.is_some();
    let shortest = spelled.map(|plan| search.shortest(plan)).unwrap_or(smaller);
    let is_minimal = is_spelled_out && search.may_go_on();
    let report = search.world.run(&shortest);
    let sizes = [Size::of(&plan, &first), Size::of(&shortest, &report)];
    Ok(Shrunk { plan: shortest, report, sizes, runs: search.runs, is_spelled_out, is_minimal, needed })
}

/// The search for a smaller run that fails in the same way.
struct Search<'a> {
    world: &'a mut World,
    same: Sameness,
    runs: u64,
    events: u64,
    /// Events that a run may have: one that is much longer than the first is not smaller.
    limit: u64,
}

impl Search<'_> {
    fn may_go_on(&self) -> bool {
        self.events < EVENTS
    }

    /// The report of a plan, if it fails in the same way.
    fn fails(&mut self, plan: &Plan) -> Option<RunReport> {
        plan.validate().ok()?;
        self.world.limit_events(Some(self.limit));
        let report = self.world.run(plan);
        self.world.limit_events(None);
        self.runs += 1;
        // A run costs something even if nothing happens in it.
        self.events += report.events + 100;
        (Sameness::of(&report.verdict).as_ref() == Some(&self.same)).then_some(report)
    }

    /// The same run, with a transcript; nothing if it does not fail any more.
    fn spell_out(&mut self, plan: &Plan) -> Option<Plan> {
        let (report, transcript) = self.world.transcribe(plan);
        self.runs += 1;
        let spelled = plans::spelled(plan, &report, transcript);
        self.fails(&spelled).map(|_| spelled)
    }

    /// The same with other seeds. Two things of one moment may change places when a run is spelled out, and a failure
    /// that hangs on that is in another run as well.
    fn spell_out_another(&mut self, plan: &Plan) -> Option<Plan> {
        (1..=OTHER_SEEDS).find_map(|step| {
            let candidate = Plan { seed: plan.seed.saturating_add(step), ..plan.clone() };
            let fails = self.may_go_on() && self.fails(&candidate).is_some();
            if fails { self.spell_out(&candidate) } else { None }
        })
    }

    /// As little of a transcript as it takes.
    fn shortest(&mut self, mut plan: Plan) -> Plan {
        loop {
            let before = size(&plan);
            for family in plans::families(&plan) {
                self.without(&mut plan, |step| !family.has(step));
            }
            self.fewer_steps(&mut plan);
            self.plainer(&mut plan);
            self.sooner(&mut plan);
            if !self.may_go_on() || size(&plan) == before {
                return plans::tidied(&plan);
            }
        }
    }

    /// Keeps a plan if it fails too.
    fn accept(&mut self, plan: &mut Plan, candidate: Plan) -> bool {
        let holds = self.may_go_on() && self.fails(&candidate).is_some();
        if holds {
            *plan = candidate;
        }
        holds
    }

    fn without(&mut self, plan: &mut Plan, keep: impl Fn(&Step) -> bool) {
        let mut candidate = plan.clone();
        let steps = &mut transcript(&mut candidate).steps;
        let before = steps.len();
        steps.retain(keep);
        if steps.len() < before {
            self.accept(plan, candidate);
        }
    }

    fn fewer_steps(&mut self, plan: &mut Plan) {
        let steps = std::mem::take(&mut transcript(plan).steps);
        let base = plan.clone();
        let steps = minimize(steps, |steps| {
            let mut candidate = base.clone();
            steps.clone_into(&mut transcript(&mut candidate).steps);
            self.may_go_on() && self.fails(&candidate).is_some()
        });
        transcript(plan).steps = steps;
        let points = plan.crash_points.clone();
        plan.crash_points = minimize(points, |points| {
            let candidate = Plan { crash_points: points.to_vec(), ..plan.clone() };
            self.may_go_on() && self.fails(&candidate).is_some()
        });
    }

    /// Leaves out what else a plan has and the failure does not need.
    fn plainer(&mut self, plan: &mut Plan) {
        for simpler in plans::PLAINER {
            let mut candidate = plan.clone();
            simpler(&mut candidate);
            if candidate != *plan {
                self.accept(plan, candidate);
            }
        }
    }

    /// Takes out time: first between all steps, then between fewer and fewer.
    fn sooner(&mut self, plan: &mut Plan) {
        let count = transcript(plan).steps.len();
        let mut size = count;
        while size > 0 && self.may_go_on() {
            let mut start = 0;
            while start < count && self.may_go_on() {
                let mut candidate = plan.clone();
                if plans::squeeze(&mut candidate, start..(start + size).min(count)) {
                    self.accept(plan, candidate);
                }
                start += size;
            }
            size /= 2;
        }
    }
}

fn transcript(plan: &mut Plan) -> &mut Transcript {
    plan.transcript.get_or_insert_default()
}

/// What gets smaller, if anything does: steps, and the text of all the rest.
fn size(plan: &Plan) -> (usize, u64) {
    let steps = plan.transcript.as_ref().map_or(&[][..], |transcript| &transcript.steps);
    let last = steps.iter().map(|step| step.at_ns).max().unwrap_or(0);
    (steps.len() + plan.crash_points.len(), last)
}

/// Whether a step hands something to a replica.
fn receiver(step: &Step) -> Option<u16> {
    match step.what {
        Happening::Deliver { to, .. } | Happening::Said { to, .. } | Happening::Request { to, .. } => Some(to),
        Happening::Fault(_) => None,
    }
}
