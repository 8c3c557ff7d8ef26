//! What is signed, and by whom it is checked (`docs/protocol.md` M3).

use crate::checkpoint::CheckpointVote;
use crate::config::ChainId;
use crate::hash::Digest;
use crate::message::{NewView, Status, ViewChange};
use crate::mutant::Mutant;
use crate::reply::ReplyStatement;
use crate::request::{Caller, RequestId};
use crate::types::{ReplicaId, Slot, View};
use crate::vertex::VertexId;
use crate::vote::{Entries, Phase, Vote};
use postcard::ser_flavors::Flavor;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The head of every signed byte string: the protocol and its version.
pub const PROTOCOL_TAG: &str = "cretoai/v1";

/// The bytes of a signature. Sixteen bytes, the size of a simulated one, are held inline; anything longer is shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Short([u8; 16]),
    Long(Arc<[u8]>),
}

const _: () = assert!(size_of::<Signature>() <= 24, "a signature travels inside every vote");

impl Signature {
    /// A signature with these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.try_into().map_or_else(|_| Repr::Long(bytes.into()), Repr::Short))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(bytes) => bytes,
            Repr::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.bytes().iter().take(4);
        head.into_iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}

struct SignatureVisitor;

impl Visitor<'_> for SignatureVisitor {
    type Value = Signature;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signature")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Signature, E> {
        Ok(Signature::new(bytes))
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(SignatureVisitor)
    }
}

