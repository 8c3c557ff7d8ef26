//! Vertices and requests.

use super::*;

fn why(world: &World, vertex: Vertex) -> Rejected {
    reason(world, Message::Vertex(world.sign_vertex(vertex)))
}

fn parent(author: u16, height: u64) -> Reference {
    Reference { author: ReplicaId(author), height: Height(height), id: digest(9) }
}

#[test]
fn a_vertex_one_above_its_highest_parent_is_verified() {
    let world = world();
    let first = world.vertex(1, b"op");
    let second = Vertex { height: Height(2), prev: Link { height: Height(1), id: digest(9) }, ..first.clone() };
    let third = Vertex { height: Height(8), refs: vec![parent(0, 7), parent(3, 2)], ..second.clone() };
    for vertex in [first, second, third] {
        assert!(world.verifier.message(Message::Vertex(world.sign_vertex(vertex))).is_ok());
    }
}

#[test]
fn a_vertex_that_lies_about_its_parents_is_rejected() {
    let world = world();
    let first = || world.vertex(1, b"op");
    let refs = |refs: &[Reference]| Vertex { height: Height(8), refs: refs.to_vec(), ..first() };
    let prev = |height, id| Vertex { prev: Link { height: Height(height), id }, height: Height(height + 1), ..first() };
    let disorder = Rejected::NotCanonical("references of a vertex");
    for (what, vertex, expected) in [
        ("too high", Vertex { height: Height(2), ..first() }, Rejected::Height),
        ("too low", Vertex { height: Height(0), ..first() }, Rejected::Height),
        ("not above its reference", Vertex { height: Height(7), ..refs(&[parent(0, 7)]) }, Rejected::Height),
        ("descending references", refs(&[parent(3, 7), parent(0, 2)]), disorder),
        ("two references to one author", refs(&[parent(0, 2), parent(0, 7)]), disorder),
        ("a reference to its own author", refs(&[parent(1, 7)]), disorder),
        ("a reference to a first vertex", refs(&[parent(0, 0), parent(3, 7)]), disorder),
        ("a reference to a stranger", refs(&[parent(4, 7)]), Rejected::NotAMember(ReplicaId(4))),
        ("another genesis", prev(0, digest(9)), Rejected::Genesis),
        ("the genesis at another height", prev(1, world.chain.id), Rejected::Genesis),
    ] {
        assert_eq!(why(&world, vertex), expected, "{what}");
    }
}

#[test]
fn nothing_is_higher_than_the_greatest_height() {
    let world = world();
    let highest = Vertex { height: Height(u64::MAX), ..world.vertex(1, b"op") };
    let below = Link { height: Height(u64::MAX - 1), id: digest(9) };
    assert!(
        world.verifier.message(Message::Vertex(world.sign_vertex(Vertex { prev: below, ..highest.clone() }))).is_ok()
    );
    let beside = Link { height: Height(u64::MAX), id: digest(9) };
    assert_eq!(why(&world, Vertex { prev: beside, ..highest.clone() }), Rejected::Height);
    assert_eq!(why(&world, Vertex { refs: vec![parent(0, u64::MAX)], ..highest }), Rejected::Height);
}

#[test]
fn a_vertex_is_signed_by_its_author() {
    let world = world();
    let signed = Signed::clone(&world.sign_vertex(world.vertex(1, b"op")));
    let (author, signer) = (ReplicaId(1), ReplicaId(2));
    let stolen = Message::Vertex(Arc::new(Signed { signer, ..signed.clone() }));
    assert_eq!(reason(&world, stolen), Rejected::Author { author, signer });
    let forged = Message::Vertex(Arc::new(Signed { signature: Signature::new(&[0; 16]), ..signed }));
    assert_eq!(reason(&world, forged), Rejected::Signature(author));
}

