//! The judge of `audit` and that of `core` share no code, and have to agree on everything.

use super::*;
use crate::crypto::Keys;
use crate::plan::{Crypto, Plan};
use crate::rng::{Concern, Rng};
use cretoai_core::batch::NULL_BATCH;
use cretoai_core::certificate::{Certificate, Claim};
use cretoai_core::checkpoint::{CheckpointCertificate, CheckpointVote};
use cretoai_core::choice::select;
use cretoai_core::evidence::Evidence;
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::message::{NewView, ViewChange};
use cretoai_core::signature::Signature;
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, Slot, View};
use cretoai_core::verify::Verifier;
use cretoai_core::vertex::{Link, VertexHeader};
use cretoai_core::vote::{Entries, Phase, Vote};
use std::collections::BTreeMap;

/// Statements of few different kinds, so that they contradict each other often.
struct Mouth {
    rng: Rng,
    keys: Keys,
    chain: Arc<Chain>,
}

impl Mouth {
    fn new(seed: u64) -> Self {
        let plan = Plan { n: 4, checkpoint_interval: 4, window: 8, seed, ..Plan::default() };
        let keys = Keys::new(Crypto::Simulated, seed, plan.n);
        let chain = Arc::new(Chain::new(plan.genesis(keys.public.clone()), false).expect("a small chain"));
        Self { rng: Rng::new(seed, Concern::Adversary), keys, chain }
    }

    fn judges(&self) -> (Verifier, Auditor) {
        let signatures = self.keys.verifier(self.chain.id);
        (
            Verifier::new(Arc::clone(&self.chain), Arc::clone(&signatures)),
            Auditor::new(Arc::clone(&self.chain), signatures),
        )
    }

    /// Mostly one replica, as evidence is about one.
    fn speaker(&mut self) -> ReplicaId {
        if self.rng.chance(900) { ReplicaId(1) } else { ReplicaId(u16::try_from(self.rng.below(4)).expect("small")) }
    }

    fn sign<T>(&mut self, signer: ReplicaId, body: T, statement: impl FnOnce(&T) -> Statement<'_>) -> Signed<T> {
        let right = self.keys.signer(self.chain.id, signer).sign(statement(&body));
        let signature = if self.rng.chance(30) { Signature::new(&[3; 16]) } else { right };
        Signed { signer, body, signature }
    }

    fn digest(&mut self) -> Digest {
        *self.rng.pick(&[Digest([1; 32]), Digest([2; 32]), NULL_BATCH])
    }

    fn vote(&mut self, phase: Phase) -> Signed<Vote> {
        let first = self.rng.below(4);
        let entries: Vec<_> = (0..self.rng.between(1, 3)).map(|at| (Slot(first + at), self.digest())).collect();
        let body = Vote { phase, view: View(self.rng.below(3)), entries: Entries::new(&entries) };
        let signer = self.speaker();
        self.sign(signer, body, |body| Statement::Vote(body))
    }

    fn claims(&mut self, view: u64) -> Vec<Claim> {
        let slots = (1..10).filter(|_| self.rng.chance(250)).collect::<Vec<_>>();
        let mut claims: Vec<_> = slots
            .into_iter()
            .map(|slot| Claim { slot: Slot(slot), view: View(self.rng.below(view + 1)), digest: self.digest() })
            .collect();
        if self.rng.chance(50) {
            claims.reverse();
        }
        claims
    }

    fn view_change(&mut self, view: u64, signer: ReplicaId) -> Arc<Signed<ViewChange>> {
        let (mut prepared, mut voted) = (self.claims(view.saturating_sub(1)), self.claims(view));
        let stable = Slot(*self.rng.pick(&[0, 0, 0, 4, 3]));
        if self.rng.chance(800) {
            prepared.retain(|claim| stable < claim.slot && claim.slot <= stable.plus(8));
            prepared.sort_unstable();
            voted.clone_from(&prepared);
        }
        let body = ViewChange { view: View(view), stable, state: self.chain.id, prepared, voted };
        Arc::new(self.sign(signer, body, |body| Statement::ViewChange(body)))
    }

