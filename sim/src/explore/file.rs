//! Files of violations: all that is needed to take the same steps again.

use super::{Bounds, Found, N, RESTARTS, SLOTS, Step, VIEWS};
use crate::scenario::{LoadError, build, json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The version of these files that this program reads and writes.
pub const FORMAT: u64 = 1;

/// A violation that an exploration found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViolationFile {
    /// The version of the format.
    pub format: u64,
    /// The program that wrote it.
    pub build: String,
    /// The rule of the protocol that was broken on purpose, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutant: Option<String>,
    /// What was explored.
    pub bounds: Bounds,
    /// What is wrong.
    pub sentence: String,
    /// How it came about.
    pub steps: Vec<Step>,
}

impl ViolationFile {
    /// Of a violation.
    #[must_use]
    pub fn new(bounds: Bounds, mutant: Option<String>, found: &Found) -> Self {
        let Found { sentence, steps } = found.clone();
        Self { format: FORMAT, build: build(), mutant, bounds, sentence, steps }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError`] in one line, if the file cannot be read, or is of another format.
    pub fn read(file: &str) -> Result<Self, LoadError> {
        let remedy = "give a file that `cretoai-sim explore` wrote";
        let text = fs::read_to_string(file)
            .map_err(|error| LoadError::whole(file, format!("cannot be read: {error}"), remedy))?;
        let read: Self = json(&text).map_err(|error| error.in_file(file))?;
        if read.format != FORMAT {
            let problem = format!("this program reads format {FORMAT}");
            let error = LoadError::at("format", Some(read.format.to_string()), problem);
            return Err(error.remedy("use the program that wrote the file").in_file(file));
        }
        let Bounds { byzantine, views, slots, restarts, .. } = read.bounds;
        let limits = [
            ("byzantine", u64::from(byzantine.0), 0, u64::from(N) - 1),
            ("views", views, 1, VIEWS),
            ("slots", slots, 1, SLOTS),
            ("restarts", u64::from(restarts), 0, u64::from(RESTARTS)),
        ];
        for (name, value, least, most) in limits {
            if !(least..=most).contains(&value) {
                let error = LoadError::at(format!("bounds.{name}"), Some(value.to_string()), "cannot be explored");
                return Err(error.remedy(format!("give {least} to {most}")).in_file(file));
            }
        }
        Ok(read)
    }

    /// Writes it into a folder, which is made if it is not there. Where it is now.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let of = self.mutant.as_deref().unwrap_or("protocol");
        let path = folder.join(format!("explore-{of}-{}.json", self.bounds.byzantine));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(&path, text)?;
        Ok(path)
    }
}
