//! The seen set: requests that executed and have not expired (`docs/protocol.md` F6, F7).

#[cfg(test)]
mod tests;

use super::BrokenSnapshot;
use super::segment::{self, Group, SEEN_ENTRY, Segment};
use crate::config::Chain;
use crate::hash::Digest;
use crate::mutant::Mutant;
use crate::reply::NoOp;
use crate::request::{ClientRequest, RequestId};
use crate::time::{Duration, Instant};
use crate::types::ReplicaId;
use std::collections::BTreeMap;

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It executes.
    Executes,
    /// It executed before; its result is known, or will be when that execution is done.
    Duplicate,
    /// It does nothing.
    NoOp(NoOp),
}

/// Requests by the second in which they expire. A request's expiry is part of its id, so one that is asked for can only
/// be in one bucket; there it is found among some thousands, and not among all.
#[derive(Clone, Debug)]
pub struct SeenSet {
    lifetime: Duration,
    share: u64,
    taken: Vec<u64>,
    buckets: BTreeMap<u64, Bucket>,
}

#[derive(Clone, Debug)]
struct Bucket {
    /// The result of each request, once it is known.
    results: BTreeMap<RequestId, Option<Digest>>,
    /// How many of them each author brought.
    taken: Vec<u64>,
    group: Group,
}

const SECOND: u64 = 1_000_000_000;

impl SeenSet {
    pub(super) fn new(chain: &Chain) -> Self {
        let n = u64::from(chain.committee.n());
        Self {
            lifetime: chain.genesis.limits.lifetime,
            share: chain.genesis.limits.seen_requests / n,
            taken: vec![0; usize::from(chain.committee.n())],
            buckets: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.results.len()).sum()
    }

    fn find(&self, request: &ClientRequest) -> Option<&Option<Digest>> {
        self.buckets.get(&second(request))?.results.get(&request.id())
    }

    pub(super) fn result(&self, request: &ClientRequest) -> Option<Digest> {
        self.find(request).copied().flatten()
    }

    /// What is to become of a request, and if it is a copy, the result of its execution as far as that is known.
    pub(super) fn judge(&self, request: &ClientRequest, author: ReplicaId, time: Instant) -> (Fate, Option<Digest>) {
        let expires = request.request.expires;
        if expires <= time && !Mutant::ExpiredExecutes.is_on() {
            return (Fate::NoOp(NoOp::Expired), None);
        }
        if time + self.lifetime < expires && !Mutant::AnyLifetime.is_on() {
            return (Fate::NoOp(NoOp::TooEarly), None);
        }
        if let Some(result) = self.find(request).filter(|_| !Mutant::ExecutesTwice.is_on()) {
            return (Fate::Duplicate, *result);
        }
        if self.share <= self.taken_at(author, time) {
            return (Fate::NoOp(NoOp::Full), None);
        }
        (Fate::Executes, None)
    }

    /// How much of its share an author uses at a time that may be later than that of the last slot: what will have
    /// been dropped by then does not count.
    fn taken_at(&self, author: ReplicaId, time: Instant) -> u64 {
        let taken = self.taken[author.index()];
        if taken < self.share {
            return taken;
        }
        let passed = self.buckets.range(..time.0 / SECOND).map(|(_, bucket)| bucket.taken[author.index()]);
        taken - passed.sum::<u64>()
    }

    /// Takes a request that executes now; its result follows with [`complete`](Self::complete).
    pub(super) fn mark(&mut self, request: &ClientRequest, author: ReplicaId) {
        let known = self.bucket(second(request)).take(request.id(), author, None);
        assert!(known.is_none() || Mutant::ExecutesTwice.is_on(), "a request executes once");
        self.taken[author.index()] += 1;
    }

    fn bucket(&mut self, second: u64) -> &mut Bucket {
        let n = self.taken.len();
        let new = || Bucket { results: BTreeMap::new(), taken: vec![0; n], group: Group::new(segment::SEEN, second) };
        self.buckets.entry(second).or_insert_with(new)
    }

    pub(super) fn complete(&mut self, request: &ClientRequest, author: ReplicaId, result: Digest) {
        // It may have expired while it was being executed: then nobody asks for it any more.
        let Some(bucket) = self.buckets.get_mut(&second(request)) else { return };
        let known = bucket.results.get_mut(&request.id()).expect("marked before");
        assert!(known.is_none() || Mutant::ExecutesTwice.is_on(), "a request completes once");
        *known = Some(result);
        let mut entry = [0; SEEN_ENTRY];
        entry[..32].copy_from_slice(&request.id().0);
        entry[32..64].copy_from_slice(&result.0);
        entry[64..].copy_from_slice(&author.0.to_be_bytes());
        bucket.group.append(&entry);
    }

    /// Drops whole seconds that have passed.
    pub(super) fn expire(&mut self, time: Instant) {
        while let Some(oldest) = self.buckets.first_entry() {
            if time.0 / SECOND < *oldest.key() + u64::from(!Mutant::ForgottenEarly.is_on()) {
                break;
            }
            for (all, passed) in self.taken.iter_mut().zip(oldest.remove().taken) {
                *all -= passed;
            }
        }
    }

    pub(super) fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        assert!(self.buckets.values().all(|bucket| !bucket.results.is_empty()), "a bucket holds a request");
        self.buckets.values_mut().flat_map(|bucket| bucket.group.segments_mut())
    }

    pub(super) fn restore_segment(&mut self, chunk: &[u8]) -> Result<(), BrokenSnapshot> {
        let broken = BrokenSnapshot("a segment of the seen set does not decode");
        let (second, entries) = segment::parse(chunk, SEEN_ENTRY).ok_or(broken)?;
        // The end of the second is a moment, too.
        second.checked_mul(SECOND).ok_or(broken)?;
        for entry in entries {
            let (mut id, mut result) = (Digest::default(), Digest::default());
            id.0.copy_from_slice(&entry[..32]);
            result.0.copy_from_slice(&entry[32..64]);
            let author = ReplicaId(u16::from_be_bytes([entry[64], entry[65]]));
            let taken = self.taken.get_mut(author.index()).ok_or(broken)?;
            *taken += 1;
            let bucket = self.bucket(second);
            if bucket.take(id, author, Some(result)).is_some() {
                return Err(broken);
            }
            bucket.group.append(entry);
        }
        Ok(())
    }
}

impl Bucket {
    /// What was known of the request before.
    fn take(&mut self, id: RequestId, author: ReplicaId, result: Option<Digest>) -> Option<Option<Digest>> {
        self.taken[author.index()] += 1;
        self.results.insert(id, result)
    }
}

/// The second in which a request expires.
fn second(request: &ClientRequest) -> u64 {
    request.request.expires.0 / SECOND
}