    fn bodies(&mut self, view: u64) -> Vec<Arc<Signed<ViewChange>>> {
        let signers: Vec<u16> = (0..4).filter(|_| self.rng.chance(800)).take(3).collect();
        let mut bodies: Vec<_> = signers.into_iter().map(|id| self.view_change(view, ReplicaId(id))).collect();
        if self.rng.chance(100) {
            bodies.extend(bodies.first().cloned());
        }
        if self.rng.chance(100)
            && let Some(last) = bodies.last_mut()
        {
            *last = Arc::new(Signed { signer: ReplicaId(9), ..Signed::clone(last) });
        }
        bodies
    }

    /// One that follows from its bodies, with a change now and then.
    fn new_view(&mut self, bodies: &[Arc<Signed<ViewChange>>], view: u64) -> Signed<NewView> {
        let selection = select(bodies.iter().map(|signed| &signed.body));
        let (mut stable, mut proposals) = selection.map_or((Slot(0), vec![]), |all| (all.stable, all.proposals));
        match self.rng.below(6) {
            0 => stable = Slot(*self.rng.pick(&[0, 3, 4, 8])),
            1 => drop(proposals.pop()),
            2 => proposals.push((stable.plus(proposals.len() as u64 + 1), self.digest())),
            3 if !proposals.is_empty() => proposals[0].1 = self.digest(),
            _ => {}
        }
        let body = NewView {
            view: View(view),
            view_changes: bodies.iter().map(|body| body.id()).collect(),
            stable,
            proposals,
        };
        let signer = if self.rng.chance(900) { self.chain.committee.primary(View(view)) } else { self.speaker() };
        self.sign(signer, body, |body| Statement::NewView(body))
    }

    fn header(&mut self) -> Signed<Hashed<VertexHeader>> {
        let author = self.speaker();
        let signer = if self.rng.chance(950) { author } else { self.speaker() };
        let prev = Link { height: Height(0), id: self.chain.id };
        let (height, payload, ts) = (Height(self.rng.between(1, 2)), self.digest(), Instant(5));
        let body = Hashed::new(VertexHeader { author, height, ts, prev, refs: vec![], payload });
        self.sign(signer, body, |body| Statement::Vertex(body.digest()))
    }

    fn checkpoint(&mut self) -> Signed<CheckpointVote> {
        let body = CheckpointVote { slot: Slot(*self.rng.pick(&[4, 4, 8, 3])), state: self.digest() };
        let signer = self.speaker();
        self.sign(signer, body, |body| Statement::Checkpoint(body))
    }

    fn evidence(&mut self) -> Evidence {
        let phase = *self.rng.pick(&[Phase::Prepare, Phase::Commit]);
        let view = self.rng.below(3);
        match self.rng.below(8) {
            0 => Evidence::Votes(self.vote(phase), self.vote(phase)),
            1 => {
                let (one, other) = (self.speaker(), self.speaker());
                Evidence::ViewChanges(self.view_change(view, one), self.view_change(view, other))
            }
            2 => {
                let signer = self.speaker();
                Evidence::LeftOut(self.vote(phase), self.view_change(view + 1, signer))
            }
            3 => {
                let mut bodies = self.bodies(view);
                let signed = self.new_view(&bodies, view);
                if self.rng.chance(300) {
                    bodies.pop();
                }
                Evidence::NewView(signed, bodies)
            }
            4 => Evidence::Checkpoints(self.checkpoint(), self.checkpoint()),
            5 => Evidence::Vertices(Arc::new(self.header()), Arc::new(self.header())),
            6 => {
                let signer = self.speaker();
                Evidence::ViewChange(self.view_change(view, signer))
            }
            _ => {
                let (one, other) = (self.bodies(view), self.bodies(view));
                Evidence::NewViews(self.new_view(&one, view), self.new_view(&other, view))
            }
        }
    }
}

#[test]
fn the_two_judges_agree_on_every_accusation() {
    let mut seen: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    for seed in 0..40 {
        let mut mouth = Mouth::new(seed);
        let (verifier, auditor) = mouth.judges();
        for _ in 0..1000 {
            let evidence = mouth.evidence();
            let (accused, kind) = (evidence.accused(), format!("{:?}", evidence.kind()));
            let convicted = verifier.evidence(Arc::new(evidence.clone())).map(|_| ());
            let guilt = auditor.evidence(&evidence);
            assert_eq!(convicted.is_ok(), guilt.is_ok(), "{convicted:?} and {guilt:?}: {evidence:#?}");
            let counts = seen.entry(kind.clone()).or_default();
            counts[usize::from(guilt.is_ok())] += 1;
            if let Ok(guilt) = guilt {
                let (_, view, at) = evidence.key();
                assert_eq!(guilt.offence, Offence { of: accused, kind: guilt.offence.kind, view, at });
                assert_eq!(guilt.offence.kind, kind);
            }
        }
    }
    let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["E1", "E11", "E12", "E2", "E3", "E4", "E5", "E7", "E8", "E9"]);
    assert!(seen.values().all(|[acquitted, convicted]| 50 < *acquitted && 50 < *convicted), "{seen:?}");
}

