use super::*;
use crate::request::Request;
use crate::verify::testing::{World, digest};
use proptest::prelude::*;

const NO_ONE: ReplicaId = ReplicaId(0);

/// Four authors who may bring three requests each, which may expire three seconds ahead.
fn world() -> World {
    let mut genesis = World::new(4).chain.genesis.clone();
    genesis.limits.seen_requests = 15;
    genesis.limits.lifetime = Duration::from_secs(3);
    World::of(Chain::new(genesis, false).expect("a valid genesis").into())
}

fn request(world: &World, expires: u64, nonce: u8) -> ClientRequest {
    let request = Request { expires: Instant(expires), nonce: [nonce; 16], ..world.request(b"op") };
    ClientRequest::anonymous(request)
}

fn chunks(seen: &mut SeenSet) -> Vec<Vec<u8>> {
    seen.segments_mut().map(|segment| segment.bytes().0.clone()).collect()
}

fn restored(chain: &Chain, chunks: &[Vec<u8>]) -> Result<SeenSet, BrokenSnapshot> {
    let mut seen = SeenSet::new(chain);
    chunks.iter().try_for_each(|chunk| seen.restore_segment(chunk))?;
    Ok(seen)
}

/// All that ever executed, in order. What a seen set should say is read off it.
#[derive(Default)]
struct History(Vec<(ClientRequest, ReplicaId, Digest)>);

impl History {
    /// What a seen set holds at a time: the second in which it expires is not over (rule F7).
    fn held(&self, time: Instant) -> impl Iterator<Item = &(ClientRequest, ReplicaId, Digest)> {
        self.0.iter().filter(move |(request, ..)| time.0 / SECOND <= request.request.expires.0 / SECOND)
    }

    /// Rule F6.
    fn judge(&self, request: &ClientRequest, author: ReplicaId, time: Instant) -> (Fate, Option<Digest>) {
        let expires = request.request.expires;
        let copy = self.held(time).find(|(held, ..)| held.id() == request.id());
        let share = self.held(time).filter(|(_, by, _)| *by == author).count();
        if expires <= time {
            (Fate::NoOp(NoOp::Expired), None)
        } else if time.0 + 3 * SECOND < expires.0 {
            (Fate::NoOp(NoOp::TooEarly), None)
        } else if let Some((.., result)) = copy {
            (Fate::Duplicate, Some(*result))
        } else if 3 <= share {
            (Fate::NoOp(NoOp::Full), None)
        } else {
            (Fate::Executes, None)
        }
    }

