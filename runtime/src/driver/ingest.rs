//! From frames to verified messages, before the replica sees them (`docs/protocol.md` M13, M17, N2).
//!
//! Each peer has a task and a share of the queue of its own: a peer that floods waits for itself. A frame is decoded,
//! and dropped if the replica cannot use it, before a signature is checked.

use super::others;
use crate::env::Env;
use crate::transport::Transport;
use cretoai_core::config::Chain;
use cretoai_core::message::Message;
use cretoai_core::replica::Admission;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::{Verified, Verifier};
use cretoai_core::wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Messages of one peer in the driver's queue, at the most.
const SHARE: usize = 128;

/// A verified message, with its place in its peer's share of the queue.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) from: ReplicaId,
    pub(super) message: Verified<Message>,
    pub(super) place: OwnedSemaphorePermit,
}

/// What became of frames, over all peers.
#[derive(Debug, Default)]
pub struct IngestCounts {
    /// Frames that hold no message.
    pub undecodable: AtomicU64,
    /// Messages that the replica cannot use now.
    pub useless: AtomicU64,
    /// Messages that verification refused.
    pub rejected: AtomicU64,
    /// Messages that reached the replica.
    pub taken: AtomicU64,
}

/// Starts a task for each peer.
pub(super) fn start<E: Env, T: Transport>(
    env: &E,
    chain: &Arc<Chain>,
    me: ReplicaId,
    transport: &Arc<T>,
    verifier: &Arc<Verifier>,
    admission: &watch::Receiver<Admission>,
    counts: &Arc<IngestCounts>,
) -> mpsc::Receiver<Arrival> {
    let peers = others(chain, me);
    let (arrivals, queue) = mpsc::channel(SHARE * usize::from(chain.committee.n()));
    let max_frame = wire::max_frame(chain);
    for from in peers {
        let (transport, verifier) = (Arc::clone(transport), Arc::clone(verifier));
        let (admission, arrivals, counts) = (admission.clone(), arrivals.clone(), Arc::clone(counts));
        let share = Arc::new(Semaphore::new(SHARE));
        env.spawn(async move {
            while let Some(frame) = transport.recv(from).await {
                let Ok(place) = Arc::clone(&share).acquire_owned().await else { return };
                let Ok(message) = wire::decode(&frame, max_frame) else {
                    counts.undecodable.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let is_useful = admission.borrow().admits(&message);
                if !is_useful {
                    counts.useless.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let Ok(message) = verifier.message(message) else {
                    counts.rejected.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                counts.taken.fetch_add(1, Ordering::Relaxed);
                if arrivals.send(Arrival { from, message, place }).await.is_err() {
                    return;
                }
            }
        });
    }
    queue
}
