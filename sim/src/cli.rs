//! The command line.

mod args;
mod bundle;
mod campaign;
mod compare;
mod describe;
mod event;
mod explore;
#[cfg(feature = "mutants")]
mod mutants;
mod replay;
mod run;
mod shrink;
mod simulate;
mod source;
mod threads;
mod timeline;
mod trace;
mod verify;
mod words;

use crate::scenario::{LIBRARY, LoadError, Scenario};
use args::{Arguments, Command};
use clap::Parser;
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// What was asked for cannot be done.
const USAGE: u8 = 64;

/// This program is wrong. It is what Rust's own panics end with.
const INTERNAL: u8 = 101;

/// What the last panic said, and where it was.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fn last_panic() -> String {
    let last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
    last.lines().collect::<Vec<_>>().join(" ")
}

/// Why a command ends without a verdict.
#[derive(Debug)]
enum Stop {
    /// What was asked for cannot be done. One line.
    Usage(String),
    /// What it found cannot be written.
    Output(io::Error),
}

impl From<LoadError> for Stop {
    fn from(error: LoadError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What a command ends with: the exit code.
type Ended = Result<u8, Stop>;

/// Why a rule cannot be broken.
#[cfg(not(feature = "mutants"))]
const NO_MUTANTS: &str =
    "no rule can be broken in this program; build it with `cargo build --release -p cretoai-sim --features mutants`";

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
    // A panic of the protocol is a finding and is reported as one. Any other is a mistake of this program.
    std::panic::set_hook(Box::new(|panic| {
        let mut last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        *last = panic.to_string();
    }));
    let mut out = BufWriter::new(io::stdout().lock());
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let code = dispatch(arguments, &mut out)?;
        out.flush()?;
        Ok(code)
    }));
    let Ok(ended) = ended else {
        eprintln!("internal error: {}", last_panic());
        return ExitCode::from(INTERNAL);
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        // Whoever read the output has seen enough.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::Output(error)) => complain(&format!("the output cannot be written: {error}")),
        Err(Stop::Usage(line)) => complain(&line),
    }
}

fn complain(line: &str) -> ExitCode {
    eprintln!("error: {line}");
    ExitCode::from(USAGE)
}

fn dispatch(arguments: Arguments, out: &mut dyn Write) -> Ended {
    let demo = Command::Run { scenario: "demo".to_owned(), seed: None, bundle: None };
    match arguments.command.unwrap_or(demo) {
        Command::Run { scenario, seed, bundle } => run::run(&scenario, seed, bundle.as_deref(), out),
        Command::Campaign(arguments) => campaign::run(&arguments, out),
        Command::Explore(arguments) => explore::run(&arguments, out),
        #[cfg(feature = "mutants")]
        Command::Mutants(arguments) => mutants::run(&arguments, out),
        #[cfg(not(feature = "mutants"))]
        Command::Mutants { .. } => Err(Stop::Usage(format!("mutants: {NO_MUTANTS}"))),
        Command::Replay { failure, until, replica } => replay::run(&failure, &Shown { until, replica }, out),
        Command::Shrink { failure, to } => shrink::run(&failure, to.as_deref(), out),
        Command::Scenarios => scenarios(out),
        Command::Verify { bundle, seed } => verify::run(&bundle, seed, out),
        Command::Diff { a, b } => compare::run(&a, &b, out),
        Command::Trace { run, format, until, replica } => trace::run(&run, format, &Shown { until, replica }, out),
    }
}

/// Which events are shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// Up to this moment, in nanoseconds.
    until: Option<u64>,
    /// Those of this replica, and those that concern all.
    replica: Option<u16>,
}

impl Shown {
    fn admits(&self, event: &crate::observe::TraceEvent<'_>) -> bool {
        let in_time = self.until.is_none_or(|until| event.at <= until);
        let of_replica = |wanted: u16| event.replica.is_none_or(|id| id.0 == wanted);
        in_time && self.replica.is_none_or(of_replica)
    }

    /// Refuses a replica that is not there.
    fn check(&self, n: u16) -> Result<(), Stop> {
        match self.replica {
            Some(replica) if replica >= n => {
                let line =
                    format!("--replica {replica}: there is no such replica among {n}; name one from 0 to {}", n - 1);
                Err(Stop::Usage(line))
            }
            _ => Ok(()),
        }
    }
}

/// One line for each scenario of the library.
fn scenarios(out: &mut dyn Write) -> Ended {
    let width = LIBRARY.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, _) in LIBRARY {
        let scenario = Scenario::load(name)?;
        let must_fail = scenario.must_fail().map(|oracle| format!(" (must fail with {oracle})"));
        writeln!(out, "{name:<width$}  {}{}", scenario.title, must_fail.unwrap_or_default())?;
    }
    Ok(0)
}
