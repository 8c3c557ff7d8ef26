//! Which vertices are final, as far as the verdict on later ones depends on it (`docs/protocol.md` F2, F3, F4).

#[cfg(test)]
mod tests;

use super::BrokenSnapshot;
use super::segment::{self, Group, Segment};
use crate::committee::{ReplicaSet, singleton};
use crate::config::Chain;
use crate::hash::Digest;
use crate::mutant::Mutant;
use crate::types::{Height, ReplicaId, Slot};
use crate::vertex::{Link, Reference, SignedVertex, VertexId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What becomes of a vertex when a slot that lists it executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// It is part of the finalized order; its requests are considered.
    Final,
    /// It was finalized before.
    Duplicate,
    /// A parent is not finalized yet; it may be listed again.
    Missing,
    /// A parent can never be finalized; neither can it.
    Dead,
    /// Its author is banned; nothing new of it is finalized.
    Banned,
}

impl Verdict {
    /// Whether a vertex so judged now can become final neither now nor later.
    #[must_use]
    pub fn is_void(self) -> bool {
        matches!(self, Self::Duplicate | Self::Dead | Self::Banned)
    }
}

/// Whether a reference to another author's vertex is satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefState {
    /// The vertex is final, or so old that nobody remembers otherwise.
    Satisfied,
    /// It is not final yet.
    Missing,
    /// Another vertex took its place.
    Dead,
}

/// Slots that the index of finalized vertices covers, in windows.
const INDEX_WINDOWS: u64 = 4;

/// The finalized part of the DAG: each author's last vertex, the recent ones, and the height below which older
/// ones are taken for final.
#[derive(Clone, Debug)]
pub struct Frontier {
    interval: u64,
    reach: u64,
    last: Vec<Link>,
    aged: Vec<Height>,
    recent: Vec<VecDeque<Recent>>,
    groups: VecDeque<Group>,
    /// Authors that are banned in the next slot.
    banned: ReplicaSet,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    slot: Slot,
    height: Height,
    id: VertexId,
}

const ENTRY: usize = 8 + 2 + 8 + 32;

impl Frontier {
    pub(super) fn new(chain: &Chain) -> Self {
        let n = usize::from(chain.committee.n());
        Self::restored(chain, vec![Link::genesis(chain.id); n], vec![Height(0); n])
    }

    pub(super) fn restored(chain: &Chain, last: Vec<Link>, aged: Vec<Height>) -> Self {
        Self {
            interval: chain.checkpoint_interval(),
            reach: INDEX_WINDOWS * chain.window(),
            recent: vec![VecDeque::new(); last.len()],
            last,
            aged,
            groups: VecDeque::new(),
            banned: 0,
        }
    }

    /// Whether an author is banned in the next slot.
    #[must_use]
    pub fn is_banned(&self, author: ReplicaId) -> bool {
        self.banned & singleton(author) != 0
    }

    pub(super) fn set_banned(&mut self, banned: ReplicaSet) {
        self.banned = banned;
    }

    /// The last finalized vertex of an author.
    #[must_use]
    pub fn last_of(&self, author: ReplicaId) -> Link {
        self.last[author.index()]
    }

    pub(super) fn last(&self) -> &[Link] {
        &self.last
    }

    pub(super) fn aged(&self) -> &[Height] {
        &self.aged
    }

    fn find(&self, author: ReplicaId, height: Height) -> Option<VertexId> {
        let recent = &self.recent[author.index()];
        recent.binary_search_by_key(&height, |entry| entry.height).ok().map(|at| recent[at].id)
    }

    /// Whether this very vertex was finalized recently.
    #[must_use]
    pub fn contains(&self, vertex: &SignedVertex) -> bool {
        self.find(vertex.author(), vertex.body.height) == Some(vertex.id())
    }

    /// The state of a reference.
    #[must_use]
    pub fn reference(&self, parent: &Reference) -> RefState {
        let author = parent.author.index();
        if parent.height <= self.aged[author] {
            return RefState::Satisfied;
        }
        match self.find(parent.author, parent.height) {
            Some(id) if id == parent.id => RefState::Satisfied,
            Some(_) => RefState::Dead,
            None if parent.height <= self.last[author].height => RefState::Dead,
            None if Mutant::ParentsIgnored.is_on() => RefState::Satisfied,
            None => RefState::Missing,
        }
    }

