//! A bounded queue of frames with one reader: what waits to be sent, and what was received and not taken yet.

use crate::transport::Frame;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How much a lane holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
    room: Room,
    /// Told when there is something to take. Several lanes with the same reader share one.
    filled: Arc<Notify>,
    /// Told when there is room again.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<(Instant, Frame)>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    fn pop(&mut self) -> Option<Frame> {
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

impl Lane {
    pub(super) fn new(room: Room, filled: Arc<Notify>) -> Self {
        Self { queue: Mutex::default(), room, filled, drained: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change is made by a single call that does not panic, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame at the end, or gives it back. A frame larger than the lane is taken when it has the lane to itself:
    /// it could else never pass.
    pub(super) fn try_push(&self, frame: Frame) -> Result<(), Frame> {
        let mut queue = self.lock();
        let has_room = queue.frames.len() < self.room.frames && queue.bytes + frame.len() <= self.room.bytes;
        let is_alone = queue.frames.is_empty();
        if queue.is_closed || !(has_room || is_alone) {
            return Err(frame);
        }
        queue.bytes += frame.len();
        queue.frames.push_back((Instant::now(), frame));
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts a frame at the end as soon as there is room. One task at a time.
    pub(super) async fn push(&self, mut frame: Frame) {
        while let Err(refused) = self.try_push(frame) {
            frame = refused;
            self.drained.notified().await;
        }
    }

    pub(super) fn try_pop(&self) -> Option<Frame> {
        let frame = self.lock().pop()?;
        self.drained.notify_one();
        Some(frame)
    }

    /// Takes at least one frame, and further ones up to a number of bytes. `None` when the lane is closed and empty.
    pub(super) async fn pop_batch(&self, bytes: usize) -> Option<Vec<Frame>> {
        loop {
            let is_closed = {
                let mut queue = self.lock();
                let mut batch = Vec::new();
                let mut taken = 0;
                while let Some(frame) = if taken < bytes { queue.pop() } else { None } {
                    taken += frame.len();
                    batch.push(frame);
                }
                if !batch.is_empty() {
                    self.drained.notify_one();
                    return Some(batch);
                }
                queue.is_closed
            };
            if is_closed {
                return None;
            }
            self.filled.notified().await;
        }
    }

    /// Drops what has waited for longer than `age`, and says how many frames that were.
    pub(super) fn drop_older(&self, age: Duration) -> u64 {
        let mut queue = self.lock();
        let mut dropped = 0;
        while queue.frames.front().is_some_and(|(since, _)| age < since.elapsed()) {
            queue.pop();
            dropped += 1;
        }
        dropped
    }

    /// Takes no more frames. What is there can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(frames: usize, bytes: usize) -> Lane {
        Lane::new(Room { frames, bytes }, Arc::new(Notify::new()))
    }

    fn frame(length: usize) -> Frame {
        vec![0; length].into()
    }

    #[test]
    fn a_full_lane_gives_frames_back_and_takes_a_large_one_alone() {
        let lane = lane(3, 10);
        assert!(lane.try_push(frame(4)).is_ok());
        assert!(lane.try_push(frame(6)).is_ok());
        assert!(lane.try_push(frame(1)).is_err(), "eleven bytes");
        assert!(lane.try_push(frame(0)).is_ok());
        assert!(lane.try_push(frame(0)).is_err(), "four frames");
        while lane.try_pop().is_some() {}
        assert!(lane.try_push(frame(99)).is_ok(), "alone");
        assert!(lane.try_push(frame(1)).is_err());
    }

    #[tokio::test]
    async fn a_batch_ends_when_it_is_large_enough_and_a_closed_lane_is_emptied_first() {
        let lane = lane(9, 99);
        for length in [1, 2, 3] {
            lane.try_push(frame(length)).expect("there is room");
        }
        lane.close();
        assert!(lane.try_push(frame(1)).is_err(), "closed");
        let lengths = |batch: Option<Vec<Frame>>| batch.map(|batch| batch.iter().map(|frame| frame.len()).collect());
        assert_eq!(lengths(lane.pop_batch(3).await), Some(vec![1, 2]));
        assert_eq!(lengths(lane.pop_batch(3).await), Some(vec![3]));
        assert_eq!(lengths(lane.pop_batch(3).await), None);
    }

    #[test]
    fn only_old_frames_are_dropped() {
        let lane = lane(9, 99);
        lane.try_push(frame(5)).expect("there is room");
        assert_eq!(lane.drop_older(Duration::from_secs(3600)), 0);
        assert_eq!(lane.drop_older(Duration::ZERO), 1);
        assert!(lane.try_pop().is_none());
    }
}
