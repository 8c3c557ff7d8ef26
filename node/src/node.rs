//! A replica with everything around it: its store, its links, its driver, the API and the metrics.

use crate::api::{self, Api, Gate};
use crate::config::NodeConfig;
use crate::error::Stop;
use crate::events::EventLog;
use crate::metrics::{self, Metrics, NetworkCollector, ProcessCollector, StatusCollector, StorageCollector};
use crate::observer::{Heads, NodeObserver};
use crate::server::{Server, Stopping};
use cretoai_core::kv::KvStore;
use cretoai_core::record::Record;
use cretoai_core::types::{Lsn, ReplicaId};
use cretoai_core::verify::Verifier;
use cretoai_runtime::driver::{Driver, Fatal, Handle, Setup};
use cretoai_runtime::env::TokioEnv;
use cretoai_runtime::quic::{QuicConfig, QuicTransport};
use cretoai_runtime::signatures::{Cached, Keys, context, signer, verifier};
use cretoai_runtime::store::{Owner, RocksConfig, RocksStore, Store, StoreError};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Signatures that are remembered as right: those of some hundred slots of a large committee.
const REMEMBERED: usize = 1 << 18;

/// How long the API may finish what was asked before.
const API_DRAIN: Duration = Duration::from_millis(1000);

/// How long the driver may write what it accepted.
const DRIVER_DRAIN: Duration = Duration::from_millis(2000);

/// How long links and files may take to be closed in order.
const LAST_WORDS: Duration = Duration::from_millis(1000);

/// Whether a node may make its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// It has to be there: a replica whose disk was lost must not vote as if it had said nothing before.
    Existing,
    /// It is made if it is not there.
    CreateIfMissing,
}

/// What a node does besides its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether it may make its store.
    pub store: StoreMode,
    /// Where its events go, if anywhere.
    pub events: Option<PathBuf>,
}

