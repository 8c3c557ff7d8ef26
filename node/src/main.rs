//! The production node of CretoAI.
#![forbid(unsafe_code)]

/// A node makes many small things on one thread and drops them on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cretoai_node::cli::main()
}
