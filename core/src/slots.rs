//! The log of slots between the watermarks, and the counting of votes in it (`docs/protocol.md` N1, N3, N10, M4, C8).

#[cfg(test)]
mod tests;

use crate::batch::HashedBatch;
use crate::certificate::{Certificate, Claim};
use crate::committee::{Committee, ReplicaSet, singleton};
use crate::hash::Digest;
use crate::message::{PrePrepare, Signed};
use crate::mutant::Mutant;
use crate::time::Instant;
use crate::types::{ReplicaId, Slot, View};
use crate::vote::{Phase, Vote};
use std::sync::Arc;

/// The votes of one phase for one slot in one view. The first vote of a signer counts; a later one neither adds
/// nor replaces, whatever its signature bytes (`docs/protocol.md` M4).
#[derive(Clone, Debug, Default)]
pub struct VoteSet {
    voters: ReplicaSet,
    tallies: Vec<(Digest, ReplicaSet)>,
    votes: Vec<Option<Signed<Vote>>>,
}

/// What counting a vote did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is the signer's first vote; so many now say the same.
    New(ReplicaSet),
    /// The signer said the same before.
    Duplicate,
    /// The signer said something else before.
    Conflict,
}

impl VoteSet {
    /// Counts what `vote` says about the slot.
    pub fn add(&mut self, n: u16, digest: Digest, vote: &Signed<Vote>) -> Counted {
        let voter = singleton(vote.signer);
        if self.voters & voter != 0 && !Mutant::SecondVoteCounts.is_on() {
            let same = self.tallies.iter().any(|(said, by)| *said == digest && by & voter != 0);
            return if same { Counted::Duplicate } else { Counted::Conflict };
        }
        if self.votes.is_empty() {
            self.votes.resize(usize::from(n), None);
        }
        self.voters |= voter;
        self.votes[vote.signer.index()] = Some(vote.clone());
        if let Some((_, by)) = self.tallies.iter_mut().find(|(said, _)| *said == digest) {
            *by |= voter;
            return Counted::New(*by);
        }
        self.tallies.push((digest, voter));
        Counted::New(voter)
    }

    /// Who voted for `digest`.
    #[must_use]
    pub fn supporters(&self, digest: Digest) -> ReplicaSet {
        self.tallies.iter().find(|(said, _)| *said == digest).map_or(0, |(_, by)| *by)
    }

    /// The digest with a quorum. There is at most one: two quorums share an honest replica, which votes once.
    #[must_use]
    pub fn quorum(&self, committee: Committee) -> Option<Digest> {
        self.tallies.iter().find(|(_, by)| committee.is_quorum(*by)).map(|(digest, _)| *digest)
    }

    /// Who voted for which digest, in the order in which each was first named.
    #[must_use]
    pub fn tallies(&self) -> &[(Digest, ReplicaSet)] {
        &self.tallies
    }

    /// The vote that was counted for a signer.
    #[must_use]
    pub fn vote_of(&self, signer: ReplicaId) -> Option<&Signed<Vote>> {
        self.votes.get(signer.index())?.as_ref()
    }

    /// All votes counted, ascending by signer.
    pub fn votes(&self) -> impl Iterator<Item = &Signed<Vote>> {
        self.votes.iter().flatten()
    }

    /// The number of votes held.
    #[must_use]
    pub fn len(&self) -> usize {
        // Most sets are empty, and counting bits is slow where the processor is not asked to.
        if self.is_empty() { 0 } else { self.voters.count_ones() as usize }
    }

    /// Whether nobody voted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters == 0
    }

    /// The certificate for `claim`, if a quorum voted for it: exactly a quorum of votes, lowest signers first.
    #[must_use]
    pub fn certificate(&self, committee: Committee, phase: Phase, claim: Claim) -> Option<Certificate> {
        let mut supporters = self.supporters(claim.digest);
        let too_few = match phase {
            Phase::Prepare => Mutant::PreparedByTooFew,
            Phase::Commit => Mutant::DecidedByTooFew,
        };
        let quorum = usize::from(committee.quorum()) - usize::from(too_few.is_on());
        if (supporters.count_ones() as usize) < quorum {
            return None;
        }
        let mut votes = Vec::with_capacity(quorum);
        while votes.len() < quorum {
            let signer = supporters.trailing_zeros() as usize;
            supporters &= supporters - 1;
            votes.push(self.votes[signer].clone().expect("a supporter's vote is held"));
        }
        Some(Certificate::from_votes(phase, claim, votes))
    }

    fn clear(&mut self) {
        self.voters = 0;
        self.tallies.clear();
        self.votes.iter_mut().for_each(|vote| *vote = None);
    }
}