/// Everything a replica signs. The variant is part of the signed bytes, so no two kinds have equal bytes;
/// variants are only ever appended.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Statement<'a> {
    /// PREPARE or COMMIT, by the vote's phase.
    Vote(&'a Vote),
    /// CHECKPOINT.
    Checkpoint(&'a CheckpointVote),
    /// VIEW-CHANGE.
    ViewChange(&'a ViewChange),
    /// NEW-VIEW.
    NewView(&'a NewView),
    /// VERTEX, by its id.
    Vertex(VertexId),
    /// STATUS.
    Status(&'a Status),
    /// REPLY.
    Reply(&'a ReplyStatement),
}

/// Where a statement is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SigningContext {
    /// The chain.
    pub chain: ChainId,
    /// Selects the keys; 0 in this version.
    pub epoch: u64,
}

impl SigningContext {
    /// Writes the head of the signed bytes: everything that does not depend on the statement.
    ///
    /// # Panics
    /// When the sink reports an error; sinks must not.
    pub fn write_head<F: Flavor>(&self, signer: ReplicaId, sink: F) -> F {
        let chain = if Mutant::ChainUnsigned.is_on() { Digest([0; 32]) } else { self.chain };
        let epoch = if Mutant::EpochUnsigned.is_on() { 0 } else { self.epoch };
        append(&(PROTOCOL_TAG, chain, epoch, signer), sink)
    }
}

fn append<F: Flavor>(value: &impl Serialize, sink: F) -> F {
    let mut serializer = postcard::Serializer { output: sink };
    value.serialize(&mut serializer).expect("statements encode");
    serializer.output
}

impl Statement<'_> {
    /// Writes the signed bytes to any sink. The one definition of what a signature covers: a real scheme
    /// collects the bytes, a simulated one hashes them as they come.
    ///
    /// # Panics
    /// When the sink reports an error; sinks must not.
    pub fn write<F: Flavor>(&self, context: SigningContext, signer: ReplicaId, sink: F) -> F::Output {
        self.write_behind(context.write_head(signer, sink)).finalize().expect("a statement encodes")
    }

    /// Writes what stands behind the head, which is the same for all statements of a signer.
    ///
    /// # Panics
    /// When the sink reports an error; sinks must not.
    pub fn write_behind<F: Flavor>(&self, head: F) -> F {
        self.as_signed(|signed| append(&signed, head))
    }

    /// Hands on what the signed bytes are made of: the statement itself, unless a mutant leaves something out.
    // Public for the simulator's scheme alone, which hashes the fields and not the bytes, and is to be as blind as they.
    #[doc(hidden)]
    #[inline]
    pub fn as_signed<R>(self, with: impl FnOnce(Statement<'_>) -> R) -> R {
        match self {
            Self::Vote(vote) if is_vote_blanked() => with(Statement::Vote(&blanked(vote))),
            Self::Checkpoint(vote) if Mutant::SlotUnsigned.is_on() => {
                with(Statement::Checkpoint(&CheckpointVote { slot: Slot(0), ..*vote }))
            }
            Self::ViewChange(body) if Mutant::ViewUnsigned.is_on() => {
                with(Statement::ViewChange(&ViewChange { view: View(0), ..body.clone() }))
            }
            Self::NewView(body) if Mutant::ViewUnsigned.is_on() => {
                with(Statement::NewView(&NewView { view: View(0), ..body.clone() }))
            }
            whole => with(whole),
        }
    }

    /// The signed bytes.
    #[must_use]
    pub fn signing_bytes(&self, context: SigningContext, signer: ReplicaId) -> Vec<u8> {
        self.write(context, signer, postcard::ser_flavors::StdVec::new())
    }
}

fn is_vote_blanked() -> bool {
    Mutant::ViewUnsigned.is_on() || Mutant::SlotUnsigned.is_on() || Mutant::TagUnsigned.is_on()
}

/// A vote without what a mutant leaves out of it.
fn blanked(vote: &Vote) -> Vote {
    let Vote { mut phase, mut view, mut entries } = vote.clone();
    if Mutant::ViewUnsigned.is_on() {
        view = View(0);
    }
    if Mutant::TagUnsigned.is_on() {
        phase = Phase::Prepare;
    }
    if Mutant::SlotUnsigned.is_on() {
        entries = Entries::new(&entries.iter().map(|(_, digest)| (Slot(0), digest)).collect::<Vec<_>>());
    }
    Vote { phase, view, entries }
}

/// Signs as one replica. Called once a statement, before it is recorded.
pub trait Signer: fmt::Debug + Send {
    /// The signature of this replica on a statement.
    fn sign(&self, statement: Statement<'_>) -> Signature;
}

/// Checks signatures of any replica and any caller. Pure, so it may run anywhere and in any order.
pub trait SignatureVerifier: fmt::Debug + Send + Sync {
    /// Whether `signature` is `signer`'s on `statement`.
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool;

    /// Whether `signature` is `caller`'s on the id of a request.
    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Progress;
    use crate::verify::testing::{Signable, claim, digest};
    use std::collections::BTreeSet;

    const CONTEXT: SigningContext = SigningContext { chain: Digest([1; 32]), epoch: 2 };

    fn bytes(statement: Statement<'_>) -> Vec<u8> {
        statement.signing_bytes(CONTEXT, ReplicaId(3))
    }

    /// What is signed of a statement, and of the same with each part changed.
    fn variants<T: Clone + Signable>(whole: &T, changes: &[fn(&mut T)]) -> Vec<Vec<u8>> {
        let changed = changes.iter().map(|change| {
            let mut other = whole.clone();
            change(&mut other);
            bytes(other.statement())
        });
        [bytes(whole.statement())].into_iter().chain(changed).collect()
    }

    #[test]
    fn a_signature_covers_the_kind_of_a_statement_and_all_that_it_says() {
        // Rule M3.
        let (view, slot, one) = (View(1), Slot(4), digest(1));
        let vote = Vote::one(Phase::Commit, view, slot, one);
        let checkpoint = CheckpointVote { slot, state: one };
        let (prepared, voted) = (vec![claim(5, 0, 1)], vec![claim(6, 0, 1)]);
        let view_change = ViewChange { view, stable: slot, state: one, prepared, voted };
        let new_view = NewView { view, view_changes: vec![one], stable: slot, proposals: vec![(slot, one)] };
        let (progress, pending) = (vec![Progress::Nothing], vec![one]);
        let status = Status { view, target: None, stable: slot, executed: slot, progress, pending };
        let signed = [
            variants(
                &vote,
                &[
                    |vote| vote.phase = Phase::Prepare,
                    |vote| vote.view = View(2),
                    |vote| vote.entries = Entries::One(Slot(5), digest(1)),
                    |vote| vote.entries = Entries::One(Slot(4), digest(2)),
                ],
            ),
            variants(&checkpoint, &[|vote| vote.slot = Slot(8), |vote| vote.state = digest(2)]),
            variants(
                &view_change,
                &[
                    |body| body.view = View(2),
                    |body| body.stable = Slot(8),
                    |body| body.state = digest(2),
                    |body| body.prepared = vec![],
                    |body| body.prepared[0].view = View(1),
                    |body| body.voted = vec![],
                    |body| body.voted[0].digest = digest(2),
                ],
            ),
            variants(
                &new_view,
                &[
                    |body| body.view = View(2),
                    |body| body.view_changes = vec![digest(2)],
                    |body| body.stable = Slot(8),
                    |body| body.proposals[0].0 = Slot(5),
                    |body| body.proposals[0].1 = digest(2),
                ],
            ),
            variants(
                &status,
                &[
                    |body| body.view = View(2),
                    |body| body.target = Some(View(2)),
                    |body| body.stable = Slot(8),
                    |body| body.executed = Slot(8),
                    |body| body.progress = vec![Progress::Accepted],
                    |body| body.pending = vec![],
                ],
            ),
            variants(
                &ReplyStatement { slot, root: one },
                &[|reply| reply.slot = Slot(8), |reply| reply.root = digest(2)],
            ),
            [1, 2].map(|id| bytes(Statement::Vertex(digest(id)))).to_vec(),
        ]
        .concat();
        let different: BTreeSet<_> = signed.iter().collect();
        assert_eq!(different.len(), signed.len(), "{signed:02x?}");
    }

    #[test]
    fn a_signature_covers_the_protocol_the_chain_the_epoch_and_the_signer() {
        // Rule M3.
        let of = |context, signer| Statement::Vertex(digest(9)).signing_bytes(context, ReplicaId(signer));
        let signed = of(CONTEXT, 3);
        assert_eq!(signed[1..=PROTOCOL_TAG.len()], *PROTOCOL_TAG.as_bytes());
        assert_ne!(signed, of(SigningContext { chain: digest(7), ..CONTEXT }, 3));
        assert_ne!(signed, of(SigningContext { epoch: 7, ..CONTEXT }, 3));
        assert_ne!(signed, of(CONTEXT, 7));
    }
}
