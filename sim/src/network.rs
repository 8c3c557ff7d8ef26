//! When a message arrives, if it does.

use crate::meta::Meta;
use crate::plan::{self, Latency, Link, RuleAction};
use crate::rng::{Concern, Rng};
use crate::rules::{Rules, set_or_all};
use cretoai_core::committee::ReplicaSet;
use cretoai_core::types::ReplicaId;

/// The links of a run.
#[derive(Debug)]
pub struct Network {
    n: usize,
    models: Vec<Model>,
    /// Which model each link follows, by sender and then receiver.
    link: Vec<u16>,
    /// Whom each replica reaches.
    reaches: Vec<ReplicaSet>,
    /// Until when each link is busy; empty when no link has a bandwidth.
    busy: Vec<u64>,
    client: Model,
    /// The rules for single messages.
    pub rules: Rules,
    rng: Rng,
    plain: bool,
}

#[derive(Clone, Debug)]
struct Model {
    latency: Latency,
    /// Up to this share more, in thousandths.
    jitter_per_mille: u64,
    loss: u32,
    duplicate: u32,
    reorder: u32,
    reorder_ns: u64,
    bandwidth: Option<u64>,
}

impl Model {
    fn new(link: &Link) -> Self {
        Self {
            latency: link.latency,
            jitter_per_mille: 0,
            loss: link.loss_per_mille,
            duplicate: link.duplicate_per_mille,
            reorder: link.reorder_per_mille,
            reorder_ns: link.reorder_us * 1000,
            bandwidth: link.bandwidth,
        }
    }

    fn sample(&self, rng: &mut Rng) -> u64 {
        let delay = sample(self.latency, rng);
        let jitter = if self.jitter_per_mille == 0 { 0 } else { rng.below(delay * self.jitter_per_mille / 1000 + 1) };
        delay + jitter
    }

    fn is_constant(&self) -> bool {
        let Self { latency, jitter_per_mille, loss, duplicate, reorder, bandwidth, .. } = self;
        matches!(latency, Latency::Constant { .. })
            && *jitter_per_mille == 0
            && *loss == 0
            && *duplicate == 0
            && *reorder == 0
            && bandwidth.is_none()
    }
}

/// A delay in nanoseconds.
fn sample(latency: Latency, rng: &mut Rng) -> u64 {
    match latency {
        Latency::Constant { us } => us * 1000,
        Latency::Uniform { min_us, max_us } => rng.between(min_us * 1000, max_us * 1000),
        Latency::Normal { mean_us, sigma_us, min_us } => {
            let deviation = (i128::from(rng.normal_q16()) * i128::from(sigma_us) * 1000) >> 16;
            let delay = i128::from(mean_us) * 1000 + deviation;
            u64::try_from(delay.max(0)).unwrap_or(u64::MAX).max(min_us * 1000)
        }
        Latency::LogNormal { median_us, sigma_per_mille } => {
            // exp(z * sigma) = 2^(z * sigma * log2(e)); log2(e) is 94548 / 65536.
            // Plans allow no sigma above 5, so everything fits into 64 bits.
            let z = rng.normal_q16() * i64::try_from(sigma_per_mille.min(5000)).expect("small") / 1000;
            let exponent = ((z * 94_548) >> 16).clamp(-20 << 16, 20 << 16);
            u64::try_from((u128::from(median_us) * 1000 * u128::from(exp2_q16(exponent))) >> 24).unwrap_or(u64::MAX)
        }
    }
}

/// Two to the power of `x / 2^16`, in units of 2^-24, for `-20 <= x / 2^16 <= 20`.
fn exp2_q16(x: i64) -> u64 {
    // The fraction bit by bit: 2^(2^-i) in units of 2^-30.
    const ROOTS: [u64; 16] = [
        1_518_500_250,
        1_276_901_417,
        1_170_923_762,
        1_121_280_436,
        1_097_253_708,
        1_085_434_106,
        1_079_572_136,
        1_076_653_001,
        1_075_196_445,
        1_074_468_887,
        1_074_105_294,
        1_073_923_544,
        1_073_832_680,
        1_073_787_251,
        1_073_764_537,
        1_073_753_180,
    ];
    let fraction = x & 0xffff;
    let power = ROOTS.iter().enumerate().filter(|(bit, _)| fraction >> (15 - bit) & 1 == 1);
    let power = power.fold(1 << 24, |product: u64, (_, root)| (product * root) >> 30);
    let whole = x >> 16;
    if whole < 0 { power >> whole.unsigned_abs() } else { power << whole }
}

