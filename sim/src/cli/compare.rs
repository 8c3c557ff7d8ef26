//! `diff`: the first event in which two runs differ.

use super::simulate::{Depth, Simulator};
use super::{Ended, event, source};
use std::io::Write;

/// Compares two runs. That they differ is no failure.
pub(super) fn run(a: &str, b: &str, out: &mut dyn Write) -> Ended {
    let plans = [source::plan(a)?, source::plan(b)?];
    let [first, second] = &plans;
    let Some(difference) = Simulator::default().difference([first, second], Depth::Words) else {
        writeln!(out, "{a} and {b} are the same in every event")?;
        return Ok(0);
    };
    writeln!(out, "{a} and {b} are the same in {} events, and then differ", difference.index)?;
    writeln!(out, "  {}", event::COLUMNS)?;
    for line in &difference.before {
        writeln!(out, "  {line}")?;
    }
    for (mark, (name, lines)) in ['<', '>'].into_iter().zip([a, b].into_iter().zip(&difference.after)) {
        for line in lines {
            writeln!(out, "{mark} {line}")?;
        }
        if lines.is_empty() {
            writeln!(out, "{mark} {name} is over")?;
        }
    }
    Ok(0)
}
