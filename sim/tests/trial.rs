//! The simulator as a library: an application of one's own under the faults of a campaign, and an adversary of one's
//! own against the protocol.

use bank::{ACCOUNTS, Bank, Bug, LIMIT, START, parse, transfer};
use cretoai_core::committee::singleton;
use cretoai_core::message::Message;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;
use cretoai_sim::adversary::{Adversary, Stage};
use cretoai_sim::plan::{Behaviour, Byzantine};
use cretoai_sim::strategy::Strategy;
use cretoai_sim::trial::Trial;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[path = "trial/bank.rs"]
mod bank;

/// The bank as a table of what everybody has got and given: another program for the same thing.
fn books() -> impl FnMut(&[u8]) -> Vec<u8> {
    let (mut got, mut given) = (BTreeMap::<u8, u64>::new(), BTreeMap::<u8, u64>::new());
    move |op| {
        let Some((from, to, amount)) = parse(op) else { return b"refused: not a transfer".to_vec() };
        let has = |got: &BTreeMap<u8, u64>, given: &BTreeMap<u8, u64>| {
            START + got.get(&from).unwrap_or(&0) - given.get(&from).unwrap_or(&0)
        };
        if has(&got, &given) < amount {
            return b"refused: too little money".to_vec();
        }
        if LIMIT < given.get(&from).unwrap_or(&0) + amount {
            return b"refused: beyond the limit".to_vec();
        }
        *given.entry(from).or_default() += amount;
        *got.entry(to).or_default() += amount;
        format!("done, {} left", has(&got, &given)).into_bytes()
    }
}

fn bank(bug: Option<Bug>) -> Trial {
    Trial::of(move || Bank::new(bug)).model(books).operations(|rng, _client, _number| {
        let mut account = || u8::try_from(rng.below(ACCOUNTS.into())).expect("small");
        let (from, to) = (account(), account());
        transfer(from, to, u8::try_from(rng.between(1, 60)).expect("small"))
    })
}

/// What the first run that fails says.
fn found(bug: Bug) -> String {
    let failed = bank(Some(bug)).seeds(0..40).run().expect_err("a bank with a mistake does not pass");
    failed.to_string()
}

#[test]
fn the_bank_passes_under_the_swarm() {
    let passed = bank(None).seeds(0..40).passes();
    assert_eq!(passed.runs, 40);
    assert!(passed.answers > 500, "{passed:?}");
    assert!(passed.transfers > 0, "some replicas took over a state: {passed:?}");
}

#[test]
fn a_result_that_is_not_the_models_is_found() {
    let said = found(Bug::PaysTwice);
    assert!(said.contains("SAFETY history: the operation"), "{said}");
}

#[test]
fn a_state_that_is_not_whole_in_its_snapshots_is_found() {
    let said = found(Bug::ForgetsWhatWasSent);
    assert!(said.contains("SAFETY application: the application of r"), "{said}");
}

#[test]
fn a_result_that_differs_from_machine_to_machine_is_found() {
    let said = found(Bug::AsksTheMachine);
    assert!(said.contains("SAFETY"), "{said}");
}

#[test]
fn whoever_fails_is_told_how_to_see_it_again() {
    let trial = bank(Some(Bug::PaysTwice)).seeds(0..40);
    let failed = trial.run().expect_err("it fails");
    let seed = failed.plan.seed;
    let said = failed.to_string();
    assert!(said.contains(&format!("repeat with: CRETOAI_SIM_SEED={seed} cargo test whoever_fails")), "{said}");
    let again = trial.seeds(seed..seed + 1).run().expect_err("it fails again");
    assert_eq!(again.report, failed.report);
}

/// Tells everybody everything that anybody says, at once and in its own name where it can.
#[derive(Debug)]
struct Gossip {
    told: Arc<AtomicU64>,
}

impl Adversary for Gossip {
    fn receives(&mut self, stage: &mut Stage<'_>, from: ReplicaId, message: &Verified<Message>) -> u32 {
        self.told.fetch_add(1, Ordering::Relaxed);
        let others = stage.others() & !singleton(from);
        stage.say(others, message.get().clone());
        if let Message::Vote(vote) = message.get() {
            let own = stage.signed_vote(vote.body.clone());
            stage.say(others, Message::Vote(own));
        }
        u32::MAX
    }
}

#[test]
fn an_adversary_of_ones_own_takes_part() {
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let passed = bank(None)
        .strategy(Strategy::SmallScope)
        .adversary("gossip", move || Gossip { told: Arc::clone(&counter) })
        .plans(|plan| {
            let behaviour = Behaviour::Own { name: "gossip".to_owned() };
            plan.byzantine = vec![Byzantine { replica: 1, behaviour }];
        })
        .seeds(0..10)
        .passes();
    assert_eq!(passed.runs, 10);
    assert!(told.load(Ordering::Relaxed) > 1000, "it heard something");
}
