//! Byzantine replicas. Each kind is a file.
//!
//! An adversary sees what reaches its replica, and says what it likes to whom it likes, but it owns one key only: what
//! it says in another's name nobody accepts. Most adversaries keep a complete, honest replica (a *puppet*) for the
//! parts of the protocol that they do not care to break, and stand between it and the network.

mod checkpoint_liar;
mod craft;
mod dag_liar;
mod double_voter;
mod equivocator;
mod false_accuser;
mod gatekeeper;
mod impostor;
mod mutator;
mod new_view_liar;
mod replayer;
mod script;
mod silent;
mod slow_primary;
mod small_scope;
mod spammer;
mod time_liar;
mod transfer_liar;
mod true_accuser;
mod twin;
mod view_change_liar;

use crate::crypto::{Elsewhere, Pen};
use crate::guest::MakeAdversary;
use crate::plan::Behaviour;
use crate::rng::Rng;
use crate::workload::Clients;
use cretoai_core::committee::{Committee, ReplicaSet};
use cretoai_core::config::Chain;
use cretoai_core::message::{Message, Signed};
use cretoai_core::outbox::{Envelope, Target};
use cretoai_core::request::ClientRequest;
use cretoai_core::signature::Statement;
use cretoai_core::time::Instant;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verified;
use std::fmt::Debug;
use std::sync::Arc;

/// One Byzantine replica.
///
/// Write your own by implementing what it does differently, give it to a [`World`](crate::world::World) by a name, and
/// name it in a plan with [`Behaviour::Own`].
pub trait Adversary: Debug {
    /// How many honest replicas it keeps, all with its key.
    fn puppets(&self) -> usize {
        1
    }

    /// The run begins.
    fn start(&mut self, _stage: &mut Stage<'_>) {}

    /// A message arrived. Which of its puppets are to see it, as a bit set.
    fn receives(&mut self, _stage: &mut Stage<'_>, _from: ReplicaId, _message: &Verified<Message>) -> u32 {
        u32::MAX
    }

    /// A request of a client arrived. Which of its puppets are to see it, as a bit set.
    fn requested(&mut self, _stage: &mut Stage<'_>, _client: u32, _request: &ClientRequest) -> u32 {
        u32::MAX
    }

    /// A puppet wants to send something.
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        stage.say(whole(envelope.to), envelope.message);
    }

    /// A time that it asked for has come.
    fn wakes(&mut self, _stage: &mut Stage<'_>) {}
}

/// What an adversary knows and can do.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Which replica it is.
    pub id: ReplicaId,
    /// True time, in nanoseconds.
    pub now: u64,
    /// What its clock shows.
    pub time: Instant,
    /// The chain.
    pub chain: &'a Arc<Chain>,
    /// Its key.
    pub signer: &'a dyn Pen,
    /// What all of them sign with the same keys in another chain, and in another epoch.
    pub elsewhere: Elsewhere<'a>,
    /// The clients, who do not hide what is theirs.
    pub clients: &'a Clients,
    /// Its dice.
    pub rng: &'a mut Rng,
    /// What it says.
    pub says: Vec<Saying>,
    /// When it wants to be woken.
    pub wakes: Vec<u64>,
    /// Whether its puppet loses memory and disk.
    pub forgets: bool,
}

/// Something an adversary says.
#[derive(Debug)]
pub struct Saying {
    /// To whom.
    pub to: ReplicaSet,
    /// When it leaves, in nanoseconds from now.
    pub delay: u64,
    /// What.
    pub message: Message,
}

impl Stage<'_> {
    /// Says something to some replicas.
    pub fn say(&mut self, to: ReplicaSet, message: Message) {
        self.says.push(Saying { to, delay: 0, message });
    }

    /// Says something later.
    pub fn say_later(&mut self, to: ReplicaSet, delay: u64, message: Message) {
        self.says.push(Saying { to, delay, message });
    }

    /// Signs a statement with its key.
    pub fn sign<T>(&self, body: T, statement: impl FnOnce(&T) -> Statement<'_>) -> Signed<T> {
        let signature = self.signer.sign(statement(&body));
        Signed { signer: self.id, body, signature }
    }

    /// The committee.
    #[must_use]
    pub fn committee(&self) -> Committee {
        self.chain.committee
    }

    /// All others.
    #[must_use]
    pub fn others(&self) -> ReplicaSet {
        let n = self.committee().n();
        let all = if n == 128 { ReplicaSet::MAX } else { (1 << n) - 1 };
        all & !(1 << self.id.0)
    }

    /// A random part of the others, each with the same chance.
    pub fn some_others(&mut self) -> ReplicaSet {
        let bits = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        self.others() & bits
    }
}

