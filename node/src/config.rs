//! `node.toml`: what one replica's operator decides. Environment variables and flags go before the file.

use crate::error::ConfigError;
use crate::genesis::GenesisFile;
use cretoai_core::config::{Chain, Config, Timeouts};
use cretoai_core::time::Duration;
use cretoai_core::types::ReplicaId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A file of configuration, for complaints about it.
#[derive(Clone, Debug)]
pub struct FileText {
    path: PathBuf,
    text: String,
}

/// Reads a file of configuration.
///
/// # Errors
/// [`ConfigError`] when it cannot be read.
pub fn read(path: &Path) -> Result<FileText, ConfigError> {
    /// Bytes of a file, at the most.
    const MAX: u64 = 4 << 20;
    let fail = |limit: String| ConfigError {
        file: path.to_owned(),
        key: "the file".to_owned(),
        value: path.display().to_string(),
        limit,
        remedy: "name a readable file of at most 4 MiB; `cretoai-node testnet` writes one".to_owned(),
    };
    let metadata = std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    if MAX < metadata.len() {
        return Err(fail(format!("is {} bytes long", metadata.len())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    Ok(FileText { path: path.to_owned(), text })
}

impl FileText {
    /// A text as if it stood in a file.
    #[must_use]
    pub fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// What the text says.
    ///
    /// # Errors
    /// [`ConfigError`] names the first key that is unknown, missing, or of the wrong type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let deserializer = toml::Deserializer::parse(&self.text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + self.text[..span.start].matches('\n').count());
            self.complaint(format!("line {line}"), self.line(line), one_line(error.message()), "write it as TOML")
        })?;
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let key = error.path().to_string();
            let reason = one_line(error.inner().message());
            // Of an unknown or missing field, the path is that of its table.
            let named = reason.split('`').nth(1).filter(|_| reason.contains(" field `"));
            let key = match (key.as_str(), named) {
                (".", Some(name)) => name.to_owned(),
                (key, Some(name)) if !key.ends_with(name) => format!("{key}.{name}"),
                (key, _) => key.to_owned(),
            };
            let remedy = if reason.starts_with("unknown") { "correct or remove it" } else { "correct it" };
            self.wrong(&key, &reason, remedy)
        })
    }

    /// A complaint about a key.
    #[must_use]
    pub fn wrong(&self, key: &str, limit: &str, remedy: &str) -> ConfigError {
        self.complaint(key.to_owned(), self.value(key), limit.to_owned(), remedy)
    }

    /// A complaint of the core's, which names the key and the limit itself.
    #[must_use]
    pub fn refused(&self, error: &cretoai_core::config::ConfigError) -> ConfigError {
        use cretoai_core::config::ConfigError as Core;
        match error {
            Core::Committee(committee) => {
                let count = self.value("keys").matches(',').count() + 1;
                let remedy = "list one public key a replica, or set allow_intolerant = true for experiments";
                self.complaint("keys".to_owned(), format!("{count} keys"), committee.to_string(), remedy)
            }
            Core::OutOfRange { field, value, limit } => {
                let key = field.trim_start_matches("genesis.");
                let key = match key {
                    "limits.lifetime"
                    | "timeouts.base"
                    | "timeouts.max"
                    | "timeouts.status"
                    | "timeouts.retransmit" => format!("{key}_ms"),
                    _ => key.to_owned(),
                };
                let written = self.value(&key);
                let value = if written == ABSENT { value.to_string() } else { written };
                self.complaint(key, value, format!("must be {limit}"), "set it within this range")
            }
        }
    }

    fn complaint(&self, key: String, value: String, limit: String, remedy: &str) -> ConfigError {
        ConfigError { file: self.path.clone(), key, value, limit, remedy: remedy.to_owned() }
    }

    fn line(&self, number: usize) -> String {
        one_line(self.text.lines().nth(number.saturating_sub(1)).unwrap_or_default())
    }

    /// What stands in the file for a key, shortened.
    fn value(&self, key: &str) -> String {
        let Ok(table) = self.text.parse::<toml::Table>() else { return ABSENT.to_owned() };
        let mut at = toml::Value::Table(table);
        for step in key.replace('[', ".").replace(']', "").split('.') {
            let next = match &at {
                toml::Value::Table(table) => table.get(step).cloned(),
                toml::Value::Array(array) => step.parse().ok().and_then(|index: usize| array.get(index).cloned()),
                _ => None,
            };
            let Some(next) = next else { return ABSENT.to_owned() };
            at = next;
        }
        one_line(&at.to_string())
    }
}

