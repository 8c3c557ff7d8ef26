//! What must hold of a plan besides the types and ranges of its values.

use super::error::LoadError;
use super::ranges;
use crate::plan::{Behaviour, Condition, Expectation, Fault, Plan, PlanError, ScriptAction, SlotContent};
use cretoai_core::committee::{Committee, MIN_FAULT_TOLERANT};
use cretoai_core::config::ConfigError;
use std::collections::BTreeSet;

/// The number of the last oracle in `docs/protocol.md`; they are called `O1` and so on.
const ORACLES: u32 = 18;

/// What has an oracle's number in `docs/protocol.md` and is none: it says what oracles look at.
const NO_ORACLE: u32 = 13;

/// What stands in a report for an oracle when an expectation of the plan did not hold.
const EXPECTATION: &str = "expectation";

/// Checks a plan.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(plan: &Plan, allow_more_than_f: bool) -> Result<(), LoadError> {
    tolerance(plan)?;
    ranges::check(plan)?;
    byzantine(plan, allow_more_than_f)?;
    names(plan)?;
    scripts(plan)?;
    labels(plan)?;
    plan.validate().map_err(from_plan)
}

fn tolerance(plan: &Plan) -> Result<(), LoadError> {
    if plan.n == 0 || MIN_FAULT_TOLERANT <= plan.n || plan.allow_intolerant {
        return Ok(());
    }
    let problem = "fewer than 4 replicas tolerate no fault (f = 0)";
    let remedy = "use at least 4, or set plan.allow_intolerant = true";
    Err(LoadError::at("plan.n", Some(plan.n.to_string()), problem).remedy(remedy))
}

/// Who is Byzantine, or becomes it when its disk loses what was durable.
fn byzantine(plan: &Plan, allow_more_than_f: bool) -> Result<(), LoadError> {
    let mut listed = BTreeSet::new();
    for (at, entry) in plan.byzantine.iter().enumerate() {
        if !listed.insert(entry.replica) {
            let key = format!("plan.byzantine[{at}].replica");
            let error = LoadError::at(key, Some(entry.replica.to_string()), "the replica is in the list twice");
            return Err(error.remedy("give each replica one behaviour"));
        }
    }
    let own = plan.byzantine.iter().position(|entry| matches!(entry.behaviour, Behaviour::Own { .. }));
    if let Some(at) = own {
        let key = format!("plan.byzantine[{at}].behaviour.own");
        let error =
            LoadError::at(key, None, "only a program that uses the simulator as a library has such adversaries");
        return Err(error.remedy("give it to a `Trial` there, or choose another behaviour"));
    }
    let robbed = |fault: &Fault| match fault {
        Fault::Wipe { replica } | Fault::RotEnd { replica } => Some(*replica),
        _ => None,
    };
    listed.extend(plan.all_faults().filter_map(robbed));
    let f = Committee::intolerant(plan.n).map_or(0, Committee::f);
    if allow_more_than_f || listed.len() <= usize::from(f) {
        return Ok(());
    }
    let value = format!("{listed:?}").replace(['{', '}'], "|").replace('|', "");
    let problem = format!("{} Byzantine replicas are more than f = {f} of n = {}", listed.len(), plan.n);
    let remedy = "set allow_more_than_f = true at the top of the scenario, or name fewer (a disk that loses what was durable counts)";
    Err(LoadError::at("plan.byzantine", Some(format!("[{value}]")), problem).remedy(remedy))
}

fn all_faults(plan: &Plan) -> impl Iterator<Item = (String, &Fault)> {
    let timed = plan.faults.iter().enumerate();
    let timed = timed.map(|(at, timed)| (format!("plan.faults[{at}].fault"), &timed.fault));
    let triggered = plan.triggers.iter().enumerate().flat_map(|(at, trigger)| {
        let then = trigger.then.iter().enumerate();
        then.map(move |(index, fault)| (format!("plan.triggers[{at}].then[{index}]"), fault))
    });
    timed.chain(triggered)
}

