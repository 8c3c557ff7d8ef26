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
use cretoai_core::ledger::{Verdict, chunk_hash};
use cretoai_core::message::Message;
use cretoai_core::outbox::Target;
use cretoai_core::record::Record;
use cretoai_core::replica::{Footprint, Replica};
use cretoai_core::reply::Outcome;
use cretoai_core::request::{ClientRequest, RequestId};
use cretoai_core::time::Instant;
use cretoai_core::types::{Lsn, ReplicaId, Slot, View};
use cretoai_core::vertex::VertexId;
use cretoai_runtime::driver::Event;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a file begins with. The last byte is the version of the format.
pub const MAGIC: &[u8; 15] = b"cretoai-events\x01";

/// Bytes of a frame, at the most: a message with a state's chunks, and more than that.
const MAX_FRAME: usize = 64 << 20;

/// Steps from one look at what the replica holds to the next.
const WEIGHED_EVERY: u64 = 64;

/// An event with the moment at which it happened on the replica's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// When.
    pub at: Instant,
    /// What.
    pub entry: Entry,
}

/// Where a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The installed view.
    pub view: View,
    /// The view it wants to enter.
    pub target: Option<View>,
    /// The stable checkpoint.
    pub stable: Slot,
    /// The last slot handed to the application.
    pub executed: Slot,
    /// Whether its state contradicts a certified one.
    pub diverged: bool,
}

impl Place {
    fn of(replica: &Replica) -> Self {
        Self {
            view: replica.view(),
            target: replica.target(),
            stable: replica.stable(),
            executed: replica.executed(),
            diverged: replica.has_diverged(),
        }
    }
}

/// What happened. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A replica that is about to start finds a record on its disk.
    Found(Lsn, Record),
    /// A run begins, after everything that was found.
    Started {
        /// The chain.
        chain: ChainId,
        /// The replica.
        replica: ReplicaId,
        /// Where its disk left it.
        place: Place,
        /// The position of the last record that its disk ever held.
        end: Lsn,
    },
    /// A record is durable.
    Recorded(Lsn, Record),
    /// A message leaves, to one replica or to all others.
    Released(Option<ReplicaId>, Message),
    /// The replica is somewhere else than before.
    Reached(Place),
    /// How much the replica holds.
    Holds(Footprint),
    /// A slot is given to the application.
    Executes {
        /// The slot.
        slot: Slot,
        /// Its effective time.
        time: Instant,
        /// The requests that execute, in order.
        requests: Vec<Arc<ClientRequest>>,
        /// The vertices it lists, in order, with their verdicts.
        listed: Vec<(VertexId, Verdict)>,
    },
    /// A transferred state, with this digest, takes the place of the own one.
    Restored(Slot, Digest),
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
    /// What the file keeps of an event: nothing of what arrives, and of a step or a start what
    /// [`Writer`] makes of it.
    fn of(event: &Event<'_>) -> Option<Self> {
        Some(match event {
            Event::Recorded(lsn, record) => Self::Recorded(*lsn, (*record).clone()),
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
                requests: execution.requests.clone(),
                listed: execution.listed.iter().map(|(vertex, verdict)| (vertex.id(), *verdict)).collect(),
            },
            Event::Restored(core, app) => {
                let hashes = app.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
                Self::Restored(core.slot, core.manifest(hashes).state())
            }
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
            Event::Recovered(..) | Event::Stepped(..) | Event::Received(..) => return None,
        })
    }
}

/// Writes a replica's events. Each is the system's before what it tells of goes on: killing the process loses none.
#[derive(Debug)]
pub struct EventLog {
    chain: ChainId,
    replica: ReplicaId,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// `None` after a failure.
    file: Option<File>,
    place: Option<Place>,
    steps: u64,
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
        let writer = Mutex::new(Writer { file: Some(file), place: None, steps: 0 });
        Ok(Self { chain: chain.id, replica, writer })
    }

    /// Writes an event.
    pub(crate) fn write(&self, at: Instant, event: &Event<'_>) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Recovered(replica, disk) => {
                for (lsn, record) in &disk.records {
                    writer.write(at, Entry::Found(*lsn, record.clone()));
                }
                let (chain, place) = (self.chain, Place::of(replica));
                writer.write(at, Entry::Started { chain, replica: self.replica, place, end: disk.end });
            }
            Event::Stepped(replica, _) => writer.stepped(at, replica),
            event => {
                if let Some(entry) = Entry::of(event) {
                    writer.write(at, entry);
                }
            }
        }
    }
}

impl Writer {
    fn stepped(&mut self, at: Instant, replica: &Replica) {
        let place = Place::of(replica);
        if self.place.replace(place) != Some(place) {
            self.write(at, Entry::Reached(place));
        }
        self.steps += 1;
        if self.steps.is_multiple_of(WEIGHED_EVERY) {
            self.write(at, Entry::Holds(replica.footprint()));
        }
    }

    fn write(&mut self, at: Instant, entry: Entry) {
        let Some(file) = &mut self.file else { return };
        let written = postcard::to_extend(&Stamped { at, entry }, vec![0; 4])
            .map_err(io::Error::other)
            .and_then(|bytes| file.write_all(&framed(bytes)));
        if let Err(error) = written {
            tracing::error!(%error, "the file of events cannot be written; it ends here");
            self.file = None;
        }
    }
}

/// Puts the length into the four bytes in front.
fn framed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
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

/// The events of a file, one after another. What a crash left of the last frame is skipped.
#[derive(Debug)]
pub struct Events {
    file: BufReader<File>,
    count: u64,
}

/// Opens a file of events to read it.
///
/// # Errors
/// When it cannot be read, or is another kind of file.
pub fn read(path: &Path) -> io::Result<Events> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(io::Error::other("it is no file of events, or of another version"));
    }
    Ok(Events { file, count: 0 })
}

impl Events {
    fn next_frame(&mut self) -> io::Result<Stamped> {
        let mut head = [0; 4];
        self.file.read_exact(&mut head)?;
        let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
        let other = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("event {}: {what}", self.count));
        if MAX_FRAME < length {
            return Err(other(format!("{length} bytes long")));
        }
        let mut frame = vec![0; length];
        self.file.read_exact(&mut frame)?;
        let entry = postcard::from_bytes(&frame).map_err(|error| other(error.to_string()))?;
        self.count += 1;
        Ok(entry)
    }
}

impl Iterator for Events {
    type Item = io::Result<Stamped>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_frame() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            other => Some(other),
        }
    }
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
            read(&path).expect("it is there").map(|event| event.expect("well-formed").entry).collect();
        std::fs::remove_file(&path).expect("it is there");
        let nothing = Hasher::new(Domain::Outcome).digest();
        assert_eq!(read, [Entry::Executed(Slot(1), nothing), Entry::Executed(Slot(3), nothing)]);
    }
}
