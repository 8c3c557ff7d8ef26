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
        self.age(slot);
        let mut finals = execution.listed.iter().filter(|(_, verdict)| *verdict == Verdict::Final);
        finals.try_for_each(|(vertex, _)| self.add(slot, vertex))
    }

    /// What became final long before this slot is known by its height alone from now on (F2).
    fn age(&mut self, slot: Slot) {
        for author in &mut self.authors {
            while let Some((_, link)) = author.recent.pop_front_if(|(at, _)| at.0 + self.reach <= slot.0) {
                author.aged = link.height;
            }
        }
    }

    fn add(&mut self, slot: Slot, vertex: &SignedVertex) -> Finding {
        let (body, id) = (&vertex.body, vertex.id());
        let is_final = |parent: &cretoai_core::vertex::Reference| {
            let Author { aged, recent, .. } = &self.authors[parent.author.index()];
            let found = recent.binary_search_by_key(&parent.height, |(_, link)| link.height);
            parent.height <= *aged || found.is_ok_and(|at| recent[at].1.id == parent.id)
        };
        let parent = body.refs.iter().find(|parent| !is_final(parent)).copied();
        let author = &mut self.authors[body.author.index()];
        let (last, banned_from) = (author.last, author.banned_from);
        author.last = Link { height: body.height, id };
        author.recent.push_back((slot, author.last));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use cretoai_core::hash::Digest;
    use cretoai_core::hashed::Hashed;
    use cretoai_core::message::Signed;
    use cretoai_core::signature::Signature;
    use cretoai_core::time::Instant;
    use cretoai_core::vertex::{Payload, Reference, Vertex};
    use std::sync::Arc;

    fn vertex(author: u16, height: u64, prev: Link, refs: Vec<Reference>) -> Arc<SignedVertex> {
        let (author, height, payload) = (ReplicaId(author), Height(height), Payload::Requests(Vec::new()));
        let body = Hashed::new(Vertex { author, height, ts: Instant(0), prev, refs, payload });
        Arc::new(Signed { signer: author, body, signature: Signature::new(&[0]) })
    }

    /// What the oracle says of a vertex of r1 in a slot that names a parent of r0, of which a vertex of that height has
    /// been final since slot 1.
    fn names(chain: &Chain, slot: u64, invented: bool) -> Finding {
        let genesis = Link::genesis(chain.id);
        let first = vertex(0, 1, genesis, Vec::new());
        let id = if invented { Digest([7; 32]) } else { first.id() };
        let second = vertex(1, 2, genesis, vec![Reference { author: ReplicaId(0), height: Height(1), id }]);
        let mut finals = Finals::new(chain);
        [(1, first), (slot, second)].into_iter().try_for_each(|(slot, vertex)| {
            let listed = vec![(vertex, Verdict::Final)];
            finals.executes(&Execution { slot: Slot(slot), time: Instant(slot), requests: Vec::new(), listed })
        })
    }

    #[test]
    fn a_parent_has_to_be_final_until_all_of_its_height_have_aged() {
        let plan = Plan::default();
        let chain = Chain::new(plan.genesis(vec![vec![0]; usize::from(plan.n)]), false).expect("four replicas");
        let reach = WINDOWS * chain.window();
        assert_eq!(names(&chain, 2, false), Ok(()));
        assert!(names(&chain, 2, true).is_err_and(|why| why.contains("is not")));
        assert!(names(&chain, reach, true).is_err());
        assert_eq!(names(&chain, reach + 1, true), Ok(()), "the first slot in which it has aged");
    }
}
