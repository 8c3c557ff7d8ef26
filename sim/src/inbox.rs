//! What waits until a machine has time for it: a queue for each peer and one for clients, served in turn, so that who
//! says too much delays nobody but itself. A production driver has the same.

use crate::host::Waiting;
use std::collections::VecDeque;

/// How much of one peer waits at the most; what comes then is dropped, as by a connection that is throttled.
const BACKLOG: usize = 4096;

/// Whom something is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A replica, by its number.
    Peer(u16),
    /// The clients.
    Clients,
}

/// The queues of a machine.
#[derive(Debug, Default)]
pub struct Inbox {
    /// That of the clients first; the others appear as they are needed.
    lanes: Vec<VecDeque<Waiting>>,
    /// Whose turn it is.
    turn: usize,
    waiting: usize,
}

impl Inbox {
    /// Puts something in. Gives it back if too much of the same peer waits.
    ///
    /// # Errors
    /// What is to be dropped.
    pub fn push(&mut self, lane: Lane, waiting: Waiting) -> Result<(), Waiting> {
        let at = match lane {
            Lane::Clients => 0,
            Lane::Peer(id) => usize::from(id) + 1,
        };
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, VecDeque::new);
        }
        // Clients are not peers: how much they may ask for is decided by whoever admits them.
        if lane != Lane::Clients && self.lanes[at].len() >= BACKLOG {
            return Err(waiting);
        }
        self.lanes[at].push_back(waiting);
        self.waiting += 1;
        Ok(())
    }

    /// Takes out the first of whoever is next.
    pub fn pop(&mut self) -> Option<Waiting> {
        if self.waiting == 0 {
            return None;
        }
        let lanes = self.lanes.len();
        let at = (0..lanes).map(|step| (self.turn + step) % lanes).find(|at| !self.lanes[*at].is_empty())?;
        self.turn = (at + 1) % lanes;
        self.waiting -= 1;
        self.lanes[at].pop_front()
    }

    /// Whether nothing waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> Vec<Waiting> {
        self.waiting = 0;
        self.lanes.iter_mut().flat_map(|lane| lane.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_much_waits_for_itself_only() {
        let mut inbox = Inbox::default();
        for letter in 0..10 {
            inbox.push(Lane::Peer(3), Waiting::Letter(letter)).unwrap();
        }
        inbox.push(Lane::Peer(1), Waiting::Letter(20)).unwrap();
        inbox.push(Lane::Clients, Waiting::Request(30)).unwrap();
        let first: Vec<_> = (0..4).filter_map(|_| inbox.pop()).collect();
        let due = [Waiting::Request(30), Waiting::Letter(20), Waiting::Letter(0), Waiting::Letter(1)];
        assert_eq!(first, due, "one of each in turn, and each peer's in order");
        assert_eq!(inbox.drain().len(), 8);
        assert!(inbox.is_empty() && inbox.pop().is_none());
    }

    #[test]
    fn a_peer_whose_backlog_is_full_loses_what_it_says() {
        let mut inbox = Inbox::default();
        for _ in 0..BACKLOG {
            inbox.push(Lane::Peer(3), Waiting::Junk).unwrap();
        }
        assert_eq!(inbox.push(Lane::Peer(3), Waiting::Letter(7)), Err(Waiting::Letter(7)));
        assert_eq!(inbox.push(Lane::Peer(2), Waiting::Letter(8)), Ok(()));
    }
}
