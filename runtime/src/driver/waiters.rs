//! Clients that wait for what becomes of their requests.

use cretoai_core::bytes::Bytes;
use cretoai_core::reply::{NoOp, Outcome, Reply};
use cretoai_core::request::RequestId;
use cretoai_core::types::Slot;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

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
pub(super) struct Waiters(Arc<Mutex<BTreeMap<RequestId, Waiter>>>);

/// A call that waits for a request, and others that wait for the same one.
#[derive(Debug)]
struct Waiter {
    group: Weak<Group>,
    position: usize,
    next: Option<Box<Self>>,
}

/// Requests of one call, which are waited for together: one wake-up when the last one is answered.
#[derive(Debug)]
pub struct Waiting(Arc<Group>);

#[derive(Debug)]
struct Group {
    answers: Mutex<Answers>,
    complete: Notify,
}

#[derive(Debug)]
struct Answers {
    given: Vec<Option<Answer>>,
    /// How many are still to come.
    left: usize,
}

impl Waiting {
    /// Waits until every request has been answered or given up. May be called again after it was interrupted.
    pub async fn complete(&self) {
        // A permit is stored, so it does not matter which of the two comes first.
        while 0 < self.0.lock().left {
            self.0.complete.notified().await;
        }
    }

    /// A request will not be answered: the replica did not take it.
    pub fn give_up(&self) {
        self.0.count_down(self.0.lock());
    }

    /// The answers so far, in the order of the requests.
    #[must_use]
    pub fn answers(self) -> Vec<Option<Answer>> {
        std::mem::take(&mut self.0.lock().given)
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, position: usize, answer: Answer) {
        let mut answers = self.lock();
        // Whoever gave up waiting has taken the list away.
        let Some(place) = answers.given.get_mut(position) else { return };
        *place = Some(answer);
        self.count_down(answers);
    }

    fn count_down(&self, mut answers: MutexGuard<'_, Answers>) {
        answers.left = answers.left.saturating_sub(1);
        if answers.left == 0 {
            self.complete.notify_one();
        }
    }
}

impl Waiters {
    /// Waits for requests. `None` when too many are waited for.
    pub(super) fn wait(&self, ids: &[RequestId]) -> Option<Waiting> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if MAX_WAITING < waiting.len() + ids.len() {
            waiting.retain(|_, waiter| waiter.is_awaited());
        }
        if MAX_WAITING < waiting.len() + ids.len() {
            return None;
        }
        let answers = Answers { given: vec![None; ids.len()], left: ids.len() };
        let group = Arc::new(Group { answers: Mutex::new(answers), complete: Notify::new() });
        for (position, id) in ids.iter().enumerate() {
            let next = waiting.remove(id).filter(Waiter::is_awaited).map(Box::new);
            waiting.insert(*id, Waiter { group: Arc::downgrade(&group), position, next });
        }
        Some(Waiting(group))
    }

    /// A slot was executed.
    pub(super) fn answer(&self, reply: &Reply) {
        let slot = reply.signed.body.slot;
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        for ((id, outcome), result) in reply.outcomes.iter().zip(reply.results.iter()) {
            let Some(waiter) = waiting.remove(id) else { continue };
            waiter.give(match (outcome, result) {
                (Outcome::NoOp(reason), _) => Answer::NoOp(slot, *reason),
                (Outcome::Executed(_), Some(result)) => Answer::Executed(slot, result.clone()),
                (Outcome::Executed(_), None) => Answer::ExecutedBefore(slot),
            });
        }
    }
}

impl Waiter {
    fn is_awaited(&self) -> bool {
        0 < self.group.strong_count() || self.next.as_ref().is_some_and(|next| next.is_awaited())
    }

    fn give(&self, answer: Answer) {
        let mut waiter = Some(self);
        while let Some(Self { group, position, next }) = waiter {
            if let Some(group) = group.upgrade() {
                group.give(*position, answer.clone());
            }
            waiter = next.as_deref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::hash::Digest;
    use cretoai_core::message::Signed;
    use cretoai_core::reply::ReplyStatement;
    use cretoai_core::signature::Signature;
    use cretoai_core::types::ReplicaId;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn id(number: u8) -> RequestId {
        Digest([number; 32])
    }

    /// A slot in which some requests executed, each with its number as the result, and the others had executed before.
    fn reply(slot: u64, executed: &[u8], before: &[u8]) -> Reply {
        let numbers = executed.iter().chain(before);
        let results = executed.iter().map(|number| Some(Bytes(vec![*number]))).chain(before.iter().map(|_| None));
        let body = ReplyStatement { slot: Slot(slot), root: Digest::default() };
        Reply {
            signed: Signed { signer: ReplicaId(0), body, signature: Signature::new(&[]) },
            outcomes: numbers.map(|number| (id(*number), Outcome::Executed(Digest::default()))).collect(),
            results: results.collect(),
        }
    }

    fn is_complete(waiting: &Waiting) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(waiting.complete()).poll(&mut context).is_ready()
    }

    fn executed(slot: u64, number: u8) -> Option<Answer> {
        Some(Answer::Executed(Slot(slot), Bytes(vec![number])))
    }

    #[test]
    fn a_call_is_woken_when_its_last_request_is_answered_or_given_up() {
        let waiters = Waiters::default();
        let waiting = waiters.wait(&[id(1), id(2), id(3)]).expect("there is room");
        waiters.answer(&reply(7, &[3], &[1]));
        assert!(!is_complete(&waiting));
        waiting.give_up();
        assert!(is_complete(&waiting));
        assert_eq!(waiting.answers(), [Some(Answer::ExecutedBefore(Slot(7))), None, executed(7, 3)]);
    }

    #[test]
    fn two_calls_and_twice_the_same_request_in_one_are_all_answered() {
        let waiters = Waiters::default();
        let first = waiters.wait(&[id(1)]).expect("there is room");
        let second = waiters.wait(&[id(1), id(2), id(1)]).expect("there is room");
        drop(waiters.wait(&[id(2)]));
        waiters.answer(&reply(1, &[1, 2], &[]));
        assert!(is_complete(&first) && is_complete(&second));
        assert_eq!(first.answers(), [executed(1, 1)]);
        assert_eq!(second.answers(), [executed(1, 1), executed(1, 2), executed(1, 1)]);
        assert!(waiters.0.lock().expect("nobody panicked").is_empty());
    }

    #[test]
    fn those_who_gave_up_make_room_for_others() {
        let waiters = Waiters::default();
        let number = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Digest(bytes)
        };
        let ids: Vec<RequestId> = (0..MAX_WAITING).map(number).collect();
        let all = waiters.wait(&ids).expect("there is room");
        assert!(waiters.wait(&[number(MAX_WAITING)]).is_none());
        drop(all);
        assert!(waiters.wait(&[number(MAX_WAITING)]).is_some());
    }
}
