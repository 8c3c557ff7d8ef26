//! Writes the files of a new chain: its genesis, and a folder for each replica.

use crate::config::{NodeConfig, NodeFile, Overrides};
use crate::error::Stop;
use crate::genesis::{GenesisFile, SchemeName, Tolerance};
use crate::node::create_store;
use cretoai_core::committee::{MAX_REPLICAS, MIN_FAULT_TOLERANT};
use cretoai_core::types::ReplicaId;
use cretoai_runtime::signatures::Keys;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A chain to be made.
#[derive(Clone, Debug)]
pub struct Testnet {
    /// Its name.
    pub name: String,
    /// How many replicas it has.
    pub replicas: u16,
    /// Whether there may be too few of them.
    pub tolerance: Tolerance,
    /// How they sign.
    pub scheme: SchemeName,
    /// Where they listen.
    pub ports: Ports,
}

/// Where replicas listen on the loopback interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Replica `i` listens for replicas at this one + `i`, for clients 100 above, for metrics 200 above.
    From(u16),
    /// Wherever there is room now.
    Free,
}

/// The ports of a replica.
#[derive(Clone, Copy, Debug)]
struct Trio {
    listen: SocketAddr,
    api: SocketAddr,
    metrics: SocketAddr,
}

impl Testnet {
    /// Writes everything into a folder. Returns the configuration file of each replica.
    ///
    /// # Errors
    /// [`Stop::Usage`] when the numbers do not fit, or there is something in the folder already.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Stop> {
        self.check()?;
        let ports = self.trios()?;
        fs::create_dir_all(folder).map_err(|error| Stop::file(folder, "made", &error))?;
        let mut keys = Vec::new();
        for id in 0..self.replicas {
            let home = folder.join(format!("node{id}"));
            fs::create_dir(&home).map_err(|error| Stop::file(&home, "made as a new folder", &error))?;
            let pair = Keys::generate(self.scheme.into()).map_err(|error| Stop::Usage(error.to_string()))?;
            pair.create(&home.join("key")).map_err(|error| Stop::Usage(error.to_string()))?;
            keys.push(pair.public().to_vec());
        }
        let genesis = GenesisFile::new(&self.name, self.scheme, &keys, SystemTime::now());
        write(&folder.join("genesis.toml"), &toml_of(&genesis))?;
        let peers: Vec<String> = ports.iter().map(|trio| trio.listen.to_string()).collect();
        let mut files = Vec::new();
        for (id, trio) in (0..).zip(&ports) {
            let path = folder.join(format!("node{id}")).join("node.toml");
            write(&path, &toml_of(&node_file(*trio, &peers)))?;
            let config = NodeConfig::load(&path, &Overrides::default())?;
            create_store(&config, ReplicaId(id))?;
            files.push(path);
        }
        Ok(files)
    }

    fn check(&self) -> Result<(), Stop> {
        let n = self.replicas;
        if n < MIN_FAULT_TOLERANT && self.tolerance == Tolerance::Required {
            let remedy = "use at least 4, or --allow-intolerant for experiments";
            return Err(Stop::Usage(format!("--replicas {n}: tolerates no fault; {remedy}")));
        }
        if !(1 <= n && n <= MAX_REPLICAS) {
            return Err(Stop::Usage(format!("--replicas {n}: must be between 1 and {MAX_REPLICAS}; use 4")));
        }
        Ok(())
    }

    fn trios(&self) -> Result<Vec<Trio>, Stop> {
        match self.ports {
            Ports::Free => free_ports(self.replicas),
            Ports::From(base) => {
                // Blocks of a hundred are easy to remember; larger committees need larger ones.
                let block = self.replicas.div_ceil(100) * 100;
                let last = u32::from(base) + 3 * u32::from(block);
                if base == 0 || u32::from(u16::MAX) < last {
                    let limit = format!("ports up to {last} are needed, and must be between 1 and 65535");
                    return Err(Stop::Usage(format!("--base-port {base}: {limit}; use 26600")));
                }
                let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let trio =
                    |id| Trio { listen: at(base + id), api: at(base + block + id), metrics: at(base + 2 * block + id) };
                Ok((0..self.replicas).map(trio).collect())
            }
        }
    }
}

/// Ports that nobody uses now. All are held at once, so no two are the same; somebody else may take one afterwards.
fn free_ports(replicas: u16) -> Result<Vec<Trio>, Stop> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let failed = |error: std::io::Error| Stop::Usage(format!("no free ports on the loopback interface: {error}"));
    let mut held = Vec::new();
    let mut trios = Vec::new();
    for _ in 0..replicas {
        let listen = UdpSocket::bind(any).map_err(failed)?;
        let api = TcpListener::bind(any).map_err(failed)?;
        let metrics = TcpListener::bind(any).map_err(failed)?;
        trios.push(Trio {
            listen: listen.local_addr().map_err(failed)?,
            api: api.local_addr().map_err(failed)?,
            metrics: metrics.local_addr().map_err(failed)?,
        });
        held.push((listen, api, metrics));
    }
    Ok(trios)
}

fn node_file(trio: Trio, peers: &[String]) -> NodeFile {
    let Trio { listen, api, metrics } = trio;
    NodeFile {
        genesis: "../genesis.toml".into(),
        key: "key".into(),
        data: "data".into(),
        listen,
        api,
        metrics,
        peers: peers.to_vec(),
        queued_requests: 16 * 1024,
        pipeline: crate::config::default_pipeline(),
        timeouts: crate::config::TimeoutsFile::default(),
        limits: crate::config::ApiLimits::default(),
        log: crate::config::LogFile::default(),
        storage: crate::config::StorageFile::default(),
    }
}

fn toml_of(value: &impl serde::Serialize) -> String {
    toml::to_string_pretty(value).expect("a configuration is TOML")
}

fn write(path: &Path, text: &str) -> Result<(), Stop> {
    fs::write(path, text).map_err(|error| Stop::file(path, "written", &error))
}
