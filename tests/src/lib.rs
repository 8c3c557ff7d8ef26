//! Tests that need more than one crate of the workspace.
//!
//! The tests themselves are in `tests/tests/`, one file per subject; this library is for what several
//! of them share. A test about one crate belongs in that crate.
//!
//! - `scripts.rs`: what one replica does, told line by line in `tests/scripts/`; [`script`] runs it.
//! - `tidy.rs`: the shape of the source tree itself (who may depend on whom, how long a file may grow,
//!   which rules of the protocol exist).
#![forbid(unsafe_code)]

pub mod script;
