//! Messages and records of every kind with any contents.

use super::*;

prop_compose! {
    fn any_digest()(bytes in any::<[u8; 32]>()) -> Digest { Digest(bytes) }
}

prop_compose! {
    fn any_claim()(slot in any::<u64>(), view in any::<u64>(), digest in any_digest()) -> Claim {
        Claim { slot: Slot(slot), view: View(view), digest }
    }
}

fn any_phase() -> impl Strategy<Value = Phase> {
    prop_oneof![Just(Phase::Prepare), Just(Phase::Commit)]
}

fn any_signature() -> impl Strategy<Value = Signature> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 0..80)].prop_map(|bytes| Signature::new(&bytes))
}

fn any_signed<T: std::fmt::Debug>(body: impl Strategy<Value = T>) -> impl Strategy<Value = Signed<T>> {
    (any::<u16>(), body, any_signature()).prop_map(|(signer, body, signature)| Signed {
        signer: ReplicaId(signer),
        body,
        signature,
    })
}

fn any_entries() -> impl Strategy<Value = Vec<(Slot, Digest)>> {
    vec((any::<u64>().prop_map(Slot), any_digest()), 0..4)
}

fn any_vote() -> BoxedStrategy<Signed<Vote>> {
    let vote = (any_phase(), any::<u64>(), any_entries());
    any_signed(vote.prop_map(|(phase, view, entries)| Vote {
        phase,
        view: View(view),
        entries: Entries::new(&entries),
    }))
    .boxed()
}

fn any_certificate() -> BoxedStrategy<Arc<Certificate>> {
    (any_phase(), any_claim(), vec(any_vote(), 0..4))
        .prop_map(|(phase, claim, votes)| Arc::new(Certificate::from_votes(phase, claim, votes)))
        .boxed()
}

fn any_certificates() -> BoxedStrategy<CertificateSet> {
    // The first certificate's votes stand in the last as well.
    vec(any_certificate(), 0..3)
        .prop_map(|mut certificates| {
            if let Some(first) = certificates.first() {
                let claim = Claim { slot: first.claim.slot.next(), ..first.claim };
                certificates.push(Arc::new(Certificate::from_votes(first.phase, claim, first.votes().to_vec())));
            }
            CertificateSet(certificates)
        })
        .boxed()
}

fn any_checkpoint() -> BoxedStrategy<Signed<CheckpointVote>> {
    any_signed((any::<u64>(), any_digest()).prop_map(|(slot, state)| CheckpointVote { slot: Slot(slot), state }))
        .boxed()
}

fn any_checkpoint_certificate() -> BoxedStrategy<Arc<CheckpointCertificate>> {
    (any_checkpoint(), vec(any_checkpoint(), 0..4))
        .prop_map(|(vote, votes)| Arc::new(CheckpointCertificate { vote: vote.body, votes }))
        .boxed()
}

prop_compose! {
    fn any_view_change_body()(
        view in any::<u64>(),
        stable in any::<u64>(),
        state in any_digest(),
        prepared in vec(any_claim(), 0..3),
        voted in vec(any_claim(), 0..3),
    ) -> ViewChange {
        ViewChange { view: View(view), stable: Slot(stable), state, prepared, voted }
    }
}

fn any_view_change() -> BoxedStrategy<Arc<Signed<ViewChange>>> {
    any_signed(any_view_change_body()).prop_map(Arc::new).boxed()
}

fn any_view_change_message() -> BoxedStrategy<Arc<ViewChangeMessage>> {
    (any_view_change(), option::of(any_checkpoint_certificate()), any_certificates())
        .prop_map(|(signed, stable, certificates)| Arc::new(ViewChangeMessage { signed, stable, certificates }))
        .boxed()
}

prop_compose! {
    fn any_new_view_body()(
        view in any::<u64>(),
        view_changes in vec(any_digest(), 0..4),
        stable in any::<u64>(),
        proposals in any_entries(),
    ) -> NewView {
        NewView { view: View(view), view_changes, stable: Slot(stable), proposals }
    }
}

