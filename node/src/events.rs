//! A replica's events in a file, for whoever wants to check afterwards what it said and did.
//!
//! ```text
//! file    magic, then frames
//! magic   "cretoai-events" and the version, one byte
//! frame   (length: u32, little-endian; postcard of Stamped: length bytes)
//! ```
//! After a crash the file may end within a frame; opening it again cuts that off and goes on behind it.

use cretoai_core::config::{Chain, ChainId};
use cretoai_core::evidence::Evidence;
use cretoai_core::hash::{Digest, Domain, Hasher};
use cretoai_core::ledger::Verdict;
use cretoai_core::message::Message;
use cretoai_core::outbox::Target;
use cretoai_core::record::Record;
use cretoai_core::reply::Outcome;
use cretoai_core::request::RequestId;
use cretoai_core::time::Instant;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::vertex::VertexId;
use cretoai_runtime::driver::Event;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// What a file begins with. The last byte is the version of the format.
pub const MAGIC: &[u8; 15] = b"cretoai-events\x01";

/// Bytes of a frame, at the most: a message with a state's chunks, and more than that.
const MAX_FRAME: usize = 64 << 20;

/// Events on their way to the file, at the most. Behind that the replica waits: no event is lost.
const QUEUE: usize = 4096;

/// An event with the moment at which it happened on the replica's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// When.
    pub at: Instant,
    /// What.
    pub entry: Entry,
}

/// What happened. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A run begins: of which replica, and where its disk left it.
    Started {
        /// The chain.
        chain: ChainId,
        /// The replica.
        replica: ReplicaId,
        /// The installed view.
        view: View,
        /// The stable checkpoint.
        stable: Slot,
        /// The last slot that its state covers.
        executed: Slot,
    },
    /// A record is durable.
    Recorded(Record),
    /// A message leaves, to one replica or to all others.
    Released(Option<ReplicaId>, Message),
    /// A slot is given to the application.
    Executes {
        /// The slot.
        slot: Slot,
        /// Its effective time.
        time: Instant,
        /// The requests that execute, in order.
        requests: Vec<RequestId>,
        /// The vertices it lists, in order, with their verdicts.
        listed: Vec<(VertexId, Verdict)>,
    },
    /// A transferred state takes the place of the own one.
    Restored(Slot),
    /// Evidence was found.
    Accused(Evidence),
    /// A slot was answered.
    Replied {
        /// The slot.
        slot: Slot,
        /// The root that the replica signed.
        root: Digest,
        /// What became of each request, in order.
        outcomes: Vec<(RequestId, Outcome)>,
    },
    /// The application executed a slot: the hash of all results, one after another, each behind its length.
    Executed(Slot, Digest),
}

impl Entry {
    /// What the file keeps of an event: nothing of steps and of what arrives.
    fn of(event: &Event<'_>, chain: ChainId, replica: ReplicaId) -> Option<Self> {
        Some(match event {
            Event::Recovered(state) => {
                Self::Started { chain, replica, view: state.view(), stable: state.stable(), executed: state.executed() }
            }
            Event::Recorded(record) => Self::Recorded((*record).clone()),
            Event::Released(envelope) => {
                let to = match envelope.to {
                    Target::One(to) => Some(to),
                    Target::All => None,
                };
                Self::Released(to, envelope.message.clone())
            }
            Event::Executes(execution) => Self::Executes {
                slot: execution.slot,
                time: execution.time,
                requests: execution.requests.iter().map(|request| request.id()).collect(),
                listed: execution.listed.iter().map(|(vertex, verdict)| (vertex.id(), *verdict)).collect(),
            },
            Event::Restored(core, _) => Self::Restored(core.slot),
            Event::Accused(evidence) => Self::Accused((*evidence).clone()),
            Event::Executed(slot, results) => {
                let mut hasher = Hasher::new(Domain::Outcome);
                for result in *results {
                    hasher.number(result.0.len() as u64).update(&result.0);
                }
                Self::Executed(*slot, hasher.digest())
            }
            Event::Replied(reply) => Self::Replied {
                slot: reply.signed.body.slot,
                root: reply.signed.body.root,
                outcomes: reply.outcomes.to_vec(),
            },
            Event::Stepped(..) | Event::Received(..) => return None,
        })
    }
}

