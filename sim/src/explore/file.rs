//! Files of violations: all that is needed to take the same steps again.

use super::{Bounds, Found, N, RESTARTS, SLOTS, Step, VIEWS};
use crate::scenario::{LoadError, build, json_of};
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
    /// [`LoadError`] in one line, if the file cannot be read, is of another format, or cannot be explored.
    pub fn read(file: &str) -> Result<Self, LoadError> {
        let written = "give a file that `cretoai-sim explore` wrote";
        let text = fs::read_to_string(file)
            .map_err(|error| LoadError::whole(file, format!("cannot be read: {error}"), written))?;
        let read: Self = json_of(FORMAT, &text, written, "explore again").map_err(|error| error.in_file(file))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::Orders;
    use cretoai_core::types::ReplicaId;

    #[test]
    fn a_violation_is_read_as_it_was_written_and_one_of_another_format_is_refused() {
        let bounds = Bounds {
            byzantine: ReplicaId(1),
            views: 2,
            slots: 1,
            restarts: 0,
            orders: Orders::Reduced,
            states: 1000,
            memory: 1 << 20,
        };
        let found = Found { sentence: "r0 and r2 decide differently".to_owned(), steps: Vec::new() };
        let violation = ViolationFile::new(bounds, Some("votes-twice".to_owned()), &found);
        let folder = std::env::temp_dir().join(format!("cretoai-violation-{}", std::process::id()));
        let path = violation.write(&folder).unwrap();
        let file = path.to_str().unwrap();
        assert_eq!(ViolationFile::read(file), Ok(violation));

        let text = fs::read_to_string(&path).unwrap();
        let refusal = |from: &str, to: &str| {
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
            ViolationFile::read(file).unwrap_err().to_string()
        };
        let newer = refusal("\"format\": 1", "\"format\": 2, \"nobody\": \"knows\"");
        let remedy = "newer than this program, which reads format 1; use a newer cretoai-sim, or explore again";
        assert_eq!(newer, format!("{file}: format = 2: {remedy}"));
        let nameless = refusal("\"format\": 1,", "");
        let remedy = "is missing; give a file that `cretoai-sim explore` wrote";
        assert_eq!(nameless, format!("{file}: format: {remedy}"));
        let wide = refusal("\"views\": 2", "\"views\": 99");
        assert_eq!(wide, format!("{file}: bounds.views = 99: cannot be explored; give 1 to {VIEWS}"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
