//! Scenario files: what is to be simulated, in words and in values. `docs/scenarios.md` describes the format.
//!
//! A scenario becomes a [`Plan`] when it gets a seed. It either says what differs from the default plan, or lets
//! the seed choose and says what differs from that.

mod check;
#[cfg(test)]
mod docs;
mod error;
mod failure;
mod fewer;
mod library;
mod parse;
mod ranges;

pub use error::LoadError;
pub use failure::{FORMAT, FailureFile, build};
pub use fewer::without_replicas;
pub use library::LIBRARY;
pub(crate) use parse::json_of;

use crate::plan::{Expectation, Plan};
use parse::{Document, Swarm};
use serde_json::Value;
use std::fs;

/// A scenario that was read and found to be in order.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What to call it on a command line: the name in the library, or the path of the file.
    pub name: String,
    /// The file it is from.
    pub file: String,
    /// What it is called.
    pub title: String,
    /// What happens in it, in a sentence.
    pub description: String,
    /// The text it was read from.
    pub text: String,
    /// Whether more than f of its replicas may be Byzantine.
    allow_more_than_f: bool,
    must_fail: Option<String>,
    must_say: Option<String>,
    base: Base,
}

/// Where the plan of a scenario comes from.
#[derive(Clone, Debug)]
enum Base {
    /// It is this one, with another seed.
    Plan(Box<Plan>),
    /// The seed decides, in this way, except about this.
    Swarm(Swarm, Option<Value>),
}

impl Scenario {
    /// The scenario of a name in the library or of a path.
    ///
    /// # Errors
    /// [`LoadError`] in one line, if there is no such scenario or it is not in order.
    pub fn load(name: &str) -> Result<Self, LoadError> {
        if let Some((_, text)) = LIBRARY.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, &library::file_of(name), text);
        }
        let looks_like_a_path = name.contains(['/', '\\', '.']);
        if !looks_like_a_path {
            let problem = "no scenario of the library has this name";
            let remedy = "`cretoai-sim scenarios` lists them; a path has a slash or ends in .toml";
            return Err(LoadError::whole(name, problem, remedy));
        }
        let text = fs::read_to_string(name).map_err(|error| {
            LoadError::whole(name, format!("cannot be read: {error}"), "give a file that can be read")
        })?;
        Self::parse(name, name, &text)
    }

    /// The scenario in a text.
    ///
    /// # Errors
    /// [`LoadError`] in one line, if it is not in order.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, LoadError> {
        Self::read(name, file, text).map_err(|error| error.in_file(file))
    }

    fn read(name: &str, file: &str, text: &str) -> Result<Self, LoadError> {
        let document = Document::parse(text)?;
        document.check_version()?;
        let values = document.values()?;
        let with_line = |error| document.with_line(error);
        for (key, value) in [("title", &values.title), ("description", &values.description)] {
            if value.trim().is_empty() || value.contains('\n') {
                let error = LoadError::at(key, Some(format!("{value:?}")), "must be one line of text");
                return Err(with_line(error.remedy("say what the scenario is about")));
            }
        }
        if let Some(oracle) = &values.must_fail {
            check::must_fail(oracle).map_err(with_line)?;
        }
        let given = parse::tables(text).remove("plan");
        for key in ["name", "must_fail", "must_say"] {
            if given.as_ref().is_some_and(|given| given.get(key).is_some()) {
                let error = LoadError::at(format!("plan.{key}"), None, "a scenario does not say this about its plan");
                let remedy = if key == "name" {
                    "leave it out: a plan is called like its file"
                } else {
                    "write it at the top, before any table"
                };
                return Err(with_line(error.remedy(remedy)));
            }
        }
        let base = match (values.swarm, values.plan) {
            (Some(swarm), _) => {
                swarm.check().map_err(with_line)?;
                Base::Swarm(swarm, given)
            }
            (None, Some(plan)) => Base::Plan(Box::new(plan)),
            (None, None) => {
                let error = LoadError::at("plan", None, "is missing");
                return Err(error.remedy("write a table [plan] with what differs from the default, or [swarm]"));
            }
        };
        let scenario = Self {
            name: name.to_owned(),
            file: file.to_owned(),
            title: values.title,
            description: values.description,
            text: text.to_owned(),
            allow_more_than_f: values.allow_more_than_f,
            must_fail: values.must_fail,
            must_say: values.must_say,
            base,
        };
        // What is wrong with every plan of it shows in that of any seed.
        scenario.expand(1).map_err(with_line)?;
        Ok(scenario)
    }

    /// The seed of a run for which none was chosen.
    #[must_use]
    pub fn default_seed(&self) -> u64 {
        match &self.base {
            Base::Plan(plan) if plan.seed > 0 => plan.seed,
            _ => 1,
        }
    }

    /// Whether the seed decides what happens, and not only how it turns out.
    #[must_use]
    pub fn is_swarm(&self) -> bool {
        matches!(self.base, Base::Swarm(..))
    }

    /// The oracle that has to fail.
    #[must_use]
    pub fn must_fail(&self) -> Option<&str> {
        self.must_fail.as_deref()
    }

    /// The plan for a seed.
    ///
    /// # Errors
    /// [`LoadError`] in one line, if what the scenario says does not fit to what the seed chose.
    pub fn plan(&self, seed: u64) -> Result<Plan, LoadError> {
        match &self.base {
            // Nothing in it depends on the seed: it was checked when it was read.
            Base::Plan(plan) => Ok(Plan { seed, ..self.named(Plan::clone(plan)) }),
            Base::Swarm(swarm, None) => Ok(self.named(swarm.plan(seed))),
            Base::Swarm(_, Some(_)) => self.expand(seed).map_err(|error| error.in_file(&self.file)),
        }
    }

    fn expand(&self, seed: u64) -> Result<Plan, LoadError> {
        let plan = match &self.base {
            Base::Plan(plan) => Plan { seed, ..Plan::clone(plan) },
            Base::Swarm(swarm, None) => swarm.plan(seed),
            Base::Swarm(swarm, Some(given)) => {
                let mut value = serde_json::to_value(swarm.plan_to_change(seed)).expect("a plan is data");
                lay_over(&mut value, given);
                Plan { seed, ..parse::plan(value)? }
            }
        };
        let plan = self.named(plan);
        self.check(&plan)?;
        Ok(plan)
    }

    /// Checks a plan of this scenario.
    fn check(&self, plan: &Plan) -> Result<(), LoadError> {
        // What the seed alone chooses goes beyond f where that is its theme, and then expects replicas to stop.
        let is_theme = matches!(self.base, Base::Swarm(_, None))
            && plan.expectations.iter().any(|expectation| matches!(expectation, Expectation::Stopped { .. }));
        check::check(plan, self.allow_more_than_f || is_theme)
    }

    fn named(&self, plan: Plan) -> Plan {
        let (must_fail, must_say) = (self.must_fail.clone(), self.must_say.clone());
        Plan { name: self.name.clone(), must_fail, must_say, ..plan }
    }
}

/// Replaces what is said in `over`. Tables are gone into; lists, single values, and tables with one name out of
/// several, such as latencies, are replaced as a whole.
fn lay_over(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) if over.keys().all(|key| value.contains_key(key)) => {
            for (key, over) in over {
                lay_over(&mut value[key], over);
            }
        }
        (value, over) => over.clone_into(value),
    }
}
