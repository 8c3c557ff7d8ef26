//! Why a file cannot be used, in one line.

use std::fmt;

/// Why a scenario or failure file cannot be used. It is one line, which names the file, the key, the value and
/// what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadError {
    /// The file, as it was asked for.
    pub file: String,
    /// The line in it, from 1 on.
    pub line: Option<u32>,
    /// The key, with all tables around it: `plan.network.default.loss_per_mille`. Empty for the whole file.
    pub key: String,
    /// What the file says there.
    pub value: Option<Box<str>>,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it. Empty if the problem says it.
    pub remedy: String,
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.file.clone();
        if let Some(line) = self.line {
            text += &format!(":{line}");
        }
        if !self.key.is_empty() {
            text += &format!(": {}", self.key);
            if let Some(value) = &self.value {
                text += &format!(" = {}", shortened(value));
            }
        }
        text += &format!(": {}", self.problem);
        if !self.remedy.is_empty() {
            text += &format!("; {}", self.remedy);
        }
        // Whatever a file or a library put into it: one line.
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        f.write_str(&lines.join(" "))
    }
}

impl LoadError {
    /// The same, about this file.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// The whole file cannot be used.
    #[must_use]
    pub fn whole(file: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), problem: problem.into(), remedy: remedy.into(), ..Self::default() }
    }

    /// A key has a value that it must not have.
    #[must_use]
    pub fn at(key: impl Into<String>, value: Option<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.map(String::into_boxed_str), problem: problem.into(), ..Self::default() }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

const LONGEST_VALUE: usize = 60;

fn shortened(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    let head: String = value.chars().take(LONGEST_VALUE).collect();
    head + "..."
}

/// What serde says about a value, said in the words of somebody who writes the file: what is wrong, and what to do.
/// The second of a triple is a key that is missing in the place the message is about.
pub(super) fn in_plain_words(message: &str) -> (String, Option<String>, String) {
    let message = message.lines().next().unwrap_or_default();
    let quoted = quoted(message);
    if message.starts_with("missing field") {
        let field = quoted.first().map(|field| (*field).to_owned());
        return ("is missing".to_owned(), field, "add it".to_owned());
    }
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let what = if message.starts_with("unknown field") { "unknown key" } else { "unknown value" };
        let (found, known) = quoted.split_first().map_or(("", [].as_slice()), |(found, known)| (*found, known));
        return (what.to_owned(), None, suggestion(found, known));
    }
    if let Some((_, expected)) = message.split_once(", expected ") {
        return (format!("must be {}", kind_of_value(expected)), None, String::new());
    }
    (message.to_owned(), None, String::new())
}

/// What stands between backquotes.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

const MOST_SHOWN: usize = 8;

fn suggestion(found: &str, known: &[&str]) -> String {
    let near = known.iter().map(|name| (distance(found, name), *name)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!("did you mean `{name}`?"),
        Some(_) if known.len() <= MOST_SHOWN => format!("known here: {}", known.join(", ")),
        _ => "docs/scenarios.md lists what is known".to_owned(),
    }
}

fn kind_of_value(expected: &str) -> String {
    let up_to = |max: u64| format!("a whole number from 0 to {max}");
    match expected {
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX.into()),
        "u64" => "a whole number, not negative".to_owned(),
        "i64" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "string or table" => "a name, or a table with a name in it".to_owned(),
        _ if expected.starts_with("struct") || expected == "a map" => "a table".to_owned(),
        _ if expected.starts_with("enum") || expected.contains("variant") => "a table with one name in it".to_owned(),
        _ => expected.to_owned(),
    }
}

/// How many letters have to be changed, added or taken away to make one word of another.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_is_in_it() {
        let error = LoadError::at("plan.n", Some("3".to_owned()), "too\nfew").remedy("say more").in_file("a.toml");
        assert_eq!(error.to_string(), "a.toml: plan.n = 3: too few; say more");
        let long = LoadError { line: Some(7), value: Some("x".repeat(100).into()), ..error };
        let head = "x".repeat(60);
        assert_eq!(long.to_string(), format!("a.toml:7: plan.n = {head}...: too few; say more"));
    }

    #[test]
    fn a_slip_of_the_pen_gets_a_suggestion() {
        let known = ["loss_per_mille", "latency"];
        assert_eq!(suggestion("los_per_mile", &known), "did you mean `loss_per_mille`?");
        assert_eq!(suggestion("bananas", &known), "known here: loss_per_mille, latency");
        assert_eq!(suggestion("bananas", &["key"; 20]), "docs/scenarios.md lists what is known");
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn messages_of_the_decoder_are_put_in_plain_words() {
        let words = in_plain_words("invalid type: string \"four\", expected u16");
        assert_eq!(words.0, "must be a whole number from 0 to 65535");
        let (problem, field, remedy) = in_plain_words("missing field `slot`");
        assert_eq!((problem.as_str(), field.as_deref(), remedy.as_str()), ("is missing", Some("slot"), "add it"));
        let (problem, _, remedy) = in_plain_words("unknown field `m`, expected `n`");
        assert_eq!((problem.as_str(), remedy.as_str()), ("unknown key", "did you mean `n`?"));
    }
}
