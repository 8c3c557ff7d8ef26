//! A whole cluster of drivers in one simulated network, put through the faults of a plan.

use super::env::SimEnv;
use super::judge::{Judge, Witness, lock};
use super::net::{SimNet, ip};
use cretoai_core::Ignored;
use cretoai_core::application::Application;
use cretoai_core::bytes::Bytes;
use cretoai_core::config::Chain;
use cretoai_core::kv::{KvOp, KvStore};
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::time::Instant;
use cretoai_core::types::ReplicaId;
use cretoai_core::verify::{Verified, Verifier};
use cretoai_runtime::driver::{Driver, Handle, Setup};
use cretoai_runtime::env::Env;
use cretoai_runtime::store::MemoryStore;
use cretoai_sim::crypto::Keys;
use cretoai_sim::plan::{Fault, Latency, Load, Plan};
use madsim::net::NetSim;
use madsim::runtime::{Handle as World, NodeHandle, Runtime};
use madsim::task::NodeId;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a run came to. Equal for equal seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) hash: [u64; 2],
    pub(crate) events: u64,
    pub(crate) executed: u64,
    pub(crate) crashes: u64,
    pub(crate) transfers: u64,
    pub(crate) highest_view: u64,
}

type Handles = Arc<Mutex<Vec<Option<Handle<KvStore>>>>>;

/// What all replicas of a run share.
#[derive(Clone)]
struct Shared {
    plan: Arc<Plan>,
    keys: Arc<Keys>,
    chain: Arc<Chain>,
    judge: Arc<Mutex<Judge>>,
    handles: Handles,
    env: SimEnv,
}

/// Runs a plan.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut config = madsim::Config::default();
    let link = &plan.network.default;
    config.net.packet_loss_rate = f64::from(link.loss_per_mille.min(100)) / 1000.0;
    let us = match link.latency {
        Latency::Constant { us } | Latency::Uniform { max_us: us, .. } | Latency::Normal { mean_us: us, .. } => us,
        Latency::LogNormal { median_us, .. } => 2 * median_us,
    };
    config.net.send_latency = Duration::from_micros(us / 2)..Duration::from_micros(us + 1);
    Runtime::with_seed_and_config(plan.seed, config).block_on(async {
        // Made inside: outside of a run, madsim's clock is the machine's.
        Cluster::new(plan).run().await
    })
}

struct Cluster {
    shared: Shared,
    nodes: Vec<NodeHandle>,
    /// Which nodes run. A handle shows up only when its replica has read its disk.
    up: Vec<bool>,
    crashes: u64,
}

impl Cluster {
    fn new(plan: &Plan) -> Self {
        let keys = Arc::new(Keys::new(plan.crypto, plan.seed, plan.n));
        let chain = Arc::new(Chain::new(plan.genesis(keys.public.clone()), false).expect("a valid plan"));
        let judge = Arc::new(Mutex::new(Judge::new(plan, &chain, &keys.verifier(chain.id))));
        let handles = Arc::new(Mutex::new(vec![None; usize::from(plan.n)]));
        let env = SimEnv::new(plan.disk.sync_us.max(500));
        let shared = Shared { plan: Arc::new(plan.clone()), keys, chain, judge, handles, env };
        Self { shared, nodes: Vec::new(), up: vec![true; usize::from(plan.n)], crashes: 0 }
    }

    async fn run(mut self) -> Outcome {
        for id in 0..self.shared.plan.n {
            let (id, shared, store) = (ReplicaId(id), self.shared.clone(), Arc::new(MemoryStore::new()));
            let replica = move || replica(id, shared.clone(), Arc::clone(&store));
            self.nodes.push(World::current().create_node().ip(ip(id)).init(replica).build());
        }
        let clients = madsim::task::spawn(submit_all(self.shared.clone()));
        let plan = Arc::clone(&self.shared.plan);
        for fault in &plan.faults {
            self.shared.env.sleep_until(Instant(fault.at_us * 1000)).await;
            self.inflict(&fault.fault).await;
        }
        self.shared.env.sleep_until(Instant(plan.phases.safety_until_us * 1000)).await;
        self.calm();
        let executed = clients.await.expect("clients go on to the end");
        self.finish().await;
        let judge = lock(&self.shared.judge);
        Outcome {
            violation: judge.told.violation(),
            hash: judge.hash(),
            events: judge.events,
            executed,
            crashes: self.crashes,
            transfers: judge.told.transfers(),
            highest_view: judge.highest_view,
        }
    }

