//! Certificates: a quorum of votes that say the same (`docs/protocol.md` M11, M12).

use crate::committee::{Committee, MAX_REPLICAS, ReplicaSet, singleton};
use crate::hash::Digest;
use crate::message::Signed;
use crate::mutant::Mutant;
use crate::types::{ReplicaId, Slot, View};
use crate::verify::MAX_CERTIFICATES;
use crate::vote::{Phase, Vote};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a certificate proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The slot.
    pub slot: Slot,
    /// The view in which the votes were cast.
    pub view: View,
    /// The batch.
    pub digest: Digest,
}

/// A quorum of votes of one phase for one claim. Of phase PREPARE it proves that the batch was prepared; of
/// phase COMMIT, that it is decided.
///
/// Built only from counted votes ([`VoteSet`](crate::slots::VoteSet)) or by decoding, and what is decoded reaches the
/// replica only through verification, which checks every vote with [`is_sound`](Self::is_sound).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The phase of all votes.
    pub phase: Phase,
    /// What all votes say.
    pub claim: Claim,
    /// The votes, strictly ascending by signer.
    votes: Vec<Signed<Vote>>,
}

impl Certificate {
    /// A certificate from its parts; nothing is checked here.
    #[must_use]
    pub fn from_votes(phase: Phase, claim: Claim, votes: Vec<Signed<Vote>>) -> Self {
        Self { phase, claim, votes }
    }

    /// The votes, ascending by signer.
    #[must_use]
    pub fn votes(&self) -> &[Signed<Vote>] {
        &self.votes
    }

    /// Whether the votes are of distinct members, a quorum of them, and all say what the certificate says.
    /// Their signatures are not looked at.
    #[must_use]
    pub fn is_sound(&self, committee: Committee) -> bool {
        let same = |signed: &Signed<Vote>| {
            let vote = &signed.body;
            vote.phase == self.phase
                && (vote.view == self.claim.view || Mutant::MixedCertificate.is_on())
                && vote.digest_for(self.claim.slot) == Some(self.claim.digest)
        };
        distinct_members(committee, self.votes.iter().map(|vote| vote.signer))
            .is_some_and(|set| committee.is_quorum(set) || Mutant::ThinCertificate.is_on())
            && self.votes.iter().all(same)
    }
}

/// The set of `signers` if they are members and strictly ascending, so that none counts twice.
pub fn distinct_members(committee: Committee, signers: impl Iterator<Item = ReplicaId>) -> Option<ReplicaSet> {
    let mut set = 0;
    for signer in signers {
        if Mutant::RepeatedSigner.is_on() {
            set = set << 1 | 1;
            continue;
        }
        if !committee.contains(signer) || singleton(signer) <= set {
            return None;
        }
        set |= singleton(signer);
    }
    Some(set)
}

/// Certificates that travel together. On the wire a table of distinct signed votes and, for each certificate,
/// indices into it: a vote that covers several slots is sent and verified once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateSet(pub Vec<Arc<Certificate>>);

#[derive(Deserialize)]
struct Table {
    votes: Vec<Signed<Vote>>,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    phase: Phase,
    claim: Claim,
    votes: Vec<u16>,
}

/// The distinct votes of a set, in the order in which they are first named. They are found by signer and signature:
/// comparing each with all others would let one table of 60 000 votes keep a decoder busy for seconds.
#[derive(Default)]
struct Distinct<'a> {
    votes: Vec<&'a Signed<Vote>>,
    known: BTreeMap<(ReplicaId, &'a [u8]), usize>,
}

impl<'a> Distinct<'a> {
    /// The vote's place in the table. Two votes that share signer and signature and differ all the same are listed
    /// as often as they occur; only a forger has such votes.
    fn index_of(&mut self, vote: &'a Signed<Vote>) -> usize {
        let next = self.votes.len();
        let first = *self.known.entry((vote.signer, vote.signature.bytes())).or_insert(next);
        if self.votes.get(first) == Some(&vote) {
            return first;
        }
        self.votes.push(vote);
        next
    }
}

