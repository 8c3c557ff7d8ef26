//! An adversary without a victim is no test: each is seen to hurt a mutant that is meant to stop it, which the same
//! seeds do not hurt without it (`sim/victims.toml`, `docs/adversaries.md`): `cargo test --release -p cretoai-sim
//! --features mutants --test victims -- --nocapture` shows them all.
#![cfg(feature = "mutants")]

use cretoai_core::committee::Committee;
use cretoai_core::mutant::{Mutant, switch};
use cretoai_sim::plan::{
    Behaviour, Byzantine, CheckpointLie, Cpu, Disk, Fault, NewViewLie, Plan, TransferLie, ViewChangeLie,
};
use cretoai_sim::report::Verdict;
use cretoai_sim::scenario::Scenario;
use cretoai_sim::strategy::Strategy;
use cretoai_sim::world::World;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// A mutant may make a run go on for ever. Of a run that is cut off here nobody knows whether it would have failed.
const ENDLESS: u64 = 1_000_000;

/// Seeds that are tried for a victim, at the most.
const SEEDS: u64 = 400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    victim: Vec<Victim>,
}

/// Who is hurt, and by whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Victim {
    mutant: String,
    base: Base,
    /// The adversary; of a strategy, those of its plans.
    #[serde(default)]
    byzantine: Vec<Byzantine>,
    /// What it does is to say too little, so that a silent replica in its place hurts as well, and an honest one does
    /// not.
    #[serde(default)]
    says_too_little: bool,
    /// Other seeds hurt the mutant without the adversary; that it takes no others is left to the seed that is found.
    #[serde(default)]
    dies_elsewhere: bool,
}

/// What else happens in a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Base {
    /// Nothing: of the default campaign's plans, without faults of links, disks, clocks and replicas.
    Quiet,
    /// What the default campaign chooses, state that is flipped left out.
    Swarm,
    Twins,
    SmallScope,
    /// What a scenario of the library has, its expectations left out.
    Scenario(String),
}

impl Base {
    fn plan(&self, seed: u64) -> Plan {
        let strategy = match self {
            Self::Quiet | Self::Swarm => Strategy::Swarm,
            Self::Twins => Strategy::Twins,
            Self::SmallScope => Strategy::SmallScope,
            Self::Scenario(name) => {
                let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
                let plan = scenario.plan(seed).unwrap_or_else(|error| panic!("{error}"));
                return Plan { expectations: Vec::new(), ..plan };
            }
        };
        let mut plan = strategy.plan_to_change(seed);
        plan.faults.retain(|at| !matches!(at.fault, Fault::FlipState { .. }));
        if *self == Self::Quiet {
            (plan.faults, plan.triggers, plan.rules) = (Vec::new(), Vec::new(), Vec::new());
            (plan.crash_points, plan.clocks) = (Vec::new(), Vec::new());
            (plan.cpu, plan.disk) = (Cpu::default(), Disk::default());
            let link = &mut plan.network.default;
            (link.loss_per_mille, link.duplicate_per_mille, link.reorder_per_mille) = (0, 0, 0);
        }
        plan
    }
}

impl Victim {
    fn mutant(&self) -> Mutant {
        Mutant::named(&self.mutant).unwrap_or_else(|| panic!("no mutant is called {}", self.mutant))
    }

    /// The names of those who are to hurt it.
    fn names(&self) -> Vec<String> {
        match self.base {
            Base::Twins => vec!["twins".to_owned()],
            Base::SmallScope => vec!["small-scope, sampled".to_owned()],
            _ => self.byzantine.iter().map(|entry| name(&entry.behaviour)).collect(),
        }
    }

    fn with(&self, seed: u64) -> Plan {
        let plan = self.base.plan(seed);
        if self.byzantine.is_empty() { plan } else { Plan { byzantine: self.byzantine.clone(), ..plan } }
    }

    /// The same without the adversary: all are honest; or those that are not are silent.
    fn without(&self, seed: u64) -> Vec<Plan> {
        let mut silent = self.with(seed);
        silent.byzantine.iter_mut().for_each(|entry| entry.behaviour = Behaviour::Silent);
        let honest = Plan { byzantine: Vec::new(), ..silent.clone() };
        if self.says_too_little { vec![honest] } else { vec![honest, silent] }
    }
}

/// What an adversary is called, with its lie if it has one.
fn name(behaviour: &Behaviour) -> String {
    let value = serde_json::to_value(behaviour).expect("a behaviour is data");
    if let Some(name) = value.as_str() {
        return name.to_owned();
    }
    let (name, fields) = value.as_object().and_then(|map| map.iter().next()).expect("a name and its fields");
    let lie = fields.get("lie").and_then(|lie| lie.as_str());
    lie.map_or_else(|| name.clone(), |lie| format!("{name} {lie}"))
}

/// The names of a type's variants, as the one knows them who reads them.
fn variants<T: DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").expect_err("nothing is called that").to_string();
    let quoted = error.split('`').skip(3).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Every adversary there is, and who shows it.