/// A running node.
pub struct Node {
    id: ReplicaId,
    api_address: SocketAddr,
    metrics_address: SocketAddr,
    api: Arc<Api>,
    handle: Handle<KvStore>,
    store: Arc<RocksStore>,
    transport: Arc<QuicTransport>,
    driver: JoinHandle<Result<(), Fatal>>,
    servers: Vec<JoinHandle<()>>,
    stopping: watch::Sender<Stopping>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("api", &self.api_address).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Stop`] when its configuration does not fit this machine, or its disk describes no replica.
    pub async fn start(config: &NodeConfig, options: &Options) -> Result<Self, Stop> {
        let chain = Arc::clone(&config.chain);
        // Looks into all keys of the genesis, so it goes before the search for the own one.
        let signatures = verifier(&chain).map_err(|error| Stop::Usage(error.to_string()))?;
        let signatures = Arc::new(Cached::new(signatures, &chain, REMEMBERED));
        let (keys, id) = identity(config)?;
        let api_listener = bind(config, "api", config.file.api).await?;
        let metrics_listener = bind(config, "metrics", config.file.metrics).await?;
        let store = Arc::new(open(config, id, options.store)?);
        let events = options.events.as_ref().map(|path| {
            EventLog::open(path, &chain, id).map_err(|error| Stop::file(path, "written as a file of events", &error))
        });
        let events = events.transpose()?;
        let transport = Arc::new(connect(config, id, &keys)?);
        let env = TokioEnv::new(config.genesis.genesis_time());
        let (metrics, heads) = (Arc::new(Metrics::new()), Arc::new(Heads::new(&chain)));
        let observer = NodeObserver::new(id, env, Arc::clone(&metrics), Arc::clone(&heads), events);
        let setup = Setup {
            chain: Arc::clone(&chain),
            config: config.core_config(id),
            signer: signer(&keys, context(&chain), id),
            signatures: Arc::clone(&signatures) as _,
            application: KvStore::new(),
        };
        let started = Driver::start(env, setup, Arc::clone(&store), Arc::clone(&transport), Arc::new(observer)).await;
        let (driver, handle) = started.map_err(|error| Stop::Fatal(format!("the replica cannot start: {error}")))?;

        let registry = metrics::registry(
            &metrics,
            vec![
                Box::new(StatusCollector { handle: handle.clone(), heads: Arc::clone(&heads), env }),
                Box::new(StorageCollector(Arc::clone(&store))),
                Box::new(NetworkCollector(Arc::clone(&transport))),
                Box::new(ProcessCollector::new()),
            ],
        );
        let api = Arc::new(Api {
            id,
            handle: handle.clone(),
            store: Arc::clone(&store) as Arc<dyn Store>,
            verifier: Verifier::new(Arc::clone(&chain), signatures as _),
            env,
            metrics: Arc::clone(&metrics),
            heads,
            gate: Gate::new(config.file.limits.clone(), Arc::clone(&metrics)),
        });
        let (stopping, stop) = watch::channel(Stopping::No);
        let (api_address, metrics_address) = (address(&api_listener)?, address(&metrics_listener)?);
        let limits = &config.file.limits;
        let server = |listener, router| Server::new(listener, router, limits, &metrics, &stop).spawn();
        let servers = vec![
            server(api_listener, api::router(Arc::clone(&api))),
            server(metrics_listener, metrics::router(Arc::new(registry))),
        ];
        tracing::info!(replica = %id, chain = %chain.id, listen = %config.file.listen, %api_address,
            %metrics_address, "started");
        let driver = tokio::spawn(driver.run());
        Ok(Self { id, api_address, metrics_address, api, handle, store, transport, driver, servers, stopping })
    }

    /// Which replica it is.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Where its API listens.
    #[must_use]
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// Waits until the replica cannot go on, and says why.
    pub async fn failed(&mut self) -> Stop {
        let ended = (&mut self.driver).await;
        why(self.id, ended).err().unwrap_or_else(|| Stop::Fatal(format!("replica {} ended by itself", self.id.0)))
    }

    /// Stops accepting, answers what was asked before, writes what was accepted, and ends.
    ///
    /// # Errors
    /// [`Stop::Fatal`] when the replica could not do so, or not in time.
    pub async fn stop(self) -> Result<(), Stop> {
        let Self { id, api, handle, store, transport, mut driver, servers, stopping, .. } = self;
        tracing::info!(replica = %id, "stopping");
        api.stop();
        stopping.send_replace(Stopping::Yes);
        // Who waits for finality may still be answered: the driver runs on for as long.
        let drained = timeout(API_DRAIN, async {
            for server in servers {
                let _ = server.await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!(replica = %id, "clients still wait; they are cut off");
        }
        handle.stop();
        let ended = timeout(DRIVER_DRAIN, &mut driver).await;
        let result = match ended {
            Ok(ended) => why(id, ended),
            Err(_) => Err(Stop::Fatal(format!("replica {}: the disk did not take everything within 2 s", id.0))),
        };
        // The next start reads less of the log then. What is not flushed in time is read from the log all the same.
        let flush = tokio::task::spawn_blocking(move || store.flush());
        let flushed = async {
            if let Ok(Ok(Err(error))) = timeout(LAST_WORDS, flush).await {
                tracing::warn!(replica = %id, %error, "the store was not tidied up");
            }
        };
        let _ = tokio::join!(flushed, timeout(LAST_WORDS, transport.close()));
        result
    }
}

/// What the end of a driver means.
fn why(id: ReplicaId, ended: Result<Result<(), Fatal>, tokio::task::JoinError>) -> Result<(), Stop> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fatal)) => Err(Stop::Fatal(format!("replica {} stops: {fatal}", id.0))),
        Err(panic) => Err(Stop::Fatal(format!("replica {} stops: a promise of its own was broken: {panic}", id.0))),
    }
}

async fn bind(config: &NodeConfig, key: &str, address: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(address).await.map_err(|error| {
        let limit = format!("cannot listen at {address}: {error}");
        config.wrong(key, &limit, "choose a free address of this machine").into()
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Stop> {
    listener.local_addr().map_err(|error| Stop::Fatal(format!("a socket has no address: {error}")))
}

/// What a store costs in memory.
fn rocks_config(config: &NodeConfig) -> RocksConfig {
    RocksConfig { block_cache_bytes: config.file.storage.cache_mib << 20, ..RocksConfig::default() }
}

/// Makes the store of a replica that has never run.
///
/// # Errors
/// [`Stop`] when there is one already, or the disk fails.
pub fn create_store(config: &NodeConfig, id: ReplicaId) -> Result<(), Stop> {
    let owner = Owner { chain: config.chain.id, replica: id };
    let created = RocksStore::create(&config.file.data, owner, &rocks_config(config));
    created.map(drop).map_err(|error| refused(config, &error))
}

/// The keys that a configuration names, and whose they are.
fn identity(config: &NodeConfig) -> Result<(Keys, ReplicaId), Stop> {
    let keys = Keys::load(&config.file.key).map_err(|error| Stop::Usage(error.to_string()))?;
    let id = keys.replica(&config.chain).map_err(|error| Stop::Usage(error.to_string()))?;
    Ok((keys, id))
}

/// The log of a replica that does not run.
///
/// # Errors
/// [`Stop`] when there is none, a process has it open, or it is not as it was written.
pub(crate) fn stored(config: &NodeConfig) -> Result<Vec<(Lsn, Record)>, Stop> {
    let (_, id) = identity(config)?;
    let recovered = open(config, id, StoreMode::Existing)?.recover();
    recovered.map(|recovered| recovered.records).map_err(|error| refused(config, &error))
}

fn open(config: &NodeConfig, id: ReplicaId, mode: StoreMode) -> Result<RocksStore, Stop> {
    let owner = Owner { chain: config.chain.id, replica: id };
    let (path, settings) = (&config.file.data, rocks_config(config));
    match RocksStore::open(path, owner, &settings) {
        Err(StoreError::Missing { .. }) if mode == StoreMode::CreateIfMissing => {
            RocksStore::create(path, owner, &settings).map_err(|error| refused(config, &error))
        }
        Err(StoreError::Missing { .. }) => {
            let remedy = "start a replica that never ran with --new; give one that ran its folder back, or a new key";
            let limit = format!("{} holds no store", path.display());
            Err(config.wrong("data", &limit, remedy).into())
        }
        opened => opened.map_err(|error| refused(config, &error)),
    }
}

/// What is wrong with the disk is fatal; what is wrong with the settings is the operator's.
fn refused(config: &NodeConfig, error: &StoreError) -> Stop {
    match error {
        StoreError::Io(_) | StoreError::Damaged { .. } => Stop::Fatal(error.to_string()),
        _ => Stop::Usage(format!("{}: data: {error}", config.path().display())),
    }
}

fn connect(config: &NodeConfig, id: ReplicaId, keys: &Keys) -> Result<QuicTransport, Stop> {
    let ids = config.chain.committee.members();
    let peers = ids.zip(&config.file.peers).filter(|(peer, _)| *peer != id);
    let peers = peers.map(|(peer, address)| (peer, address.clone())).collect();
    let quic = QuicConfig::new(config.file.listen, peers);
    QuicTransport::start(&config.chain, keys, quic)
        .map_err(|error| Stop::Usage(format!("{}: peers or listen: {error}", config.path().display())))
}
