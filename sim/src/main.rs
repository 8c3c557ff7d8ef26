//! The command line of the simulator.

/// Worlds make many small things and drop them soon. No outcome depends on where they lie.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cretoai_sim::cli::main()
}