impl Network {
    /// The links of a plan, all working.
    #[must_use]
    pub fn new(plan: &plan::Plan) -> Self {
        let n = usize::from(plan.n);
        let network = &plan.network;
        let mut models = vec![Model::new(&network.default)];
        let mut link = vec![0; n * n];
        if let Some(regions) = &network.regions {
            for (at, model) in link.iter_mut().enumerate() {
                let region = |replica: usize| usize::from(regions.of[replica]);
                let us = regions.one_way_us[region(at / n)][region(at % n)];
                let mut new = Model::new(&network.default);
                new.latency = Latency::Constant { us };
                new.jitter_per_mille = regions.jitter_per_mille;
                *model = place(&mut models, new);
            }
        }
        for entry in &network.overrides {
            let (from, to) = (set_or_all(&entry.from), set_or_all(&entry.to));
            let index = place(&mut models, Model::new(&entry.link));
            for (at, model) in link.iter_mut().enumerate() {
                if from >> (at / n) & 1 == 1 && to >> (at % n) & 1 == 1 {
                    *model = index;
                }
            }
        }
        let limited = models.iter().any(|model| model.bandwidth.is_some());
        let rules = Rules::new(&plan.rules);
        let plain = rules.is_empty() && models.iter().all(Model::is_constant);
        Self {
            n,
            client: Model::new(network.client.as_ref().unwrap_or(&network.default)),
            models,
            link,
            reaches: vec![ReplicaSet::MAX; n],
            busy: if limited { vec![0; n * n] } else { Vec::new() },
            rules,
            rng: Rng::new(plan.seed, Concern::Network),
            plain,
        }
    }

    /// Whether a message that one replica sends would get to another, as far as cuts go.
    #[must_use]
    pub fn is_connected(&self, from: ReplicaId, to: ReplicaId) -> bool {
        self.reaches[from.index()] >> to.0 & 1 == 1
    }

    /// When a message that leaves now arrives: zero or more times, put into `arrivals`.
    pub fn route(&mut self, meta: &Meta, link: (ReplicaId, ReplicaId), now: u64, bytes: u64, arrivals: &mut Vec<u64>) {
        arrivals.clear();
        let (from, to) = link;
        if !self.is_connected(from, to) {
            return;
        }
        let at = from.index() * self.n + to.index();
        let model = &self.models[usize::from(self.link[at])];
        if self.plain {
            arrivals.push(now + sample(model.latency, &mut self.rng));
            return;
        }
        let action = self.rules.decide(&mut self.rng, meta, (from.0, to.0), now);
        if let Some(RuleAction::Delay { us }) = action {
            arrivals.push(now + us * 1000);
            return;
        }
        if matches!(action, Some(RuleAction::Drop)) || self.rng.chance(model.loss) {
            return;
        }
        let mut leaves = now;
        if let Some(bandwidth) = model.bandwidth {
            leaves = now.max(self.busy[at]) + bytes.saturating_mul(1_000_000_000) / bandwidth;
            self.busy[at] = leaves;
        }
        let mut arrival = leaves + model.sample(&mut self.rng);
        if self.rng.chance(model.reorder) {
            arrival += self.rng.below(model.reorder_ns + 1);
        }
        if self.rng.chance(model.duplicate) {
            arrivals.push(leaves + model.sample(&mut self.rng));
        }
        match action {
            Some(RuleAction::Add { us }) => arrival += us * 1000,
            Some(RuleAction::HoldUntil { at_us }) => arrival = arrival.max(at_us * 1000),
            Some(RuleAction::Reorder { us }) => arrival += self.rng.below(us * 1000 + 1),
            Some(RuleAction::Duplicate { copies, spread_us }) => {
                arrivals.extend((0..copies).map(|_| arrival + self.rng.below(spread_us * 1000 + 1)));
            }
            Some(RuleAction::Pass | RuleAction::Drop | RuleAction::Delay { .. }) | None => {}
        }
        arrivals.push(arrival);
    }

    /// Whether messages need to know their size.
    #[must_use]
    pub fn needs_sizes(&self) -> bool {
        !self.busy.is_empty()
    }

    /// When something that passes between a client and a replica now arrives; `None` if it is lost.
    pub fn client(&mut self, meta: &Meta, link: (u16, u16), now: u64) -> Option<u64> {
        let action = self.rules.decide(&mut self.rng, meta, link, now);
        if matches!(action, Some(RuleAction::Drop)) || self.rng.chance(self.client.loss) {
            return None;
        }
        Some(now + self.client.sample(&mut self.rng))
    }

