//! From the text of a scenario file to its values, and from an error in it to a line and a key.

use super::error::{LoadError, in_plain_words};
use super::ranges::{self, Range};
use crate::plan::Plan;
use crate::strategy::Strategy;
use crate::strategy::small_scope::{self, Scope};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_path_to_error::{Path, Segment, Track};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// The version of scenario files that this program reads.
pub(crate) const VERSION: u64 = 1;

/// A scenario file, value by value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Values {
    #[serde(rename = "version")]
    _version: IgnoredAny, // is looked at before everything else
    pub(super) title: String,
    pub(super) description: String,
    #[serde(default)]
    pub(super) must_fail: Option<String>,
    #[serde(default)]
    pub(super) must_say: Option<String>,
    #[serde(default)]
    pub(super) allow_more_than_f: bool,
    pub(super) swarm: Option<Swarm>,
    pub(super) plan: Option<Plan>,
}

/// That the plan is derived from the seed, and how.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Swarm {
    strategy: Strategy,
    /// The bounds of [`Strategy::SmallScope`]. No other strategy has any.
    link_faults: u64,
    mutations: u64,
    rounds: u64,
}

impl Default for Swarm {
    fn default() -> Self {
        let Scope { link_faults, mutations, rounds } = Scope::default();
        Self { strategy: Strategy::default(), link_faults, mutations, rounds }
    }
}

impl Swarm {
    /// Checks what its types do not say.
    pub(super) fn check(self) -> Result<(), LoadError> {
        let usual = Self::default();
        for (key, bound, usual) in [
            ("link_faults", self.link_faults, usual.link_faults),
            ("mutations", self.mutations, usual.mutations),
            ("rounds", self.rounds, usual.rounds),
        ] {
            let key = format!("swarm.{key}");
            ranges::check_below(&key, 0, &bound.into())?;
            if bound != usual && self.strategy != Strategy::SmallScope {
                let problem = "only a small scope has such a bound";
                let remedy = "leave it out, or set swarm.strategy = \"small-scope\"";
                return Err(LoadError::at(key, Some(bound.to_string()), problem).remedy(remedy));
            }
        }
        Ok(())
    }

    /// The plan of a seed.
    pub(super) fn plan(self, seed: u64) -> Plan {
        let Self { strategy, link_faults, mutations, rounds } = self;
        match strategy {
            Strategy::SmallScope => small_scope::plan(seed, Scope { link_faults, mutations, rounds }),
            other => other.plan(seed),
        }
    }

    /// The plan of a seed that is going to be changed.
    pub(super) fn plan_to_change(self, seed: u64) -> Plan {
        match self.strategy {
            Strategy::SmallScope => self.plan(seed),
            other => other.plan_to_change(seed),
        }
    }
}

