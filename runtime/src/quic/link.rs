//! A connection on which both sides have said hello: a stream for each class in each direction, and frames on them.
//!
//! A stream begins with a byte that names its class. Then come frames, each behind its length in four bytes.

use super::peer::Peer;
use super::stats::Refusal;
use crate::transport::{CLASSES, Class, Frame};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadExactError, RecvStream, VarInt};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// The code of a connection that its owner ends.
pub(super) const CLOSED: VarInt = VarInt::from_u32(0);

/// The code of a connection in whose place a newer one came.
const REPLACED: VarInt = VarInt::from_u32(1);

/// Bytes that a writer takes at once. Small, so that a more urgent class does not wait long for the connection.
const BATCH_BYTES: usize = 64 * 1024;

/// Frames up to this length are copied together; longer ones are shared with whoever else sends them.
const COPY_BYTES: usize = 4 * 1024;

/// A frame up to this length gets its memory at once. A longer one gets it as it comes, so that a length alone costs
/// its sender more than its receiver.
const TRUSTED_BYTES: usize = 64 * 1024;

/// What bounds a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkLimits {
    pub(super) max_frame: usize,
    pub(super) stale_after: Duration,
}

/// What became of a task of a link.
enum End {
    /// The peer said that there is no more to read, and all there was is in the inbox.
    Read,
    /// Nothing more to write, or the connection is gone.
    Over,
}

/// Runs a link until it ends. The newest connection to a peer is the good one, for the peer has the key: an older one
/// is what the peer left behind when it started again.
pub(super) async fn run(peer: Arc<Peer>, connection: Connection, limits: LinkLimits) {
    if let Some(old) = peer.set_link(&connection) {
        old.close(REPLACED, b"replaced");
    }
    let turn = peer.turn.lock().await;
    let stale = peer.outbox.iter().map(|lane| lane.drop_older(limits.stale_after)).sum();
    peer.counters.add(&peer.counters.stale, stale);
    peer.counters.add(&peer.counters.connects, 1);
    if let Err(refusal) = carry(&peer, &connection, limits).await {
        refuse(&peer, &connection, refusal);
    }
    note_end(&peer, &connection);
    peer.clear_link(&connection);
    drop(turn);
    peer.counters.notify();
}

/// Ends a connection and counts why.
pub(super) fn refuse(peer: &Peer, connection: &Connection, refusal: Refusal) {
    connection.close(refusal.code(), refusal.name().as_bytes());
    peer.counters.refused.count(refusal);
}

/// Counts the reason why the other end ended a connection, if it gave one.
pub(super) fn note_end(peer: &Peer, connection: &Connection) {
    let Some(ConnectionError::ApplicationClosed(close)) = connection.close_reason() else { return };
    if let Some(refusal) = Refusal::from_code(close.error_code) {
        peer.counters.refused_by_peer.count(refusal);
    }
}

async fn carry(peer: &Arc<Peer>, connection: &Connection, limits: LinkLimits) -> Result<(), Refusal> {
    let mut tasks = JoinSet::new();
    for class in CLASSES {
        let (peer, connection) = (Arc::clone(peer), connection.clone());
        tasks.spawn(async move {
            write_lane(&peer, class, &connection).await;
            Ok(End::Over)
        });
    }
    let open: Arc<[AtomicBool; CLASSES.len()]> = Arc::default();
    let mut read = 0;
    let end = loop {
        tokio::select! {
            stream = connection.accept_uni() => {
                let Ok(stream) = stream else { break Ok(()) };
                let (peer, open) = (Arc::clone(peer), Arc::clone(&open));
                tasks.spawn(async move { read_lane(&peer, &open, stream, limits.max_frame).await });
            }
            Some(end) = tasks.join_next() => match end {
                Ok(Ok(End::Read)) => read += 1,
                Ok(Ok(End::Over)) | Err(_) => {}
                Ok(Err(refusal)) => break Err(refusal),
            }
        }
        // Who closes waits for this: that data arrived does not say that it was read.
        if read == CLASSES.len() {
            connection.close(CLOSED, b"closed");
        }
    };
    // Nobody may take frames for a connection that is gone.
    tasks.shutdown().await;
    end
}

/// Sends what is in the lane of a class, until the lane is closed. `None` when the connection ends before.
async fn write_lane(peer: &Peer, class: Class, connection: &Connection) -> Option<()> {
    let mut stream = connection.open_uni().await.ok()?;
    // QUIC sends the stream with the highest number first.
    stream.set_priority(-(class as i32)).ok()?;
    stream.write_all(&[class as u8]).await.ok()?;
    while let Some(batch) = peer.outbox[class as usize].pop_batch(BATCH_BYTES).await {
        stream.write_all_chunks(&mut chunks(&batch)).await.ok()?;
        batch.iter().for_each(|frame| peer.counters.sent(class, frame.len()));
    }
    stream.finish().ok()
}

/// Frames with their lengths, the small ones joined.
fn chunks(batch: &[Frame]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut joined = Vec::new();
    for frame in batch {
        let length = u32::try_from(frame.len()).expect("a frame is no longer than the largest message");
        joined.extend_from_slice(&length.to_be_bytes());
        if frame.len() <= COPY_BYTES {
            joined.extend_from_slice(frame);
            continue;
        }
        chunks.push(Bytes::from(std::mem::take(&mut joined)));
        chunks.push(Bytes::from_owner(Arc::clone(frame)));
    }
    if !joined.is_empty() {
        chunks.push(Bytes::from(joined));
    }
    chunks
}

async fn read_lane(
    peer: &Peer,
    open: &[AtomicBool; CLASSES.len()],
    mut stream: RecvStream,
    max_frame: usize,
) -> Result<End, Refusal> {
    let mut tag = [0; 1];
    if stream.read_exact(&mut tag).await.is_err() {
        return Ok(End::Over);
    }
    let class = *CLASSES.get(usize::from(tag[0])).ok_or(Refusal::Stream)?;
    if open[class as usize].swap(true, Ordering::Relaxed) {
        return Err(Refusal::Stream);
    }
    loop {
        let mut length = [0; 4];
        match stream.read_exact(&mut length).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(0)) => return Ok(End::Read),
            Err(_) => return Ok(End::Over),
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if max_frame < length {
            return Err(Refusal::Oversize);
        }
        peer.admit(class, length).await;
        let Some(frame) = read_frame(&mut stream, length).await else { return Ok(End::Over) };
        peer.inbox[class as usize].push(frame).await;
        peer.counters.received(class, length);
    }
}

async fn read_frame(stream: &mut RecvStream, length: usize) -> Option<Frame> {
    if length <= TRUSTED_BYTES {
        let mut frame: Frame = iter::repeat_n(0, length).collect();
        stream.read_exact(Arc::get_mut(&mut frame)?).await.ok()?;
        return Some(frame);
    }
    let mut bytes = Vec::with_capacity(TRUSTED_BYTES);
    while bytes.len() < length {
        let chunk = stream.read_chunk(length - bytes.len(), true).await.ok()??;
        bytes.extend_from_slice(&chunk.bytes);
    }
    Some(bytes.into())
}
