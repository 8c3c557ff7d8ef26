//! `trace`: every event of a run.

use super::args::Format;
use super::simulate::Simulator;
use super::{Ended, Shown, event, source};
use crate::observe::{TraceEvent, TraceSink};
use std::io::{self, BufWriter, Write};

/// Writes events as they happen.
struct Writer {
    format: Format,
    shown: Shown,
    out: BufWriter<io::Stdout>,
    /// The first thing that went wrong. Nothing is written after it.
    result: io::Result<()>,
}

impl Writer {
    fn line(&mut self, line: &str) {
        if self.result.is_ok() {
            self.result = writeln!(self.out, "{line}");
        }
    }
}

impl TraceSink for Writer {
    fn event(&mut self, event: &TraceEvent<'_>) {
        if self.result.is_ok() && self.shown.admits(event) {
            let line = match self.format {
                Format::Text => event::line(event),
                Format::Jsonl => event::object(event).to_string(),
            };
            self.line(&line);
        }
    }
}

/// Writes the events of a run, and the verdict at the end.
pub(super) fn run(name: &str, format: Format, shown: &Shown, out: &mut dyn Write) -> Ended {
    let plan = source::plan(name)?;
    shown.check(plan.n)?;
    out.flush()?;
    let mut writer = Writer { format, shown: *shown, out: BufWriter::new(io::stdout()), result: Ok(()) };
    if format == Format::Text {
        writer.line(event::COLUMNS);
    }
    let (report, mut writer) = Simulator::default().listen(&plan, writer);
    if format == Format::Text {
        writer.line(&format!("{}: {}, hash {}", source::name(&plan), report.verdict, report.hash));
    } else {
        let end =
            serde_json::json!({ "what": "end", "verdict": report.verdict, "hash": report.hash, "seed": plan.seed });
        writer.line(&end.to_string());
    }
    writer.result?;
    writer.out.flush()?;
    Ok(report.verdict.exit_code())
}