    /// The verdict on a vertex that is listed now. A function of the finalized order alone: a replica with a
    /// longer memory must not use it (`docs/protocol.md` F3).
    #[must_use]
    pub fn judge(&self, vertex: &SignedVertex) -> Verdict {
        if self.is_banned(vertex.author()) && !Mutant::BannedFinal.is_on() {
            return Verdict::Banned;
        }
        if self.contains(vertex) {
            return Verdict::Duplicate;
        }
        let last = self.last_of(vertex.author());
        let prev = vertex.body.prev;
        if prev != last && !Mutant::AnyPredecessor.is_on() {
            return if prev.height <= last.height { Verdict::Dead } else { Verdict::Missing };
        }
        for parent in &vertex.body.refs {
            match self.reference(parent) {
                RefState::Satisfied => {}
                RefState::Missing => return Verdict::Missing,
                RefState::Dead => return Verdict::Dead,
            }
        }
        Verdict::Final
    }

    /// Forgets vertices finalized too long before `slot`.
    pub(super) fn age(&mut self, slot: Slot) {
        let floor = slot.minus(self.reach);
        for (recent, aged) in self.recent.iter_mut().zip(&mut self.aged) {
            while let Some(oldest) = recent.front().filter(|oldest| oldest.slot <= floor) {
                *aged = oldest.height;
                recent.pop_front();
            }
        }
        while self.groups.front().is_some_and(|group| group.number() + self.interval - 1 <= floor.0) {
            self.groups.pop_front();
        }
    }

    /// Takes a vertex with the verdict `Final`.
    pub(super) fn extend(&mut self, vertex: &SignedVertex, slot: Slot) {
        let (author, height, id) = (vertex.author(), vertex.body.height, vertex.id());
        assert!(self.last_of(author).height < height || Mutant::AnyPredecessor.is_on(), "an author's heights grow");
        self.last[author.index()] = Link { height, id };
        self.remember(author, Recent { slot, height, id });
    }

    fn remember(&mut self, author: ReplicaId, entry: Recent) {
        self.recent[author.index()].push_back(entry);
        // A group covers the slots of one checkpoint interval and is named by the first of them.
        let first = (entry.slot.0 - 1) / self.interval * self.interval + 1;
        if self.groups.back().is_none_or(|group| group.number() != first) {
            self.groups.push_back(Group::new(segment::INDEX, first));
        }
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&entry.slot.0.to_be_bytes());
        bytes[8..10].copy_from_slice(&author.0.to_be_bytes());
        bytes[10..18].copy_from_slice(&entry.height.0.to_be_bytes());
        bytes[18..].copy_from_slice(&entry.id.0);
        self.groups.back_mut().expect("pushed above").append(&bytes);
    }

    pub(super) fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.groups.iter_mut().flat_map(Group::segments_mut)
    }

    pub(super) fn restore_segment(&mut self, chunk: &[u8]) -> Result<(), BrokenSnapshot> {
        let broken = BrokenSnapshot("a segment of the index does not decode");
        let (_, entries) = segment::parse(chunk, ENTRY).ok_or(broken)?;
        for entry in entries {
            let number =
                |range: std::ops::Range<usize>| entry[range].iter().fold(0, |sum, byte| (sum << 8) + u64::from(*byte));
            let author = ReplicaId(u16::try_from(number(8..10)).map_err(|_| broken)?);
            let (slot, height) = (Slot(number(0..8)), Height(number(10..18)));
            let mut id = Digest::default();
            id.0.copy_from_slice(&entry[18..]);
            let fits = author.index() < self.last.len()
                && slot > Slot(0)
                && self.recent[author.index()].back().is_none_or(|last| last.height < height && last.slot <= slot);
            if !fits {
                return Err(broken);
            }
            self.remember(author, Recent { slot, height, id });
        }
        Ok(())
    }
}
