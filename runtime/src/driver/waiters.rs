//! Clients that wait for what becomes of their requests.

use cretoai_core::bytes::Bytes;
use cretoai_core::reply::{NoOp, Outcome, Reply, result_hash};
use cretoai_core::request::RequestId;
use cretoai_core::types::Slot;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// What became of a request at this replica. A client that trusts no single replica asks several
/// (`docs/protocol.md` F10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It executed in this slot, with this result.
    Executed(Slot, Bytes),
    /// It had executed before; its result is not kept here any more.
    ExecutedBefore(Slot),
    /// It was listed in this slot and did nothing.
    NoOp(Slot, NoOp),
}

/// Requests waited for at once, at the most. Each takes some hundred bytes.
const MAX_WAITING: usize = 1 << 18;

/// Who waits for what.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters(Arc<Mutex<BTreeMap<RequestId, Vec<oneshot::Sender<Answer>>>>>);

impl Waiters {
    /// Waits for a request. `None` when too many are waited for.
    pub(super) fn wait(&self, id: RequestId) -> Option<oneshot::Receiver<Answer>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if MAX_WAITING <= waiting.len() {
            waiting.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_closed());
                !waiters.is_empty()
            });
        }
        if MAX_WAITING <= waiting.len() {
            return None;
        }
        let (waiter, answer) = oneshot::channel();
        waiting.entry(id).or_default().push(waiter);
        Some(answer)
    }

    /// A slot was executed.
    pub(super) fn answer(&self, reply: &Reply) {
        let slot = reply.signed.body.slot;
        let mut results = reply.results.iter().peekable();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, outcome) in reply.outcomes.iter() {
            // The results are those of the requests that executed in this slot, in order; copies have none.
            let own = match outcome {
                Outcome::Executed(hash) => results.next_if(|result| result_hash(&result.0) == *hash),
                Outcome::NoOp(_) => None,
            };
            let Some(waiters) = waiting.remove(id) else { continue };
            let answer = match (outcome, own) {
                (Outcome::NoOp(reason), _) => Answer::NoOp(slot, *reason),
                (Outcome::Executed(_), Some(result)) => Answer::Executed(slot, result.clone()),
                (Outcome::Executed(_), None) => Answer::ExecutedBefore(slot),
            };
            for waiter in waiters {
                let _ = waiter.send(answer.clone());
            }
        }
    }
}
