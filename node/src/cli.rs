//! The command line.

mod args;
mod ask;
mod dev;
mod load;
mod proof;
mod start;

use crate::api::VERSION;
use crate::error::{Stop, USAGE};
use crate::hex;
use crate::testnet::Testnet;
use args::{Arguments, Command, Keygen, TestnetArgs};
use clap::Parser;
use cretoai_core::signature::PROTOCOL_TAG;
use cretoai_runtime::signatures::Keys;
use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// What is still running when a command is done gets this long.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Does what the arguments of this process say.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; everything else is a mistake.
            let code = if error.use_stderr() { USAGE } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            let _ = writeln!(std::io::stderr(), "cretoai-node: {stop}");
            ExitCode::from(stop.code())
        }
    }
}

fn run(command: Command) -> Result<(), Stop> {
    match command {
        Command::Testnet(args) => testnet(&args),
        Command::Keygen(args) => keygen(&args),
        Command::Dev(args) => block_on(dev::run(args)),
        Command::Start(args) => start::run(*args),
        Command::Proof(args) => proof::run(&args),
        Command::Submit(args) => block_on(ask::submit(args)),
        Command::Get(args) => block_on(ask::get(args)),
        Command::Status(args) => block_on(ask::status(args)),
        Command::Health(args) => block_on(ask::health(args)),
        Command::Load(args) => block_on(load::run(args)),
        Command::Version => say(&format!("cretoai-node {VERSION} ({PROTOCOL_TAG})")),
    }
}

/// Runs a future on all processors. What it leaves running is given a moment, and then left.
fn block_on(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::Fatal(format!("no threads: {error}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_CALL);
    result
}

/// Prints a line. Whoever closed the pipe does not want it.
fn say(line: &str) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(())
}

fn testnet(args: &TestnetArgs) -> Result<(), Stop> {
    let files = Testnet::from(args).write(&args.out)?;
    say(&format!("wrote {} and {} replicas", args.out.join("genesis.toml").display(), files.len()))?;
    files.iter().try_for_each(|file| say(&format!("cretoai-node start --config {}", file.display())))
}

fn keygen(args: &Keygen) -> Result<(), Stop> {
    let usage = |error: cretoai_runtime::signatures::KeyError| Stop::Usage(error.to_string());
    let keys = Keys::generate(args.scheme.into()).map_err(usage)?;
    keys.create(&args.out).map_err(usage)?;
    say(&hex::encode(keys.public()))
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_stop() -> Result<(), Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Stop::Fatal(format!("signals cannot be heard: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
