//! Themes: in a small share of the seeds a few faults are forced together, in a cluster in which nothing else is wrong.
//! What takes several rare things at once, and would not survive a single fault more, is seldom met by chance. Within
//! its theme the seed chooses; a theme that leaves the protocol no excuse also expects something (a view that nobody
//! has to leave is not left).

mod bans;
mod behind;
mod links;
mod views;

use super::life_us;
use crate::plan::{
    Behaviour, Byzantine, Calm, Entry, Fault, Kind, Latency, Link, Load, MessageRule, Network, Phases, Plan,
    RuleAction, TimedFault, TimeoutPlan, Workload,
};
use crate::rng::{Concern, Rng};

/// So many of a thousand seeds have a theme.
const SHARE: u32 = 125;

/// Fills a quiet cluster with trouble.
type Theme = fn(&mut Quiet<'_>);

const THEMES: [Theme; 13] = [
    links::forwarding,
    links::hidden_predecessor,
    links::repeated_votes,
    links::early_votes,
    links::unanswered,
    views::open_view_change,
    views::crash_in_view_change,
    views::liar_in_the_new_view,
    views::hidden_batch,
    behind::far_behind,
    behind::votes_in_vain,
    bans::banned_counts,
    bans::one_too_many,
];

/// The plan of a seed that has a theme.
pub(super) fn plan(seed: u64) -> Option<Plan> {
    let mut rng = Rng::new(seed, Concern::Themes);
    if !rng.chance(SHARE) {
        return None;
    }
    let theme = *rng.pick(&THEMES);
    let mut quiet = Quiet::new(seed, &mut rng);
    theme(&mut quiet);
    Some(quiet.finish())
}

/// A plan in the making: a cluster without faults, on a quick and even network.
struct Quiet<'a> {
    rng: &'a mut Rng,
    plan: Plan,
    /// The longest delay of a message, and the unit of all times here.
    unit: u64,
}

/// `T0` of a quiet cluster, in delays: long, so that a view is left only where the theme has it left.
const BASE: u64 = 40;

impl<'a> Quiet<'a> {
    fn new(seed: u64, rng: &'a mut Rng) -> Self {
        let unit = *rng.pick(&[1_000, 2_000, 5_000]);
        let latency = match rng.below(2) {
            0 => Latency::Constant { us: unit },
            _ => Latency::Uniform { min_us: unit / 2, max_us: unit },
        };
        let default = Link { latency, ..Link::default() };
        let base_us = BASE * unit;
        let usual = TimeoutPlan::from_base(base_us);
        let plan = Plan {
            name: "swarm".to_owned(),
            seed,
            timeouts: TimeoutPlan { status_us: unit * rng.between(4, 6), ..usual },
            open_vertices: rng.between(2, 8),
            network: Network { client: Some(default.clone()), default, shuffle: rng.chance(500), ..Network::default() },
            workload: Workload { clients: 2, ..Workload::default() },
            ..Plan::default()
        };
        let mut quiet = Self { rng, plan, unit };
        quiet.slots(&[2, 4, 8], 4);
        quiet.ops(6, 14, 1, 4);
        quiet
    }

    /// `K` is one of these, and `L` up to `most` times as much.
    fn slots(&mut self, intervals: &[u64], most: u64) {
        let plan = &mut self.plan;
        plan.checkpoint_interval = *self.rng.pick(intervals);
        plan.window = plan.checkpoint_interval * self.rng.between(2, most);
        plan.pipeline = self.rng.between(2, plan.window);
    }

    /// From `fewest` to `most` operations, with `shortest` to `longest` delays from one to the next.
    fn ops(&mut self, fewest: u64, most: u64, shortest: u64, longest: u64) {
        let interval_us = self.unit * self.rng.between(shortest, longest);
        self.plan.workload.ops = self.rng.between(fewest, most);
        self.plan.workload.load = Load::Open { interval_us, jitter_per_mille: 300 };
    }

    /// When the last operation has been submitted.
    fn submitted_us(&self) -> u64 {
        let Load::Open { interval_us, .. } = self.plan.workload.load else { return 0 };
        (self.plan.workload.ops + 1) * interval_us
    }

    /// `f` is as large as it can be for this size, and a quorum is all that is left without `f` replicas.
    fn tight(&mut self) {
        self.plan.n = *self.rng.pick(&[4, 4, 4, 5, 7, 8]);
    }

    fn f(&self) -> u16 {
        (self.plan.n - 1) / 3
    }

    /// So many replicas that are not among `but`, in random order.
    fn some(&mut self, count: u16, but: &[u16]) -> Vec<u16> {
        let mut ids: Vec<u16> = (0..self.plan.n).filter(|id| !but.contains(id)).collect();
        self.rng.shuffle(&mut ids);
        ids.truncate(usize::from(count));
        ids
    }

