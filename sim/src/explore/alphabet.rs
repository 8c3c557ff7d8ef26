//! What may be delivered, given what honest replicas have said: their own messages, whatever the Byzantine replica can
//! make of them, and what anybody can relay.

use super::catalogue::{Basis, Catalogue, Event, Name, Proof, RESTART, TIME_OUT, To};
use super::cluster::{Cluster, is_broadcast};
use cretoai_core::batch::HashedBatch;
use cretoai_core::certificate::{Certificate, CertificateSet, Claim};
use cretoai_core::choice::select;
use cretoai_core::committee::singleton;
use cretoai_core::hash::Digest;
use cretoai_core::message::{
    Data, Message, NewView, NewViewMessage, PrePrepare, Signed, ViewChange, ViewChangeMessage,
};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::vote::{Phase, Vote};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One vote as a key.
type Said = (Phase, View, Slot, Digest);

/// What is known of all that was said anywhere: every message is made once.
#[derive(Debug)]
pub(super) struct Alphabet {
    pub(super) catalogue: Catalogue,
    batches: BTreeMap<Digest, Arc<HashedBatch>>,
    votes: BTreeMap<(ReplicaId, Said), Signed<Vote>>,
    view_changes: BTreeMap<Event, Arc<ViewChangeMessage>>,
}

/// What honest replicas have said in one state.
#[derive(Debug, Default)]
struct Heard {
    votes: BTreeMap<Said, Vec<ReplicaId>>,
    /// By view, whoever leaves for it.
    view_changes: BTreeMap<View, Vec<Arc<ViewChangeMessage>>>,
    batches: BTreeSet<Digest>,
}