fn adversaries() -> BTreeSet<String> {
    let lies: [(&str, Vec<String>); 4] = [
        ("new-view-liar", variants::<NewViewLie>()),
        ("view-change-liar", variants::<ViewChangeLie>()),
        ("checkpoint-liar", variants::<CheckpointLie>()),
        ("transfer-liar", variants::<TransferLie>()),
    ];
    let mut names: BTreeSet<String> = variants::<Behaviour>().into_iter().collect();
    assert!(names.remove("own"), "it is whatever a program makes of it");
    for (liar, lies) in lies {
        assert!(names.remove(liar) && lies.len() > 3, "{liar}");
        names.extend(lies.iter().map(|lie| format!("{liar} {lie}")));
    }
    names.extend(["twins", "small-scope, sampled"].map(str::to_owned));
    names
}

fn table() -> Vec<Victim> {
    let table: Table = toml::from_str(include_str!("../victims.toml")).unwrap_or_else(|error| panic!("{error}"));
    table.victim
}

/// Who noticed, if anybody did.
fn killed_by(world: &mut World, mutant: Option<Mutant>, plan: &Plan) -> Option<String> {
    switch(mutant);
    let report = world.run(plan);
    switch(None);
    let verdict = report.verdict;
    (report.events < ENDLESS && verdict != Verdict::Pass)
        .then(|| verdict.failure().map_or_else(String::new, |failure| failure.oracle.clone()))
}

/// The first seed where the mutant dies with the adversary and lives without, and who noticed.
fn first_kill(world: &mut World, victim: &Victim) -> Result<(u64, String), String> {
    let mutant = Some(victim.mutant());
    for seed in 0..SEEDS {
        let with = victim.with(seed);
        let f = Committee::new(with.n).map_or(0, Committee::f);
        if usize::from(f) < with.byzantine.len() {
            continue;
        }
        let hurt_without = victim.without(seed).iter().any(|plan| killed_by(world, mutant, plan).is_some());
        if hurt_without && !victim.dies_elsewhere {
            return Err(format!("seed {seed} hurts it without the adversary, too"));
        }
        let Some(oracle) = killed_by(world, mutant, &with) else { continue };
        if killed_by(world, None, &with).is_some() {
            return Err(format!("with seed {seed} the adversary hurts the protocol itself"));
        }
        // Then a check of the protocol that is left in is what hurts, and not the one that the mutant leaves out.
        if oracle == "O12" {
            return Err(format!("with seed {seed} it dies of an assertion of its own"));
        }
        if !hurt_without {
            return Ok((seed, oracle));
        }
    }
    Err(format!("it survives {SEEDS} seeds"))
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is what somebody who runs this alone wants to see")]
fn every_adversary_hurts_a_mutant_that_lives_without_it() {
    let mut world = World::new();
    world.limit_events(Some(ENDLESS));
    let mut complaints = String::new();
    for victim in table() {
        let (names, mutant) = (victim.names().join(" and "), &victim.mutant);
        match first_kill(&mut world, &victim) {
            Ok((seed, oracle)) => println!("| `{names}` | `{mutant}` | {:?} | {} | {oracle} |", victim.base, seed + 1),
            Err(error) => complaints += &format!("\n  {names}: {mutant} under {:?}: {error}", victim.base),
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn every_adversary_has_a_victim_and_the_page_about_them_says_which() {
    let page = include_str!("../../docs/adversaries.md");
    let mut left = adversaries();
    for victim in table() {
        let names = victim.names();
        names.iter().for_each(|name| _ = left.remove(name));
        let row = format!("| `{}` | `{}` |", names.join(" and "), victim.mutant);
        assert!(page.contains(&row), "docs/adversaries.md lacks the row {row}");
    }
    assert!(left.is_empty(), "they have no victim: {left:?}");
}

#[test]
fn one_fault_of_links_and_one_mutation_find_a_broken_rule() {
    let text = "version = 1\ntitle = \"Small\"\ndescription = \"As small as can be.\"\n[swarm]\nstrategy = \"small-scope\"\nlink_faults = 1\nmutations = 1\nrounds = 2\n";
    let scenario = Scenario::parse("small", "small.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let mut world = World::new();
    world.limit_events(Some(ENDLESS));
    for mutant in [Mutant::NewViewTrusted, Mutant::VotesOfAnyView, Mutant::NewViewByTooFew] {
        let mut plans = (0..SEEDS).map(|seed| scenario.plan(seed).unwrap_or_else(|error| panic!("{error}")));
        let plan = plans.find(|plan| killed_by(&mut world, Some(mutant), plan).is_some_and(|oracle| oracle != "O12"));
        let plan = plan.unwrap_or_else(|| panic!("{mutant:?} survives {SEEDS} seeds"));
        assert_eq!(killed_by(&mut world, None, &plan), None, "{mutant:?}");
    }
}
