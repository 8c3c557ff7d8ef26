//! Append-only chunks of a snapshot, each byte hashed once and shared with the snapshots that hold them
//! (`docs/protocol.md` C13).

use crate::bytes::Bytes;
use crate::hash::{Digest, Domain, Hasher};
use crate::mutant::Mutant;
use std::sync::Arc;

/// The first byte of the chunk with the scalars.
pub(crate) const HEAD: u8 = 0;
/// The first byte of a chunk of the index of finalized vertices.
pub(crate) const INDEX: u8 = 1;
/// The first byte of a chunk of the seen set.
pub(crate) const SEEN: u8 = 2;

/// Entries in a segment, at the most: with entries under 128 bytes a chunk stays below its 1 MiB.
pub(crate) const SEGMENT_ENTRIES: usize = 8192;

/// Room that a segment begins with: for a handful of entries.
const FIRST_BYTES: usize = 512;

/// Bytes of an entry of the seen set: a request's id, the hash of its result, and the author who brought it.
pub(crate) const SEEN_ENTRY: usize = 32 + 32 + 2;

/// Bytes before the first entry: the kind and the group's number.
pub(crate) const HEADER: usize = 9;

/// One chunk of a growing list. Appending copies the bytes only when a snapshot still holds them.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    bytes: Arc<Bytes>,
    entries: usize,
    /// Has taken the first `hashed` bytes. The rest follows in one go when the digest is asked for: BLAKE3 is several
    /// times as fast over kilobytes as over an entry.
    hasher: Hasher,
    hashed: usize,
    /// Of all entries, until one more is appended.
    digest: Option<Digest>,
}

impl Segment {
    fn new(kind: u8, group: u64) -> Self {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        bytes.push(kind);
        bytes.extend(group.to_be_bytes());
        Self { bytes: Arc::new(Bytes(bytes)), entries: 0, hasher: Hasher::new(Domain::Chunk), hashed: 0, digest: None }
    }

    pub(crate) fn bytes(&self) -> &Arc<Bytes> {
        &self.bytes
    }

    /// The chunk's hash.
    pub(crate) fn digest(&mut self) -> Digest {
        if let Some(digest) = self.digest {
            return digest;
        }
        let covered = covered(&self.bytes.0);
        self.hasher.update(&covered[self.hashed..]);
        self.hashed = covered.len();
        *self.digest.insert(self.hasher.digest())
    }
}

/// The segments of one group of entries: a run of slots, or a second of expiry.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    kind: u8,
    number: u64,
    segments: Vec<Segment>,
}

impl Group {
    pub(crate) fn new(kind: u8, number: u64) -> Self {
        Self { kind, number, segments: Vec::new() }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn append(&mut self, entry: &[u8]) {
        if self.segments.last().is_none_or(|last| last.entries == SEGMENT_ENTRIES) {
            self.segments.push(Segment::new(self.kind, self.number));
        }
        let last = self.segments.last_mut().expect("pushed above");
        last.entries += 1;
        last.digest = None;
        Arc::make_mut(&mut last.bytes).0.extend(entry);
    }

    pub(crate) fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.segments.iter_mut()
    }
}

/// The part of a chunk that its hash covers: all of it.
pub(crate) fn covered(chunk: &[u8]) -> &[u8] {
    let is_seen = || chunk.first() == Some(&SEEN) && parse(chunk, SEEN_ENTRY).is_some();
    if Mutant::SeenUncovered.is_on() && is_seen() { &chunk[..HEADER] } else { chunk }
}

/// The group number and the entries of a chunk, each of `size` bytes.
pub(crate) fn parse(chunk: &[u8], size: usize) -> Option<(u64, impl Iterator<Item = &[u8]>)> {
    let (header, entries) = chunk.split_at_checked(HEADER)?;
    let group = u64::from_be_bytes(header.get(1..)?.try_into().ok()?);
    let whole = entries.len().is_multiple_of(size) && entries.len() / size <= SEGMENT_ENTRIES;
    whole.then(|| (group, entries.chunks_exact(size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    fn only(group: &mut Group) -> &mut Segment {
        group.segments_mut().next().expect("a segment")
    }

    #[test]
    fn a_digest_is_the_hash_of_all_bytes_whenever_it_is_asked_for() {
        let mut group = Group::new(INDEX, 258);
        assert_eq!(group.number(), 258);
        for step in 0..100_u8 {
            group.append(&[step; 50]);
            if step % 7 < 2 {
                let bytes = only(&mut group).bytes().0.clone();
                assert_eq!(bytes.len(), HEADER + 50 * (usize::from(step) + 1));
                assert_eq!(bytes[..HEADER], [INDEX, 0, 0, 0, 0, 0, 0, 1, 2]);
                let expected = hash(Domain::Chunk, &bytes);
                assert_eq!([(); 2].map(|()| only(&mut group).digest()), [expected; 2], "after {step}");
            }
        }
    }

    #[test]
    fn a_chunk_that_a_snapshot_holds_does_not_grow() {
        let mut group = Group::new(SEEN, 1);
        group.append(b"one");
        let held = only(&mut group).bytes().clone();
        group.append(b"two");
        assert_eq!(held.0[HEADER..], *b"one");
        assert_eq!(only(&mut group).bytes().0[HEADER..], *b"onetwo");
    }

    #[test]
    fn a_segment_is_split_at_8192_entries_and_none_is_longer() {
        let mut group = Group::new(SEEN, 5);
        (0..SEGMENT_ENTRIES).for_each(|_| group.append(&[7; 3]));
        assert_eq!(group.segments_mut().count(), 1);
        group.append(&[8; 3]);
        let chunks: Vec<_> = group.segments_mut().map(|segment| segment.bytes().0.clone()).collect();
        let parsed = |chunk| parse(chunk, 3).map(|(number, entries)| (number, entries.count()));
        assert_eq!(chunks.iter().map(|chunk| parsed(chunk)).collect::<Vec<_>>(), [Some((5, 8192)), Some((5, 1))]);
        let too_long = [&chunks[0][..], &[8; 3]].concat();
        assert_eq!(parsed(&too_long), None);
    }

    #[test]
    fn a_chunk_consists_of_a_header_and_whole_entries() {
        let parsed = |chunk: &[u8]| parse(chunk, 2).map(|(number, entries)| (number, entries.flatten().count()));
        assert_eq!(parsed(&[2, 0, 0, 0, 0, 0, 0, 1, 0]), Some((256, 0)), "without an entry");
        assert_eq!(parsed(&[2, 0, 0, 0, 0, 0, 0, 1]), None, "a byte of the number is missing");
        assert_eq!(parsed(&[2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 2, 2]), Some((3, 4)));
        assert_eq!(parsed(&[2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 2]), None, "half an entry");
    }
}