impl Alphabet {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let batches = cluster.batches.iter().map(|batch| (batch.digest(), Arc::clone(batch))).collect();
        let catalogue = Catalogue::new();
        Self { catalogue, batches, votes: BTreeMap::new(), view_changes: BTreeMap::new() }
    }

    /// Notes what an honest replica sends. None if it is outside the bounds, or no message that is explored.
    pub(super) fn note(&mut self, cluster: &Cluster, envelope: &Envelope) -> Option<Event> {
        let bounds = &cluster.bounds;
        let in_bounds =
            |vote: &Vote| vote.view.0 < bounds.views && vote.entries.iter().all(|(slot, _)| slot.0 <= bounds.slots);
        let (name, to) = match &envelope.message {
            Message::PrePrepare(message) if in_bounds(&message.vote.body) => {
                let by = message.vote.signer;
                let (slot, digest) = message.vote.body.entries.iter().next()?;
                let view = message.vote.body.view;
                self.batches.entry(digest).or_insert_with(|| Arc::clone(&message.batches[0]));
                self.votes.insert((by, (Phase::Prepare, view, slot, digest)), message.vote.clone());
                (Name::PrePrepare { by, view, slot, digest }, To::All)
            }
            Message::Vote(vote) if in_bounds(&vote.body) => {
                let Vote { phase, view, entries } = &vote.body;
                let (slot, digest) = entries.iter().next()?;
                let (by, phase, view) = (vote.signer, *phase, *view);
                self.votes.insert((by, (phase, view, slot, digest)), vote.clone());
                (Name::Vote { by, phase, view, slot, digest }, To::All)
            }
            Message::ViewChange(message) => {
                let (by, view) = (message.signed.signer, message.signed.body.view);
                let primary = cluster.chain.committee.primary(view);
                let (proof, to) = if is_broadcast(envelope) {
                    (Proof::Bare, To::AllBut(primary))
                } else {
                    (Proof::Full, To::Only(primary))
                };
                (Name::ViewChange { by, view, body: within(cluster, &message.signed), proof }, to)
            }
            Message::NewView(message) => {
                let NewView { view, proposals, .. } = &message.signed.body;
                let (by, proposals) = (message.signed.signer, proposals.clone());
                (Name::NewView { by, view: *view, proposals, basis: Basis::Quorum }, To::All)
            }
            _ => return None,
        };
        let is_known = self.catalogue.len();
        let event = self.add(cluster, name, to, || envelope.message.clone());
        if let (true, Message::ViewChange(message)) = (is_known <= event.0 as usize, &envelope.message) {
            self.view_changes.insert(event, Arc::clone(message));
        }
        Some(event)
    }

    /// What passes no verification reaches nobody.
    fn add(&mut self, cluster: &Cluster, name: Name, to: To, make: impl FnOnce() -> Message) -> Event {
        self.catalogue.add(name, to, || cluster.verifier.message(make()).ok())
    }

    /// Everything that may happen to somebody after this was said.
    pub(super) fn available(&mut self, cluster: &Cluster, said: &[Event]) -> Vec<Event> {
        let mut heard = Heard::default();
        for event in said {
            self.hear(&mut heard, *event);
        }
        let mut all = vec![TIME_OUT];
        if cluster.bounds.restarts > 0 {
            all.push(RESTART);
        }
        all.extend(said);
        self.proposals(cluster, &mut heard, &mut all);
        self.byzantine_votes(cluster, &heard, &mut all);
        let prepared = self.certificates(cluster, &heard, &mut all);
        self.byzantine_view_changes(cluster, &mut heard, &prepared, &mut all);
        for digest in &heard.batches {
            let Some(batch) = self.batches.get(digest).cloned() else { continue };
            let make = || Message::Data(Arc::new(Data::Batch(batch)));
            all.push(self.add(cluster, Name::Batch { digest: *digest }, To::All, make));
        }
        all
    }

    /// What may be delivered to a replica at once: votes of honest replicas, of which there is one each, and proof of
    /// decisions. No bodies: who holds one says at once what it says a step later without, as a new primary its
    /// VIEW-CHANGE together with its NEW-VIEW. And no VIEW-CHANGEs: who holds one for a low view joins that view, where
    /// without it would join a higher one.
    pub(super) fn harmless(&self, cluster: &Cluster, events: &[Event], to: ReplicaId) -> Vec<Event> {
        let entry = |event: &Event| self.catalogue.get(*event);
        let is_harmless = |event: &&Event| match &entry(event).name {
            Name::Vote { by, .. } => *by != cluster.bounds.byzantine,
            Name::Certificate { phase, .. } => *phase == Phase::Commit,
            _ => false,
        };
        events.iter().filter(|event| entry(event).is_for(to)).filter(is_harmless).copied().collect()
    }

    /// A PREPARE does no harm once its receiver has voted in that slot and view. Before, the proposal would make it say two
    /// things at once.
    pub(super) fn is_ripe(&self, event: Event, said: &[Event], receiver: ReplicaId) -> bool {
        let Name::Vote { phase: Phase::Prepare, view, slot, .. } = self.catalogue.get(event).name else { return true };
        said.iter().any(|own| match self.catalogue.get(*own).name {
            Name::PrePrepare { by, view: v, slot: s, .. }
            | Name::Vote { by, phase: Phase::Prepare, view: v, slot: s, .. } => (by, v, s) == (receiver, view, slot),
            _ => false,
        })
    }

    fn hear(&self, heard: &mut Heard, event: Event) {
        match &self.catalogue.get(event).name {
            Name::PrePrepare { by, view, slot, digest } => {
                heard.votes.entry((Phase::Prepare, *view, *slot, *digest)).or_default().push(*by);
                heard.batches.insert(*digest);
            }
            Name::Vote { by, phase, view, slot, digest } => {
                heard.votes.entry((*phase, *view, *slot, *digest)).or_default().push(*by);
            }
            Name::ViewChange { by, view, .. } => {
                let message = &self.view_changes[&event];
                let of_view = heard.view_changes.entry(*view).or_default();
                match of_view.iter_mut().find(|known| known.signed.signer == *by) {
                    // The one with its proof says more.
                    Some(known) if known.certificates.0.is_empty() => *known = Arc::clone(message),
                    Some(_) => {}
                    None => of_view.push(Arc::clone(message)),
                }
            }
            _ => {}
        }
    }

    /// As a primary it proposes one or the other.
    fn proposals(&mut self, cluster: &Cluster, heard: &mut Heard, all: &mut Vec<Event>) {
        let by = cluster.bounds.byzantine;
        for view in cluster.views().filter(|view| cluster.chain.committee.primary(*view) == by) {
            for slot in cluster.slots() {
                for batch in cluster.batches.clone() {
                    let digest = batch.digest();
                    heard.batches.insert(digest);
                    let name = Name::PrePrepare { by, view, slot, digest };
                    let vote = self.vote(cluster, by, (Phase::Prepare, view, slot, digest));
                    all.push(self.add(cluster, name, To::All, || {
                        Message::PrePrepare(Arc::new(PrePrepare { vote, batches: vec![batch] }))
                    }));
                }
            }
        }
    }

    /// A vote that was cast, or that the Byzantine replica can cast.
    fn vote(&mut self, cluster: &Cluster, by: ReplicaId, said: Said) -> Signed<Vote> {
        let (phase, view, slot, digest) = said;
        let cast = || cluster.sign(Vote::one(phase, view, slot, digest), |vote| Statement::Vote(vote));
        self.votes.entry((by, said)).or_insert_with(cast).clone()
    }

    /// It votes for whatever an honest replica voted for, in either phase, besides what it proposed.
    fn byzantine_votes(&mut self, cluster: &Cluster, heard: &Heard, all: &mut Vec<Event>) {
        let by = cluster.bounds.byzantine;
        let prepares = heard.votes.keys().filter(|(phase, ..)| *phase == Phase::Prepare);
        for (_, view, slot, digest) in prepares.copied() {
            for phase in [Phase::Prepare, Phase::Commit] {
                let vote = self.vote(cluster, by, (phase, view, slot, digest));
                let name = Name::Vote { by, phase, view, slot, digest };
                all.push(self.add(cluster, name, To::All, || Message::Vote(vote)));
            }
        }
    }

    /// What a quorum said with the Byzantine replica's help. Returns the certificates of PREPAREs.
    fn certificates(&mut self, cluster: &Cluster, heard: &Heard, all: &mut Vec<Event>) -> Vec<Arc<Certificate>> {
        let committee = cluster.chain.committee;
        let mut prepared = Vec::new();
        for (said, honest) in &heard.votes {
            let mut signers = honest.clone();
            signers.push(cluster.bounds.byzantine);
            signers.sort_unstable();
            signers.dedup();
            signers.truncate(usize::from(committee.quorum()));
            if !committee.is_quorum(signers.iter().fold(0, |set, id| set | singleton(*id))) {
                continue;
            }
            let (phase, view, slot, digest) = *said;
            let claim = Claim { slot, view, digest };
            let votes = signers.iter().map(|id| self.vote(cluster, *id, *said)).collect();
            let certificate = Arc::new(Certificate::from_votes(phase, claim, votes));
            let set = CertificateSet(vec![Arc::clone(&certificate)]);
            let name = Name::Certificate { phase, claim };
            all.push(self.add(cluster, name, To::All, || Message::Certificates(Arc::new(set))));
            if phase == Phase::Prepare {
                prepared.push(certificate);
            }
        }
        prepared
    }

    /// It leaves for every view with every set of claims that it can prove, and with one that it cannot; and as a
    /// primary it makes every NEW-VIEW that can be made.
    fn byzantine_view_changes(
        &mut self,
        cluster: &Cluster,
        heard: &mut Heard,
        prepared: &[Arc<Certificate>],
        all: &mut Vec<Event>,
    ) {
        let by = cluster.bounds.byzantine;
        for view in cluster.views().skip(1) {
            let primary = cluster.chain.committee.primary(view);
            let mut own = Vec::new();
            for claims in claim_sets(cluster, prepared, view) {
                own.push((self.view_change(cluster, view, claims), Proof::Full));
            }
            for batch in &cluster.batches {
                let claim = Claim { slot: Slot(1), view: View(view.0 - 1), digest: batch.digest() };
                if !prepared.iter().any(|certificate| certificate.claim == claim) {
                    own.push((self.forged(cluster, view, claim), Proof::Forged));
                }
            }
            if primary == by {
                let honest = heard.view_changes.remove(&view).unwrap_or_default();
                self.byzantine_new_views(cluster, view, &honest, &own, all);
            }
            for (message, proof) in own {
                let is_bare = message.signed.body.prepared.is_empty();
                let name = |proof| Name::ViewChange { by, view, body: message.signed.id(), proof };
                if primary != by {
                    all.push(
                        self.add(cluster, name(proof), To::Only(primary), || Message::ViewChange(Arc::clone(&message))),
                    );
                }
                // What it claims matters to the primary alone.
                if is_bare {
                    let name = name(Proof::Bare);
                    all.push(
                        self.add(cluster, name, To::AllBut(primary), || Message::ViewChange(Arc::clone(&message))),
                    );
                }
            }
        }
    }

    fn view_change(&self, cluster: &Cluster, view: View, proof: Vec<Arc<Certificate>>) -> Arc<ViewChangeMessage> {
        let claims: Vec<_> = proof.iter().map(|certificate| certificate.claim).collect();
        let state = cluster.chain.id;
        let body = ViewChange { view, stable: Slot(0), state, prepared: claims.clone(), voted: claims };
        let signed = Arc::new(cluster.sign(body, |body| Statement::ViewChange(body)));
        Arc::new(ViewChangeMessage { signed, stable: None, certificates: CertificateSet(proof) })
    }

    /// A claim that only the Byzantine replica's own vote stands behind.
    fn forged(&mut self, cluster: &Cluster, view: View, claim: Claim) -> Arc<ViewChangeMessage> {
        let said = (Phase::Prepare, claim.view, claim.slot, claim.digest);
        let votes = vec![self.vote(cluster, cluster.bounds.byzantine, said)];
        self.view_change(cluster, view, vec![Arc::new(Certificate::from_votes(Phase::Prepare, claim, votes))])
    }

    fn byzantine_new_views(
        &mut self,
        cluster: &Cluster,
        view: View,
        honest: &[Arc<ViewChangeMessage>],
        own: &[(Arc<ViewChangeMessage>, Proof)],
        all: &mut Vec<Event>,
    ) {
        let quorum = usize::from(cluster.chain.committee.quorum());
        for subset in 0..1_u32 << honest.len() {
            let of_honest = (0..honest.len()).filter(|at| subset >> at & 1 == 1).map(|at| Arc::clone(&honest[at]));
            let of_honest: Vec<_> = of_honest.collect();
            if of_honest.len() == quorum || of_honest.len() + 1 == quorum {
                let basis = if of_honest.len() == quorum { Basis::Quorum } else { Basis::Short };
                self.new_view(cluster, view, &of_honest, basis, all);
            }
            if of_honest.len() + 1 == quorum || of_honest.len() + 2 == quorum {
                for (message, proof) in own {
                    let mut chosen = of_honest.clone();
                    chosen.push(Arc::clone(message));
                    chosen.sort_unstable_by_key(|message| message.signed.signer);
                    let basis = match proof {
                        Proof::Forged => Basis::Forged,
                        _ if chosen.len() < quorum => Basis::Short,
                        _ => Basis::Quorum,
                    };
                    if basis != Basis::Forged || chosen.len() == quorum {
                        self.new_view(cluster, view, &chosen, basis, all);
                    }
                }
            }
        }
    }

    fn new_view(
        &mut self,
        cluster: &Cluster,
        view: View,
        chosen: &[Arc<ViewChangeMessage>],
        basis: Basis,
        all: &mut Vec<Event>,
    ) {
        let Ok(selection) = select(chosen.iter().map(|message| &message.signed.body)) else { return };
        let of_claim = |claim: &Claim| {
            let held = chosen.iter().flat_map(|message| &message.certificates.0);
            held.into_iter().find(|certificate| certificate.claim == *claim).cloned()
        };
        let certificates: Vec<_> = selection.selected.iter().filter_map(of_claim).collect();
        let mut versions = vec![(selection.proposals.clone(), basis)];
        if basis == Basis::Quorum {
            // The same VIEW-CHANGEs, and something that does not follow from them.
            let wrong = cluster.batches.iter().map(|batch| vec![(Slot(1), batch.digest())]).chain([Vec::new()]);
            let wrong = wrong.filter(|proposals| *proposals != selection.proposals);
            versions.extend(wrong.map(|proposals| (proposals, Basis::Wrong)));
        }
        for (proposals, basis) in versions {
            let name = Name::NewView { by: cluster.bounds.byzantine, view, proposals: proposals.clone(), basis };
            let make = || {
                let view_changes = chosen.iter().map(|message| message.signed.id()).collect();
                let body = NewView { view, view_changes, stable: selection.stable, proposals };
                Message::NewView(Arc::new(NewViewMessage {
                    signed: cluster.sign(body, |body| Statement::NewView(body)),
                    view_changes: chosen.iter().map(|message| Arc::clone(&message.signed)).collect(),
                    stable: None,
                    certificates: CertificateSet(certificates.clone()),
                }))
            };
            all.push(self.add(cluster, name, To::All, make));
        }
    }
}

/// Every choice of at most one claim a slot, of certificates of views below this one.
fn claim_sets(cluster: &Cluster, prepared: &[Arc<Certificate>], view: View) -> Vec<Vec<Arc<Certificate>>> {
    let mut sets = vec![Vec::new()];
    for slot in cluster.slots() {
        let of_slot = prepared.iter().filter(|held| held.claim.slot == slot && held.claim.view < view);
        let of_slot: Vec<_> = of_slot.collect();
        let with = |set: &Vec<Arc<Certificate>>| -> Vec<_> {
            of_slot.iter().map(|held| [set.clone(), vec![Arc::clone(held)]].concat()).collect()
        };
        let longer: Vec<_> = sets.iter().flat_map(with).collect();
        sets.extend(longer);
    }
    sets
}

/// What a VIEW-CHANGE says of the slots that are explored. A primary may have proposed others, of which nobody hears.
fn within(cluster: &Cluster, signed: &Signed<ViewChange>) -> Digest {
    let mut signed = signed.clone();
    for claims in [&mut signed.body.prepared, &mut signed.body.voted] {
        claims.retain(|claim| claim.slot.0 <= cluster.bounds.slots);
    }
    signed.id()
}
