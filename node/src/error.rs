//! Why a command ends, and with which exit code.

use std::path::{Path, PathBuf};

/// `EX_USAGE` of `sysexits.h`: what was asked for cannot be done as it stands.
pub const USAGE: u8 = 64;

/// `EX_UNAVAILABLE`: a node does not answer, or not as hoped.
pub const UNAVAILABLE: u8 = 69;

/// `EX_SOFTWARE`: the replica cannot go on.
pub const FATAL: u8 = 70;

/// Why a command ends before it has done its work. One line each.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// What was asked for cannot be done: a wrong argument, file or value.
    #[error("{0}")]
    Usage(String),
    /// A node does not answer, or refuses.
    #[error("{0}")]
    Unavailable(String),
    /// The replica cannot go on.
    #[error("{0}")]
    Fatal(String),
}

impl Stop {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Fatal(_) => FATAL,
        }
    }

    /// A file that cannot be read or written.
    #[must_use]
    pub fn file(path: &Path, what: &str, error: &std::io::Error) -> Self {
        Self::Usage(format!(
            "{}: cannot be {what}: {error}; name another path, or make this one usable",
            path.display()
        ))
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// What is wrong with a file of configuration: which file, which key, its value, what it may be, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{}: {key} = {value}: {limit}; {remedy}", .file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The key's path in it.
    pub key: String,
    /// What stands there.
    pub value: String,
    /// What may stand there.
    pub limit: String,
    /// What to do.
    pub remedy: String,
}
