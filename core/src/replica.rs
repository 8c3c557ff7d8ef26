//! The replica: its state, its one entry point, and what may be observed of it (`docs/protocol.md` A9, A11).
//!
//! Each phase of the protocol is a file of its own below this one. A handler's shape is always the same: guards
//! first, each naming its rule by the [`Ignored`] it returns; then the rule.

mod admission;
mod authoring;
mod budget;
mod catch_up;
mod checkpoint;
mod essence;
mod evidence;
mod execution;
mod new_view;
mod normal;
mod observe;
mod primary;
mod recollection;
mod recovery;
mod release;
mod status;
mod transfer;
mod view_change;

#[cfg(test)]
mod tests;

pub use admission::Admission;
pub use essence::Essence;
pub use observe::Footprint;
pub use recovery::{OwnSnapshot, RecoverError};

use crate::checkpoint::CheckpointCertificate;
use crate::committee::ReplicaSet;
use crate::config::{Chain, Config};
use crate::evidence::{Accusation, EvidenceStore};
use crate::fetch::FetchTable;
use crate::hash::Digest;
use crate::input::{Ignored, Input};
use crate::ledger::Ledger;
use crate::message::{Message, NewViewMessage, Signed};
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::pool::{Now, Pool};
use crate::record::Record;
use crate::signature::{Signer, Statement};
use crate::slots::SlotLog;
use crate::time::Instant;
use crate::timers::Timers;
use crate::types::{ReplicaId, Slot, View};
use crate::verify::Verified;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One replica of the protocol, without any I/O.
///
/// Driven by [`step`](Self::step) and [`deadline`](Self::deadline) alone. Several steps may be taken before the
/// outbox is drained; that is how a driver commits groups of records at once.
#[derive(Debug)]
pub struct Replica {
    chain: Arc<Chain>,
    config: Config,
    signer: Box<dyn Signer>,
    now: Instant,

    /// The installed view.
    view: View,
    /// The view this replica wants to enter: it has left the installed one for good (`docs/protocol.md` V1).
    target: Option<View>,
    /// The NEW-VIEW of the installed view; none in view 0.
    new_view: Option<Arc<NewViewMessage>>,
    /// The last slot that the NEW-VIEW proposes.
    new_view_end: Slot,
    change: view_change::ViewChangeState,

    /// The slots around the watermarks.
    log: SlotLog,
    /// Proof of the low watermark, and of the stable checkpoint before it.
    stable: Option<Arc<CheckpointCertificate>>,
    previous_stable: Option<Arc<CheckpointCertificate>>,
    checkpoints: checkpoint::Checkpoints,

    /// The replicated state after the last executed slot.
    ledger: Ledger,
    execution: execution::ExecutionState,
    transfer: Option<transfer::Transfer>,

    pool: Pool,
    authoring: authoring::Authoring,
    fetches: FetchTable,
    /// Slots that wait for a body.
    waiting: BTreeSet<Slot>,
    /// The last slot that this replica proposed as the primary of the installed view.
    proposed: Slot,

    timers: Timers,
    alarms: status::Alarms,
    status: status::StatusState,
    evidence: EvidenceStore,
    /// When each piece of evidence is to be put into a vertex of this replica's, unless it has counted by then.
    accusations: BTreeMap<Accusation, Instant>,
    /// Why this replica stopped for good.
    halted: Option<Halt>,
    /// After a restart: what must go out again with the first tick.
    resuming: bool,
    /// After a cut of the log: who has told what it holds of this replica's, while that is too few.
    silent: Option<ReplicaSet>,
}

/// The fault assumption is broken, or a rule was that nothing but this replica's own fault can break. It votes no
/// more, executes no more, and serves what it has (`docs/protocol.md` X10, X11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    /// Two certificates decide one slot differently.
    ContradictingCommits(Slot),
    /// A valid NEW-VIEW leaves out what was decided in an earlier view.
    ContradictingNewView(Slot),
    /// Two certificates give one checkpoint different states.
    ContradictingCheckpoints(Slot),
    /// A certified state cannot be read.
    UnreadableState(Slot),
    /// This replica said what its log does not hold: it has lost its identity (`docs/protocol.md` G13).
    IdentityLost,
    /// A slot finalized proof against more replicas than may be faulty (`docs/protocol.md` X16).
    TooManyFaulty(Slot),
}

impl Replica {
    /// A replica at genesis.
    ///
    /// # Panics
    /// When the configuration does not suit the chain; [`Config::validate`] tells.
    #[must_use]
    pub fn new(chain: Arc<Chain>, config: Config, signer: Box<dyn Signer>) -> Self {
        if let Err(error) = config.validate(&chain) {
            panic!("an invalid configuration reached the replica: {error}");
        }
        let n = chain.committee.n();
        let retry = config.timeouts.status.over(2);
        Self {
            now: Instant::GENESIS,
            view: View(0),
            target: None,
            new_view: None,
            new_view_end: Slot(0),
            change: view_change::ViewChangeState::new(n),
            log: SlotLog::new(chain.checkpoint_interval(), chain.window()),
            stable: None,
            previous_stable: None,
            checkpoints: checkpoint::Checkpoints::new(n),
            ledger: Ledger::new(chain.clone()),
            execution: execution::ExecutionState::default(),
            transfer: None,
            pool: Pool::new(config.id, n, chain.genesis.limits.open_vertices),
            authoring: authoring::Authoring::new(&chain),
            fetches: FetchTable::new(config.id, n, retry),
            waiting: BTreeSet::new(),
            proposed: Slot(0),
            timers: Timers::new(config.timeouts, Instant::GENESIS),
            alarms: status::Alarms::default(),
            status: status::StatusState::new(n),
            evidence: EvidenceStore::default(),
            accusations: BTreeMap::new(),
            halted: None,
            resuming: true,
            silent: None,
            chain,
            config,
            signer,
        }
    }

