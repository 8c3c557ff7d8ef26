//! `start`: one replica.

use super::args::StartArgs;
use super::{block_on, say, told_to_stop};
use crate::config::NodeConfig;
use crate::error::Stop;
use crate::logging;
use crate::node::{Node, Options, StoreMode};

pub(super) fn run(args: StartArgs) -> Result<(), Stop> {
    let config = NodeConfig::load(&args.config, &args.overrides)?;
    logging::start(&config.file.log.level, config.file.log.format)?;
    let store = if args.new { StoreMode::CreateIfMissing } else { StoreMode::Existing };
    block_on(serve(config, Options { store, events: args.events }))
}

async fn serve(config: NodeConfig, options: Options) -> Result<(), Stop> {
    let mut node = Node::start(&config, &options).await?;
    say(&format!(
        "replica {} api=http://{} metrics=http://{}/metrics",
        node.id().0,
        node.api_address(),
        node.metrics_address()
    ))?;
    tokio::select! {
        told = told_to_stop() => told?,
        fatal = node.failed() => return Err(fatal),
    }
    node.stop().await
}
