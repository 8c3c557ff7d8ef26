//! The history of the clients of a run, and whether it is linearizable: whether what they were told is what they would
//! have been told if each operation had happened at one moment between its submission and its answer.
//!
//! That is hard to decide in general and easy with a witness, and there is one: the order in which the slots were
//! executed. An order that explains all answers, and in which nothing comes before what was over when it began, is a
//! proof. If this order is none, the cluster broke its promise, whether or not some other order were one.

use crate::guest::Guests;
use crate::workload::{Clients, Op};
use cretoai_core::outbox::Execution;
use cretoai_core::reply::result_hash;

/// Executes again, one slot after another, what a run executed, and compares the results with the answers.
///
/// # Errors
/// A sentence about the first thing that is wrong.
pub(crate) fn check(guests: &Guests, executions: &[Execution], clients: &Clients) -> Result<(), String> {
    let mut application = (guests.application)();
    let mut model = guests.model.as_ref().map(|make| make());
    let mut order = Vec::new();
    for execution in executions {
        let results = application.execute(execution);
        for (request, result) in execution.requests.iter().zip(&results) {
            if let Some(model) = &mut model {
                let due = model(&request.request.op.0);
                if due != result.0 {
                    let (slot, op) = (execution.slot, &request.request.op.0);
                    return Err(format!(
                        "the operation {op:?} in {slot} has the result {:?}, and {due:?} according to the model",
                        result.0
                    ));
                }
            }
            let Some(number) = clients.numbers.get(&request.id()) else { continue };
            let told = clients.ops[number as usize].told;
            if told.is_some_and(|told| told != result_hash(&result.0).short() | 1) {
                return Err(format!("the client of operation {number} was told another result than it has"));
            }
            order.push(number);
        }
    }
    in_real_time(&order, &clients.ops)?;
    let executed = |number: &u32| order.contains(number);
    let mut answered = (0..).zip(&clients.ops).filter(|(_, op)| op.told.is_some()).map(|(number, _)| number);
    match answered.find(|number| !executed(number)) {
        Some(number) => Err(format!("the client of operation {number} was answered, and nobody executed it")),
        None => Ok(()),
    }
}

/// Nothing comes before what was answered when it was submitted.
fn in_real_time(order: &[u32], ops: &[Op]) -> Result<(), String> {
    // From the end on: the operation that was answered first among all behind.
    let mut first: Option<(u64, u32)> = None;
    for number in order.iter().rev() {
        let op = &ops[*number as usize];
        if let Some((answered, later)) = first
            && answered < op.submitted
        {
            return Err(format!(
                "operation {number} was submitted after operation {later} had been answered, and executed before it"
            ));
        }
        if let Some(answered) = op.answered
            && first.is_none_or(|(first, _)| answered < first)
        {
            first = Some((answered, *number));
        }
    }
    Ok(())
}