    fn node(&self, id: u16) -> NodeId {
        self.nodes[usize::from(id)].id()
    }

    /// What this world has of the simulator's faults: the others are passed over.
    async fn inflict(&mut self, fault: &Fault) {
        let net = NetSim::current();
        let all: Vec<u16> = (0..self.shared.plan.n).collect();
        match fault {
            Fault::Crash { replica } => self.crash(*replica),
            Fault::Restart { replica } => self.restart(*replica),
            Fault::PowerLoss { restart_after_us } => {
                all.iter().for_each(|id| self.crash(*id));
                madsim::time::sleep(Duration::from_micros(*restart_after_us)).await;
                all.iter().for_each(|id| self.restart(*id));
            }
            Fault::Pause { replica } => World::current().pause(self.node(*replica)),
            Fault::Resume { replica } => World::current().resume(self.node(*replica)),
            Fault::Isolate { replica } => net.clog_node(self.node(*replica)),
            Fault::Cut { from, to } => self.cut(from, to),
            Fault::Partition { groups } => {
                self.heal();
                for (at, group) in groups.iter().enumerate() {
                    for other in groups.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, group)| group) {
                        self.cut(group, other);
                    }
                }
            }
            Fault::Heal => self.heal(),
            _ => {}
        }
    }

    fn cut(&self, from: &[u16], to: &[u16]) {
        for from in from {
            for to in to.iter().filter(|to| *to != from) {
                NetSim::current().clog_link(self.node(*from), self.node(*to));
            }
        }
    }

    fn heal(&self) {
        let net = NetSim::current();
        for from in &self.nodes {
            net.unclog_node(from.id());
            for to in self.nodes.iter().filter(|to| to.id() != from.id()) {
                net.unclog_link(from.id(), to.id());
            }
        }
    }

    fn crash(&mut self, id: u16) {
        if std::mem::replace(&mut self.up[usize::from(id)], false) {
            self.crashes += 1;
            World::current().kill(self.node(id));
            self.shared.handles.lock().expect("nobody panics")[usize::from(id)] = None;
        }
    }

    fn restart(&mut self, id: u16) {
        if !std::mem::replace(&mut self.up[usize::from(id)], true) {
            World::current().restart(self.node(id));
        }
    }

    fn calm(&mut self) {
        self.heal();
        NetSim::current().update_config(|config| config.packet_loss_rate = 0.0);
        for id in 0..self.shared.plan.n {
            World::current().resume(self.node(id));
            self.restart(id);
        }
    }

    /// Everybody executes what anybody executed, and has the same state.
    async fn finish(&self) {
        let plan = &self.shared.plan;
        let patience = Duration::from_micros(plan.timeouts.max_us * 8 + 1_000_000);
        // Seen twice: an application is ahead of what its replica has been told.
        let caught_up = async {
            let mut before = None;
            loop {
                let handles: Vec<_> = self.shared.handles.lock().expect("nobody panics").clone();
                let applied: Vec<_> = handles
                    .iter()
                    .map(|handle| handle.as_ref().map(|handle| handle.status().borrow().applied))
                    .collect();
                let is_same = applied.iter().all(|slot| slot.is_some() && *slot == applied[0]);
                if is_same && before == applied[0] {
                    return handles;
                }
                before = applied[0].filter(|_| is_same);
                madsim::time::sleep(Duration::from_micros(plan.timeouts.status_us)).await;
            }
        };
        let Ok(handles) = madsim::time::timeout(patience, caught_up).await else {
            return lock(&self.shared.judge)
                .told
                .fail("not everybody caught up after everything was mended".to_owned());
        };
        let mut states = Vec::new();
        for handle in handles.iter().flatten() {
            states.push(handle.ask(Application::snapshot).await.expect("it runs"));
        }
        if states.iter().any(|state| *state != states[0]) {
            lock(&self.shared.judge).told.fail("the applications differ".to_owned());
        }
    }
}

