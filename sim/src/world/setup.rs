//! How a run begins.

use super::{End, Names, Prompter, Run, Scratch, Seat, World};
use crate::clock::Clock;
use crate::crypto::{Keys, Witness};
use crate::disk::Disk;
use crate::guest::Guest;
use crate::host::{Host, Mode};
use crate::network::Network;
use crate::oracles::Oracles;
use crate::plan::{Fault, Plan};
use crate::probes::Probes;
use crate::rng::{Concern, Rng};
use crate::schedule::{Due, Slab};
use crate::tallies::Tallies;
use crate::triggers::Triggers;
use crate::workload::Clients;
use crate::{adversary, plan};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::config::Chain;
use cretoai_core::outbox::Outbox;
use cretoai_core::replica::Replica;
use cretoai_core::signature::Signer;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::Verifier;
use std::sync::Arc;

/// Whether any replica may come back from its disk in a plan.
fn reads_disks(plan: &Plan) -> bool {
    let restarts = |fault: &Fault| matches!(fault, Fault::Restart { .. } | Fault::PowerLoss { .. });
    let points = plan.crash_points.iter().any(|point| point.restart_after_us.is_some());
    // A calm phase brings back whoever of its core is down.
    let crashes = plan.all_faults().any(|fault| matches!(fault, Fault::Crash { .. }));
    plan.all_faults().any(restarts) || points || crashes && plan.phases.calm.is_some()
}

/// Whether any clock may be set, so that nobody knows from what it shows how old something is.
fn sets_clocks(plan: &Plan) -> bool {
    plan.all_faults().any(|fault| matches!(fault, Fault::SetClock { .. }))
}

/// Replicas that keep the protocol's promises: neither Byzantine nor robbed of their disks.
fn honest(plan: &Plan) -> ReplicaSet {
    let wiped = |fault: &Fault| match fault {
        Fault::Wipe { replica } | Fault::RotEnd { replica } => Some(*replica),
        _ => None,
    };
    let wiped = plan.all_faults().filter_map(wiped);
    let byzantine = plan.byzantine.iter().map(|entry| entry.replica);
    let all = if plan.n == 128 { ReplicaSet::MAX } else { (1 << plan.n) - 1 };
    wiped.chain(byzantine).fold(all, |set, id| set & !(1 << id))
}

/// Replicas that run the program and nothing else.
fn following(plan: &Plan) -> ReplicaSet {
    (0..plan.n).filter(|id| !plan.is_byzantine(*id)).fold(0, |set, id| set | 1 << id)
}

impl<'a> Run<'a> {
    pub(super) fn new(plan: &'a Plan, world: &mut World) -> Self {
        let keys = Keys::new(plan.crypto, plan.seed, plan.n);
        let chain = Chain::new(plan.genesis(keys.public.clone()), plan.allow_intolerant);
        let chain = Arc::new(chain.expect("the plan was validated"));
        let signatures = keys.verifier(chain.id);
        let honest = honest(plan);
        let witness = Witness::default();
        let checks = match plan.transcript {
            Some(_) => witness.verifier(Arc::clone(&signatures), following(plan)),
            None => Arc::clone(&signatures),
        };
        let rng = |concern| Rng::new(plan.seed, concern);
        let mut schedule = std::mem::take(&mut world.schedule);
        schedule.reset(plan.network.shuffle.then(|| rng(Concern::Order)));
        let mut mail = std::mem::take(&mut world.mail);
        mail.clear();
        let mut facts = std::mem::take(&mut world.facts);
        facts.reset(plan.n);
        let mut observer = std::mem::take(&mut world.observer);
        observer.reset(plan.seed);
        let cpu = plan.cpu;
        Self {
            plan,
            verifier: Verifier::new(Arc::clone(&chain), checks),
            oracles: Oracles::new(&chain, &signatures, honest, &plan.without),
            now: 0,
            end: End::Open,
            ends_at: plan.phases.end_us.saturating_mul(1000),
            schedule,
            mail,
            serial: 0,
            network: Network::new(plan),
            hosts: Vec::new(),
            seats: Vec::new(),
            honest,
            core: None,
            healed: 0,
            names: Names::default(),
            scribe: None,
            prompter: plan.transcript.as_ref().map(Prompter::new),
            witness,
            clients: Clients::new(plan.seed, chain.committee.weak_quorum()).asking_for(world.guests.operation.clone()),
            guests: world.guests.clone(),
            executions: Vec::new(),
            client_events: Slab::default(),
            faults: Slab::default(),
            returning: 0,
            triggers: Triggers::new(&plan.triggers),
            facts,
            observer,
            tallies: Tallies::new(&plan.expectations),
            probes: Probes::default(),
            disk_rng: rng(Concern::Disk),
            fault_rng: rng(Concern::Faults),
            adversary_rng: rng(Concern::Adversary),
            has_cpu_costs: cpu.sign_ns > 0 || cpu.verify_ns > 0 || cpu.step_ns > 0,
            sets_clocks: sets_clocks(plan),
            scratch: Scratch::default(),
            keys,
            chain,
        }
    }

