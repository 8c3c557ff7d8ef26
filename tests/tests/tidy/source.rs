//! Reading rules, variants and paths off the text of a file.

use std::collections::BTreeSet;

use super::File;

/// The letters of the families of rules in `docs/protocol.md`.
const RULE_FAMILIES: &str = "AMGDFNCVTXO";

pub(crate) fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` is in `text`, with nothing before or after it that would make it another word.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether `line` names the absolute path `path` or something below it.
pub(crate) fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        // After one of these the path is relative, or starts at a variable.
        let absolute = !before.is_some_and(|c| is_word(c) || "./-})".contains(c));
        absolute && !after.is_some_and(|c| is_word(c) || c == '-' || c == '.')
    })
}

/// The rule at the very start of `text`, such as `V12`, and what follows it.
fn rule(text: &str) -> Option<(&str, &str)> {
    text.chars().next().filter(char::is_ascii_uppercase)?;
    let digits = text[1..].chars().take_while(char::is_ascii_digit).count();
    let (rule, rest) = text.split_at(1 + digits);
    (digits > 0 && !rest.starts_with(is_word)).then_some((rule, rest))
}

/// The list of rules at the start of `text`: `F8`, `N5, N6 and V12`, `X1-X3`.
fn rule_list(mut text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    while let Some((next, rest)) = rule(text) {
        found.push(next);
        let separators = [", and ", ", ", " and ", " or ", " to ", "/", "-", "–"];
        let Some(rest) = separators.iter().find_map(|separator| rest.strip_prefix(separator)) else {
            break;
        };
        text = rest;
    }
    found
}

/// The rules that a text defines: each id is set in bold where the rule is stated.
pub(crate) fn rules_in(text: &str) -> BTreeSet<String> {
    let bold = text.match_indices("**").filter_map(|(at, mark)| rule(&text[at + mark.len()..]));
    bold.map(|(rule, _)| rule.to_owned()).collect()
}

/// The rules that a text cites, with their lines: after the name of the document, however the lines are
/// broken, or in brackets within a comment.
pub(crate) fn citations(text: &str) -> Vec<(usize, String)> {
    const DOCUMENT: &str = "protocol.md";
    let mut found = Vec::new();

    // The text without the marks of comments and the ends of lines, and where each line starts in it.
    let mut flat = String::new();
    let mut starts = Vec::new();
    for line in text.lines() {
        starts.push(flat.len());
        flat.push_str(line.trim().trim_start_matches(['/', '!', '#', '*']).trim_start());
        flat.push(' ');
    }
    for (at, _) in flat.match_indices(DOCUMENT) {
        let number = starts.partition_point(|start| *start <= at);
        let list = flat[at + DOCUMENT.len()..].trim_start_matches(['`', ' ', ',', ':', '(', '[']);
        found.extend(rule_list(list).into_iter().map(|rule| (number, rule.to_owned())));
    }

    for (number, line) in numbered_lines(text) {
        let Some((_, comment)) = line.split_once("//") else {
            continue;
        };
        for (at, _) in comment.match_indices('[') {
            let list = &comment[at + 1..];
            if list.starts_with(|c| RULE_FAMILIES.contains(c)) {
                found.extend(rule_list(list).into_iter().map(|rule| (number, rule.to_owned())));
            }
        }
    }
    found
}

/// The names of the variants of the enum `name`, if `source` defines it. Knows as much Rust as that takes.
pub(crate) fn variants_of(source: &str, name: &str) -> Option<Vec<String>> {
    let head = format!("enum {name} {{");
    let without_comments: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let without_comments = without_comments.join("\n");
    let body = &without_comments[without_comments.find(&head)? + head.len()..];

    let mut variants = Vec::new();
    let mut depth = 0_usize;
    let mut variant_may_start = true;
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 0 => return Some(variants),
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => variant_may_start = true,
            _ if depth == 0 && variant_may_start && c.is_ascii_uppercase() => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                variants.push(rest[..length].to_owned());
                variant_may_start = false;
                rest = &rest[length..];
                continue;
            }
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    panic!("`{head}` is never closed");
}

/// The part of a file that is test code, and whether it is Rust: all of a file in a folder `tests`, or the
/// end of a source file from its `#[cfg(test)]` on. A scenario in another format counts as a test too.
pub(crate) fn test_code(file: &File) -> Option<(bool, &str)> {
    let is_rust = file.path.ends_with(".rs");
    let is_scenario = [".txt", ".toml"].iter().any(|ending| file.path.ends_with(ending));
    let is_manifest = file.path.ends_with("Cargo.toml");
    let in_tests = file.path.split('/').any(|part| part == "tests") || file.path.ends_with("/tests.rs");
    if file.path.starts_with("tests/tests/tidy") || is_manifest || !(is_rust || is_scenario) {
        None
    } else if in_tests {
        Some((is_rust, file.text.as_str()))
    } else if is_rust {
        let start = file.text.find("#[cfg(test)]\nmod ")?;
        Some((true, &file.text[start..]))
    } else {
        None
    }
}

#[test]
fn citations_are_found_in_all_their_forms() {
    let text = "\
/// As `docs/protocol.md` F8 says, and `docs/protocol.md` N5, N6 and
/// V12: but not T4 in the same breath.
// docs/protocol.md
// X7: wrapped.
let a = b[O1]; // [M3] in brackets, [G1, G2]; not [Z9], nor [Vec], nor [T]
//! See docs/protocol.md Z9.
";
    let found: Vec<String> = citations(text).into_iter().map(|(line, rule)| format!("{line} {rule}")).collect();
    assert_eq!(found, ["1 F8", "1 N5", "1 N6", "1 V12", "3 X7", "6 Z9", "5 M3", "5 G1", "5 G2"]);
    let rules = rules_in("**A1 Replicas** are, see A2 and **A3**. **A10.** **Abc** ** A4 **");
    assert_eq!(rules.into_iter().collect::<Vec<_>>(), ["A1", "A10", "A3"]);
}

#[test]
fn the_variants_of_an_enum_are_read_off_its_source() {
    let source = "
/// The enum Ignored is described here.
pub enum Ignored {
    /// Not for us, { or }; says who.
    WrongView,
    #[error(\"too old, by {by}\")]
    Old { by: u64, at: (u32, u32) }, // trailing, comment
    Other(Box<(A, B)>),
    Last = 4
}
pub enum Else { Nope }
";
    let expected = ["WrongView", "Old", "Other", "Last"].map(str::to_owned);
    assert_eq!(variants_of(source, "Ignored"), Some(expected.to_vec()));
    assert_eq!(variants_of(source, "Ignore"), None);
}
