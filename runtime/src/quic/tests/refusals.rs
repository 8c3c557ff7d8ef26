//! Who is refused, and what is bounded: each with a reason that is counted, and no other peer notices.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_frame_and_a_wrong_stream_end_the_link_and_no_other() {
    let chain = chain(Scheme::Ed25519, 3);
    let two = start(&chain, 2, &[]);
    let one = start(&chain, 1, &[&two]);
    let zero = Stranger::new(&chain, 0);
    connected(&one, 2).await;
    let hello = Hello::new(&chain, ReplicaId(0));
    let limit = u32::try_from(max_frame(&chain)).expect("a small chain");
    let too_long = [[Class::Bulk as u8].as_slice(), &(limit + 1).to_be_bytes()].concat();

    let connection = zero.join(&two, hello).await;
    let _stream = open(&connection, &too_long).await;
    assert_eq!(code(&connection).await, Some(Refusal::Oversize));

    let connection = zero.join(&two, hello).await;
    let _stream = open(&connection, &[3]).await;
    assert_eq!(code(&connection).await, Some(Refusal::Stream));

    let connection = zero.join(&two, hello).await;
    let _streams = [open(&connection, &[0]).await, open(&connection, &[0]).await];
    assert_eq!(code(&connection).await, Some(Refusal::Stream));

    soon(two.until(|two| stats(two, 0).refused == [(Refusal::Oversize, 1), (Refusal::Stream, 2)])).await;
    passes(&one, &two).await;
    assert_eq!((stats(&two, 1).connects, stats(&two, 0).connects), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_says_nothing_is_refused_in_time() {
    let chain = chain(Scheme::Ed25519, 2);
    let hasty = |config: &mut QuicConfig| config.limits.handshake_timeout = Duration::from_millis(500);
    let one = try_start(&chain, 1, &[], hasty).expect("a good configuration");
    let connection = Stranger::new(&chain, 0).connect(&one).await.expect("its key is good");
    assert_eq!(code(&connection).await, Some(Refusal::Timeout));
    refused(&one, 0, Refusal::Timeout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_frames_is_throttled_and_another_peer_is_not() {
    let limits = |config: &mut QuicConfig| config.limits.frames_per_second = 20;
    let two = flooded(limits, 2000, b"flood").await;
    assert!(stats(&two, 0).throttled_frames > 0, "{:?}", stats(&two, 0));
    assert_eq!(stats(&two, 0).throttled_bytes, 0);
    assert!(stats(&two, 0).received[Class::Consensus as usize].frames < 2000, "{:?}", stats(&two, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bytes_is_throttled_and_what_is_held_of_it_stays_within_its_bound() {
    // The least that a chain allows: as much as its largest frame may come at once.
    let limits = |config: &mut QuicConfig| config.limits.kibibytes_per_second = 1;
    let frame = vec![7; 100_000];
    let two = flooded(limits, 500, &frame).await;
    let seen = stats(&two, 0);
    assert!(seen.throttled_bytes > 0, "{seen:?}");
    assert_eq!(seen.throttled_frames, 0);
    let burst =
        u64::from(QuicLimits { kibibytes_per_second: 1, ..QuicLimits::default() }.burst_kibibytes(&three()).get());
    let received = seen.received[Class::Consensus as usize].bytes;
    // Ten minutes' worth of the rate is far more than the test takes.
    assert!(received <= (burst + 600) << 10, "{received} bytes, and a burst is {burst} KiB");
}

/// The receiver of as many frames as given, which a peer sends as fast as it can; another peer notices nothing of it.
async fn flooded(limits: impl Fn(&mut QuicConfig), count: usize, frame: &[u8]) -> QuicTransport {
    let chain = three();
    let two = try_start(&chain, 2, &[], limits).expect("a good configuration");
    let one = start(&chain, 1, &[&two]);
    let zero = start(&chain, 0, &[&one, &two]);
    connected(&zero, 2).await;
    connected(&one, 2).await;
    for _ in 0..count {
        zero.send(ReplicaId(2), Class::Consensus, frame.into());
    }
    let is_throttled = |two: &QuicTransport| 0 < stats(two, 0).throttled_frames + stats(two, 0).throttled_bytes;
    soon(two.until(is_throttled)).await;
    passes(&one, &two).await;
    // The flooding peer's other classes are not held up either.
    zero.send(ReplicaId(2), Class::Bodies, b"body".as_slice().into());
    soon(two.until(|two| stats(two, 0).received[Class::Bodies as usize].frames == 1)).await;
    let other = stats(&two, 1);
    assert_eq!((other.throttled_frames, other.throttled_bytes, other.refused.len()), (0, 0, 0));
    two
}

fn three() -> Chain {
    chain(Scheme::Ed25519, 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_is_ever_resumed() {
    let chain = chain(Scheme::Ed25519, 2);
    let one = start(&chain, 1, &[]);
    let zero = Stranger::new(&chain, 0);
    let client = zero.resuming_client(one.id());
    let address = one.local_addr().expect("it listens");
    for attempt in 0..3 {
        let connecting = zero.endpoint.connect_with(client.clone(), address, SERVER_NAME).expect("a good address");
        let Err(connecting) = connecting.into_0rtt() else { panic!("attempt {attempt} found a session to resume") };
        let connection = soon(connecting).await.expect("its key is good");
        let (mut send, mut recv) = connection.open_bi().await.expect("it may open a stream");
        send.write_all(&Hello::new(&chain, ReplicaId(0)).encode()).await.expect("it may write");
        // A ticket would have come before the answer.
        soon(recv.read_exact(&mut [0; 52])).await.expect("it is let in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_a_key_of_which_it_has_not_the_secret_is_refused_and_counted() {
    for scheme in SCHEMES {
        let chain = chain(scheme, 2);
        let one = start(&chain, 1, &[]);
        let mut thief = Stranger::new(&chain, 99);
        thief.show_key_of(&keys(scheme, 0));
        if let Ok(connection) = thief.connect(&one).await {
            assert_eq!(code(&connection).await, None, "the handshake fails, not what comes after it");
        }
        soon(one.until(|one| one.refused() == [(Refusal::Proof, 1)] && one.failed_handshakes() == 1)).await;
        assert_eq!(stats(&one, 0).connects, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_that_would_resume_its_session_is_refused_and_counted() {
    let with = chain(Scheme::Ed25519, 3);
    let mut genesis = with.genesis.clone();
    genesis.keys[0] = cretoai_core::bytes::Bytes(keys(Scheme::Ed25519, 77).public().to_vec());
    let without = Chain::new(genesis, true).expect("a good genesis");
    let two = start(&with, 2, &[]);
    let address = two.local_addr().expect("it listens");
    let zero = Stranger::new(&with, 0);
    let client = zero.resuming_client(two.id());
    let connect = async || {
        let connecting = zero.endpoint.connect_with(client.clone(), address, SERVER_NAME).expect("a good address");
        // What a session would allow it to send at once.
        match connecting.into_0rtt() {
            Ok((connection, _)) => Ok(connection),
            Err(connecting) => soon(connecting).await,
        }
    };
    let member = connect().await.expect("its key is good");
    let (send, recv) = member.open_bi().await.expect("it may open a stream");
    let hello = Hello::new(&with, ReplicaId(0));
    hello::say(&hello, send).await.expect("it may write");
    soon(hear(&hello, two.id(), recv)).await.expect("it is let in");
    two.close().await;
    drop(two);

    let two = soon(started_again(&without, 2, address)).await;
    let one = start(&without, 1, &[&two]);
    if let Ok(connection) = connect().await {
        assert_eq!(code(&connection).await, None, "the handshake fails, not what comes after it");
    }
    soon(two.until(|two| two.refused() == [(Refusal::Stranger, 1)])).await;
    connected(&one, 2).await;
    passes(&one, &two).await;
}
