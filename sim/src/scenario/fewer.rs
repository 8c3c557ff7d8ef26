//! The same plan with fewer replicas. Where a plan speaks of replicas is known already, for checking it.

use super::ranges::{Range, range_of};
use crate::plan::Plan;
use serde_json::Value;

/// A plan without some replicas: the others close the gaps, and what is about those that are gone alone goes with
/// them. `None` if the plan makes no sense without them.
#[must_use]
pub fn without_replicas(plan: &Plan, gone: &[u16]) -> Option<Plan> {
    let mut plan = plan.clone();
    plan.n = plan.n.checked_sub(u16::try_from(gone.len()).ok()?)?;
    // A region for each replica, by place.
    plan.network.regions = None;
    let value = serde_json::to_value(&plan).expect("a plan is data");
    let value = renamed(value, "plan", gone)?;
    let plan: Plan = serde_json::from_value(value).ok()?;
    plan.validate().is_ok().then_some(plan)
}

/// What is left of a value; `None` if it is about nobody who is left.
fn renamed(value: Value, key: &str, gone: &[u16]) -> Option<Value> {
    match value {
        Value::Number(number) if range_of(key) == Some(Range::Replica) => {
            let id = u16::try_from(number.as_u64()?).ok()?;
            let below = gone.iter().filter(|other| **other < id).count() as u64;
            (!gone.contains(&id)).then(|| Value::from(u64::from(id) - below))
        }
        Value::Array(list) => {
            let had_some = !list.is_empty();
            let left: Vec<Value> = list.into_iter().filter_map(|value| renamed(value, key, gone)).collect();
            // An empty list of replicas means all of them.
            let means_all = had_some && left.is_empty() && range_of(key) == Some(Range::Replica);
            (!means_all).then_some(Value::Array(left))
        }
        Value::Object(table) => {
            let below = |(name, value)| Some((String::clone(&name), renamed(value, &format!("{key}.{name}"), gone)?));
            table.into_iter().map(below).collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Behaviour, Byzantine, Fault, TimedFault};

    #[test]
    fn those_who_are_left_close_the_gaps_and_nothing_is_about_the_others() {
        let at = |fault| TimedFault { at_us: 5, fault };
        let plan = Plan {
            n: 7,
            byzantine: vec![Byzantine { replica: 6, behaviour: Behaviour::Silent }],
            faults: vec![
                at(Fault::Crash { replica: 2 }),
                at(Fault::Crash { replica: 3 }),
                at(Fault::Cut { from: vec![0], to: vec![1, 2] }),
                at(Fault::Cut { from: vec![1, 4], to: vec![5] }),
            ],
            ..Plan::default()
        };
        let left = without_replicas(&plan, &[1, 2, 4]).expect("four are left");
        assert_eq!((left.n, left.byzantine[0].replica), (4, 3));
        assert_eq!(left.faults, [at(Fault::Crash { replica: 1 })]);
        assert_eq!(without_replicas(&plan, &[0, 1, 2, 3]), None, "three tolerate no fault");
    }
}