    /// One chunk for each second of expiry, ascending, in the order of execution (rule C13).
    fn chunks(&self, time: Instant) -> Vec<Vec<u8>> {
        let mut chunks: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (request, author, result) in self.held(time) {
            let second = request.request.expires.0 / SECOND;
            let chunk = chunks.entry(second).or_insert_with(|| [&[2][..], &second.to_be_bytes()].concat());
            chunk.extend([request.id().0, result.0].as_flattened());
            chunk.extend(author.0.to_be_bytes());
        }
        chunks.into_values().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_seen_set_says_of_every_request_what_all_of_history_says(
        steps in proptest::collection::vec((0..SECOND / 2, 0..8_u64, 0..3_u8, 0..4_u16, any::<bool>()), 1..120),
    ) {
        let world = world();
        let (mut seen, mut history) = (SeenSet::new(&world.chain), History::default());
        let mut time = Instant(0);
        for (at, (later, half_seconds, nonce, author, goes_on)) in steps.into_iter().enumerate() {
            time = time + Duration(later);
            seen.expire(time);
            let expires = (time.0 / SECOND * 2 + half_seconds) * (SECOND / 2);
            let (request, author) = (request(&world, expires, nonce), ReplicaId(author));
            // Also at a time that is still to come: by then some will have been dropped (rule D7).
            for time in [time, time + Duration(SECOND), time + Duration(2 * SECOND - 1)] {
                prop_assert_eq!(seen.judge(&request, author, time), history.judge(&request, author, time), "{:?}", time);
            }
            if seen.judge(&request, author, time).0 == Fate::Executes {
                let result = digest(u8::try_from(at).unwrap());
                seen.mark(&request, author);
                prop_assert_eq!(seen.judge(&request, author, time), (Fate::Duplicate, None), "it has no result yet");
                prop_assert_eq!(seen.result(&request), None);
                seen.complete(&request, author, result);
                history.0.push((request.clone(), author, result));
            }
            let result = history.held(time).find(|(held, ..)| held.id() == request.id()).map(|(.., result)| *result);
            prop_assert_eq!(seen.result(&request), result);
            prop_assert_eq!(seen.len(), history.held(time).count());
            prop_assert_eq!(chunks(&mut seen), history.chunks(time));
            if goes_on {
                seen = restored(&world.chain, &chunks(&mut seen)).expect("its own chunks");
            }
        }
    }
}

#[test]
fn a_request_executes_before_it_expires_and_at_most_a_lifetime_ahead() {
    let (world, lifetime) = (world(), 3 * SECOND);
    let seen = SeenSet::new(&world.chain);
    let fate = |expires, time| seen.judge(&request(&world, expires, 1), NO_ONE, Instant(time)).0;
    assert_eq!(fate(100, 99), Fate::Executes);
    assert_eq!(fate(100, 100), Fate::NoOp(NoOp::Expired));
    assert_eq!(fate(100 + lifetime, 100), Fate::Executes);
    assert_eq!(fate(101 + lifetime, 100), Fate::NoOp(NoOp::TooEarly));
}

#[test]
fn a_request_that_expired_while_it_was_executed_completes_without_trace() {
    let world = world();
    let mut seen = SeenSet::new(&world.chain);
    let request = request(&world, SECOND, 1);
    seen.mark(&request, NO_ONE);
    seen.expire(Instant(2 * SECOND));
    seen.complete(&request, NO_ONE, digest(1));
    assert_eq!((seen.len(), seen.result(&request)), (0, None));
}

#[test]
#[should_panic(expected = "a request executes once")]
fn a_request_is_not_marked_twice() {
    let world = world();
    let mut seen = SeenSet::new(&world.chain);
    (0..2).for_each(|_| seen.mark(&request(&world, SECOND, 1), NO_ONE));
}

#[test]
#[should_panic(expected = "a request completes once")]
fn a_request_has_one_result() {
    let world = world();
    let mut seen = SeenSet::new(&world.chain);
    seen.mark(&request(&world, SECOND, 1), NO_ONE);
    (1..3).for_each(|byte| seen.complete(&request(&world, SECOND, 1), NO_ONE, digest(byte)));
}

#[test]
fn a_chunk_of_the_seen_set_that_describes_none_is_refused() {
    let chain = world().chain;
    let chunk = |second: u64, entries: &[(u8, u16)]| {
        let mut chunk = [&[2][..], &second.to_be_bytes()].concat();
        for (id, author) in entries {
            chunk.extend([[*id; 32], [9; 32]].as_flattened());
            chunk.extend(author.to_be_bytes());
        }
        chunk
    };
    let restore = |chunk: Vec<u8>| restored(&chain, &[chunk]).map(|seen| seen.len());
    let last_second = u64::MAX / SECOND;
    assert_eq!(restore(chunk(last_second, &[(1, 0), (2, 3)])), Ok(2));
    let broken = Err(BrokenSnapshot("a segment of the seen set does not decode"));
    assert_eq!(restore(chunk(last_second + 1, &[(1, 0)])), broken, "a second that is none");
    assert_eq!(restore(chunk(1, &[(1, 4)])), broken, "an author beyond the committee");
    assert_eq!(restore(chunk(1, &[(1, 256)])), broken, "an author whose low byte is a member");
    assert_eq!(restore(chunk(1, &[(1, 0), (1, 1)])), broken, "a request twice");
    let whole = chunk(1, &[(1, 0)]);
    assert_eq!(restore(whole[..whole.len() - 1].to_vec()), broken, "half an entry");
}