/// Names of rules and oracles exist.
fn names(plan: &Plan) -> Result<(), LoadError> {
    for (key, fault) in all_faults(plan) {
        let (Fault::EnableRule { name } | Fault::DisableRule { name }) = fault else { continue };
        if !plan.rules.iter().any(|rule| rule.name == *name) {
            let key = match fault {
                Fault::EnableRule { .. } => format!("{key}.enable-rule.name"),
                _ => format!("{key}.disable-rule.name"),
            };
            let error = LoadError::at(key, Some(format!("{name:?}")), "no rule has this name");
            return Err(error.remedy("give a rule in plan.rules this name"));
        }
    }
    for (at, name) in plan.without.iter().enumerate() {
        oracle(&format!("plan.without[{at}]"), name)?;
    }
    for (at, trigger) in plan.triggers.iter().enumerate() {
        if let Condition::Accuses { replica: Some(replica), accused } = trigger.when
            && replica == accused
        {
            let key = format!("plan.triggers[{at}].when.accuses.accused");
            let error = LoadError::at(key, Some(accused.to_string()), "nobody accuses itself");
            return Err(error.remedy("name another replica"));
        }
    }
    plan.must_fail.as_ref().map_or(Ok(()), |name| must_fail(name))
}

/// Scripts speak of batches that they have.
fn scripts(plan: &Plan) -> Result<(), LoadError> {
    for (at, entry) in plan.byzantine.iter().enumerate() {
        let Behaviour::Script { steps, batches, .. } = &entry.behaviour else { continue };
        for (index, step) in steps.iter().enumerate() {
            let spoken: Vec<&String> = match &step.say {
                ScriptAction::Propose { batch, .. }
                | ScriptAction::Prepare { batch, .. }
                | ScriptAction::Commit { batch, .. } => vec![batch],
                ScriptAction::ViewChange { prepared, voted, .. } => {
                    prepared.iter().chain(voted).map(|(_, _, batch)| batch).collect()
                }
                _ => Vec::new(),
            };
            let is_known = |name: &str| name == "null" || batches.iter().any(|batch| batch.name == name);
            if let Some(name) = spoken.into_iter().find(|name| !is_known(name)) {
                let key = format!("plan.byzantine[{at}].behaviour.script.steps[{index}].say");
                let error = LoadError::at(key, Some(format!("{name:?}")), "the script has no batch of this name");
                return Err(error.remedy("add it to the batches of the script, or say `null`"));
            }
        }
    }
    Ok(())
}

/// Checks the name of the oracle that has to fail.
pub(super) fn must_fail(name: &str) -> Result<(), LoadError> {
    if name == EXPECTATION { Ok(()) } else { oracle("must_fail", name) }
}

fn oracle(key: &str, name: &str) -> Result<(), LoadError> {
    let number: Option<u32> = name.strip_prefix('O').and_then(|number| number.parse().ok());
    if number.is_some_and(|number| (1..=ORACLES).contains(&number) && number != NO_ORACLE) {
        return Ok(());
    }
    let error = LoadError::at(key, Some(format!("{name:?}")), "no oracle has this name");
    Err(error.remedy(format!("the oracles are O1 to O{ORACLES} but O{NO_ORACLE}")))
}

/// The operations of expectations are submitted.
fn labels(plan: &Plan) -> Result<(), LoadError> {
    for (at, expectation) in plan.expectations.iter().enumerate() {
        let labels: &[String] = match expectation {
            Expectation::Once { op, .. } | Expectation::Never { op } | Expectation::AnsweredAfter { op, .. } => {
                std::slice::from_ref(op)
            }
            Expectation::Order { ops } | Expectation::Slot { is: SlotContent::Ops(ops), .. } => ops,
            _ => &[],
        };
        for label in labels {
            let streamed = label.strip_prefix('#').and_then(|index| index.parse::<u64>().ok());
            let is_scripted = plan.workload.scripted.iter().any(|submit| submit.op == *label);
            if is_scripted || streamed.is_some_and(|index| index < plan.workload.ops) {
                continue;
            }
            let key = format!("plan.expectations[{at}]");
            let error = LoadError::at(key, Some(format!("{label:?}")), "no operation has this label");
            return Err(error.remedy("use an `op` of plan.workload.scripted, or `#i` with i below plan.workload.ops"));
        }
    }
    Ok(())
}