/// The text of a scenario file with its structure.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    table: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// Reads the structure.
    pub(super) fn parse(text: &'a str) -> Result<Self, LoadError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { text, table: table.into_inner() }),
            Err(error) => {
                let line = error.span().map(|span| line_of(text, span.start));
                let problem = format!("not TOML: {}", error.message());
                Err(LoadError { line, ..LoadError::whole("", problem, "correct the line") })
            }
        }
    }

    /// Reads the version, which decides how to read the rest.
    pub(super) fn check_version(&self) -> Result<(), LoadError> {
        let Some(value) = self.table.get("version") else {
            let error = LoadError::at("version", None, "is missing");
            return Err(error.remedy(format!("write `version = {VERSION}` at the top")));
        };
        let shown = shown(value.get_ref());
        let number = shown.parse::<u64>().ok();
        let error = |problem: &str| {
            let error = LoadError::at("version", Some(shown.clone()), problem);
            LoadError { line: Some(line_of(self.text, value.span().start)), ..error }
        };
        match number {
            Some(VERSION) => Ok(()),
            Some(newer) if newer > VERSION => {
                let problem = format!("newer than this program, which reads version {VERSION}");
                Err(error(&problem).remedy("use a newer cretoai-sim"))
            }
            _ => Err(error(&format!("must be {VERSION}")).remedy(format!("write `version = {VERSION}`"))),
        }
    }

    /// Reads the values.
    pub(super) fn values(&self) -> Result<Values, LoadError> {
        let mut track = Track::new();
        let deserializer = toml::Deserializer::parse(self.text);
        let result = deserializer.and_then(|deserializer| {
            Values::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
        });
        result.map_err(|error| {
            let path = steps(&track.path());
            let (problem, missing, remedy) = in_plain_words(error.message());
            let problem = with_range(&path, problem);
            self.complain(path, missing, problem).remedy(remedy)
        })
    }

    /// An error about a value that the file has, or should have.
    fn complain(&self, mut path: Vec<String>, missing: Option<String>, problem: String) -> LoadError {
        let value = if missing.is_some() { None } else { self.value_at(&path) };
        path.extend(missing);
        let error = LoadError::at(join(&path), value, problem);
        LoadError { line: self.line_at(&path), ..error }
    }

    /// The same error, with the line that it is about, if its key is in the file.
    pub(super) fn with_line(&self, error: LoadError) -> LoadError {
        let path = split(&error.key);
        LoadError { line: self.line_at(&path), ..error }
    }

    fn line_at(&self, path: &[String]) -> Option<u32> {
        let (span, _) = self.follow(path)?;
        Some(line_of(self.text, span.start))
    }

    fn value_at(&self, path: &[String]) -> Option<String> {
        let (_, value) = self.follow(path)?;
        value.map(shown)
    }

    /// As far along a path as the file goes: where that is, and the value if it is the end of the path.
    fn follow(&self, path: &[String]) -> Option<(std::ops::Range<usize>, Option<&DeValue<'a>>)> {
        let (first, rest) = path.split_first()?;
        let (key, value) = self.table.iter().find(|(key, _)| key.get_ref() == first)?;
        let (mut span, mut value) = (key.span(), value.get_ref());
        for step in rest {
            let next = match value {
                DeValue::Table(table) => {
                    let found = table.iter().find(|(key, _)| key.get_ref() == step);
                    found.map(|(key, value)| (key.span(), value.get_ref()))
                }
                DeValue::Array(list) => {
                    let found = step.parse::<usize>().ok().and_then(|at| list.get(at));
                    found.map(|value| (value.span(), value.get_ref()))
                }
                _ => None,
            };
            let Some(next) = next else { return Some((span, None)) };
            (span, value) = next;
        }
        Some((span, Some(value)))
    }
}

/// Reads a JSON document into values.
pub(crate) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, LoadError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let mut path = steps(error.path());
        let inner = error.into_inner();
        let line = u32::try_from(inner.line()).ok();
        if !inner.is_data() {
            let problem = format!("not JSON: {inner}");
            return LoadError { line, ..LoadError::whole("", problem, "restore the file") };
        }
        let message = inner.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let (problem, missing, remedy) = in_plain_words(message);
        path.extend(missing);
        LoadError { line, ..LoadError::at(join(&path), None, problem).remedy(remedy) }
    })
}

/// Reads a JSON document of one format. Its number is looked at first: of a newer format nothing else is known.
/// `written` says which file to give instead of one that is none of this format, `again` what can be done without a
/// newer program.
pub(crate) fn json_of<'a, T: Deserialize<'a>>(
    format: u64,
    text: &'a str,
    written: &str,
    again: &str,
) -> Result<T, LoadError> {
    let head: Head = json(text)?;
    let said = head.format.as_ref().map(ToString::to_string);
    let error = |problem: String| LoadError::at("format", said.clone(), problem);
    match head.format.as_ref().map(serde_json::Value::as_u64) {
        Some(Some(known)) if known == format => json(text),
        Some(Some(newer)) if format < newer => {
            let problem = format!("newer than this program, which reads format {format}");
            Err(error(problem).remedy(format!("use a newer cretoai-sim, or {again}")))
        }
        Some(_) => Err(error(format!("must be {format}")).remedy(written)),
        None => Err(error("is missing".to_owned()).remedy(written)),
    }
}

