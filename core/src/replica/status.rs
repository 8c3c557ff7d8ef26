//! The replica's clockwork: deadlines, ticks, and STATUS, which drives every retransmission
//! (`docs/protocol.md` T5 to T15).
//!
//! - Upon a tick: whatever timers are due. A spurious tick does nothing.
//! - Upon a STATUS: send its sender what it lacks, lowest slots first, within bounds.

use super::budget::{self, ANSWER_BYTES, FETCH_BYTES};
use super::catch_up::certificates;
use super::{Replica, earliest};
use crate::config::Timeouts;
use crate::fetch::Until;
use crate::input::Ignored;
use crate::message::{Data, FetchItem, Message, Progress, STATUS_PENDING, STATUS_SLOTS, Signed, Status};
use crate::mutant::Mutant;
use crate::outbox::{Outbox, Target};
use crate::signature::Statement;
use crate::slots::{SlotState, Standing};
use crate::time::{Duration, Instant};
use crate::types::{ReplicaId, Slot};
use crate::vote::Vote;
use std::sync::Arc;

/// When this replica last spoke of its state, and what each peer may still ask for.
#[derive(Debug)]
pub(super) struct StatusState {
    sent_at: Instant,
    /// Since when a proposal, vote or certificate for a slot that is not executed has been known.
    behind_since: Option<Instant>,
    /// The highest slot of which anything is known.
    highest_known: Slot,
    claimed: Claimed,
    answered: Vec<Option<Instant>>,
    quotas: Vec<(Instant, usize)>,
    /// The next vertex to forward, and the state of the pool for which that was computed.
    forward: Option<(u64, Option<Instant>)>,
}

/// What others say of how far they are. A bare claim: it is asked about for a while, and forgotten unless it is made
/// again (T11).
#[derive(Debug, Default)]
struct Claimed {
    /// The highest slot that another replica claims to have executed, within reach of the log.
    slot: Slot,
    /// Since when somebody claims to be ahead.
    since: Instant,
    /// When somebody last did.
    at: Instant,
}

/// For how many periods a claim is asked about: one that is true is made again within ten.
const CLAIM_PERIODS: u64 = 11;

/// What the operator should see though the protocol does nothing about it (T17, T18).
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// Proposals that came when the time for them was half over.
    slow_proposals: u64,
    /// Since when the window has been used up.
    full_since: Option<Instant>,
}

/// Messages in one answer to a STATUS, at the most.
const ANSWER_MESSAGES: usize = 192;

impl StatusState {
    pub(super) fn new(n: u16) -> Self {
        let n = usize::from(n);
        Self {
            sent_at: Instant::GENESIS,
            behind_since: None,
            highest_known: Slot(0),
            claimed: Claimed::default(),
            answered: vec![None; n],
            quotas: vec![(Instant::GENESIS, 0); n],
            forward: None,
        }
    }

    /// Whether a peer may have so many bytes more now (T14).
    pub(super) fn grant(&mut self, peer: ReplicaId, bytes: usize, now: Instant, timeouts: &Timeouts) -> bool {
        let (since, used) = &mut self.quotas[peer.index()];
        if timeouts.status.over(2) <= now.since(*since) {
            (*since, *used) = (now, 0);
        }
        let fits = *used + bytes <= FETCH_BYTES;
        *used += if fits { bytes } else { 0 };
        fits
    }

    pub(super) fn forget_forward_deadline(&mut self) {
        self.forward = None;
    }
}

impl Replica {
    /// When to feed [`Input::Tick`](crate::Input::Tick). May be in the past: then it is due now.
    #[must_use]
    pub fn deadline(&mut self) -> Option<Instant> {
        if self.resuming {
            return Some(self.now);
        }
        let oldest = self.pool.oldest_pending();
        let always = [self.fetches.deadline(), Some(self.status_due(oldest))];
        if !self.may_vote() {
            return earliest(always);
        }
        let (forward, evidence) = (self.forward_deadline(), self.evidence_due());
        let (request, change) = (self.request_due(oldest), self.view_change_due());
        let timers = [request, change, self.change.retransmit_at, forward, evidence];
        earliest([earliest(always), earliest(timers)])
    }

