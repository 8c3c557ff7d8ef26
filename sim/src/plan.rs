//! The fully expanded configuration of one run. A plan is all a run depends on: equal plans give equal runs.
//!
//! Plans are data (JSON or TOML). Every field has a default, that of a small cluster without faults, so a file
//! says only what is different. Units are in the names; times are microseconds of virtual time since the start.

mod behaviour;
mod expect;
mod fault;
mod network;
mod rule;
mod transcript;
mod workload;

pub use behaviour::{
    Behaviour, Byzantine, CheckpointLie, Instead, Mutation, NewViewLie, Origin, ScriptAction, ScriptBatch, ScriptStep,
    TransferLie, VertexFlaw, ViewChangeLie,
};
pub use expect::{Expectation, Metric, SlotContent};
pub use fault::{Boundary, Condition, CrashPoint, Fault, TimedFault, Trigger};
pub use network::{Latency, Link, LinkOverride, Network, Regions};
pub use rule::{KINDS, Kind, MessageRule, RuleAction};
pub use transcript::{Happening, Name, Operation, Step, Transcript, from_hex, to_hex};
pub use workload::{Entry, Load, Submit, Workload};

use cretoai_core::config::{Chain, Config, ConfigError, Genesis, Scheme, Timeouts};
use cretoai_core::time::Duration;
use cretoai_core::types::ReplicaId;
use serde::{Deserialize, Serialize};

/// One run, completely described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// What the run is called in reports.
    pub name: String,
    /// Where all randomness of the run comes from.
    pub seed: u64,
    /// The number of replicas.
    pub n: u16,
    /// Whether `n` below four is accepted, which tolerates no fault.
    pub allow_intolerant: bool,
    /// Slots between checkpoints, `K`.
    pub checkpoint_interval: u64,
    /// Slots between the watermarks, `L`.
    pub window: u64,
    /// Unfinalized vertices per author, `A_max`.
    pub open_vertices: u64,
    /// Entries of the set of executed requests, `SEEN_MAX`.
    pub seen_requests: u64,
    /// How far proposals run ahead of execution, `P`.
    pub pipeline: u64,
    /// The longest time between a request's execution and its expiry.
    pub lifetime_us: u64,
    /// The timeouts of every replica.
    pub timeouts: TimeoutPlan,
    /// Replicas whose timeouts differ.
    pub timeouts_of: Vec<TimeoutsOf>,
    /// The signature scheme.
    pub crypto: Crypto,
    /// Whether clients sign their requests, and the chain demands it.
    pub signed_requests: bool,
    /// Links between replicas, and between clients and replicas.
    pub network: Network,
    /// Clocks that are wrong.
    pub clocks: Vec<Clock>,
    /// What computing costs in virtual time.
    pub cpu: Cpu,
    /// What disks cost and do to what is on them.
    pub disk: Disk,
    /// What clients do.
    pub workload: Workload,
    /// Faults that happen at a time.
    pub faults: Vec<TimedFault>,
    /// Faults that happen when something else does.
    pub triggers: Vec<Trigger>,
    /// Crashes between one effect of a replica and the next.
    pub crash_points: Vec<CrashPoint>,
    /// What happens to single messages, in order: the first rule that matches decides.
    pub rules: Vec<MessageRule>,
    /// The Byzantine replicas.
    pub byzantine: Vec<Byzantine>,
    /// What reached whom, if nothing is to be left to chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// When things calm down, and when the run ends.
    pub phases: Phases,
    /// What must hold at the end, besides the oracles.
    pub expectations: Vec<Expectation>,
    /// Oracles that are switched off, such as `O10`; for runs that go beyond what the protocol promises.
    pub without: Vec<String>,
    /// The oracle that has to fail, such as `O1`: the run passes if it does. For tests of the tests.
    pub must_fail: Option<String>,
    /// Words that must be in what that oracle says; any will do when absent.
    pub must_say: Option<String>,
}

/// The timeouts of a replica (`docs/protocol.md` T2, T16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutPlan {
    /// `T0`.
    pub base_us: u64,
    /// `T_max`.
    pub max_us: u64,
    /// `T_st`.
    pub status_us: u64,
    /// `T_rs`.
    pub retransmit_us: u64,
    /// `PRECISION`.
    pub precision_us: u64,
    /// `MSGDELAY`.
    pub message_delay_us: u64,
}

/// The timeouts of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeoutsOf {
    /// Whose.
    pub replica: u16,
    /// What they are.
    pub timeouts: TimeoutPlan,
}

/// A signature scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crypto {
    /// Tags keyed by secrets of the simulator: as unforgeable as signatures, and a thousand times cheaper.
    #[default]
    Simulated,
    /// Ed25519.
    Ed25519,
    /// ML-DSA-87.
    MlDsa87,
}

/// A clock that is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// Whose.
    pub replica: u16,
    /// By how much it is ahead at the start.
    pub skew_us: i64,
    /// Microseconds it gains in a second.
    pub drift_ppm: i64,
}