    /// Takes one input. Never blocks, never fails: [`Ignored`] says which rule made the input moot.
    ///
    /// # Errors
    /// [`Ignored`] if the input changed nothing that matters to the protocol.
    ///
    /// # Panics
    /// When an invariant of this replica is broken, or the driver breaks the contract: the completion of work that was
    /// not given out, or out of order. Never because of what a peer or a client sends.
    pub fn step(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) -> Result<(), Ignored> {
        // A clock that is set back stands still until it has caught up (T1).
        let now = now.max(self.now);
        self.now = now;
        if self.resuming {
            self.resume(out);
        }
        let done = match input {
            Input::Message(link, message) => self.on_message(link, message, out),
            Input::Tick => self.on_tick(out),
            Input::Requests(requests) => self.on_requests(requests, out),
            Input::Executed(slot, results) => self.on_executed(slot, results, out),
            Input::SnapshotDurable(slot, chunks) => self.on_snapshot_durable(slot, chunks, out),
        };
        if self.ledger.standings().banned() != 0 {
            self.leave_banned_primary(out);
        }
        self.timers.hold(self.waits_for_itself() && !Mutant::NotHeldBack.is_on(), now);
        self.note_window();
        done
    }

    fn on_message(&mut self, link: ReplicaId, message: &Verified<Message>, out: &mut Outbox) -> Result<(), Ignored> {
        // What this replica said it knows; what others make it say with its key it must not repeat (M15).
        if message.get().speaker() == Some(self.config.id) {
            return Err(Ignored::Duplicate);
        }
        match message.get() {
            Message::Vertex(vertex) => self.on_vertex(vertex, out),
            Message::PrePrepare(pre_prepare) => self.on_pre_prepare(pre_prepare, out),
            Message::Vote(vote) => self.on_vote(vote, out),
            Message::Checkpoint(vote) => self.on_checkpoint(vote, out),
            Message::ViewChange(message) => self.on_view_change(message, out),
            Message::NewView(message) => self.on_new_view(message, out),
            Message::Status(status) => self.on_status(link, status, out),
            Message::Certificates(set) => self.on_certificates(&set.0, out),
            Message::StableCheckpoint(certificate) => self.on_stable_checkpoint(certificate, out),
            Message::Fetch(items) => self.on_fetch(link, items, out),
            Message::Data(data) => self.on_data(data, out),
            Message::Recollection(held) => self.on_recollection(link, held, out),
        }
    }

    /// This replica's id.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.config.id
    }

    fn is_primary(&self) -> bool {
        self.chain.committee.primary(self.view) == self.config.id
    }

    /// In the installed view and allowed to vote in it.
    fn is_active(&self) -> bool {
        !self.has_left_view() && self.may_vote()
    }

    /// Whether this replica left the installed view, and says nothing in it any more (`docs/protocol.md` V1).
    fn has_left_view(&self) -> bool {
        self.target.is_some() && !Mutant::VotesAfterLeaving.is_on()
    }

    /// Whether this replica may sign votes and proposals at all: it neither halted nor lost its state, and knows
    /// what it said.
    fn may_vote(&self) -> bool {
        self.halted.is_none() && !self.execution.diverged && self.silent.is_none()
    }

    /// The low watermark `h`.
    fn low(&self) -> Slot {
        self.log.low()
    }

    /// The last slot handed to the application.
    fn exec(&self) -> Slot {
        self.ledger.slot()
    }

    /// The state digest at the low watermark.
    fn low_state(&self) -> Digest {
        self.stable.as_ref().map_or(self.chain.id, |certificate| certificate.vote.state)
    }

    fn moment(&self) -> Now {
        Now { at: self.now, held_back: self.timers.held_back(self.now) }
    }

    fn sign<T>(&self, body: T, statement: impl FnOnce(&T) -> Statement<'_>) -> Signed<T> {
        let signature = self.signer.sign(statement(&body));
        Signed { signer: self.config.id, body, signature }
    }

    /// Whether the next step towards execution is this replica's own: a decided slot or a certified checkpoint is
    /// waiting here, or the window is used up. A new primary could not help (`docs/protocol.md` T7).
    fn waits_for_itself(&self) -> bool {
        let exec = self.exec();
        let decided = |slot: Slot| self.log.get(slot).is_some_and(|state| state.committed.is_some());
        exec < self.low() || self.log.high() <= exec || decided(exec.next())
    }

    fn halt(&mut self, halt: Halt, out: &mut Outbox) {
        if self.halted.is_none() {
            self.halted = Some(halt);
            self.transfer = None;
            out.persist(Record::Halted(halt));
        }
    }
}

/// One of several witnesses, another one for each slot, so that the load is spread.
fn pick<T>(witnesses: &[T], slot: Slot) -> &T {
    let at = slot.0 % witnesses.len() as u64;
    &witnesses[usize::try_from(at).expect("below the length")]
}

/// The oldest of several moments. The end of time never comes. It is asked after every step, so it is one loop
/// without branches.
fn earliest<const N: usize>(moments: [Option<Instant>; N]) -> Option<Instant> {
    let first = moments.iter().fold(u64::MAX, |first, moment| moment.map_or(u64::MAX, |at| at.0).min(first));
    (first < u64::MAX).then_some(Instant(first))
}