    fn forward_deadline(&mut self) -> Option<Instant> {
        let changes = self.pool.changes();
        match self.status.forward {
            Some((known, deadline)) if known == changes => deadline,
            _ => {
                let deadline = self.next_forward();
                self.status.forward = Some((changes, deadline));
                deadline
            }
        }
    }

    /// `T_req`: a backup waits for the vertex that has been pending for longest (T5, T6).
    fn request_due(&self, oldest: Option<(Instant, Duration)>) -> Option<Instant> {
        if self.target.is_some() || self.is_primary() || self.timers.is_changing_view() || Mutant::NeverSuspects.is_on()
        {
            return None;
        }
        let (since, held_back) = oldest?;
        self.timers.request_due(since, held_back)
    }

    /// A proposal arrives. It is slow if half of the time is over after which its primary would be suspected (T18).
    pub(super) fn note_proposal(&mut self) {
        let half = self.timers.timeout().over(2);
        let Some((since, held_back)) = self.pool.oldest_proposable() else { return };
        if self.now < since + half {
            return;
        }
        let is_slow = self.timers.request_due(since, held_back).is_some_and(|due| due < self.now + half);
        self.alarms.slow_proposals += u64::from(is_slow);
    }

    /// A step is done: is the window used up (T17)?
    pub(super) fn note_window(&mut self) {
        if self.exec() < self.log.high() {
            self.alarms.full_since = None;
        } else {
            self.alarms.full_since.get_or_insert(self.now);
        }
    }

    /// How many proposals of others came so late that half of the time was over after which this replica would have
    /// suspected the primary, since it started (`docs/protocol.md` T18).
    #[must_use]
    pub fn slow_proposals(&self) -> u64 {
        self.alarms.slow_proposals
    }

    /// Whether execution has stood at the high watermark for `T(k)` or longer when the last step was taken: no
    /// checkpoint becomes stable, and a new primary could not help (`docs/protocol.md` T17).
    #[must_use]
    pub fn is_halted_at_high(&self) -> bool {
        self.alarms.full_since.is_some_and(|since| since + self.timers.timeout() <= self.now)
    }

    fn view_change_due(&self) -> Option<Instant> {
        self.timers.view_change_due(self.target.is_none()).filter(|_| !Mutant::NeverGivesUp.is_on())
    }

    fn status_due(&self, oldest: Option<(Instant, Duration)>) -> Instant {
        let (period, sent) = (self.config.timeouts.status, self.status.sent_at);
        let behind = self.status.behind_since.map(|since| since + period.over(2));
        let waiting = oldest.map(|(since, _)| since + period);
        let changing = (self.target.is_some() || self.silent.is_some()).then_some(sent);
        let Claimed { slot, since, at } = self.status.claimed;
        let claimed = Some(since + period.over(2)).filter(|_| self.exec() < slot);
        let claimed = claimed.filter(|due| *due.max(&(sent + period)) <= at + period.times(CLAIM_PERIODS));
        let urgent = earliest([behind, waiting, changing, claimed]).map(|urgent| urgent.max(sent + period));
        urgent.unwrap_or(Instant(u64::MAX)).min(sent + period.times(10))
    }

    pub(super) fn on_tick(&mut self, out: &mut Outbox) -> Result<(), Ignored> {
        if self.fetches.has_room_again() {
            self.on_body(out);
            self.go_on_with_transfer();
        }
        self.fetch_due(out);
        self.forward_due(out);
        self.submit_evidence(out);
        if self.may_vote() {
            self.view_timers_due(out);
        }
        if self.status_due(self.pool.oldest_pending()) <= self.now {
            self.send_status(out);
        }
        Ok(())
    }