impl Serialize for CertificateSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut distinct = Distinct::default();
        let mut rows = Vec::with_capacity(self.0.len());
        for certificate in &self.0 {
            let indices = certificate.votes.iter().map(|vote| u16::try_from(distinct.index_of(vote)));
            let votes = indices.collect::<Result<_, _>>();
            let votes = votes.map_err(|_| serde::ser::Error::custom("more votes than a table holds"))?;
            rows.push(Row { phase: certificate.phase, claim: certificate.claim, votes });
        }
        (distinct.votes, rows).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CertificateSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Table { votes, rows } = Table::deserialize(deserializer)?;
        // An index is a byte or two, and what it stands for a hundred: bounded before anything is built from them.
        if MAX_CERTIFICATES < rows.len() || rows.iter().any(|row| usize::from(MAX_REPLICAS) < row.votes.len()) {
            return Err(D::Error::custom("more certificates, or more votes in one, than any message has"));
        }
        let certificate = |row: Row| {
            let at = |index: &u16| votes.get(usize::from(*index)).cloned();
            let votes = row.votes.iter().map(at).collect::<Option<_>>();
            let votes = votes.ok_or_else(|| D::Error::custom("a certificate names a vote that the table lacks"))?;
            Ok(Arc::new(Certificate { phase: row.phase, claim: row.claim, votes }))
        };
        rows.into_iter().map(certificate).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{World, claim};

    #[derive(Serialize)]
    struct Claims(Phase, Claim, Vec<u16>);

    /// A set of so many certificates that each name the one vote of the table so often.
    fn decode(certificates: usize, votes: usize) -> Result<CertificateSet, postcard::Error> {
        let row = || Claims(Phase::Commit, claim(5, 1, 1), vec![0; votes]);
        let rows: Vec<_> = (0..certificates).map(|_| row()).collect();
        let table = vec![World::new(4).vote(0, Phase::Commit, 1, &[(5, 1)])];
        postcard::from_bytes(&postcard::to_stdvec(&(table, rows)).unwrap())
    }

    #[test]
    fn a_small_table_does_not_become_a_large_set() {
        assert!(decode(MAX_CERTIFICATES, usize::from(MAX_REPLICAS)).is_ok());
        assert!(decode(MAX_CERTIFICATES + 1, 1).is_err());
        assert!(decode(1, usize::from(MAX_REPLICAS) + 1).is_err());
    }

    // Rule M11.
    #[test]
    fn signers_are_members_ascending_and_each_once() {
        let committee = World::new(7).chain.committee;
        let set = |ids: &[u16]| distinct_members(committee, ids.iter().map(|id| ReplicaId(*id)));
        assert_eq!((set(&[]), set(&[0, 2, 6])), (Some(0), Some(0b100_0101)));
        for wrong in [&[2, 2][..], &[0, 2, 0], &[2, 1], &[0, 1, 2, 1], &[7], &[0, 7], &[128]] {
            assert_eq!(set(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_certificate_is_sound_only_if_a_quorum_says_what_it_says() {
        let world = World::new(4);
        let committee = world.chain.committee;
        let good = world.certificate(Phase::Commit, claim(5, 1, 1));
        assert!(good.is_sound(committee));
        let with = |vote: Signed<Vote>| {
            let votes = [&good.votes()[..2], &[vote]].concat();
            Certificate::from_votes(Phase::Commit, claim(5, 1, 1), votes).is_sound(committee)
        };
        assert!(with(world.vote(3, Phase::Commit, 1, &[(4, 9), (5, 1)])), "among others");
        assert!(!with(world.vote(3, Phase::Prepare, 1, &[(5, 1)])), "the other phase");
        assert!(!with(world.vote(3, Phase::Commit, 2, &[(5, 1)])), "another view");
        assert!(!with(world.vote(3, Phase::Commit, 1, &[(5, 2)])), "another batch");
        assert!(!with(world.vote(3, Phase::Commit, 1, &[(6, 1)])), "another slot");
        assert!(!with(good.votes()[1].clone()), "the same again");
        let few = Certificate::from_votes(Phase::Commit, claim(5, 1, 1), good.votes()[..2].to_vec());
        assert!(!few.is_sound(committee));
    }
}
