//! The log of records.

use super::super::log::{LogError, Tail, frame, read_frames};
use super::*;

fn voted(slot: u64) -> Record {
    Record::Voted(View(0), Slot(slot), digest(1))
}

/// Frames 7, 8 and 9, with one record, none, and two.
fn three() -> [Vec<u8>; 3] {
    [frame(&[voted(1)], 7), frame(&[], 8), frame(&[voted(2), voted(3)], 9)]
}

#[test]
fn a_log_is_read_back_frame_by_frame() {
    let expected = vec![(7, vec![voted(1)]), (8, vec![]), (9, vec![voted(2), voted(3)])];
    assert_eq!(read_frames(&three().concat()), Ok((expected, Tail::Clean)));
    assert_eq!(read_frames(&[]), Ok((vec![], Tail::Clean)));
}

#[test]
fn a_last_frame_cut_anywhere_is_a_torn_tail() {
    let log = three().concat();
    let whole = log.len() - three()[2].len();
    for end in whole + 1..log.len() {
        let (frames, tail) = read_frames(&log[..end]).unwrap();
        assert_eq!((frames.len(), tail), (2, Tail::Torn(whole)), "cut at {end}");
    }
}

#[test]
fn a_last_frame_with_any_byte_lost_is_a_torn_tail() {
    let log = three().concat();
    let whole = log.len() - three()[2].len();
    for at in whole..log.len() {
        let mut torn = log.clone();
        torn[at] ^= 0x10;
        let (frames, tail) = read_frames(&torn).unwrap();
        assert_eq!((frames.len(), tail), (2, Tail::Torn(whole)), "byte {at}");
    }
}

#[test]
fn a_bad_frame_before_another_one_is_damage() {
    let log = three().concat();
    let next = log.len() - three()[2].len();
    let at = three()[0].len();
    for byte in at..next {
        let mut damaged = log.clone();
        damaged[byte] ^= 0x10;
        assert_eq!(read_frames(&damaged), Err(LogError::Damaged { at, next }), "byte {byte}");
    }
}

#[test]
fn a_bad_frame_is_damage_even_if_the_one_behind_it_is_torn() {
    // The last one was begun, so the one before was durable: cutting there would forget what was promised.
    let mut log = three().concat();
    let (at, next) = (three()[0].len(), log.len() - three()[2].len());
    log[at + 30] ^= 1;
    log.pop();
    assert_eq!(read_frames(&log), Err(LogError::Damaged { at, next }));
}

#[test]
fn a_frame_that_does_not_follow_the_one_before_is_refused() {
    let log = [frame(&[voted(1)], 7), frame(&[voted(2)], 9)].concat();
    let at = frame(&[voted(1)], 7).len();
    assert_eq!(read_frames(&log), Err(LogError::Gap { at, expected: 8, found: 9 }));
    let again = [frame(&[voted(1)], 7), frame(&[voted(1)], 7)].concat();
    assert_eq!(read_frames(&again), Err(LogError::Gap { at, expected: 8, found: 7 }));
}

/// A vertex whose only request has this operation.
fn carrying(op: &[u8]) -> Record {
    let world = World::new(4);
    Record::Vertex(world.sign_vertex(world.vertex(1, op)))
}

#[test]
fn a_client_cannot_plant_a_frame_in_an_operation() {
    let planted = frame(&[voted(66)], 9);
    let log = [frame(&[voted(1)], 7), frame(&[carrying(&planted.repeat(3))], 8)].concat();
    let (frames, _) = read_frames(&log).unwrap();
    assert_eq!(frames[1].1, [carrying(&planted.repeat(3))], "it comes back as it was");
    // Torn in its checksum, it must be cut off and not taken for damage before a good frame.
    let at = frame(&[voted(1)], 7).len();
    let mut torn = log;
    torn[at + 30] ^= 1;
    assert_eq!(read_frames(&torn).map(|(frames, tail)| (frames.len(), tail)), Ok((1, Tail::Torn(at))));
}

proptest! {
    #[test]
    fn operations_full_of_markers_come_back_as_they_were(
        parts in vec(prop_oneof![
            Just(b"\xc7cretoL".to_vec()),
            Just(b"\xc7cretoLg".to_vec()),
            Just(b"\xc7".to_vec()),
            vec(any::<u8>(), 0..3),
            Just(vec![0]),
        ], 0..12),
    ) {
        let record = carrying(&parts.concat());
        let bytes = frame(std::slice::from_ref(&record), 1);
        let markers = bytes.windows(8).filter(|window| window == b"\xc7cretoLg").count();
        prop_assert_eq!(markers, 1);
        prop_assert_eq!(read_frames(&bytes), Ok((vec![(1, vec![record])], Tail::Clean)));
    }

    #[test]
    fn records_of_every_kind_come_back_from_a_log(records in vec(arbitrary::record(), 0..4)) {
        prop_assert_eq!(read_frames(&frame(&records, 3)), Ok((vec![(3, records)], Tail::Clean)));
    }
}
