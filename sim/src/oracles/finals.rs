//! O3: what is final stands on what is final, and nobody made it who is banned (`docs/protocol.md` F3, F15).

use super::Finding;
use cretoai_core::config::Chain;
use cretoai_core::ledger::{Standings, Verdict};
use cretoai_core::outbox::Execution;
use cretoai_core::types::{Height, ReplicaId, Slot};
use cretoai_core::vertex::{Link, SignedVertex};
use std::collections::VecDeque;

/// Checkpoint windows for which a final vertex is remembered one by one (F2).
const WINDOWS: u64 = 4;

/// What is final, by author.
#[derive(Debug)]
pub(super) struct Finals {
    reach: u64,
    authors: Vec<Author>,
}

#[derive(Clone, Debug)]
struct Author {
    last: Link,
    /// The height up to which every parent counts.
    aged: Height,
    recent: VecDeque<(Slot, Link)>,
    /// The first slot in which nothing of it may be final.
    banned_from: Option<Slot>,
}

impl Finals {
    pub(super) fn new(chain: &Chain) -> Self {
        let last = Link::genesis(chain.id);
        let author = Author { last, aged: Height(0), recent: VecDeque::new(), banned_from: None };
        let n = usize::from(chain.committee.n());
        Self { reach: WINDOWS * chain.window(), authors: vec![author; n] }
    }

    /// A slot is executed for the first time.
    pub(super) fn executes(&mut self, execution: &Execution) -> Finding {
        let slot = execution.slot;
        let mut finals = execution.listed.iter().filter(|(_, verdict)| *verdict == Verdict::Final);
        finals.try_for_each(|(vertex, _)| self.add(slot, vertex))
    }

    fn add(&mut self, slot: Slot, vertex: &SignedVertex) -> Finding {
        let (body, id) = (&vertex.body, vertex.id());
        let is_final = |parent: &cretoai_core::vertex::Reference| {
            let Author { aged, recent, .. } = &self.authors[parent.author.index()];
            parent.height <= *aged || recent.iter().any(|(_, link)| link.id == parent.id)
        };
        let parent = body.refs.iter().find(|parent| !is_final(parent)).copied();
        let author = &mut self.authors[body.author.index()];
        let (last, banned_from) = (author.last, author.banned_from);
        author.last = Link { height: body.height, id };
        author.recent.push_back((slot, author.last));
        for author in &mut self.authors {
            while let Some((_, link)) = author.recent.pop_front_if(|(at, _)| at.0 + self.reach <= slot.0) {
                author.aged = link.height;
            }
        }
        let what = || format!("vertex {id:?} of {} is final in {slot}", body.author);
        if banned_from.is_some_and(|from| from <= slot) {
            return Err(format!("{}, and its author is banned", what()));
        }
        if body.prev != last {
            return Err(format!("{}, and is no successor of {:?}", what(), last.id));
        }
        match parent {
            Some(parent) => Err(format!("{}, and its parent {:?} is not", what(), parent.id)),
            None => Ok(()),
        }
    }

    /// Who is banned at a replica that has executed so far.
    pub(super) fn standings(&mut self, executed: Slot, standings: &Standings) {
        for (id, author) in (0..).map(ReplicaId).zip(&mut self.authors) {
            if standings.is_banned(id) {
                author.banned_from.get_or_insert(executed.next());
            }
        }
    }
}