/// What is said of a key that is not there.
const ABSENT: &str = "(nothing)";

/// A text in one line and of a bearable length.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 160;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The file as it is written. Paths in it are relative to its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// The chain's `genesis.toml`.
    pub genesis: PathBuf,
    /// The replica's key file.
    pub key: PathBuf,
    /// The folder of its data.
    pub data: PathBuf,
    /// Where other replicas reach this one (UDP).
    pub listen: SocketAddr,
    /// Where clients reach it (HTTP).
    pub api: SocketAddr,
    /// Where its metrics are read (HTTP).
    pub metrics: SocketAddr,
    /// The addresses of all replicas as `host:port`, in the order of their ids.
    pub peers: Vec<String>,
    /// Requests waiting to be put into a vertex, at the most.
    #[serde(default = "default_queued")]
    pub queued_requests: usize,
    /// Slots that this replica keeps open as the primary. What comes while they are decided shares the next one: fewer
    /// of them means fewer signatures for the same requests, more of them less waiting for a free one.
    #[serde(default = "default_pipeline")]
    pub pipeline: u64,
    /// Time-outs.
    #[serde(default)]
    pub timeouts: TimeoutsFile,
    /// The API.
    #[serde(default)]
    pub limits: ApiLimits,
    /// Logs.
    #[serde(default)]
    pub log: LogFile,
    /// Storage.
    #[serde(default)]
    pub storage: StorageFile,
}

fn default_queued() -> usize {
    16 * 1024
}

/// The next slot is on its way while the one before is decided.
pub(crate) fn default_pipeline() -> u64 {
    2
}

/// The time-outs as they are written. What is left out follows from the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsFile {
    /// The first wait for an execution, `T0`.
    pub base_ms: u64,
    /// What doubling stops at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    /// The period of STATUS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_ms: Option<u64>,
    /// The period at which a VIEW-CHANGE is sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmit_ms: Option<u64>,
}

impl Default for TimeoutsFile {
    fn default() -> Self {
        Self { base_ms: 1000, max_ms: None, status_ms: None, retransmit_ms: None }
    }
}

/// What clients may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiLimits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being read or answered.
    pub all_bodies_bytes: usize,
    /// Submissions under way at once.
    pub submissions: usize,
    /// Connections at once; the metrics have as many of their own.
    pub connections: usize,
    /// Milliseconds that a client may take to send the head of a request, and again to send its body. A connection on
    /// which nothing is asked for as long is closed.
    pub read_timeout_ms: u64,
}

impl ApiLimits {
    /// How long a client may take to send a part of a request.
    #[must_use]
    pub fn read_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.read_timeout_ms)
    }

    /// The limits with their names and ranges, and what to set.
    fn ranges(&self) -> [(&'static str, u64, u64, u64, u64); 5] {
        [
            ("body_bytes", self.body_bytes as u64, 4096, 64 << 20, 4 << 20),
            ("all_bodies_bytes", self.all_bodies_bytes as u64, self.body_bytes as u64, 4 << 30, 256 << 20),
            ("submissions", self.submissions as u64, 1, 65_536, 1024),
            ("connections", self.connections as u64, 1, 65_536, 1024),
            ("read_timeout_ms", self.read_timeout_ms, 1, 3_600_000, 10_000),
        ]
    }
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            all_bodies_bytes: 256 << 20,
            submissions: 1024,
            connections: 1024,
            read_timeout_ms: 10_000,
        }
    }
}

/// Logs as they are configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// A level, or directives like `info,cretoai_runtime=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Default for LogFile {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Storage as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageFile {
    /// Memory for blocks that were read, in MiB.
    pub cache_mib: u64,
}

impl Default for StorageFile {
    fn default() -> Self {
        Self { cache_mib: 64 }
    }
}

/// What flags and environment variables put before the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// The chain's genesis.toml.
    #[arg(long, env = "CRETOAI_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// The replica's key file.
    #[arg(long, env = "CRETOAI_KEY")]
    pub key: Option<PathBuf>,
    /// The folder of the replica's data.
    #[arg(long, env = "CRETOAI_DATA")]
    pub data: Option<PathBuf>,
    /// Where other replicas reach this one (UDP).
    #[arg(long, env = "CRETOAI_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where clients reach it (HTTP).
    #[arg(long, env = "CRETOAI_API")]
    pub api: Option<SocketAddr>,
    /// Where its metrics are read (HTTP).
    #[arg(long, env = "CRETOAI_METRICS")]
    pub metrics: Option<SocketAddr>,
    /// The first wait for an execution, in milliseconds.
    #[arg(long, env = "CRETOAI_TIMEOUT_BASE_MS")]
    pub timeout_base_ms: Option<u64>,
    /// A level of logs, or directives.
    #[arg(long, env = "CRETOAI_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// How logs are written.
    #[arg(long, env = "CRETOAI_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The file with what was put before it; its paths are complete.
    pub file: NodeFile,
    /// The chain.
    pub chain: std::sync::Arc<Chain>,
    /// The chain's file.
    pub genesis: GenesisFile,
    text: FileText,
}