#[test]
fn a_certificate_takes_a_quorum_of_different_members_that_say_the_same() {
    let mouth = Mouth::new(1);
    let (_, auditor) = mouth.judges();
    let claim = Claim { slot: Slot(2), view: View(1), digest: Digest([1; 32]) };
    let vote = |id: u16, claim: Claim| {
        let body = Vote::one(Phase::Commit, claim.view, claim.slot, claim.digest);
        let signer = ReplicaId(id);
        Signed { signature: mouth.keys.signer(mouth.chain.id, signer).sign(Statement::Vote(&body)), signer, body }
    };
    let judge = |votes: Vec<Signed<Vote>>| {
        auditor.certificate(&Certificate::from_votes(Phase::Commit, claim, votes), Phase::Commit)
    };
    let good = || vec![vote(0, claim), vote(1, claim), vote(3, claim)];
    assert_eq!(judge(good()), Ok(()));
    let other = Claim { digest: Digest([2; 32]), ..claim };
    let forged = Signed { signature: Signature::new(&[1; 16]), ..vote(2, claim) };
    let prepare = {
        let body = Vote::one(Phase::Prepare, claim.view, claim.slot, claim.digest);
        Signed { body, ..vote(2, claim) }
    };
    for (bad, words) in [
        (vec![vote(0, claim), vote(1, claim)], "too few votes"),
        (vec![vote(0, claim), vote(1, claim), vote(1, claim)], "counts twice"),
        (vec![vote(0, claim), vote(1, claim), vote(2, other)], "says something else"),
        (vec![vote(0, claim), vote(1, claim), prepare], "says something else"),
        (vec![vote(0, claim), vote(1, claim), forged], "signature of r2 is wrong"),
        (vec![vote(0, claim), vote(1, claim), Signed { signer: ReplicaId(4), ..vote(2, claim) }], "is no member"),
    ] {
        let objection = judge(bad).expect_err(words);
        assert!(objection.contains(words), "{objection}: {words}");
    }
    let wrong_phase = Certificate::from_votes(Phase::Commit, claim, good());
    assert!(auditor.certificate(&wrong_phase, Phase::Prepare).is_err());

    let state = |id: u16, byte| {
        let body = CheckpointVote { slot: Slot(4), state: Digest([byte; 32]) };
        let signature = mouth.keys.signer(mouth.chain.id, ReplicaId(id)).sign(Statement::Checkpoint(&body));
        Signed { signer: ReplicaId(id), body, signature }
    };
    let of = |ids: [(u16, u8); 3]| {
        let votes: Vec<_> = ids.into_iter().map(|(id, byte)| state(id, byte)).collect();
        auditor.checkpoint(&CheckpointCertificate { vote: votes[0].body, votes })
    };
    assert_eq!(of([(0, 1), (1, 1), (2, 1)]), Ok(()));
    assert!(of([(0, 1), (1, 1), (1, 1)]).is_err());
    assert!(of([(0, 1), (1, 1), (2, 2)]).is_err());
}

#[test]
fn a_quorum_has_more_than_half_of_all_and_of_the_faulty_together() {
    for (n, quorum) in [(4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (9, 6), (10, 7), (31, 21), (100, 67)] {
        let plan = Plan { n, ..Plan::default() };
        let chain = Chain::new(plan.genesis(vec![vec![]; usize::from(n)]), false).expect("a chain");
        let signatures = Keys::new(Crypto::Simulated, 1, n).verifier(chain.id);
        let auditor = Auditor::new(Arc::new(chain), signatures);
        assert!(auditor.is_quorum(quorum) && !auditor.is_quorum(quorum - 1), "n = {n}");
    }
}
