//! The production node of CretoAI: arguments, configuration, keys and logging around the runtime.
//!
//! This version does not contain it. The program says so and fails, so that no script can mistake it
//! for a running replica.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// `EX_USAGE` of `sysexits.h`: there is no way to use this program yet.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    eprintln!("cretoai-node: the production node is not built in this version; the simulator is `cretoai-sim`");
    ExitCode::from(EX_USAGE)
}