impl NodeConfig {
    /// Reads and validates `node.toml` and the genesis that it names.
    ///
    /// # Errors
    /// [`ConfigError`] names the first key that is wrong.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let mut file: NodeFile = text.parse()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in [&mut file.genesis, &mut file.key, &mut file.data] {
            *entry = folder.join(&*entry);
        }
        overrides.apply(&mut file);
        let (genesis, chain) = GenesisFile::load(&file.genesis)?;
        let config = Self { file, chain: std::sync::Arc::new(chain), genesis, text };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let file = &self.file;
        let n = usize::from(self.chain.committee.n());
        if file.peers.len() != n {
            let limit = format!("{} addresses, and the chain has {n} replicas", file.peers.len());
            return Err(self.text.wrong("peers", &limit, "list one address a replica, in the order of their ids"));
        }
        if file.api.port() != 0 && file.api == file.metrics {
            return Err(self.text.wrong("metrics", "is the address of the API too", "choose another port"));
        }
        for (key, value, least, most, usual) in file.limits.ranges() {
            if !(least <= value && value <= most) {
                let limit = format!("must be between {least} and {most}");
                return Err(self.text.wrong(&format!("limits.{key}"), &limit, &format!("set {usual}")));
            }
        }
        if !(8 <= file.storage.cache_mib && file.storage.cache_mib <= 65_536) {
            return Err(self.text.wrong("storage.cache_mib", "must be between 8 and 65536", "set 64"));
        }
        for (key, value) in [
            ("timeouts.base_ms", Some(file.timeouts.base_ms)),
            ("timeouts.max_ms", file.timeouts.max_ms),
            ("timeouts.status_ms", file.timeouts.status_ms),
            ("timeouts.retransmit_ms", file.timeouts.retransmit_ms),
        ] {
            if value.is_some_and(|value| !(1 <= value && value <= 86_400_000)) {
                return Err(self.text.wrong(key, "must be between 1 and 86400000", "set it within this range"));
            }
        }
        // The id does not matter for the rest; which one it is only the key file tells.
        let config = self.core_config(ReplicaId(0));
        config.validate(&self.chain).map_err(|error| self.text.refused(&error))
    }

    /// The replica's own parameters.
    #[must_use]
    pub fn core_config(&self, id: ReplicaId) -> Config {
        let times = &self.file.timeouts;
        let mut timeouts = Timeouts::from_base(Duration::from_millis(times.base_ms));
        let set = |target: &mut Duration, millis: Option<u64>| {
            if let Some(millis) = millis {
                *target = Duration::from_millis(millis);
            }
        };
        set(&mut timeouts.max, times.max_ms);
        set(&mut timeouts.status, times.status_ms);
        set(&mut timeouts.retransmit, times.retransmit_ms);
        let mut config = Config::new(id, &self.chain, timeouts);
        config.queued_requests = self.file.queued_requests;
        config.pipeline = self.file.pipeline;
        config
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.text.path
    }

    /// A complaint about a key of `node.toml`.
    #[must_use]
    pub fn wrong(&self, key: &str, limit: &str, remedy: &str) -> ConfigError {
        self.text.wrong(key, limit, remedy)
    }
}

impl Overrides {
    fn apply(&self, file: &mut NodeFile) {
        fn put<T: Clone>(target: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                target.clone_from(given);
            }
        }
        put(&mut file.genesis, self.genesis.as_ref());
        put(&mut file.key, self.key.as_ref());
        put(&mut file.data, self.data.as_ref());
        put(&mut file.listen, self.listen.as_ref());
        put(&mut file.api, self.api.as_ref());
        put(&mut file.metrics, self.metrics.as_ref());
        put(&mut file.timeouts.base_ms, self.timeout_base_ms.as_ref());
        put(&mut file.log.level, self.log_level.as_ref());
        put(&mut file.log.format, self.log_format.as_ref());
    }
}
