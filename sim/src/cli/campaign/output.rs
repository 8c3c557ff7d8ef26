//! The summary for programs: JSON, and the XML that test tools read.

use super::summary::{Failed, Summary, Tally};
use crate::report::Verdict;
use std::io::{self, Write};

/// Writes JSON.
pub(super) fn json(out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, summary)?;
    writeln!(out)
}

/// Writes JUnit's XML: a suite for each scenario; in it a test for all seeds that passed, and one for each that
/// failed.
pub(super) fn junit(out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
    let tests = summary.total(tests);
    let failures = summary.failures();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    let seconds = seconds(summary.measured.wall_ms);
    writeln!(out, r#"<testsuites name="cretoai-sim" tests="{tests}" failures="{failures}" time="{seconds}">"#)?;
    for tally in &summary.scenarios {
        suite(out, tally, summary.seeds)?;
    }
    writeln!(out, "</testsuites>")
}

fn tests(tally: &Tally) -> u64 {
    1 + tally.failures.len() as u64
}

fn suite(out: &mut dyn Write, tally: &Tally, seeds: [u64; 2]) -> io::Result<()> {
    let name = escaped(&tally.name);
    let (tests, failures) = (tests(tally), tally.failures.len());
    let [from, to] = seeds;
    writeln!(out, r#"  <testsuite name="{name}" tests="{tests}" failures="{failures}">"#)?;
    let title = format!("{} of the seeds {from}..{to} pass", tally.pass);
    writeln!(out, r#"    <testcase classname="{name}" name="{title}"/>"#)?;
    for failed in &tally.failures {
        let Failed { seed, verdict, replay, hash, .. } = failed;
        let oracle = verdict.failure().map_or("", |failure| failure.oracle.as_str());
        let message = escaped(&verdict.to_string());
        writeln!(out, r#"    <testcase classname="{name}" name="seed {seed}">"#)?;
        let text = escaped(&format!("{}\nhash {hash}\n{replay}\n", sentence(verdict)));
        writeln!(out, r#"      <failure type="{}" message="{message}">{text}</failure>"#, escaped(oracle))?;
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}

fn sentence(verdict: &Verdict) -> &str {
    verdict.failure().map_or("", |failure| failure.sentence.as_str())
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Text as it may stand in XML, between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            '\n' => escaped += "&#10;",
            '\t' => escaped += "&#9;",
            // XML has no place for these, however they are written.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_sentence_the_xml_stays_whole() {
        assert_eq!(escaped("a<b> & \"c\" 'd'\n"), "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;&#10;");
        assert_eq!(escaped("bell \u{7}, nil \u{0}"), "bell \u{fffd}, nil \u{fffd}");
    }
}
