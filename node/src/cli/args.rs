//! The arguments.

use crate::api::Wait;
use crate::config::Overrides;
use crate::genesis::{SchemeName, Tolerance};
use crate::testnet::{Ports, Testnet};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// A replica of a CretoAI chain, and the tools around it.
#[derive(Debug, Parser)]
#[command(name = "cretoai-node", version = crate::api::VERSION, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Writes the files of a new chain: genesis.toml, and a folder for each replica.
    Testnet(TestnetArgs),
    /// Runs a whole local cluster in this process until Ctrl-C.
    Dev(DevArgs),
    /// Runs a replica until SIGTERM or Ctrl-C.
    Start(Box<StartArgs>),
    /// Writes what a stopped replica can prove, for `cretoai-sim verify`.
    Proof(Box<ProofArgs>),
    /// Makes a key file and prints the public key for the genesis.
    Keygen(Keygen),
    /// Submits an operation on the key-value store.
    Submit(SubmitArgs),
    /// Reads a key as it stands at one replica.
    Get(GetArgs),
    /// Shows what a replica is at.
    Status(ApiArgs),
    /// Says whether a replica is ready; exits with 69 if it is not.
    Health(ApiArgs),
    /// Submits requests at a rate, waits for their finality, and reports.
    Load(LoadArgs),
    /// Prints the versions of the program and of the protocol.
    Version,
}

#[derive(Clone, Debug, Args)]
pub(super) struct TestnetArgs {
    /// How many replicas there are.
    #[arg(long, default_value_t = 4)]
    pub(super) replicas: u16,
    /// The folder to write into.
    #[arg(long)]
    pub(super) out: PathBuf,
    /// How replicas sign.
    #[arg(long, value_enum, default_value_t = SchemeName::MlDsa87)]
    pub(super) scheme: SchemeName,
    /// The first port; replica i listens for others at this port + i, for clients 100 above, for metrics 200 above. 0
    /// for whichever are free now.
    #[arg(long, default_value_t = 26600)]
    pub(super) base_port: u16,
    /// The chain's name.
    #[arg(long, default_value = "testnet")]
    pub(super) name: String,
    /// Allow fewer than four replicas, which tolerate no fault.
    #[arg(long)]
    pub(super) allow_intolerant: bool,
}

impl From<&TestnetArgs> for Testnet {
    fn from(args: &TestnetArgs) -> Self {
        Self {
            name: args.name.clone(),
            replicas: args.replicas,
            tolerance: if args.allow_intolerant { Tolerance::Waived } else { Tolerance::Required },
            scheme: args.scheme,
            ports: if args.base_port == 0 { Ports::Free } else { Ports::From(args.base_port) },
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct DevArgs {
    /// How many replicas there are.
    #[arg(long, default_value_t = 4)]
    pub(super) replicas: u16,
    /// The folder of the cluster, kept and used again; a temporary one if none is named.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
    /// How replicas sign.
    #[arg(long, value_enum, default_value_t = SchemeName::MlDsa87)]
    pub(super) scheme: SchemeName,
    /// Write each replica's events to FILE.0, FILE.1 and so on.
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// A level of logs, or directives.
    #[arg(long, env = "CRETOAI_LOG_LEVEL", default_value = "warn")]
    pub(super) log_level: String,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ProofArgs {
    /// The replica's node.toml.
    #[arg(long, env = "CRETOAI_CONFIG")]
    pub(super) config: PathBuf,
    /// The file to write; an older one is replaced.
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) overrides: Overrides,
}

#[derive(Clone, Debug, Args)]
pub(super) struct StartArgs {
    /// The replica's node.toml.
    #[arg(long, env = "CRETOAI_CONFIG")]
    pub(super) config: PathBuf,
    /// The replica never ran before: make its store. Not for a replica that lost its disk, which needs a new key: it
    /// asks the others, and stops for good if its key spoke before.
    #[arg(long)]
    pub(super) new: bool,
    /// Write the replica's events to a file.
    #[arg(long, value_name = "FILE", env = "CRETOAI_EVENTS")]
    pub(super) events: Option<PathBuf>,
    #[command(flatten)]
    pub(super) overrides: Overrides,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Keygen {
    /// The key file to write; it must not be there.
    #[arg(long)]
    pub(super) out: PathBuf,
    /// How the key signs.
    #[arg(long, value_enum, default_value_t = SchemeName::MlDsa87)]
    pub(super) scheme: SchemeName,
}

/// Where the API is, unless somebody says otherwise.
const DEFAULT_API: &str = "http://127.0.0.1:26700";

#[derive(Clone, Debug, Args)]
pub(super) struct ApiArgs {
    /// The node's API.
    #[arg(long, env = "CRETOAI_URL", default_value = DEFAULT_API, global = true)]
    pub(super) api: String,
    /// How long to wait for an answer.
    #[arg(long, default_value = "10s", value_parser = span, global = true)]
    pub(super) timeout: Duration,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    pub(super) node: ApiArgs,
    /// What to wait for.
    #[arg(long, value_enum, default_value_t = Wait::Finalized, global = true)]
    pub(super) wait: Wait,
    #[command(subcommand)]
    pub(super) op: Op,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Op {
    /// Sets a key.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Reads a key, in order with all writes.
    Get {
        /// The key.
        key: String,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: String,
    },
    /// Submits bytes as they are.
    Raw {
        /// The operation, in hexadecimal digits.
        hex: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct GetArgs {
    #[command(flatten)]
    pub(super) node: ApiArgs,
    /// The key.
    pub(super) key: String,
}

#[derive(Clone, Debug, Args)]
pub(super) struct LoadArgs {
    /// The nodes' APIs, which take turns.
    #[arg(long, env = "CRETOAI_URL", value_delimiter = ',', default_value = DEFAULT_API)]
    pub(super) api: Vec<String>,
    /// Requests a second, over all nodes.
    #[arg(long, default_value_t = 1000)]
    pub(super) rate: u64,
    /// How long to submit.
    #[arg(long = "for", value_name = "SPAN", default_value = "60s", value_parser = span)]
    pub(super) span: Duration,
    /// Bytes of an operation.
    #[arg(long, default_value_t = 256)]
    pub(super) size: usize,
    /// Requests in a call.
    #[arg(long, default_value_t = 100)]
    pub(super) batch: u64,
    /// Different keys that are written to.
    #[arg(long, default_value_t = 1000)]
    pub(super) keys: u64,
    /// Calls under way at once, at the most.
    #[arg(long, default_value_t = 128)]
    pub(super) calls: u64,
    /// How long to wait for the finality of a call.
    #[arg(long, default_value = "10s", value_parser = span)]
    pub(super) timeout: Duration,
}

/// A span like 500ms, 60s or 5m.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("must be a number with a unit: 500ms, 60s, 5m or 1h".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| "must be a whole number with a unit: 500ms, 60s, 5m".to_owned())?;
    let millis = count.checked_mul(unit).filter(|millis| 1 <= *millis && *millis <= 7 * 86_400_000);
    millis.map(Duration::from_millis).ok_or_else(|| "must be between 1ms and 168h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn spans_have_a_unit_and_a_limit() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "5", "s", "0s", "1.5s", "1000h", "5d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