    fn clock(&self, id: ReplicaId) -> Clock {
        let clock = self.plan.clocks.iter().find(|clock| clock.replica == id.0);
        clock.map_or_else(Clock::default, |clock| Clock::new(clock.skew_us, clock.drift_ppm))
    }

    /// Sets everything up that needs more than the plan.
    pub(super) fn begin(&mut self) {
        let is_read = reads_disks(self.plan);
        for id in self.chain.committee.members() {
            let disk = Disk::new(self.plan.disk, is_read);
            self.hosts.push(Host::new(id, self.clock(id), disk, Guest::new(&self.guests)));
            self.seats.push(None);
        }
        let plan = self.plan;
        for entry in &plan.byzantine {
            self.seat(entry);
        }
        for host in 0..self.hosts.len() {
            let id = self.hosts[host].id;
            let is_puppet = self.seats[id.index()].as_ref().is_none_or(|seat| seat.puppets.contains(&host));
            if is_puppet {
                self.boot(host);
            }
        }
        for id in 0..self.seats.len() {
            self.start_adversary(id);
        }
        for at in &plan.faults {
            self.plan_fault(at.at_us.saturating_mul(1000), at.fault.clone());
        }
        self.begin_workload();
        self.begin_transcript();
        if plan.phases.safety_until_us > 0 || plan.phases.calm.is_some() {
            self.schedule(plan.phases.safety_until_us * 1000, Due::Phase, 0, super::calm::CALM);
        }
        self.schedule(plan.phases.safety_until_us * 1000, Due::Phase, 0, super::calm::REVIEW);
    }

    fn seat(&mut self, entry: &plan::Byzantine) {
        let id = ReplicaId(entry.replica);
        let adversary = adversary::new(&entry.behaviour, &self.guests.adversaries);
        let mut puppets = Vec::new();
        for puppet in 0..adversary.puppets() {
            if puppet == 0 {
                puppets.push(id.index());
                continue;
            }
            // Adversaries' disks are perfect: their faults are of their own making.
            let disk = Disk::new(plan::Disk::default(), false);
            puppets.push(self.hosts.len());
            self.hosts.push(Host::new(id, self.clock(id), disk, Guest::new(&self.guests)));
        }
        self.hosts[id.index()].disk = Disk::new(plan::Disk::default(), false);
        let signer = self.keys.pen(self.chain.id, id);
        self.seats[id.index()] = Some(Seat { adversary, signer, puppets });
    }

    /// What a machine signs with.
    pub(super) fn signer(&self, id: ReplicaId) -> Box<dyn Signer> {
        let signer = self.keys.signer(self.chain.id, id);
        if self.prompter.is_some() { self.witness.watch(signer) } else { signer }
    }

    /// Starts a machine for the first time.
    pub(super) fn boot(&mut self, host: usize) {
        let id = self.hosts[host].id;
        let config = self.plan.config(id, &self.chain);
        let signer = self.signer(id);
        let machine = &mut self.hosts[host];
        machine.replica = Some(Replica::new(Arc::clone(&self.chain), config, signer));
        machine.outbox = Outbox::resume_at(machine.disk.end());
        machine.mode = Mode::Up;
        self.rearm(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Condition, Happening, Step, TimedFault, Transcript, Trigger};

    #[test]
    fn a_clock_may_be_set_at_a_time_or_by_what_happens_or_where_a_run_is_spelled_out() {
        let fault = Fault::SetClock { replica: 1, skew_us: 5 };
        assert!(!sets_clocks(&Plan::default()));
        let faults = vec![TimedFault { at_us: 1, fault: fault.clone() }];
        assert!(sets_clocks(&Plan { faults, ..Plan::default() }));
        let when = Condition::Executed { replica: None, slot: 1 };
        let trigger = Trigger { when, after_us: 0, then: vec![fault.clone()], repeat: false };
        assert!(sets_clocks(&Plan { triggers: vec![trigger], ..Plan::default() }));
        let step = Step { at_ns: 1, what: Happening::Fault(fault) };
        let transcript = Transcript { steps: vec![step], ..Transcript::default() };
        assert!(sets_clocks(&Plan { transcript: Some(transcript), ..Plan::default() }));
    }
}