/// The votes of both phases in one view.
#[derive(Clone, Debug, Default)]
pub struct Ballot {
    /// PREPAREs.
    pub prepares: VoteSet,
    /// COMMITs.
    pub commits: VoteSet,
}

impl Ballot {
    /// The votes of a phase.
    pub fn phase_mut(&mut self, phase: Phase) -> &mut VoteSet {
        match phase {
            Phase::Prepare => &mut self.prepares,
            Phase::Commit => &mut self.commits,
        }
    }

    /// The votes held in both phases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prepares.len() + self.commits.len()
    }

    /// Whether no vote is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clear(&mut self) {
        self.prepares.clear();
        self.commits.clear();
    }
}

/// What the primary of the installed view proposes for a slot.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The batch.
    pub digest: Digest,
    /// The pre-prepare; absent where the NEW-VIEW proposed the slot.
    pub pre_prepare: Option<Arc<PrePrepare>>,
    /// What this replica did with it.
    pub standing: Standing,
}

/// What a replica did with a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a body, or for the window to move.
    Waiting,
    /// This replica voted for it in this view.
    Accepted,
    /// This replica will not vote for it.
    Refused,
}

/// One slot.
#[derive(Clone, Debug, Default)]
pub struct SlotState {
    /// The slot that this place of the ring holds now.
    pub slot: Slot,
    /// The primary's proposal in the installed view.
    pub proposal: Option<Proposal>,
    /// The votes of the installed view.
    pub ballot: Ballot,
    /// Votes of the view that this replica wants to enter.
    pub early: Option<Box<Ballot>>,
    /// The first proposal of that view, and whether it was timely when it came.
    pub early_proposal: Option<(Arc<PrePrepare>, bool)>,
    /// This replica's latest PREPARE: `Qv(n)`.
    pub voted: Option<(View, Digest)>,
    /// The certificate of the highest view in which this replica was prepared: `P(n)`.
    pub prepared: Option<Arc<Certificate>>,
    /// The proof that the slot is decided.
    pub committed: Option<Arc<Certificate>>,
    /// The batches known for the slot: those of the proposal, `Qv`, `P` and the decision.
    pub batches: Vec<Arc<HashedBatch>>,
    /// Batches asked for.
    pub wanted: Vec<Digest>,
    /// Batches whose record was appended.
    pub recorded: Vec<Digest>,
    /// When the first proposal, vote or certificate for the slot arrived.
    pub known_since: Option<Instant>,
}

impl SlotState {
    /// The body of a batch.
    #[must_use]
    pub fn batch(&self, digest: Digest) -> Option<&Arc<HashedBatch>> {
        self.batches.iter().find(|batch| batch.digest() == digest)
    }

    /// Keeps the body of a batch that some rule needs, and no other.
    pub fn keep_batch(&mut self, batch: &Arc<HashedBatch>) {
        let digest = batch.digest();
        if self.batch(digest).is_none() && self.needs_batch(digest) {
            let mut batches = std::mem::take(&mut self.batches);
            batches.retain(|held| self.needs_batch(held.digest()));
            batches.push(batch.clone());
            self.batches = batches;
        }
        self.wanted.retain(|wanted| *wanted != digest);
    }

    /// A batch is needed and not held.
    pub fn want_batch(&mut self, digest: Digest) {
        if !self.wanted.contains(&digest) {
            self.wanted.push(digest);
        }
    }

    /// Whether some rule still needs the batch with this digest.
    #[must_use]
    pub fn needs_batch(&self, digest: Digest) -> bool {
        self.proposal.as_ref().is_some_and(|proposal| proposal.digest == digest)
            || self.voted.is_some_and(|(_, voted)| voted == digest)
            || self.prepared.as_ref().is_some_and(|prepared| prepared.claim.digest == digest)
            || self.committed.as_ref().is_some_and(|committed| committed.claim.digest == digest)
            || self.wanted.contains(&digest)
    }