#[test]
fn a_vertex_carries_something_and_not_too_much() {
    let world = world();
    let empty = Vertex { payload: Payload::Requests(vec![]), ..world.vertex(1, b"") };
    assert_eq!(why(&world, empty), Rejected::Empty("payload of a vertex"));
    let limit = usize::try_from(world.chain.genesis.limits.vertex_bytes).unwrap();
    let of_size = |op: usize| world.vertex(1, &vec![0; op]);
    let room = limit - crate::wire::encoded_size(&of_size(limit / 2)) + limit / 2;
    assert_eq!(crate::wire::encoded_size(&of_size(room)), limit);
    assert!(world.verifier.message(Message::Vertex(world.sign_vertex(of_size(room)))).is_ok());
    assert_eq!(
        why(&world, of_size(room + 1)),
        Rejected::TooMany { what: "bytes of a vertex", count: limit + 1, limit }
    );
}

#[test]
fn a_vertex_may_carry_evidence_that_proves_something_and_no_other() {
    let world = world();
    let [one, other] = [1, 2].map(|batch| world.vote(3, Phase::Prepare, 0, &[(3, batch)]));
    let accusing = |a: &Signed<Vote>, b: &Signed<Vote>| {
        let payload = Payload::Evidence(Arc::new(Evidence::Votes(a.clone(), b.clone())));
        Vertex { payload, ..world.vertex(1, b"") }
    };
    assert!(world.verifier.message(Message::Vertex(world.sign_vertex(accusing(&one, &other)))).is_ok());
    assert_eq!(why(&world, accusing(&one, &one)), Rejected::Predicate);
    let forged = Signed { signature: Signature::new(&[7; 16]), ..other };
    assert_eq!(why(&world, accusing(&one, &forged)), Rejected::Signature(ReplicaId(3)));
}

#[test]
fn evidence_has_more_room_than_requests_and_not_without_end() {
    // Rule D5.
    let mut genesis = chain(4).genesis.clone();
    genesis.limits.vertex_bytes = 1024 + 64 * 4;
    let world = World::of(Arc::new(Chain::new(genesis, false).unwrap()));
    let claims: Vec<_> = (5..13).map(|slot| claim(slot, 0, 1)).collect();
    let mut bodies: Vec<_> = (0..3).map(|id| world.view_change(id, 1, 4, &claims)).collect();
    // A NEW-VIEW that proposes nothing, whatever is claimed in its bodies.
    let accusing = |bodies: &[Arc<Signed<ViewChange>>]| {
        let view_changes = bodies.iter().map(|body| body.id()).collect();
        let new_view = NewView { view: View(1), view_changes, stable: Slot(4), proposals: vec![] };
        let evidence = Arc::new(Evidence::NewView(world.sign_new_view(new_view), bodies.to_vec()));
        assert!(world.verifier.evidence(Arc::clone(&evidence)).is_ok());
        Vertex { payload: Payload::Evidence(evidence), ..world.vertex(1, b"") }
    };
    let large = accusing(&bodies);
    assert!(1024 + 64 * 4 < crate::wire::encoded_size(&large));
    assert!(world.verifier.message(Message::Vertex(world.sign_vertex(large))).is_ok());
    // A body of no form may be as long as its maker likes.
    let voted = vec![claim(5, 0, 1); 10_000];
    bodies[2] = world.sign_view_change(2, ViewChange { voted, ..bodies[2].body.clone() });
    let rejected = why(&world, accusing(&bodies));
    assert!(matches!(rejected, Rejected::TooMany { what: "bytes of a vertex", .. }), "{rejected}");
}

