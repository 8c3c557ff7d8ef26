//! The seen set: requests that executed and have not expired (`docs/protocol.md` F6, F7).

use super::BrokenSnapshot;
use super::segment::{self, Group, Segment};
use crate::config::Chain;
use crate::hash::Digest;
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

/// Requests by the second in which they expire.
#[derive(Clone, Debug)]
pub struct SeenSet {
    lifetime: Duration,
    share: u64,
    taken: Vec<u64>,
    results: BTreeMap<RequestId, Option<Digest>>,
    buckets: BTreeMap<u64, Bucket>,
}

#[derive(Clone, Debug)]
struct Bucket {
    members: Vec<(RequestId, ReplicaId)>,
    group: Group,
}

const SECOND: u64 = 1_000_000_000;
const ENTRY: usize = 32 + 32 + 2;

impl SeenSet {
    pub(super) fn new(chain: &Chain) -> Self {
        let n = u64::from(chain.committee.n());
        Self {
            lifetime: chain.genesis.limits.lifetime,
            share: chain.genesis.limits.seen_requests / n,
            taken: vec![0; usize::from(chain.committee.n())],
            results: BTreeMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.results.len()
    }

    pub(super) fn result(&self, id: &RequestId) -> Option<Digest> {
        self.results.get(id).copied().flatten()
    }

    pub(super) fn judge(&self, request: &ClientRequest, author: ReplicaId, time: Instant) -> Fate {
        let expires = request.request.expires;
        if expires <= time {
            return Fate::NoOp(NoOp::Expired);
        }
        if time + self.lifetime < expires {
            return Fate::NoOp(NoOp::TooEarly);
        }
        if self.results.contains_key(&request.id()) {
            return Fate::Duplicate;
        }
        if self.share <= self.taken_at(author, time) {
            return Fate::NoOp(NoOp::Full);
        }
        Fate::Executes
    }

    /// How much of its share an author uses at a time that may be later than that of the last slot: what will have
    /// been dropped by then does not count.
    fn taken_at(&self, author: ReplicaId, time: Instant) -> u64 {
        let taken = self.taken[author.index()];
        if taken < self.share {
            return taken;
        }
        let passed = self.buckets.range(..time.0 / SECOND).flat_map(|(_, bucket)| &bucket.members);
        taken - passed.filter(|(_, of)| *of == author).count() as u64
    }

    /// Takes a request that executes now; its result follows with [`complete`](Self::complete).
    pub(super) fn mark(&mut self, request: &ClientRequest, author: ReplicaId) {
        let known = self.results.insert(request.id(), None);
        assert!(known.is_none(), "a request executes once");
        self.taken[author.index()] += 1;
        self.bucket(request.request.expires).members.push((request.id(), author));
    }

    fn bucket(&mut self, expires: Instant) -> &mut Bucket {
        let second = expires.0 / SECOND;
        let new = || Bucket { members: Vec::new(), group: Group::new(segment::SEEN, second) };
        self.buckets.entry(second).or_insert_with(new)
    }

    pub(super) fn complete(&mut self, request: &ClientRequest, author: ReplicaId, result: Digest) {
        // It may have expired while it was being executed: then nobody asks for it any more.
        let Some(known) = self.results.get_mut(&request.id()) else { return };
        assert!(known.is_none(), "a request completes once");
        *known = Some(result);
        let mut entry = [0; ENTRY];
        entry[..32].copy_from_slice(&request.id().0);
        entry[32..64].copy_from_slice(&result.0);
        entry[64..].copy_from_slice(&author.0.to_be_bytes());
        self.bucket(request.request.expires).group.append(&entry);
    }

    /// Drops whole seconds that have passed.
    pub(super) fn expire(&mut self, time: Instant) {
        while let Some(oldest) = self.buckets.first_entry() {
            if time.0 / SECOND <= *oldest.key() {
                break;
            }
            for (id, author) in oldest.remove().members {
                self.results.remove(&id);
                self.taken[author.index()] -= 1;
            }
        }
    }

    pub(super) fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        assert!(self.buckets.values().all(|bucket| !bucket.members.is_empty()), "a bucket holds a request");
        self.buckets.values_mut().flat_map(|bucket| bucket.group.segments_mut())
    }

    pub(super) fn restore_segment(&mut self, chunk: &[u8]) -> Result<(), BrokenSnapshot> {
        let broken = BrokenSnapshot("a segment of the seen set does not decode");
        let (second, entries) = segment::parse(chunk, ENTRY).ok_or(broken)?;
        let expires = Instant(second.checked_mul(SECOND).ok_or(broken)?);
        for entry in entries {
            let (mut id, mut result) = (Digest::default(), Digest::default());
            id.0.copy_from_slice(&entry[..32]);
            result.0.copy_from_slice(&entry[32..64]);
            let author = ReplicaId(u16::from(entry[64]) << 8 | u16::from(entry[65]));
            let taken = self.taken.get_mut(author.index()).ok_or(broken)?;
            *taken += 1;
            if self.results.insert(id, Some(result)).is_some() {
                return Err(broken);
            }
            let bucket = self.bucket(expires);
            bucket.members.push((id, author));
            bucket.group.append(entry);
        }
        Ok(())
    }
}