/// Writes a replica's events, on a thread of its own. Dropping it writes what is queued.
#[derive(Debug)]
pub struct EventLog {
    chain: ChainId,
    replica: ReplicaId,
    frames: Option<SyncSender<Vec<u8>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl EventLog {
    /// Opens a file of events to go on behind its last whole frame, or makes one.
    ///
    /// # Errors
    /// When it cannot be written, or is another kind of file.
    pub fn open(path: &Path, chain: &Chain, replica: ReplicaId) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let end = end_of_frames(&mut file)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        if end == 0 {
            file.write_all(MAGIC)?;
        }
        let (frames, queue) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new().name("events".to_owned()).spawn(move || {
            if let Err(error) = write_all(&queue, file) {
                tracing::error!(%error, "the file of events cannot be written; it ends here");
            }
        })?;
        Ok(Self { chain: chain.id, replica, frames: Some(frames), writer: Mutex::new(Some(writer)) })
    }

    /// Queues an event.
    pub(crate) fn write(&self, at: Instant, event: &Event<'_>) {
        let Some(entry) = Entry::of(event, self.chain, self.replica) else { return };
        let Ok(bytes) = postcard::to_extend(&Stamped { at, entry }, vec![0; 4]) else { return };
        if let Some(frames) = &self.frames {
            // The writer is gone only if the disk failed, which it has told.
            let _ = frames.send(framed(bytes));
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.frames = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

/// Puts the length into the four bytes in front.
fn framed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn write_all(queue: &Receiver<Vec<u8>>, file: File) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, file);
    while let Ok(frame) = queue.recv() {
        out.write_all(&frame)?;
        while let Ok(frame) = queue.try_recv() {
            out.write_all(&frame)?;
        }
        // Nothing more for now: a killed process leaves behind everything up to here.
        out.flush()?;
    }
    out.flush()
}

/// Where the whole frames of a file end; 0 if it is empty, or ends within the magic.
fn end_of_frames(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    if length < magic.len() as u64 {
        return Ok(0);
    }
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(io::Error::other("it is no file of events, or of another version"));
    }
    let mut end = magic.len() as u64;
    let mut head = [0; 4];
    while end + 4 <= length {
        file.seek(SeekFrom::Start(end))?;
        file.read_exact(&mut head)?;
        let next = end + 4 + u64::from(u32::from_le_bytes(head));
        if length < next {
            break;
        }
        end = next;
    }
    Ok(end)
}

/// Reads a file of events. What a crash left of the last frame is skipped.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub fn read(path: &Path) -> io::Result<Vec<Stamped>> {
    let bytes = std::fs::read(path)?;
    let other = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some(mut rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
        return Err(other("it is no file of events, or of another version".to_owned()));
    };
    let mut entries = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if MAX_FRAME < length {
            return Err(other(format!("event {}: {length} bytes long", entries.len())));
        }
        let Some((frame, behind)) = behind.split_at_checked(length) else { break };
        let entry = postcard::from_bytes(frame).map_err(|error| other(format!("event {}: {error}", entries.len())))?;
        entries.push(entry);
        rest = behind;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::config::{Genesis, Scheme};

    fn chain() -> Chain {
        let genesis = Genesis::new("events", Scheme::Simulated, vec![vec![0]; 4]);
        Chain::new(genesis, false).expect("four replicas")
    }

    #[test]
    fn a_file_that_ends_within_a_frame_goes_on_behind_the_last_whole_one() {
        let path = std::env::temp_dir().join(format!("cretoai-events-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let write = |slots: &[u64]| {
            let log = EventLog::open(&path, &chain(), ReplicaId(1)).expect("a writable folder");
            for slot in slots {
                log.write(Instant(*slot), &Event::Executed(Slot(*slot), &[]));
            }
        };
        write(&[1, 2]);
        let whole = std::fs::metadata(&path).expect("it is there").len();
        let file = OpenOptions::new().write(true).open(&path).expect("it is there");
        file.set_len(whole - 1).expect("it shrinks");
        write(&[3]);
        let read: Vec<Entry> =
            read(&path).expect("well-formed").into_iter().map(|Stamped { entry, .. }| entry).collect();
        std::fs::remove_file(&path).expect("it is there");
        let nothing = Hasher::new(Domain::Outcome).digest();
        assert_eq!(read, [Entry::Executed(Slot(1), nothing), Entry::Executed(Slot(3), nothing)]);
    }
}