#[test]
fn the_vertices_in_evidence_are_their_authors_own() {
    let world = world();
    let headers = [b"a", b"b"].map(|op| world.sign_vertex(world.vertex(3, op)).header());
    let judge = |a: &SignedHeader, b: &SignedHeader| {
        let evidence = Arc::new(Evidence::Vertices(Arc::new(a.clone()), Arc::new(b.clone())));
        world.verifier.evidence(evidence).map(|_| ())
    };
    assert_eq!(judge(&headers[0], &headers[1]), Ok(()));
    let changed = |change: fn(&mut VertexHeader)| {
        let mut header = headers[1].body.clone().into_content();
        change(&mut header);
        Signed { body: Hashed::new(header), ..headers[1].clone() }
    };
    let forged = changed(|header| header.payload = digest(1));
    assert_eq!(judge(&headers[0], &forged), Err(Rejected::Signature(ReplicaId(3))));
    let strange = changed(|header| header.refs = vec![parent(9, 1)]);
    assert_eq!(judge(&headers[0], &strange), Err(Rejected::NotAMember(ReplicaId(9))));
    let unordered = changed(|header| header.refs = vec![parent(2, 1), parent(1, 1)]);
    assert_eq!(judge(&headers[0], &unordered), Err(Rejected::NotCanonical("references of a vertex")));
}

#[test]
fn one_bad_request_spoils_its_vertex() {
    let world = world();
    let stray = Request { chain_id: digest(9), ..world.request(b"op") };
    let requests = [world.request(b"op"), stray].map(|request| Arc::new(ClientRequest::anonymous(request)));
    let payload = Payload::Requests(requests.to_vec());
    assert_eq!(why(&world, Vertex { payload, ..world.vertex(1, b"op") }), Rejected::Chain);
}

#[test]
fn a_request_is_for_this_chain_and_signed_by_its_caller_if_it_names_one() {
    let world = world();
    let offer = |request: ClientRequest| world.verifier.request(Arc::new(request)).map(Verified::into_inner);
    let anonymous = || ClientRequest::anonymous(world.request(b"op"));
    assert!(offer(anonymous()).is_ok());
    assert!(offer(world.signed_request(b"op")).is_ok());

    let stray = Request { chain_id: digest(9), ..world.request(b"op") };
    assert_eq!(offer(ClientRequest::anonymous(stray)), Err(Rejected::Chain));
    let unsigned = ClientRequest { signature: None, ..world.signed_request(b"op") };
    assert_eq!(offer(unsigned), Err(Rejected::Unsigned));
    let by_nobody = ClientRequest { signature: Some(Signature::new(&[0; 16])), ..anonymous() };
    assert_eq!(offer(by_nobody), Err(Rejected::Unsigned));
    let other_op = ClientRequest { request: world.signed_request(b"pay bob").request, ..world.signed_request(b"op") };
    assert_eq!(offer(other_op), Err(Rejected::CallerSignature));
}

#[test]
fn a_chain_may_demand_that_every_request_names_its_caller() {
    let mut genesis = chain(4).genesis.clone();
    genesis.signed_requests = true;
    let world = World::of(Arc::new(Chain::new(genesis, false).unwrap()));
    let anonymous = ClientRequest::anonymous(world.request(b"op"));
    assert_eq!(world.verifier.request(Arc::new(anonymous)), Err(Rejected::Anonymous));
    assert_eq!(why(&world, world.vertex(1, b"op")), Rejected::Anonymous);
    assert!(world.verifier.request(Arc::new(world.signed_request(b"op"))).is_ok());
}

#[test]
fn a_request_that_fits_into_no_vertex_is_refused_at_the_door() {
    let world = world();
    let limit = usize::try_from(world.chain.genesis.limits.vertex_bytes).unwrap();
    let largest = (0..limit).rev().find(|op| {
        let request = ClientRequest::anonymous(world.request(&vec![0; *op]));
        world.verifier.request(Arc::new(request)).is_ok()
    });
    let largest = largest.expect("some request is taken");
    assert!(limit < largest + 256, "a request of nearly the whole vertex is taken: {largest}");
    // However large its other fields are, a vertex around it is within the limit.
    let mut vertex = world.vertex(1, &vec![0; largest]);
    vertex.ts = Instant(u64::MAX);
    vertex.prev = Link { height: Height(u64::MAX - 1), id: digest(9) };
    vertex.height = Height(u64::MAX);
    assert!(world.verifier.message(Message::Vertex(world.sign_vertex(vertex))).is_ok());
}