    fn view_timers_due(&mut self, out: &mut Outbox) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= self.now);
        if is_due(self.request_due(self.pool.oldest_pending())) {
            self.start_view_change(self.view.next(), out);
        } else if is_due(self.view_change_due()) {
            self.start_view_change(self.target.unwrap_or(self.view).next(), out);
        } else if is_due(self.change.retransmit_at) {
            self.change.retransmit_at = Some(self.now + self.config.timeouts.retransmit);
            if Mutant::NotFrozen.is_on() {
                let fresh = self.target.map(|target| Arc::new(self.view_change_for(target)));
                self.change.own = fresh;
            }
            self.send_own_view_change(out);
        }
    }

    pub(super) fn send_status(&mut self, out: &mut Outbox) {
        self.status.sent_at = self.now;
        let exec = self.exec();
        let last = exec.plus(STATUS_SLOTS).min(self.log.high()).min(self.status.highest_known);
        let progress = |slot: u64| self.log.get(Slot(slot)).map_or(Progress::Nothing, |state| self.progress_of(state));
        let body = Status {
            view: self.view,
            target: self.target,
            stable: self.low(),
            executed: exec,
            progress: (exec.0 + 1..=last.0).map(progress).collect(),
            pending: self.pool.pending().take(STATUS_PENDING).map(|(_, _, id)| *id).collect(),
        };
        let signed = self.sign(body, |body| Statement::Status(body));
        self.send(Target::All, Message::Status(Arc::new(signed)), out);
        self.ask_for_recollections(out);
    }

    fn progress_of(&self, state: &SlotState) -> Progress {
        let prepared = state.prepared.as_ref().is_some_and(|prepared| prepared.claim.view == self.view);
        let accepted = state.proposal.as_ref().is_some_and(|proposal| proposal.standing == Standing::Accepted);
        match (state.committed.is_some(), prepared, accepted) {
            (true, _, _) => Progress::Committed,
            (_, true, _) => Progress::Prepared,
            (_, _, true) => Progress::Accepted,
            _ => Progress::Nothing,
        }
    }

    pub(super) fn on_status(
        &mut self,
        link: ReplicaId,
        status: &Signed<Status>,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let (peer, body) = (status.signer, &status.body);
        // Nobody relays a STATUS: an old one, said again by another, would use up what its signer may ask (T13).
        if link != peer {
            return Err(Ignored::Unasked);
        }
        if Mutant::ViewLearned.is_on() && self.target.is_none() {
            self.view = self.view.max(body.view);
        }
        if self.exec() < body.executed {
            self.note_claim(body.executed);
        }
        let answered = self.status.answered[peer.index()];
        let too_soon = answered.is_some_and(|at| self.now.since(at) < self.config.timeouts.status.over(2));
        if too_soon {
            return Err(Ignored::Full);
        }
        self.status.answered[peer.index()] = Some(self.now);
        for id in body.pending.iter().filter(|id| !self.pool.contains(id)) {
            self.fetches.want(FetchItem::Vertex(*id), peer, Until::AllAsked, self.now);
        }
        let answer = self.answer(body);
        for message in answer.into_iter().filter(|_| !Mutant::StatusUnanswered.is_on()) {
            self.send(Target::One(peer), message, out);
        }
        Ok(())
    }

    /// What a replica with this status lacks (T13), lowest slot first.
    fn answer(&self, status: &Status) -> Vec<Message> {
        let mut answer = Vec::new();
        if status.stable < self.low() {
            answer.extend(self.stable.clone().map(Message::StableCheckpoint));
        }
        let own = self.checkpoints.own.as_ref().filter(|own| status.stable < own.body.slot);
        answer.extend(own.cloned().map(Message::Checkpoint));
        if status.view < self.view && !Mutant::NewViewNotRepeated.is_on() {
            answer.extend(self.new_view.clone().map(Message::NewView));
        }
        answer.extend(self.own_view_change().filter(|_| !Mutant::SentOnce.is_on()).map(Message::ViewChange));
        let first = status.executed.max(self.log.floor()).next();
        let last = status.executed.plus(STATUS_SLOTS).min(self.status.highest_known.max(self.exec()));
        for slot in first.0..=last.0 {
            let Some(state) = self.log.get(Slot(slot)) else { continue };
            // What became known here only now is on its way to everybody anyway (T13).
            let half = self.config.timeouts.status.over(2);
            if state.known_since.is_some_and(|since| self.now.since(since) < half) {
                continue;
            }
            let place = usize::try_from(slot - status.executed.0 - 1).unwrap_or(usize::MAX);
            let progress = status.progress.get(place).copied().unwrap_or(Progress::Nothing);
            self.answer_slot(state, progress, status, &mut answer);
            if ANSWER_MESSAGES <= answer.len() {
                break;
            }
        }
        let signature = self.chain.genesis.scheme.signature_bytes();
        let sizes = answer.iter().scan(0, |sum, message| {
            *sum += budget::size(message, signature);
            Some(*sum)
        });
        let fit = sizes.take_while(|sum| *sum <= ANSWER_BYTES).count();
        answer.truncate(fit.clamp(1, ANSWER_MESSAGES));
        answer
    }

    fn answer_slot(&self, state: &SlotState, progress: Progress, status: &Status, answer: &mut Vec<Message>) {
        if let Some(committed) = &state.committed {
            if progress < Progress::Committed {
                answer.push(certificates(committed.clone()));
                let batch = state.batch(committed.claim.digest).filter(|_| progress == Progress::Nothing);
                answer.extend(batch.map(|batch| Message::Data(Arc::new(Data::Batch(batch.clone())))));
            }
            return;
        }
        if status.view != self.view || progress == Progress::Committed || Mutant::VotesNotRepeated.is_on() {
            return;
        }
        // Having left the view, this replica repeats nothing that it said in it (V1).
        let may_repeat = |vote: &&Signed<Vote>| self.target.is_none() || vote.signer != self.config.id;
        if progress == Progress::Nothing {
            let pre_prepare = state.proposal.as_ref().and_then(|proposal| proposal.pre_prepare.as_ref());
            let pre_prepare = pre_prepare.filter(|message| may_repeat(&&message.vote));
            answer.extend(pre_prepare.cloned().map(Message::PrePrepare));
        }
        if progress < Progress::Prepared {
            match state.prepared.as_ref().filter(|prepared| prepared.claim.view == self.view) {
                Some(prepared) => answer.push(certificates(prepared.clone())),
                None => answer.extend(state.ballot.prepares.votes().filter(may_repeat).cloned().map(Message::Vote)),
            }
        }
        answer.extend(state.ballot.commits.votes().filter(may_repeat).cloned().map(Message::Vote));
    }

    /// Something about a slot is known that this replica has not executed.
    pub(super) fn note_activity(&mut self, slot: Slot) {
        if slot <= self.exec() {
            return;
        }
        self.status.highest_known = self.status.highest_known.max(slot);
        let now = self.now;
        if let Some(state) = self.log.get_mut(slot) {
            state.known_since.get_or_insert(now);
        }
        self.status.behind_since.get_or_insert(now);
    }

    /// Another replica says that it is ahead. A liar costs a few STATUS messages, not more: what is far away is not
    /// waited for, and what is not said again is forgotten.
    fn note_claim(&mut self, slot: Slot) {
        let (now, period) = (self.now, self.config.timeouts.status);
        let slot = slot.min(self.log.end());
        let known = &self.status.claimed;
        let is_open = self.exec() < known.slot && now <= known.at + period.times(CLAIM_PERIODS);
        let (furthest, since) = if is_open { (known.slot, known.since) } else { (Slot(0), now) };
        self.status.claimed = Claimed { slot: furthest.max(slot), since, at: now };
    }

    /// Others are further than this replica's log reaches.
    pub(super) fn note_behind(&mut self) {
        self.status.behind_since.get_or_insert(self.now);
    }

    /// After executing: what is the oldest thing known of a slot that is still to be executed?
    pub(super) fn refresh_activity(&mut self) {
        let mut open = self.exec().next().0..=self.status.highest_known.0;
        let known = open.find_map(|slot| self.log.get(Slot(slot)).and_then(|state| state.known_since));
        let is_behind = self.exec() < self.low();
        self.status.behind_since = known.or(is_behind.then_some(self.now));
        self.status.claimed.since = self.now;
    }
}
