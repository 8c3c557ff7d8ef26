//! Real links over loopback. Nothing here sleeps: everything waits for something to have been counted.

mod refusals;
mod restarts;

use super::hello::{Hello, hear};
use super::tls::SERVER_NAME;
use super::*;
use crate::transport::CLASSES;
use cretoai_core::config::{Genesis, Scheme};
use cretoai_core::hash::Digest;
use quinn::{Connection, ConnectionError, SendStream};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::panic::Location;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const SCHEMES: [Scheme; 2] = [Scheme::MlDsa87, Scheme::Ed25519];

fn keys(scheme: Scheme, seed: u8) -> Keys {
    Keys::from_seed(scheme, Zeroizing::new([seed; 32])).expect("a real scheme")
}

fn chain_named(name: &str, scheme: Scheme, n: u8) -> Chain {
    let public = (0..n).map(|id| keys(scheme, id).public().to_vec()).collect();
    Chain::new(Genesis::new(name, scheme, public), true).expect("a good genesis")
}

fn chain(scheme: Scheme, n: u8) -> Chain {
    chain_named("links", scheme, n)
}

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Nothing here takes long unless it hangs; then this says who waited.
#[track_caller]
fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let done = timeout(Duration::from_secs(60), what).await;
        done.unwrap_or_else(|_| panic!("what {caller} waits for did not happen within a minute"))
    }
}

/// A replica that knows where the ones in `others` are.
fn try_start(
    chain: &Chain,
    id: u8,
    others: &[&QuicTransport],
    change: impl FnOnce(&mut QuicConfig),
) -> Result<QuicTransport, QuicError> {
    let address = |other: &QuicTransport| other.local_addr().expect("it listens").to_string();
    let peers = others.iter().map(|other| (other.id(), address(other))).collect();
    let mut config = QuicConfig::new(ANYWHERE, peers);
    change(&mut config);
    QuicTransport::start(chain, &keys(chain.genesis.scheme, id), config)
}

fn start(chain: &Chain, id: u8, others: &[&QuicTransport]) -> QuicTransport {
    try_start(chain, id, others, |_| ()).expect("a good configuration")
}