prop_compose! {
    fn composed_new_view()(
        signed in any_signed(any_new_view_body()),
        view_changes in vec(any_view_change(), 0..3),
        stable in option::of(any_checkpoint_certificate()),
        certificates in any_certificates(),
    ) -> Arc<NewViewMessage> {
        Arc::new(NewViewMessage { signed, view_changes, stable, certificates })
    }
}

fn any_new_view() -> BoxedStrategy<Arc<NewViewMessage>> {
    composed_new_view().boxed()
}

fn any_batch() -> BoxedStrategy<Arc<Hashed<Batch>>> {
    (any::<u64>(), vec(any_digest(), 0..4))
        .prop_map(|(ts, vertices)| Arc::new(Hashed::new(Batch { ts: Instant(ts), vertices })))
        .boxed()
}

prop_compose! {
    fn any_request()(
        chain_id in any_digest(),
        expires in any::<u64>(),
        nonce in any::<[u8; 16]>(),
        caller in option::of((
            prop_oneof![Just(Scheme::Simulated), Just(Scheme::Ed25519), Just(Scheme::MlDsa87)],
            vec(any::<u8>(), 0..40),
        )),
        op in vec(any::<u8>(), 0..600),
        signature in option::of(any_signature()),
    ) -> Arc<ClientRequest> {
        let caller = caller.map(|(scheme, key)| Caller { scheme, key: Bytes(key) });
        let request = Hashed::new(Request { chain_id, expires: Instant(expires), nonce, caller, op: Bytes(op) });
        Arc::new(ClientRequest { request, signature })
    }
}

prop_compose! {
    fn any_vertex_body()(
        author in any::<u16>(),
        height in any::<u64>(),
        ts in any::<u64>(),
        prev in (any::<u64>(), any_digest()),
        refs in vec((any::<u16>(), any::<u64>(), any_digest()), 0..3),
        payload in prop_oneof![
            vec(any_request(), 0..3).prop_map(Payload::Requests),
            any_evidence().prop_map(|evidence| Payload::Evidence(Arc::new(evidence))),
        ],
    ) -> Hashed<Vertex> {
        let prev = Link { height: Height(prev.0), id: prev.1 };
        let reference = |(author, height, id)| Reference { author: ReplicaId(author), height: Height(height), id };
        let refs = refs.into_iter().map(reference).collect();
        Hashed::new(Vertex { author: ReplicaId(author), height: Height(height), ts: Instant(ts), prev, refs, payload })
    }
}

prop_compose! {
    fn any_header()(
        author in any::<u16>(),
        height in any::<u64>(),
        prev in (any::<u64>(), any_digest()),
        payload in any_digest(),
    ) -> Hashed<VertexHeader> {
        let prev = Link { height: Height(prev.0), id: prev.1 };
        let (author, height, ts) = (ReplicaId(author), Height(height), Instant(7));
        Hashed::new(VertexHeader { author, height, ts, prev, refs: Vec::new(), payload })
    }
}

fn any_vertex() -> BoxedStrategy<Arc<SignedVertex>> {
    any_signed(any_vertex_body()).prop_map(Arc::new).boxed()
}

prop_compose! {
    fn any_status()(
        view in any::<u64>(),
        target in option::of(any::<u64>().prop_map(View)),
        stable in any::<u64>(),
        executed in any::<u64>(),
        progress in vec(
            prop_oneof![
                Just(Progress::Nothing),
                Just(Progress::Accepted),
                Just(Progress::Prepared),
                Just(Progress::Committed),
            ],
            0..8,
        ),
        pending in vec(any_digest(), 0..4),
    ) -> Status {
        Status { view: View(view), target, stable: Slot(stable), executed: Slot(executed), progress, pending }
    }
}

fn any_fetch_item() -> BoxedStrategy<FetchItem> {
    prop_oneof![
        any_digest().prop_map(FetchItem::Vertex),
        (any::<u64>(), any_digest()).prop_map(|(slot, digest)| FetchItem::Batch(Slot(slot), digest)),
        (any_phase(), any_claim()).prop_map(|(phase, claim)| FetchItem::Certificate(phase, claim)),
        any::<u64>().prop_map(|slot| FetchItem::StableCheckpoint(Slot(slot))),
        any::<u64>().prop_map(|view| FetchItem::NewView(View(view))),
        any::<u64>().prop_map(|slot| FetchItem::Manifest(Slot(slot))),
        (any::<u64>(), any_digest()).prop_map(|(slot, hash)| FetchItem::Chunk(Slot(slot), hash)),
    ]
    .boxed()
}

