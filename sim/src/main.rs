//! The command line of the simulator.

fn main() -> std::process::ExitCode {
    cretoai_sim::cli::main()
}
