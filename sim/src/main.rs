//! The command line of the simulator.

fn main() -> std::process::ExitCode {
    eprintln!("cretoai-sim: the simulator is not built yet");
    std::process::ExitCode::from(64)
}