fn any_data() -> BoxedStrategy<Data> {
    let manifest = (any::<u64>(), any::<u64>(), any_digest(), vec(any_digest(), 0..3), vec(any_digest(), 0..3));
    prop_oneof![
        any_batch().prop_map(Data::Batch),
        manifest.prop_map(|(slot, epoch, order, core, app)| {
            Data::Manifest(Arc::new(Manifest { slot: Slot(slot), epoch, order, core, app }))
        }),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Data::Chunk(Arc::new(Bytes(bytes)))),
    ]
    .boxed()
}

pub(super) fn message() -> BoxedStrategy<Message> {
    prop_oneof![
        any_vertex().prop_map(Message::Vertex),
        (any_vote(), vec(any_batch(), 0..3))
            .prop_map(|(vote, batches)| Message::PrePrepare(Arc::new(PrePrepare { vote, batches }))),
        any_vote().prop_map(Message::Vote),
        any_checkpoint().prop_map(Message::Checkpoint),
        any_view_change_message().prop_map(Message::ViewChange),
        any_new_view().prop_map(Message::NewView),
        any_signed(any_status()).prop_map(|status| Message::Status(Arc::new(status))),
        any_certificates().prop_map(|set| Message::Certificates(Arc::new(set))),
        any_checkpoint_certificate().prop_map(Message::StableCheckpoint),
        vec(any_fetch_item(), 0..8).prop_map(|items| Message::Fetch(Arc::new(items))),
        any_data().prop_map(|data| Message::Data(Arc::new(data))),
    ]
    .boxed()
}

fn any_evidence() -> BoxedStrategy<Evidence> {
    let new_view = || any_signed(any_new_view_body());
    prop_oneof![
        (any_vote(), any_vote()).prop_map(|(a, b)| Evidence::Votes(a, b)),
        (any_view_change(), any_view_change()).prop_map(|(a, b)| Evidence::ViewChanges(a, b)),
        (any_vote(), any_view_change()).prop_map(|(vote, body)| Evidence::LeftOut(vote, body)),
        (new_view(), vec(any_view_change(), 0..3)).prop_map(|(signed, bodies)| Evidence::NewView(signed, bodies)),
        (any_checkpoint(), any_checkpoint()).prop_map(|(a, b)| Evidence::Checkpoints(a, b)),
        (any_signed(any_header()), any_signed(any_header()))
            .prop_map(|(a, b)| Evidence::Vertices(Arc::new(a), Arc::new(b))),
        any_view_change().prop_map(Evidence::ViewChange),
        (new_view(), new_view()).prop_map(|(a, b)| Evidence::NewViews(a, b)),
    ]
    .boxed()
}

pub(super) fn record() -> BoxedStrategy<Record> {
    prop_oneof![
        any_vertex().prop_map(Record::OwnVertex),
        any_vertex().prop_map(Record::Vertex),
        (any::<u64>(), any_batch()).prop_map(|(slot, batch)| Record::Batch(Slot(slot), batch)),
        any_claim().prop_map(|claim| Record::Voted(claim.view, claim.slot, claim.digest)),
        any_certificate().prop_map(Record::Prepared),
        any_certificate().prop_map(Record::Committed),
        any_checkpoint().prop_map(|vote| Record::OwnCheckpoint(vote.body)),
        any_checkpoint_certificate().prop_map(Record::Stable),
        any_view_change_message().prop_map(Record::ViewChangeSent),
        any_new_view().prop_map(Record::NewViewInstalled),
        any::<u64>().prop_map(|slot| Record::StateInstalled(Slot(slot))),
        any_evidence().prop_map(|evidence| Record::Evidence(Arc::new(evidence))),
        any::<u64>().prop_map(|slot| Record::Halted(Halt::ContradictingCommits(Slot(slot)))),
    ]
    .boxed()
}