/// What computing costs in virtual time. A replica does one thing at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cpu {
    /// For each signature made.
    pub sign_ns: u64,
    /// For each signature checked.
    pub verify_ns: u64,
    /// For each input, besides its signatures.
    pub step_ns: u64,
    /// For the application, for each slot.
    pub execute_slot_ns: u64,
    /// For the application, for each request.
    pub execute_request_ns: u64,
    /// For the application, after a slot at a checkpoint.
    pub snapshot_ns: u64,
}

/// What disks cost, and what they do to what is on them. Rates are per opportunity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// From writing to durable; 0 makes everything durable at once.
    pub sync_us: u64,
    /// Up to this much more, at random.
    pub sync_jitter_us: u64,
    /// How often a crash leaves records of the frame that was being written, instead of none.
    pub keep_unsynced_per_mille: u32,
    /// How often a crash tears the frame that was being written.
    pub torn_per_mille: u32,
    /// How often an fsync fails, which ends the replica.
    pub sync_fails_per_mille: u32,
    /// How many records a disk holds before it is full, which ends the replica; 0 is no limit.
    pub capacity_records: u64,
    /// Whether logs are deleted behind stable checkpoints, as far as the replica says that they are obsolete.
    pub prune: bool,
    /// Whether records go through bytes and back, which costs time; torn and rotten frames need it.
    pub bytes: bool,
}

/// The course of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phases {
    /// Until when anything may happen.
    pub safety_until_us: u64,
    /// What happens then; nothing when absent.
    pub calm: Option<Calm>,
    /// When the run ends at the latest.
    pub end_us: u64,
    /// End as soon as the safety phase is over, and what was submitted has executed at every replica that is
    /// owed progress.
    pub stop_when_done: bool,
    /// How long to go on after that, so that what is under way can still do harm.
    pub linger_us: u64,
}

/// From the end of the safety phase on a quorum of honest replicas is up and connected, and everything else
/// stays as it then is (`docs/protocol.md` O10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calm {
    /// The quorum; chosen by the seed when empty.
    pub core: Vec<u16>,
    /// The greatest delay of a message between its replicas.
    pub delay_us: u64,
    /// Heal everyone, not just the core, as far as replicas are not Byzantine.
    pub heal_all: bool,
    /// Time allowed for a state transfer, `X` in the bound.
    pub transfer_us: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: "plan".to_owned(),
            seed: 0,
            n: 4,
            allow_intolerant: false,
            checkpoint_interval: 32,
            window: 64,
            open_vertices: 8,
            seen_requests: 1 << 21,
            pipeline: 32,
            lifetime_us: 30_000_000,
            timeouts: TimeoutPlan::default(),
            timeouts_of: Vec::new(),
            crypto: Crypto::Simulated,
            signed_requests: false,
            network: Network::default(),
            clocks: Vec::new(),
            cpu: Cpu::default(),
            disk: Disk::default(),
            workload: Workload::default(),
            faults: Vec::new(),
            triggers: Vec::new(),
            crash_points: Vec::new(),
            rules: Vec::new(),
            byzantine: Vec::new(),
            transcript: None,
            phases: Phases::default(),
            expectations: Vec::new(),
            without: Vec::new(),
            must_fail: None,
            must_say: None,
        }
    }
}

impl Default for TimeoutPlan {
    fn default() -> Self {
        Self::from_base(400_000)
    }
}

impl Default for Phases {
    fn default() -> Self {
        Self { safety_until_us: 0, calm: None, end_us: 60_000_000, stop_when_done: true, linger_us: 50_000 }
    }
}

impl Default for Calm {
    fn default() -> Self {
        Self { core: Vec::new(), delay_us: 10_000, heal_all: false, transfer_us: 0 }
    }
}

impl TimeoutPlan {
    /// The default proportions for a base timeout.
    #[must_use]
    pub fn from_base(base_us: u64) -> Self {
        let t = Timeouts::from_base(Duration::from_micros(base_us));
        let us = |span: Duration| span.0 / 1000;
        Self {
            base_us,
            max_us: us(t.max),
            status_us: us(t.status),
            retransmit_us: us(t.retransmit),
            precision_us: us(t.precision),
            message_delay_us: us(t.message_delay),
        }
    }