    /// Enters a view: its votes, if some came early, take the place of the old view's. Returns the proposal that
    /// came early.
    pub fn enter_view(&mut self, early_counts: bool) -> Option<(Arc<PrePrepare>, bool)> {
        self.proposal = None;
        self.ballot.clear();
        let decided = self.committed.as_ref().map(|committed| committed.claim.digest);
        self.wanted.retain(|wanted| Some(*wanted) == decided);
        let batches = std::mem::take(&mut self.batches);
        self.batches = batches.into_iter().filter(|batch| self.needs_batch(batch.digest())).collect();
        let (early, proposal) = (self.early.take(), self.early_proposal.take());
        if !early_counts {
            return None;
        }
        if let Some(early) = early {
            self.ballot = *early;
        }
        proposal
    }

    fn reset(&mut self, slot: Slot) {
        self.slot = slot;
        self.proposal = None;
        self.ballot.clear();
        self.early = None;
        self.early_proposal = None;
        self.known_since = None;
        self.voted = None;
        self.prepared = None;
        self.committed = None;
        self.batches.clear();
        self.wanted.clear();
        self.recorded.clear();
    }
}

/// A ring of slots `(h - K, H + K]`: what a lagging replica may still ask for, the window, and what comes early
/// because this replica's own checkpoint is late.
#[derive(Clone, Debug)]
pub struct SlotLog {
    interval: u64,
    window: u64,
    low: Slot,
    ring: Vec<SlotState>,
}

impl SlotLog {
    /// A log with low watermark 0.
    #[must_use]
    pub fn new(interval: u64, window: u64) -> Self {
        let size = window + 2 * interval;
        let mut log = Self { interval, window, low: Slot(0), ring: Vec::new() };
        log.ring.resize_with(usize::try_from(size).expect("small"), SlotState::default);
        for slot in 0..=window + interval {
            let at = log.place(Slot(slot));
            log.ring[at].slot = Slot(slot);
        }
        log
    }

    /// `h`, the stable checkpoint.
    #[must_use]
    pub fn low(&self) -> Slot {
        self.low
    }

    /// `H = h + L`.
    #[must_use]
    pub fn high(&self) -> Slot {
        self.low.plus(self.window)
    }

    /// The last slot for which anything is kept: `H + K`.
    #[must_use]
    pub fn end(&self) -> Slot {
        self.high().plus(self.interval)
    }

    /// The slot below which nothing is kept: `h - K`.
    #[must_use]
    pub fn floor(&self) -> Slot {
        self.low.minus(self.interval)
    }

    fn place(&self, slot: Slot) -> usize {
        usize::try_from(slot.0 % self.ring.len() as u64).expect("below the ring's size")
    }

    /// The state of a slot in `(h - K, H + K]`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&SlotState> {
        let held = self.floor() < slot && slot <= self.end();
        held.then(|| &self.ring[self.place(slot)])
    }

    /// The state of a slot in `(h - K, H + K]`.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut SlotState> {
        let held = self.floor() < slot && slot <= self.end();
        let place = self.place(slot);
        held.then(|| &mut self.ring[place])
    }

    /// Moves the low watermark up and forgets the slots that fall out of the ring.
    pub fn advance(&mut self, low: Slot) {
        assert!(self.low < low, "the low watermark only rises");
        let end = self.end();
        self.low = low;
        let size = self.ring.len() as u64;
        let first_new = end.next().max(self.end().minus(size - 1));
        for slot in first_new.0..=self.end().0 {
            let place = self.place(Slot(slot));
            self.ring[place].reset(Slot(slot));
        }
    }

    /// The slots of the window `(h, H]`, ascending.
    pub fn window(&self) -> impl Iterator<Item = &SlotState> {
        (self.low.0 + 1..=self.high().0).map(|slot| &self.ring[self.place(Slot(slot))])
    }

    /// All slots held, in no particular order of slots but always the same.
    pub fn all(&self) -> impl Iterator<Item = &SlotState> {
        self.ring.iter()
    }

    /// All slots held.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut SlotState> {
        self.ring.iter_mut()
    }
}