    /// Only replicas of the same group are connected.
    pub fn partition(&mut self, groups: &[Vec<u16>]) {
        for (id, reaches) in (0_u16..).zip(&mut self.reaches) {
            let group = groups.iter().find(|group| group.contains(&id));
            *reaches = group.map_or(0, |group| group.iter().fold(0, |set, id| set | 1 << id));
        }
    }

    /// Cuts links, or connects them.
    pub fn connect(&mut self, from: ReplicaSet, to: ReplicaSet, connected: bool) {
        for (id, reaches) in self.reaches.iter_mut().enumerate() {
            if from >> id & 1 == 1 {
                *reaches = if connected { *reaches | to } else { *reaches & !to };
            }
        }
    }

    /// Cuts every link to and from a replica.
    pub fn isolate(&mut self, id: ReplicaId) {
        self.connect(1 << id.0, ReplicaSet::MAX, false);
        self.connect(ReplicaSet::MAX, 1 << id.0, false);
    }

    /// Connects everybody.
    pub fn heal(&mut self) {
        self.reaches.fill(ReplicaSet::MAX);
    }

    /// From now on the replicas of a set reach one another within a delay, whatever the plan says.
    pub fn calm(&mut self, core: ReplicaSet, delay_us: u64) {
        self.connect(core, core, true);
        self.rules.spare(core);
        let constant = self.models.iter().all(Model::is_constant);
        let latency = match constant {
            true => Latency::Constant { us: delay_us },
            false => Latency::Uniform { min_us: delay_us / 4, max_us: delay_us },
        };
        let index = place(&mut self.models, Model::new(&Link { latency, ..Link::default() }));
        for (at, model) in self.link.iter_mut().enumerate() {
            if core >> (at / self.n) & 1 == 1 && core >> (at % self.n) & 1 == 1 {
                *model = index;
            }
        }
    }
}

fn place(models: &mut Vec<Model>, model: Model) -> u16 {
    let known = models.iter().position(|known| {
        known.latency == model.latency
            && known.bandwidth == model.bandwidth
            && known.loss == model.loss
            && known.duplicate == model.duplicate
            && known.reorder == model.reorder
            && known.reorder_ns == model.reorder_ns
            && known.jitter_per_mille == model.jitter_per_mille
    });
    let index = known.unwrap_or_else(|| {
        models.push(model);
        models.len() - 1
    });
    u16::try_from(index).expect("fewer than 2^16 kinds of links")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn powers_of_two_are_right() {
        assert_eq!(exp2_q16(0), 1 << 24);
        assert_eq!(exp2_q16(3 << 16), 8 << 24);
        assert_eq!(exp2_q16(-(1 << 16)), 1 << 23);
        let root = exp2_q16(1 << 15);
        assert!((23_726_560..=23_726_568).contains(&root), "2^0.5 is {root} / 2^24");
    }

    #[test]
    fn a_log_normal_latency_has_its_median() {
        let mut rng = Rng::new(5, Concern::Network);
        let latency = Latency::LogNormal { median_us: 1000, sigma_per_mille: 500 };
        let mut values: Vec<u64> = (0..10_001).map(|_| sample(latency, &mut rng)).collect();
        values.sort_unstable();
        let median = values[5000];
        assert!((960_000..1_040_000).contains(&median), "median {median} ns");
        let high = values[8413]; // one deviation: e^0.5 = 1.649
        assert!((1_550_000..1_750_000).contains(&high), "one deviation up: {high} ns");
    }

    #[test]
    fn partitions_cuts_and_calm() {
        let mut network = Network::new(&Plan::default());
        let id = ReplicaId;
        network.partition(&[vec![0, 1], vec![2]]);
        assert!(network.is_connected(id(0), id(1)) && !network.is_connected(id(1), id(2)));
        assert!(!network.is_connected(id(3), id(0)));
        network.heal();
        network.connect(0b0001, 0b0100, false);
        assert!(!network.is_connected(id(0), id(2)) && network.is_connected(id(2), id(0)));
        network.isolate(id(1));
        network.calm(0b0111, 5);
        assert!(network.is_connected(id(0), id(2)) && network.is_connected(id(1), id(0)));
        assert!(!network.is_connected(id(1), id(3)));
    }
}
