//! Certificates: a quorum of votes that say the same (`docs/protocol.md` M11, M12).

use crate::committee::{Committee, ReplicaSet, singleton};
use crate::hash::Digest;
use crate::message::Signed;
use crate::types::{ReplicaId, Slot, View};
use crate::vote::{Phase, Vote};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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
                && vote.view == self.claim.view
                && vote.digest_for(self.claim.slot) == Some(self.claim.digest)
        };
        distinct_members(committee, self.votes.iter().map(|vote| vote.signer)).is_some_and(|set| committee.is_quorum(set))
            && self.votes.iter().all(same)
    }
}

/// The set of `signers` if they are members and strictly ascending, so that none counts twice.
pub fn distinct_members(committee: Committee, signers: impl Iterator<Item = ReplicaId>) -> Option<ReplicaSet> {
    let mut set = 0;
    for signer in signers {
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

#[derive(Serialize, Deserialize)]
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

impl Serialize for CertificateSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut votes: Vec<Signed<Vote>> = Vec::new();
        let mut index_of = |vote: &Signed<Vote>| {
            let index = votes.iter().position(|known| known == vote).unwrap_or_else(|| {
                votes.push(vote.clone());
                votes.len() - 1
            });
            u16::try_from(index).map_err(|_| serde::ser::Error::custom("more votes than a table holds"))
        };
        let row = |certificate: &Arc<Certificate>| {
            let votes = certificate.votes.iter().map(&mut index_of).collect::<Result<_, S::Error>>()?;
            Ok(Row { phase: certificate.phase, claim: certificate.claim, votes })
        };
        let rows = self.0.iter().map(row).collect::<Result<_, S::Error>>()?;
        Table { votes, rows }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CertificateSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Table { votes, rows } = Table::deserialize(deserializer)?;
        let certificate = |row: Row| {
            let at = |index: &u16| votes.get(usize::from(*index)).cloned();
            let votes = row.votes.iter().map(at).collect::<Option<_>>();
            let votes = votes.ok_or_else(|| D::Error::custom("a certificate names a vote that the table lacks"))?;
            Ok(Arc::new(Certificate { phase: row.phase, claim: row.claim, votes }))
        };
        rows.into_iter().map(certificate).collect::<Result<_, _>>().map(Self)
    }
}