/// The part of a file that decides how to read the rest.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: Option<serde_json::Value>,
}

/// Reads a plan from a value that was put together.
pub(super) fn plan(value: serde_json::Value) -> Result<Plan, LoadError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut path = vec!["plan".to_owned()];
        path.extend(steps(error.path()));
        let (problem, missing, remedy) = in_plain_words(&error.into_inner().to_string());
        path.extend(missing);
        LoadError::at(join(&path), None, problem).remedy(remedy)
    })
}

/// The tables of a file as they are in it, for laying them over others.
pub(super) fn tables(text: &str) -> BTreeMap<String, serde_json::Value> {
    toml::from_str(text).expect("a text that was read before")
}

fn steps(path: &Path) -> Vec<String> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// `a.b[2].c` of its parts.
fn join(path: &[String]) -> String {
    let mut key = String::new();
    for step in path {
        if step.parse::<usize>().is_ok() {
            key += &format!("[{step}]");
        } else {
            let dot = if key.is_empty() { "" } else { "." };
            key += &format!("{dot}{step}");
        }
    }
    key
}

/// The parts of `a.b[2].c`.
fn split(key: &str) -> Vec<String> {
    let parts = key.split(['.', '[']).map(|part| part.trim_end_matches(']').to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// A key knows more about its numbers than the type does that holds them.
fn with_range(path: &[String], problem: String) -> String {
    let names: Vec<&str> = path.iter().map(String::as_str).filter(|step| step.parse::<usize>().is_err()).collect();
    match ranges::range_of(&names.join(".")) {
        Some(Range::Between(min, max)) if problem.starts_with("must be a whole number") => {
            format!("must be a whole number from {min} to {max}")
        }
        _ => problem,
    }
}

fn line_of(text: &str, at: usize) -> u32 {
    let before = text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(list) => {
            let list: Vec<String> = list.iter().map(|value| shown(value.get_ref())).collect();
            format!("[{}]", list.join(", "))
        }
        DeValue::Table(table) => {
            let show = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| -> String {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                format!("{key} = {}", shown(value.get_ref()))
            };
            let list: Vec<String> = table.iter().map(show).collect();
            format!("{{ {} }}", list.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::Behaviour;
    use crate::scenario::Scenario;
    use crate::strategy::Strategy;

    fn read(swarm: &str) -> Result<Scenario, String> {
        let text = format!("version = 1\ntitle = \"t\"\ndescription = \"d\"\n[swarm]\n{swarm}");
        Scenario::parse("small-scope", "f.toml", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_bounds_a_small_scope_and_without_bounds_it_has_the_usual_ones() {
        let usual = read("strategy = \"small-scope\"").expect("in order");
        let small = read("strategy = \"small-scope\"\nlink_faults = 1\nmutations = 1\nrounds = 1").expect("in order");
        for seed in 0..50 {
            assert_eq!(usual.plan(seed).expect("a plan"), Strategy::SmallScope.plan(seed));
            let plan = small.plan(seed).expect("a plan");
            let is_small = |behaviour: &Behaviour| matches!(behaviour, Behaviour::SmallScope { mutations } if mutations.len() == 1);
            assert!(plan.rules.len() <= 3 && plan.byzantine.iter().all(|entry| is_small(&entry.behaviour)), "{seed}");
        }
    }

    #[test]
    fn a_bound_out_of_range_or_of_another_strategy_is_refused_with_its_line() {
        let error = |swarm| read(swarm).expect_err("it is wrong");
        let expected = "f.toml:6: swarm.rounds = 9: must be from 1 to 8; the nearest value allowed is 8";
        assert_eq!(error("strategy = \"small-scope\"\nrounds = 9"), expected);
        let expected = "f.toml:5: swarm.mutations = 1: only a small scope has such a bound; leave it out, or set swarm.strategy = \"small-scope\"";
        assert_eq!(error("mutations = 1"), expected);
    }
}