/// What the plan itself finds, with the keys of a scenario file.
fn from_plan(error: PlanError) -> LoadError {
    match error {
        PlanError::Config(ConfigError::OutOfRange { field, value, limit }) => {
            let field = field.strip_prefix("genesis.").unwrap_or(field);
            let field = field.strip_prefix("limits.").unwrap_or(field);
            // Times are nanoseconds in there and microseconds in here.
            let is_time = field.starts_with("timeouts.") || field == "lifetime";
            let (key, value) = if is_time { (format!("{field}_us"), value / 1000) } else { (field.to_owned(), value) };
            LoadError::at(format!("plan.{key}"), Some(value.to_string()), format!("must be {limit}"))
        }
        PlanError::Config(ConfigError::Committee(error)) => LoadError::at("plan.n", None, error.to_string()),
        PlanError::NoSuchReplica { field, replica, n } => {
            let problem = format!("there is no such replica among {n}");
            LoadError::at(format!("plan.{field}"), Some(replica.to_string()), problem)
                .remedy(format!("name one from 0 to {}, or raise plan.n", n.saturating_sub(1)))
        }
        // These sentences begin with the field.
        PlanError::Other(sentence) => match sentence.split_once(": ") {
            Some((field, problem)) if !field.contains(' ') => LoadError::at(format!("plan.{field}"), None, problem),
            _ => LoadError::at("plan", None, sentence),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Byzantine, ScriptStep, Submit, TimedFault};

    fn problem(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = Plan::default();
        change(&mut plan);
        check(&plan, false).expect_err("something is wrong with it").in_file("f").to_string()
    }

    #[test]
    fn three_replicas_need_a_flag() {
        let expected = "f: plan.n = 3: fewer than 4 replicas tolerate no fault (f = 0); use at least 4, or set plan.allow_intolerant = true";
        assert_eq!(problem(|plan| plan.n = 3), expected);
        let plan = Plan { n: 3, allow_intolerant: true, ..Plan::default() };
        assert_eq!(check(&plan, false), Ok(()));
    }

    #[test]
    fn more_than_f_byzantine_replicas_need_a_flag_and_an_emptied_disk_counts() {
        let byzantine = vec![Byzantine { replica: 2, behaviour: Behaviour::Silent }];
        let faults = vec![TimedFault { at_us: 1, fault: Fault::Wipe { replica: 3 } }];
        let plan = Plan { byzantine, faults, ..Plan::default() };
        let error = check(&plan, false).unwrap_err().to_string();
        assert!(
            error.contains("plan.byzantine = [2, 3]: 2 Byzantine replicas are more than f = 1 of n = 4"),
            "{error}"
        );
        assert_eq!(check(&plan, true), Ok(()));
    }

    #[test]
    fn names_that_nothing_has_are_refused() {
        let rule = Fault::EnableRule { name: "quiet".to_owned() };
        let error = problem(|plan| plan.faults = vec![TimedFault { at_us: 1, fault: rule }]);
        assert!(error.contains("plan.faults[0].fault.enable-rule.name = \"quiet\": no rule has this name"), "{error}");
        for none in ["O0", "O13", "O19"] {
            let error = problem(|plan| plan.without = vec![none.to_owned()]);
            let expected =
                format!("plan.without[0] = \"{none}\": no oracle has this name; the oracles are O1 to O18 but O13");
            assert!(error.contains(&expected), "{error}");
        }
        let say = ScriptAction::Prepare { view: 0, slot: 1, batch: "b".to_owned(), hand: 0 };
        let steps = vec![ScriptStep { at_us: 0, to: Vec::new(), say }];
        let behaviour = Behaviour::Script { steps, batches: Vec::new(), honest: false };
        let error = problem(|plan| plan.byzantine = vec![Byzantine { replica: 0, behaviour }]);
        assert!(error.contains(".script.steps[0].say = \"b\": the script has no batch of this name"), "{error}");
        let error = problem(|plan| plan.expectations = vec![Expectation::Never { op: "a".to_owned() }]);
        assert!(error.contains("plan.expectations[0] = \"a\": no operation has this label"), "{error}");
    }

    #[test]
    fn what_the_replicas_refuse_is_said_with_the_keys_of_the_file() {
        let error = problem(|plan| plan.window = 33);
        let expected =
            "f: plan.window = 33: must be a multiple of the checkpoint interval, at least twice it, at most 64";
        assert_eq!(error, expected);
        let error = problem(|plan| plan.timeouts.max_us = 1);
        assert_eq!(error, "f: plan.timeouts.max_us = 1: must be at least timeouts.base");
        let error = problem(|plan| plan.workload.scripted = vec![Submit::default()]);
        assert_eq!(error, "f: plan.workload.scripted: an operation goes to nobody");
    }
}