/// One incarnation of a replica.
async fn replica(id: ReplicaId, shared: Shared, store: Arc<MemoryStore>) {
    let Shared { plan, keys, chain, judge, handles, env } = shared;
    let setup = Setup {
        chain: Arc::clone(&chain),
        config: plan.config(id, &chain),
        signer: keys.signer(chain.id, id),
        signatures: keys.verifier(chain.id),
        application: KvStore::new(),
    };
    let transport = SimNet::bind(id, plan.n).await;
    let witness = Arc::new(Witness { id, judge: Arc::clone(&judge), env: env.clone() });
    let started = Driver::start(env, setup, store, transport, witness).await;
    let ended = match started {
        Ok((driver, handle)) => {
            handles.lock().expect("nobody panics")[id.index()] = Some(handle);
            driver.run().await
        }
        Err(fatal) => Err(fatal),
    };
    if let Err(fatal) = ended {
        lock(&judge).told.fail(format!("{id} cannot go on: {fatal}"));
    }
}

/// Submits all operations, each again and again until it is executed. How many were.
async fn submit_all(shared: Shared) -> u64 {
    let plan = Arc::clone(&shared.plan);
    let interval_us = match plan.workload.load {
        Load::Open { interval_us, .. } => interval_us,
        Load::Closed { .. } => plan.timeouts.base_us / 4,
    };
    let mut clients = Vec::new();
    for number in 0..plan.workload.ops {
        clients.push(madsim::task::spawn(submit(shared.clone(), number)));
        madsim::time::sleep(Duration::from_micros(interval_us)).await;
    }
    let mut executed = 0;
    for client in clients {
        executed += u64::from(client.await.expect("clients go on to the end"));
    }
    executed
}

async fn submit(shared: Shared, number: u64) -> bool {
    let plan = &shared.plan;
    let request = request(&shared, number);
    let patience = Duration::from_micros(plan.timeouts.base_us * 2);
    let last_us = plan.phases.safety_until_us + plan.timeouts.max_us * 8 + 1_000_000;
    for attempt in 0.. {
        if shared.env.now().0 > last_us * 1000 {
            break;
        }
        let entry = usize::try_from((number + attempt) % u64::from(plan.n)).expect("small");
        let handle = shared.handles.lock().expect("nobody panics")[entry].clone();
        let Some(handle) = handle else {
            madsim::time::sleep(patience / 4).await;
            continue;
        };
        let Some(waiting) = handle.wait(&[request.get().id()]) else { break };
        let attempt = async {
            let taken = handle.submit(vec![request.clone()]).await.ok()?;
            if taken == [Err(Ignored::Duplicate)] {
                // It may have executed while nobody waited here: then there is no second answer.
                let key = Bytes(number.to_le_bytes().to_vec());
                if handle.ask(move |store: &KvStore| store.get(&key).is_some()).await.ok()? {
                    return Some(());
                }
            }
            waiting.complete().await;
            Some(())
        };
        match madsim::time::timeout(patience, attempt).await {
            Ok(Some(_)) => return true,
            Ok(None) => madsim::time::sleep(patience / 4).await,
            Err(_) => {}
        }
    }
    let handles = shared.handles.lock().expect("nobody panics").clone();
    let states: Vec<_> = handles.iter().map(|handle| handle.as_ref().map(|handle| *handle.status().borrow())).collect();
    lock(&shared.judge).told.fail(format!("operation {number} was never executed: {states:?}"));
    false
}

fn request(shared: &Shared, number: u64) -> Verified<Arc<ClientRequest>> {
    let key = Bytes(number.to_le_bytes().to_vec());
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    let request = Request {
        chain_id: shared.chain.id,
        // Long enough for everything that may go wrong, and within what the chain allows.
        expires: Instant(shared.env.now().0 + shared.plan.lifetime_us * 1000 / 2),
        nonce,
        caller: None,
        op: KvOp::Put { key: key.clone(), value: key }.encode(),
    };
    let verifier = Verifier::new(Arc::clone(&shared.chain), shared.keys.verifier(shared.chain.id));
    verifier.request(Arc::new(ClientRequest::anonymous(request))).expect("a right request")
}
