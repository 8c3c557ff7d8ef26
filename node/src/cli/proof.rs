//! `proof`: what a replica can prove, out of its store.

use super::args::ProofArgs;
use super::say;
use crate::config::NodeConfig;
use crate::error::Stop;
use crate::node::stored;
use cretoai_core::bundle::Findings;

pub(super) fn run(args: &ProofArgs) -> Result<(), Stop> {
    let config = NodeConfig::load(&args.config, &args.overrides)?;
    let mut findings = Findings::default();
    stored(&config)?.iter().for_each(|(_, record)| findings.take(record));
    let bundle = findings.bundle(config.chain.genesis.clone());
    let (pieces, slots) = (bundle.evidence.len(), bundle.decided.len());
    std::fs::write(&args.out, bundle.encode()).map_err(|error| Stop::file(&args.out, "written", &error))?;
    let file = args.out.display();
    say(&format!("wrote {file}: {pieces} pieces of evidence, {slots} decisions; cretoai-sim verify {file}"))
}
