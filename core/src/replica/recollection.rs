//! After the end of the log was cut off, or with an empty one (`docs/protocol.md` G7, G11 to G13).
//!
//! A bad last frame is taken for a write that a crash tore, on which nothing that left this replica depended. Should
//! it have been durable once, and gone bad since, then this replica may have said more than it remembers. So it says
//! nothing until enough others have told what they hold of it. The same holds for an empty log, which may be all that
//! is left of a longer one.
//!
//! - While silent: ask all for a RECOLLECTION, as often as STATUS is sent.
//! - Upon RECOLLECTIONs of n - f - 1 others that hold nothing beyond the log: go on as after any restart.
//! - Upon a statement of this replica's that is beyond its log: stop for good.

use super::{Halt, Replica};
use crate::committee::singleton;
use crate::input::Ignored;
use crate::message::{FetchItem, MAX_RECOLLECTED_VOTES, Message, Recollection, Signed, ViewChange};
use crate::outbox::{Outbox, Target};
use crate::types::ReplicaId;
use crate::vote::{Phase, Vote};
use std::sync::Arc;

impl Replica {
    /// The driver cut off the end of the log, or has an empty one of which nobody knows whether it is new (G7): this
    /// replica keeps silent until others have told what it said. Where no other has to, it does not.
    /// To be called after [`recover`](Self::recover), before the first step, and again after every restart for as
    /// long as [`is_silent`](Self::is_silent) was true at the end: that is the driver's to remember.
    pub fn distrust_log(&mut self) {
        assert!(self.resuming, "the log is distrusted before the first step");
        self.silent = (0 < self.needed_recollections()).then_some(0);
    }

    /// Whether this replica keeps silent because its log is distrusted.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent.is_some()
    }

    pub(super) fn ask_for_recollections(&mut self, out: &mut Outbox) {
        if self.silent.is_some() {
            self.send(Target::All, Message::Fetch(Arc::new(vec![FetchItem::Recollection])), out);
        }
    }

    /// The newest statements of a replica that are held here. Given in every state, silence included: else a power
    /// loss of all would last for ever.
    pub(super) fn recollection_of(&self, asker: ReplicaId) -> Message {
        let vertices = self.pool.all().map(|held| &held.vertex).filter(|vertex| vertex.author() == asker);
        let new_view = self.new_view.as_ref().map(|new_view| &new_view.signed);
        let ballots = self.log.all().flat_map(|state| [Some(&state.ballot), state.early.as_deref()]).flatten();
        let votes =
            ballots.flat_map(|ballot| [ballot.prepares.vote_of(asker), ballot.commits.vote_of(asker)]).flatten();
        Message::Recollection(Arc::new(Recollection {
            votes: votes.take(MAX_RECOLLECTED_VOTES).cloned().collect(),
            checkpoint: self.checkpoints.newest_of(asker).cloned(),
            view_change: self.change.newest_of(asker).cloned(),
            new_view: new_view.filter(|new_view| new_view.signer == asker).cloned(),
            vertex: vertices.max_by_key(|vertex| vertex.body.height).cloned(),
        }))
    }

    pub(super) fn on_recollection(
        &mut self,
        link: ReplicaId,
        held: &Recollection,
        out: &mut Outbox,
    ) -> Result<(), Ignored> {
        let Some(heard) = self.silent.filter(|_| link != self.config.id) else { return Err(Ignored::Unasked) };
        if self.is_beyond_the_log(held) {
            self.halt(Halt::IdentityLost, out);
            return Err(Ignored::Stopped);
        }
        let heard = heard | singleton(link);
        self.silent = (heard.count_ones() < self.needed_recollections()).then_some(heard);
        if self.silent.is_none() {
            self.speak(out);
        }
        Ok(())
    }

    fn needed_recollections(&self) -> u32 {
        let committee = self.chain.committee;
        u32::from(committee.n() - committee.f() - 1)
    }

    /// Whether some verified statement of this replica's is not on record. A bare claim counts for nothing.
    fn is_beyond_the_log(&self, held: &Recollection) -> bool {
        let me = self.config.id;
        let newest_checkpoint = self.checkpoints.own.as_ref().map(|own| own.body.slot).unwrap_or_default();
        let newest_target = self.view.max(self.target.unwrap_or_default());
        let is_other_view_change = |signed: &Signed<ViewChange>| {
            let own = self.change.own.as_ref().filter(|own| own.signed.body.view == signed.body.view);
            newest_target < signed.body.view || own.is_some_and(|own| own.signed.id() != signed.id())
        };
        held.votes.iter().any(|vote| vote.signer == me && self.is_vote_beyond_the_log(vote))
            || held.checkpoint.iter().any(|vote| vote.signer == me && newest_checkpoint < vote.body.slot)
            || held.view_change.iter().any(|signed| signed.signer == me && is_other_view_change(signed))
            || held.new_view.iter().any(|signed| signed.signer == me && self.view < signed.body.view)
            || held.vertex.iter().any(|vertex| vertex.author() == me && self.authoring.tip.height < vertex.body.height)
    }

    fn is_vote_beyond_the_log(&self, vote: &Signed<Vote>) -> bool {
        let view = vote.body.view;
        let is_beyond = |(slot, digest)| {
            let Some(state) = self.log.get(slot) else { return true };
            let on_record = match vote.body.phase {
                Phase::Prepare => state.voted,
                Phase::Commit => state.prepared.as_ref().map(|prepared| (prepared.claim.view, prepared.claim.digest)),
            };
            on_record.is_none_or(|(at, said)| at < view || (at == view && said != digest))
        };
        vote.body.entries.iter().filter(|(slot, _)| self.low() < *slot).any(is_beyond)
    }
}
