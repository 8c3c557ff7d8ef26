//! Protocol scripts: the story of one replica as text, with what it does beside it.
//!
//! A script is a file of blocks with a blank line between them. A block is commands, a line `----`, and what the
//! replica did: the records it appended, what left it and after which record, why an input was ignored, evidence, and
//! one line on where it stands. A block without `----` only comments or defines. `UPDATE_EXPECT=1` writes the second
//! half of every block anew; whoever uses it reads the difference before committing it.
//!
//! The first command is `replica r2 of 4`. The script speaks for all others, and can sign as anyone: see
//! `tests/scripts/` for what can be said. The chain has checkpoints every 4 slots and a window of 8, `T0` is 400 ms.

mod bench;
mod diff;
mod show;
mod spell;
mod world;

use bench::Bench;
use spell::Words;
use std::path::Path;

const SEPARATOR: &str = "----";

/// Runs a script, and compares or rewrites what is expected of it.
///
/// # Panics
/// When the replica does something else than the script says, with the difference; or when the script makes no sense.
pub fn check(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let actual = replay(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    if actual != text {
        let name = path.display();
        panic!("\n--- {name}\n+++ what the replica did\n{}", diff::unified(&text, &actual));
    }
}

/// The script with what the replica did in the place of what was expected.
fn replay(text: &str) -> Result<String, String> {
    let mut bench = None;
    let mut actual = Vec::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        actual.push(line.to_owned());
        let command = line.trim();
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        if command == SEPARATOR {
            let bench: &mut Bench = bench.as_mut().ok_or("a script begins with `replica r2 of 4`")?;
            actual.extend(bench.report());
            while lines.next_if(|(_, line)| !line.trim().is_empty()).is_some() {}
            continue;
        }
        let done = match &mut bench {
            None => start(command).map(|new| bench = Some(new)),
            Some(bench) => bench.line(command),
        };
        done.map_err(|error| format!("line {number}: {command}: {error}"))?;
    }
    Ok(actual.join("\n") + "\n")
}

/// `replica r2 of 4`
fn start(command: &str) -> Result<Bench, String> {
    match Words::new(command).plain[..] {
        ["replica", id, "of", n] => {
            let n = n.parse().map_err(|_| format!("{n} is not a number of replicas"))?;
            Bench::new(world::replica(id)?, n)
        }
        _ => Err("a script begins with `replica r2 of 4`".to_owned()),
    }
}