    fn one(&mut self, but: &[u16]) -> u16 {
        self.some(1, but)[0]
    }

    /// All replicas but these, ascending.
    fn without(&self, but: &[u16]) -> Vec<u16> {
        (0..self.plan.n).filter(|id| !but.contains(id)).collect()
    }

    fn clients_at(&mut self, replicas: &[u16]) {
        self.plan.workload.clients = u32::try_from(replicas.len()).expect("a few");
        self.plan.workload.entry = Entry::Replicas(replicas.to_vec());
    }

    fn byzantine(&mut self, replica: u16, behaviour: Behaviour) {
        self.plan.byzantine.push(Byzantine { replica, behaviour });
    }

    fn at(&mut self, delays: u64, fault: Fault) {
        self.plan.faults.push(TimedFault { at_us: delays * self.unit, fault });
    }

    /// Messages of these kinds on these links get lost.
    fn lose(&mut self, kinds: &[Kind], from: &[u16], to: &[u16]) -> &mut MessageRule {
        self.rule(kinds, from, to, RuleAction::Drop)
    }

    fn rule(&mut self, kinds: &[Kind], from: &[u16], to: &[u16], action: RuleAction) -> &mut MessageRule {
        let (kinds, from, to) = (kinds.to_vec(), from.to_vec(), to.to_vec());
        self.plan.rules.push(MessageRule { kinds, from, to, action, ..MessageRule::default() });
        self.plan.rules.last_mut().expect("just added")
    }

    /// The trouble is over after so many delays at the earliest, and not while operations are still submitted.
    fn calm_after(&mut self, delays: u64) {
        let until = (delays * self.unit).max(self.submitted_us());
        let calm = Calm { delay_us: self.unit, heal_all: true, ..Calm::default() };
        self.plan.phases = Phases { safety_until_us: until, calm: Some(calm), linger_us: 0, ..Phases::default() };
    }

    fn finish(self) -> Plan {
        let Self { mut plan, unit, .. } = self;
        plan.faults.sort_by_key(|fault| fault.at_us);
        let life_us = life_us(&plan, unit);
        plan.workload.expiry_us = life_us;
        plan.lifetime_us = life_us * 2;
        if plan.phases.calm.is_some() {
            plan.phases.end_us = life_us + plan.timeouts.base_us;
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;
    use crate::world::World;

    fn with(theme: Theme, seed: u64) -> Plan {
        let mut rng = Rng::new(seed, Concern::Themes);
        let mut quiet = Quiet::new(seed, &mut rng);
        theme(&mut quiet);
        quiet.finish()
    }

    #[test]
    fn one_seed_in_eight_has_a_theme_and_always_the_same() {
        let themed = (0..4000).filter_map(plan).inspect(|themed| assert_eq!(plan(themed.seed).as_ref(), Some(themed)));
        let count = themed.count();
        assert!((430..570).contains(&count), "{count} of 4000 seeds");
    }

    #[test]
    fn the_protocol_is_a_match_for_every_theme_whatever_the_seed_makes_of_it() {
        let mut world = World::new();
        for (number, theme) in THEMES.into_iter().enumerate() {
            for seed in 0..12 {
                let plan = with(theme, seed);
                assert_eq!(plan.validate(), Ok(()), "theme {number}, seed {seed}");
                assert_eq!(world.run(&plan).verdict, Verdict::Pass, "theme {number}, seed {seed}");
            }
        }
    }

    #[test]
    fn seeds_make_different_things_of_a_theme() {
        for theme in THEMES {
            let text = |seed| serde_json::to_string(&Plan { seed: 0, ..with(theme, seed) }).expect("a plan is data");
            let mut plans: Vec<String> = (0..30).map(text).collect();
            plans.sort_unstable();
            plans.dedup();
            assert!(plans.len() > 20, "{} different plans of 30", plans.len());
        }
    }

    #[test]
    fn themes_bring_about_what_they_are_about() {
        let mut world = World::new();
        let mut sum = |theme: Theme, of: fn(&crate::report::RunReport) -> u64| -> u64 {
            (0..12).map(|seed| of(&world.run(&with(theme, seed)))).sum()
        };
        assert!(sum(behind::far_behind, |report| report.transfers) >= 10);
        assert!(sum(behind::votes_in_vain, |report| report.transfers) >= 6);
        assert!(sum(views::open_view_change, |report| u64::from(report.highest_view == 1)) >= 10);
        assert!(sum(views::crash_in_view_change, |report| report.crashes) >= 10);
        assert!(sum(views::liar_in_the_new_view, |report| report.highest_view) >= 10);
        assert!(sum(links::early_votes, |report| u64::from(report.highest_view == 1)) >= 8);
        assert!(sum(bans::banned_counts, |report| report.evidence) >= 10);
    }
}
