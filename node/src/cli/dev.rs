//! `dev`: a whole cluster in one process.

use super::args::DevArgs;
use super::{say, told_to_stop};
use crate::config::{LogFormat, NodeConfig, Overrides};
use crate::error::Stop;
use crate::genesis::Tolerance;
use crate::logging;
use crate::node::{Node, Options, StoreMode};
use crate::testnet::{Ports, Testnet};
use std::fs;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

pub(super) async fn run(args: DevArgs) -> Result<(), Stop> {
    logging::start(&args.log_level, LogFormat::Text)?;
    let temporary = args.dir.is_none().then(Temporary::new).transpose()?;
    let folder = match (&args.dir, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(temporary)) => temporary.0.clone(),
        (None, None) => unreachable!("one of the two is there"),
    };
    let files = files(&args, &folder)?;
    let mut nodes = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let config = NodeConfig::load(file, &Overrides::default())?;
        let events = args.events.as_ref().map(|events| numbered(events, index));
        nodes.push(Node::start(&config, &Options { store: StoreMode::Existing, events }).await?);
    }
    say(&format!("a cluster of {} replicas in {}", nodes.len(), folder.display()))?;
    for node in &nodes {
        let (id, api, metrics) = (node.id().0, node.api_address(), node.metrics_address());
        say(&format!("replica {id} api=http://{api} metrics=http://{metrics}/metrics"))?;
    }
    if let Some(node) = nodes.first() {
        let body = r#"{"wait":"finalized","request":{"put":{"key":"hello","value":"world"}}}"#;
        say(&format!("try: curl -s http://{}/v1/requests --json '{body}'", node.api_address()))?;
    }
    serve(nodes).await
}

/// Runs until told to stop, or until a replica cannot go on.
async fn serve(nodes: Vec<Node>) -> Result<(), Stop> {
    let (failed, mut failure) = mpsc::channel::<Stop>(nodes.len().max(1));
    let mut running = Vec::new();
    let (stop, _) = tokio::sync::watch::channel(false);
    for mut node in nodes {
        let (failed, mut stop) = (failed.clone(), stop.subscribe());
        running.push(tokio::spawn(async move {
            let told = async { drop(stop.wait_for(|stop| *stop).await) };
            let fatal = tokio::select! {
                fatal = node.failed() => Some(fatal),
                () = told => None,
            };
            let Some(fatal) = fatal else { return node.stop().await };
            let _ = failed.send(fatal).await;
            Ok(())
        }));
    }
    let mut result = tokio::select! {
        told = told_to_stop() => told,
        Some(fatal) = failure.recv() => Err(fatal),
    };
    stop.send_replace(true);
    for node in running {
        let ended = node.await.map_err(|error| Stop::Fatal(error.to_string())).and_then(|ended| ended);
        result = result.and(ended);
    }
    result
}

/// The files of the cluster in a folder: those that are there, or new ones.
fn files(args: &DevArgs, folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let there: Vec<PathBuf> =
        (0..).map(|id| folder.join(format!("node{id}/node.toml"))).take_while(|file| file.exists()).collect();
    if !there.is_empty() {
        return Ok(there);
    }
    let testnet = Testnet {
        name: "dev".to_owned(),
        replicas: args.replicas,
        tolerance: Tolerance::Waived,
        scheme: args.scheme,
        ports: Ports::Free,
    };
    testnet.write(folder)
}

fn numbered(path: &Path, index: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    name.into()
}

/// A folder that is removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Stop> {
        let path = std::env::temp_dir().join(format!("cretoai-dev-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| Stop::file(&path, "made as a new folder", &error))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