/// A replica at an address that another had before.
async fn started_again(chain: &Chain, id: u8, address: SocketAddr) -> QuicTransport {
    loop {
        // The old socket is free when the old tasks have noticed.
        match try_start(chain, id, &[], |config| config.bind = address) {
            Ok(transport) => return transport,
            Err(QuicError::Bind { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn stats(transport: &QuicTransport, peer: u16) -> PeerStats {
    transport.peers().into_iter().find(|stats| stats.id == ReplicaId(peer)).expect("a member")
}

#[track_caller]
fn connected(transport: &QuicTransport, peer: u16) -> impl Future<Output = ()> {
    soon(transport.until(move |transport| stats(transport, peer).connected))
}

async fn refused(transport: &QuicTransport, peer: u16, refusal: Refusal) {
    soon(transport.until(|transport| stats(transport, peer).refused.iter().any(|(reason, _)| *reason == refusal)))
        .await;
}

async fn recv(transport: &QuicTransport, from: u16) -> Frame {
    soon(transport.recv(ReplicaId(from))).await.expect("it is open")
}

/// Two connected replicas, 0 and 1.
async fn pair(chain: &Chain) -> (QuicTransport, QuicTransport) {
    let one = start(chain, 1, &[]);
    let zero = start(chain, 0, &[&one]);
    connected(&zero, 1).await;
    connected(&one, 0).await;
    (zero, one)
}

/// Whether a frame gets from one replica to another.
async fn passes(from: &QuicTransport, to: &QuicTransport) {
    let frame: Frame = b"still here".as_slice().into();
    from.send(to.id(), Class::Consensus, Arc::clone(&frame));
    assert_eq!(recv(to, from.id().0).await, frame);
}

/// Somebody with a key of a member, or of nobody, who says what it likes.
struct Stranger {
    endpoint: Endpoint,
    identity: Identity,
}

impl Stranger {
    fn new(chain: &Chain, seed: u8) -> Self {
        let keys = keys(chain.genesis.scheme, seed);
        let members = Arc::new(Members::new(chain));
        let identity = Identity::new(&keys, members, &QuicLimits::default()).expect("good keys");
        let server = identity.server(Arc::new(Refusals::new(&Arc::default()))).expect("good keys");
        Self { endpoint: Endpoint::server(server, ANYWHERE).expect("a free port"), identity }
    }

    /// From now on it shows the public key of somebody else.
    fn show_key_of(&mut self, other: &Keys) {
        let members = Arc::clone(self.identity.members());
        let other = Identity::new(other, members, &QuicLimits::default()).expect("good keys");
        self.identity.show(&other);
    }

    /// A client that keeps whatever would let it resume a session, and sends at once what it may.
    fn resuming_client(&self, to: ReplicaId) -> quinn::ClientConfig {
        let refusals = Arc::new(Refusals::new(&Arc::default()));
        let mut tls = self.identity.tls_client(to, refusals).expect("good keys");
        tls.resumption = rustls::client::Resumption::in_memory_sessions(8);
        tls.enable_early_data = true;
        self.identity.quic_client(tls).expect("good keys")
    }

    async fn connect(&self, to: &QuicTransport) -> Result<Connection, ConnectionError> {
        let client = self.identity.client(to.id(), Arc::new(Refusals::new(&Arc::default()))).expect("good keys");
        let address = to.local_addr().expect("it listens");
        soon(self.endpoint.connect_with(client, address, SERVER_NAME).expect("a good address")).await
    }

    /// Connects and says what is given as its hello.
    async fn greet(&self, to: &QuicTransport, hello: &[u8]) -> Connection {
        let connection = self.connect(to).await.expect("its key is good");
        let (mut send, _recv) = connection.open_bi().await.expect("it may open a stream");
        send.write_all(hello).await.expect("it may write");
        connection
    }

    /// Connects as a member should.
    async fn join(&self, to: &QuicTransport, hello: Hello) -> Connection {
        let connection = self.connect(to).await.expect("its key is good");
        let (send, recv) = connection.open_bi().await.expect("it may open a stream");
        hello::say(&hello, send).await.expect("it may write");
        soon(hear(&hello, to.id(), recv)).await.expect("it is let in");
        connection
    }
}

async fn open(connection: &Connection, bytes: &[u8]) -> SendStream {
    let mut stream = soon(connection.open_uni()).await.expect("it may open a stream");
    stream.write_all(bytes).await.expect("it may write");
    stream
}

async fn code(connection: &Connection) -> Option<Refusal> {
    let ConnectionError::ApplicationClosed(close) = soon(connection.closed()).await else { return None };
    Refusal::from_code(close.error_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_exchange_frames_in_all_classes() {
    for scheme in SCHEMES {
        let (zero, one) = pair(&chain(scheme, 2)).await;
        for (from, to) in [(&zero, &one), (&one, &zero)] {
            for class in CLASSES {
                for length in [0, 1, 5_000, 100_000] {
                    let frame: Frame = vec![class as u8; length].into();
                    from.send(to.id(), class, Arc::clone(&frame));
                    assert!(recv(to, from.id().0).await == frame, "{scheme:?} {class:?} {length}");
                }
            }
            let traffic = Traffic { frames: 4, bytes: 105_001 };
            soon(to.until(|to| stats(to, from.id().0).received == [traffic; 3])).await;
            soon(from.until(|from| stats(from, to.id().0).sent == [traffic; 3])).await;
        }
        let seen = stats(&zero, 1);
        assert_eq!((seen.connects, seen.reconnects(), seen.failures), (1, 0, 0));
        assert_eq!(seen.address, Some(one.local_addr().expect("it listens")));
        assert!(seen.rtt.is_some_and(|rtt| rtt < Duration::from_secs(1)), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_overtakes_bulk_data_that_nobody_takes() {
    let (zero, one) = pair(&chain(Scheme::Ed25519, 2)).await;
    // More than the queue, the windows and the other queue hold together.
    let bulk: Frame = vec![7; 100_000].into();
    for _ in 0..1000 {
        zero.send(ReplicaId(1), Class::Bulk, Arc::clone(&bulk));
    }
    assert!(stats(&zero, 1).dropped[Class::Bulk as usize] > 0, "{:?}", stats(&zero, 1));
    // The other end is full when it holds as much as it may.
    let full = QuicLimits::default().receive_bytes as u64 / 100_000;
    soon(one.until(|one| full <= stats(one, 0).received[Class::Bulk as usize].frames)).await;
    let vote: Frame = b"vote".as_slice().into();
    zero.send(ReplicaId(1), Class::Consensus, Arc::clone(&vote));
    // It passes though nobody has taken anything, and comes out first.
    soon(one.until(|one| stats(one, 0).received[Class::Consensus as usize].frames == 1)).await;
    assert!(recv(&one, 0).await == vote, "the vote comes first");
    assert!(recv(&one, 0).await == bulk, "then what was there before it");
    assert!(stats(&zero, 1).sent[Class::Bulk as usize].frames < 900, "{:?}", stats(&zero, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_counted_whether_it_calls_or_is_called() {
    for scheme in SCHEMES {
        let chain = chain(scheme, 3);
        let two = start(&chain, 2, &[]);
        let one = start(&chain, 1, &[&two]);
        let stranger = Stranger::new(&chain, 99);
        if let Ok(connection) = stranger.connect(&two).await {
            // A client is done with the handshake before the server has looked at its key.
            assert_eq!(code(&connection).await, None, "the handshake fails, not what comes after it");
        }
        soon(two.until(|two| two.refused() == [(Refusal::Stranger, 1)] && two.failed_handshakes() == 1)).await;
        // And where a replica should be, there is somebody else.
        let endpoint = stranger.endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let _ = incoming.await;
            }
        });
        let zero = try_start(&chain, 0, &[&one, &two], |config| {
            let address = stranger.endpoint.local_addr().expect("it listens");
            config.peers.insert(ReplicaId(1), address.to_string());
        });
        let zero = zero.expect("a good configuration");
        refused(&zero, 1, Refusal::Stranger).await;
        connected(&zero, 2).await;
        passes(&zero, &two).await;
        connected(&one, 2).await;
        passes(&one, &two).await;
        assert!(!stats(&zero, 1).connected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_in_the_place_of_another_is_refused() {
    let chain = chain(Scheme::Ed25519, 3);
    let two = start(&chain, 2, &[]);
    let zero = try_start(&chain, 0, &[&two], |config| {
        let address = config.peers[&ReplicaId(2)].clone();
        config.peers.insert(ReplicaId(1), address);
    });
    refused(&zero.expect("a good configuration"), 1, Refusal::Stranger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hello_is_refused_by_reason_and_others_notice_nothing() {
    let chain = chain(Scheme::Ed25519, 3);
    let two = start(&chain, 2, &[]);
    let one = start(&chain, 1, &[&two]);
    let zero = Stranger::new(&chain, 0);
    connected(&one, 2).await;
    let good = Hello::new(&chain, ReplicaId(0));
    let mut magic = good.encode();
    magic[0] ^= 1;
    let cases = [
        (magic, Refusal::Magic),
        (Hello { version: good.version + 1, ..good }.encode(), Refusal::Version),
        (Hello { chain: Digest([9; 32]), ..good }.encode(), Refusal::Chain),
        (Hello { epoch: 1, ..good }.encode(), Refusal::Epoch),
        (Hello { sender: ReplicaId(1), ..good }.encode(), Refusal::Sender),
    ];
    for (hello, refusal) in cases {
        let connection = zero.greet(&two, &hello).await;
        assert_eq!(code(&connection).await, Some(refusal));
        refused(&two, 0, refusal).await;
        passes(&one, &two).await;
    }
    assert_eq!(stats(&two, 0).connects, 0);
    assert_eq!(stats(&two, 1).refused, []);
    // The same one is let in when it says the right thing.
    let _link = zero.join(&two, good).await;
    connected(&two, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_two_chains_with_the_same_keys_do_not_connect() {
    let one = start(&chain_named("this", Scheme::MlDsa87, 2), 1, &[]);
    let zero = start(&chain_named("that", Scheme::MlDsa87, 2), 0, &[&one]);
    refused(&one, 0, Refusal::Chain).await;
    soon(zero.until(|zero| stats(zero, 1).refused_by_peer.first().is_some_and(|(why, _)| *why == Refusal::Chain)))
        .await;
    assert_eq!((stats(&zero, 1).connects, stats(&one, 0).connects), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_higher_id_does_not_call() {
    let chain = chain(Scheme::Ed25519, 2);
    let one = Stranger::new(&chain, 1);
    let zero = try_start(&chain, 0, &[], |config| {
        let address = one.endpoint.local_addr().expect("it listens");
        config.peers.insert(ReplicaId(1), address.to_string());
    });
    let zero = zero.expect("a good configuration");
    let connection = one.connect(&zero).await.expect("its key is good");
    assert_eq!(code(&connection).await, Some(Refusal::Direction));
    refused(&zero, 1, Refusal::Direction).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_come_back_when_either_side_starts_again() {
    for scheme in SCHEMES {
        let chain = chain(scheme, 2);
        let (zero, one) = pair(&chain).await;
        let address = one.local_addr().expect("it listens");
        one.close().await;
        drop(one);
        let one = soon(started_again(&chain, 1, address)).await;
        soon(zero.until(|zero| stats(zero, 1).connected && stats(zero, 1).reconnects() == 1)).await;
        passes(&zero, &one).await;
        passes(&one, &zero).await;
        drop(zero);
        soon(one.until(|one| !stats(one, 0).connected)).await;
        let zero = start(&chain, 0, &[&one]);
        connected(&zero, 1).await;
        passes(&one, &zero).await;
        assert_eq!(stats(&one, 0).reconnects(), 1);
    }
}

#[test]
fn a_replica_that_was_killed_is_called_again_as_soon_as_it_is_back() {
    let chain = chain(Scheme::Ed25519, 2);
    // Nobody here lives to see the idle time-out.
    let patient = |config: &mut QuicConfig| {
        config.limits.idle_timeout = Duration::from_secs(3600);
        config.limits.keep_alive = Duration::from_millis(50);
    };
    let life = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let (short, long) = (life(), life());
    let one = short.block_on(async { try_start(&chain, 1, &[], patient).expect("a good configuration") });
    let address = one.local_addr().expect("it listens");
    let zero = long.block_on(async {
        let zero = try_start(&chain, 0, &[&one], patient).expect("a good configuration");
        connected(&zero, 1).await;
        zero
    });
    // Its tasks end without a word.
    short.shutdown_timeout(Duration::from_secs(60));
    drop(one);
    long.block_on(async {
        let one = soon(started_again(&chain, 1, address)).await;
        soon(zero.until(|zero| stats(zero, 1).connected && stats(zero, 1).reconnects() == 1)).await;
        passes(&zero, &one).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_connection_of_a_peer_takes_the_place_of_the_one_before() {
    let chain = chain(Scheme::Ed25519, 2);
    let one = start(&chain, 1, &[]);
    let zero = Stranger::new(&chain, 0);
    let hello = Hello::new(&chain, ReplicaId(0));
    let first = zero.join(&one, hello).await;
    connected(&one, 0).await;
    let second = zero.join(&one, hello).await;
    assert_eq!(code(&first).await, None, "it ends in peace");
    soon(one.until(|one| stats(one, 0).connects == 2)).await;
    let _stream = open(&second, &[&[0, 0, 0, 0, 2], b"hi".as_slice()].concat()).await;
    assert_eq!(&*recv(&one, 0).await, b"hi");
    assert!(stats(&one, 0).connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_is_dropped_and_what_waited_too_long_too() {
    let chain = chain(Scheme::Ed25519, 2);
    let small = |config: &mut QuicConfig| {
        config.limits.send_frames = 2;
        config.limits.stale_after = Duration::from_millis(1);
    };
    let one = try_start(&chain, 1, &[], small).expect("a good configuration");
    let began = Instant::now();
    for _ in 0..5 {
        one.send(ReplicaId(0), Class::Bodies, b"old".as_slice().into());
    }
    assert_eq!(stats(&one, 0).dropped, [0, 3, 0]);
    one.send(ReplicaId(1), Class::Bodies, b"to itself".as_slice().into());
    one.send(ReplicaId(9), Class::Bodies, b"to nobody".as_slice().into());
    // A link can be up within a millisecond.
    while began.elapsed() < Duration::from_millis(2) {
        tokio::task::yield_now().await;
    }
    let zero = start(&chain, 0, &[&one]);
    connected(&zero, 1).await;
    soon(one.until(|one| stats(one, 0).stale == 2)).await;
    passes(&one, &zero).await;
    assert_eq!(stats(&zero, 1).received[Class::Bodies as usize], Traffic::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_delivers_what_is_queued_and_ends_every_wait() {
    let (zero, one) = pair(&chain(Scheme::Ed25519, 2)).await;
    let frame: Frame = vec![1; 60_000].into();
    for _ in 0..50 {
        zero.send(ReplicaId(1), Class::Bodies, Arc::clone(&frame));
    }
    let waiting = async { zero.recv(ReplicaId(1)).await };
    let ((), waited) = soon(async { tokio::join!(zero.close(), waiting) }).await;
    assert_eq!(waited, None);
    for _ in 0..50 {
        assert!(recv(&one, 0).await == frame);
    }
    assert_eq!(soon(zero.recv(ReplicaId(0))).await, None);
    soon(one.until(|one| !stats(one, 0).connected)).await;
}

#[tokio::test]
async fn a_bad_configuration_is_refused_by_name() {
    let chain = chain(Scheme::Ed25519, 3);
    let message = |change: &dyn Fn(&mut QuicConfig)| {
        let peers = BTreeMap::from([1, 2].map(|id| (ReplicaId(id), format!("localhost:{}", 9000 + id))));
        let mut config = QuicConfig::new(ANYWHERE, peers);
        config.check(&chain, ReplicaId(0)).expect("good before the change");
        change(&mut config);
        config.check(&chain, ReplicaId(0)).expect_err("bad after it").to_string()
    };
    let missing = message(&|config| drop(config.peers.remove(&ReplicaId(2))));
    assert!(missing.starts_with("quic.peers[2] = \"\": is missing"), "{missing}");
    let portless = message(&|config| drop(config.peers.insert(ReplicaId(1), "localhost".to_owned())));
    assert!(portless.starts_with("quic.peers[1] = \"localhost\": must be HOST:PORT"), "{portless}");
    let unknown = message(&|config| drop(config.peers.insert(ReplicaId(3), "localhost:1".to_owned())));
    assert!(unknown.starts_with("quic.peers[3]") && unknown.contains("no such replica"), "{unknown}");
    let none = message(&|config| config.limits.send_frames = 0);
    assert_eq!(none, "quic.limits.send_frames = 0: must be between 1 and 4294967295");
    let lazy = message(&|config| config.limits.keep_alive = config.limits.idle_timeout);
    assert!(lazy.starts_with("quic.limits.keep_alive = 10000000000: must be at most half"), "{lazy}");
    let stranger = QuicTransport::start(&chain, &keys(Scheme::Ed25519, 9), QuicConfig::new(ANYWHERE, BTreeMap::new()));
    assert!(matches!(stranger, Err(QuicError::Key(_))));
    let one = Stranger::new(&chain, 1);
    let taken = QuicConfig::new(one.endpoint.local_addr().expect("it listens"), BTreeMap::new());
    let taken = QuicTransport::start(&chain, &keys(Scheme::Ed25519, 2), taken).expect_err("taken").to_string();
    assert!(taken.starts_with("quic.bind = 127.0.0.1:") && taken.ends_with("of this machine"), "{taken}");
}

#[test]
fn every_refusal_has_a_code_and_a_name_of_its_own() {
    for refusal in REFUSALS {
        assert_eq!(Refusal::from_code(refusal.code()), Some(refusal));
        assert_eq!(REFUSALS.iter().filter(|other| other.name() == refusal.name()).count(), 1);
    }
    assert_eq!(Refusal::from_code(link::CLOSED), None);
    assert_eq!(Refusal::from_code(quinn::VarInt::from_u32(99)), None);
}