/// The receivers that an address means.
#[must_use]
pub fn whole(to: Target) -> ReplicaSet {
    match to {
        Target::All => ReplicaSet::MAX,
        Target::One(id) => 1 << id.0,
    }
}

/// The adversary that behaves so; `cast` has those that are not of this crate.
///
/// # Panics
/// When the behaviour is that of an adversary which `cast` lacks.
#[must_use]
pub fn new(behaviour: &Behaviour, cast: &[(String, MakeAdversary)]) -> Box<dyn Adversary> {
    match behaviour {
        Behaviour::Silent => Box::new(silent::Silent::from_start()),
        Behaviour::CrashStop { at_us } => Box::new(silent::Silent::from(*at_us)),
        Behaviour::EquivocatingPrimary { per_mille, half } => Box::new(equivocator::Equivocator::new(*per_mille, half)),
        Behaviour::DoubleVoter => Box::new(double_voter::DoubleVoter::default()),
        Behaviour::Twin { by_view, .. } if !by_view.is_empty() => Box::new(twin::TwinByView::new(by_view)),
        Behaviour::Twin { first, change_every_us, turns, both_per_mille, .. } => {
            Box::new(twin::Twin::new(first, *change_every_us, turns, *both_per_mille))
        }
        Behaviour::Delayer { kinds, delay_us, jitter_us } => {
            Box::new(gatekeeper::Delayer::new(kinds, *delay_us, *jitter_us))
        }
        Behaviour::Mutator { per_mille, limit, kinds } => Box::new(mutator::Mutator::new(*per_mille, *limit, kinds)),
        Behaviour::Withholder { kinds, from } => Box::new(gatekeeper::Withholder::new(kinds, from)),
        Behaviour::SmallScope { mutations } => Box::new(small_scope::SmallScope::new(mutations)),
        Behaviour::SlowPrimary { pause_us } => Box::new(slow_primary::SlowPrimary::new(*pause_us)),
        Behaviour::Censor { authors, clients } => Box::new(gatekeeper::Censor::new(authors, clients)),
        Behaviour::TimeLiar { offset_us, hidden } => Box::new(time_liar::TimeLiar::new(*offset_us, *hidden)),
        Behaviour::NewViewLiar { lie } => Box::new(new_view_liar::NewViewLiar::new(*lie)),
        Behaviour::ViewChangeLiar { lie, null } => Box::new(view_change_liar::ViewChangeLiar::new(*lie, *null)),
        Behaviour::CheckpointLiar { lie } => Box::new(checkpoint_liar::CheckpointLiar::new(*lie)),
        Behaviour::TransferLiar { lie } => Box::new(transfer_liar::TransferLiar::new(*lie)),
        Behaviour::ViewSpammer { period_us } => Box::new(spammer::ViewSpammer::new(*period_us)),
        Behaviour::Flooder { per_second, to, kinds, forged_per_mille } => {
            Box::new(spammer::Flooder::new(*per_second, to, kinds, *forged_per_mille))
        }
        Behaviour::Replayer { per_mille, delay_us, memory, moved } => {
            Box::new(replayer::Replayer::new(*per_mille, *delay_us, *memory, moved))
        }
        Behaviour::Forger { per_mille } => Box::new(spammer::Forger::new(*per_mille)),
        Behaviour::FalseAccuser { period_us } => Box::new(false_accuser::FalseAccuser::new(*period_us)),
        Behaviour::TrueAccuser { period_us } => Box::new(true_accuser::TrueAccuser::new(*period_us)),
        Behaviour::Impostor { per_mille } => Box::new(impostor::Impostor::new(*per_mille)),
        Behaviour::DagLiar { per_mille } => Box::new(dag_liar::DagLiar::new(*per_mille)),
        Behaviour::Amnesiac { at_us } => Box::new(gatekeeper::Amnesiac::new(at_us)),
        Behaviour::Own { name } => {
            let made = cast.iter().find(|(known, _)| known == name).map(|(_, make)| make());
            made.unwrap_or_else(|| panic!("no adversary `{name}` was given to this world"))
        }
        Behaviour::Script { steps, batches, honest } => Box::new(script::Script::new(steps, batches, *honest)),
    }
}