    /// As the core wants it.
    #[must_use]
    pub fn to_core(self) -> Timeouts {
        Timeouts {
            base: Duration::from_micros(self.base_us),
            max: Duration::from_micros(self.max_us),
            status: Duration::from_micros(self.status_us),
            retransmit: Duration::from_micros(self.retransmit_us),
            precision: Duration::from_micros(self.precision_us),
            message_delay: Duration::from_micros(self.message_delay_us),
        }
    }
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The replicas refuse their configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A field names a replica that is not there.
    #[error("{field} names replica {replica}, and there are {n}")]
    NoSuchReplica {
        /// The field.
        field: &'static str,
        /// What it says.
        replica: u16,
        /// The number of replicas.
        n: u16,
    },
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl Plan {
    /// The parameters of the chain, with these public keys.
    #[must_use]
    pub fn genesis(&self, keys: Vec<Vec<u8>>) -> Genesis {
        let scheme = match self.crypto {
            Crypto::Simulated => Scheme::Simulated,
            Crypto::Ed25519 => Scheme::Ed25519,
            Crypto::MlDsa87 => Scheme::MlDsa87,
        };
        let mut genesis = Genesis::new("simulation", scheme, keys);
        genesis.checkpoint_interval = self.checkpoint_interval;
        genesis.window = self.window;
        genesis.limits.open_vertices = self.open_vertices;
        genesis.limits.lifetime = Duration::from_micros(self.lifetime_us);
        genesis.limits.seen_requests = self.seen_requests;
        genesis.signed_requests = self.signed_requests;
        genesis
    }

    /// The time-outs of one replica.
    #[must_use]
    pub fn timeouts_of(&self, id: ReplicaId) -> TimeoutPlan {
        let own = self.timeouts_of.iter().find(|entry| entry.replica == id.0);
        own.map_or(self.timeouts, |entry| entry.timeouts)
    }

    /// The different time-outs that replicas may have.
    pub fn all_timeouts(&self) -> impl Iterator<Item = &TimeoutPlan> {
        self.timeouts_of.iter().map(|entry| &entry.timeouts).chain([&self.timeouts])
    }

    /// The configuration of one replica.
    #[must_use]
    pub fn config(&self, id: ReplicaId, chain: &Chain) -> Config {
        let mut config = Config::new(id, chain, self.timeouts_of(id).to_core());
        config.pipeline = self.pipeline;
        config
    }

    /// Checks everything that a run relies on.
    ///
    /// # Errors
    /// [`PlanError`] says what is wrong, naming the field.
    pub fn validate(&self) -> Result<(), PlanError> {
        let chain = Chain::new(self.genesis(vec![Vec::new(); usize::from(self.n)]), self.allow_intolerant)?;
        chain.committee.members().try_for_each(|id| self.config(id, &chain).validate(&chain))?;
        self.replicas_named().try_for_each(|(field, replica)| {
            let error = PlanError::NoSuchReplica { field, replica, n: self.n };
            if replica < self.n { Ok(()) } else { Err(error) }
        })?;
        self.network.validate(self.n).map_err(PlanError::Other)?;
        self.workload.validate().map_err(PlanError::Other)?;
        if self.phases.end_us < self.phases.safety_until_us {
            return Err(PlanError::Other("phases.end_us: before phases.safety_until_us".to_owned()));
        }
        self.transcript.as_ref().map_or(Ok(()), Transcript::validate).map_err(PlanError::Other)?;
        let needs_bytes = self.disk.torn_per_mille > 0 || self.all_faults().any(Fault::needs_bytes);
        if needs_bytes && !self.disk.bytes {
            return Err(PlanError::Other("disk.bytes: torn and rotten frames need it".to_owned()));
        }
        Ok(())
    }

    /// Every replica that the plan names, with the field that names it.
    fn replicas_named(&self) -> impl Iterator<Item = (&'static str, u16)> + '_ {
        let timeouts = self.timeouts_of.iter().map(|entry| ("timeouts_of", entry.replica));
        let clocks = self.clocks.iter().map(|clock| ("clocks", clock.replica));
        let byzantine = self.byzantine.iter().map(|entry| ("byzantine", entry.replica));
        let points = self.crash_points.iter().map(|point| ("crash_points", point.replica));
        let core = self.phases.calm.iter().flat_map(|calm| calm.core.iter().map(|id| ("phases.calm.core", *id)));
        let rules = self.rules.iter().flat_map(|rule| rule.from.iter().chain(&rule.to).map(|id| ("rules", *id)));
        let submits = self.workload.scripted.iter().flat_map(|submit| submit.to.iter());
        let submits = submits.map(|id| ("workload.scripted", *id));
        timeouts.chain(clocks).chain(byzantine).chain(points).chain(core).chain(rules).chain(submits)
    }

    /// Every fault that may happen: at a time, when something else does, or as a step of the transcript.
    pub fn all_faults(&self) -> impl Iterator<Item = &Fault> {
        let timed = self.faults.iter().map(|timed| &timed.fault);
        let triggered = self.triggers.iter().flat_map(|trigger| &trigger.then);
        let steps = self.transcript.iter().flat_map(|transcript| &transcript.steps);
        let spelled = steps.filter_map(|step| match &step.what {
            Happening::Fault(fault) => Some(fault),
            _ => None,
        });
        timed.chain(triggered).chain(spelled)
    }

    /// Whether a replica is Byzantine in this plan.
    #[must_use]
    pub fn is_byzantine(&self, id: u16) -> bool {
        self.byzantine.iter().any(|entry| entry.replica == id)
    }
}
