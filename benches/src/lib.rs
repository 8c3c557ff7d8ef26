//! Benchmarks of the core and the simulator. None is written yet.
//!
//! Each will be a `[[bench]]` of this package, run with `cargo bench -p cretoai-benches`.
#![forbid(unsafe_code)]
