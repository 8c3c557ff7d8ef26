//! When two failures are the same one.

use crate::report::Verdict;

/// What two runs have in common that fail in the same way: the kind of the verdict, the oracle, and what it says apart
/// from the names and numbers in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sameness {
    /// The exit code of the verdict.
    pub code: u8,
    /// The oracle.
    pub oracle: String,
    /// The words of its sentence.
    pub words: Vec<String>,
}

impl Sameness {
    /// What is to be kept of a failure.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let failure = verdict.failure()?;
        let words = failure.sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| says_something(word));
        let words = words.map(str::to_owned).collect();
        Some(Self { code: verdict.exit_code(), oracle: failure.oracle.clone(), words })
    }

    /// Whether an oracle failed that judges runs of any size.
    #[must_use]
    pub fn is_of_oracle(&self) -> bool {
        self.code < 3 && self.oracle != "expectation"
    }
}

/// Numbers, replicas, slots, views and digests differ from run to run; kinds of evidence do not.
fn says_something(word: &str) -> bool {
    let is_kind = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    !word.is_empty() && (!has_digit || word.strip_prefix('E').is_some_and(is_kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Failure;

    fn same(sentence: &str) -> Sameness {
        let failure = Failure { oracle: "O4".to_owned(), sentence: sentence.to_owned(), at_ns: 1, event: 2 };
        Sameness::of(&Verdict::Safety(failure)).expect("it failed")
    }

    #[test]
    fn who_and_where_does_not_matter_and_what_does() {
        assert_eq!(same("r1 decided 0f3a for s4 in v2"), same("r3 decided 99ff for s17 in v0"));
        assert_ne!(same("r1 incriminates itself: E1 at s4"), same("r1 incriminates itself: E4 at s4"));
        assert_ne!(same("r1 decided s4"), same("r1 executes s4"));
        assert_eq!(Sameness::of(&Verdict::Pass), None);
    }
}
