//! The difference of two texts, as `diff -u` shows it.

/// Lines of context around a change.
const CONTEXT: usize = 3;

#[derive(Clone, Copy)]
enum Change<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The unified difference, without the names of the files.
pub(crate) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let changes = changes(&old, &new);
    let is_near = |at: usize| {
        let around = &changes[at.saturating_sub(CONTEXT)..changes.len().min(at + CONTEXT + 1)];
        around.iter().any(|change| !matches!(change, Change::Same(_)))
    };
    let mut text = String::new();
    let (mut old_line, mut new_line) = (1, 1);
    let mut is_open = false;
    for (at, change) in changes.iter().enumerate() {
        let is_shown = is_near(at);
        if is_shown && !is_open {
            text.push_str(&format!("@@ -{old_line} +{new_line} @@\n"));
        }
        is_open = is_shown;
        let (mark, line) = match *change {
            Change::Same(line) => (' ', line),
            Change::Gone(line) => ('-', line),
            Change::New(line) => ('+', line),
        };
        old_line += usize::from(mark != '+');
        new_line += usize::from(mark != '-');
        if is_shown {
            text.push_str(&format!("{mark}{line}\n"));
        }
    }
    text
}

/// A shortest sequence of changes, by the longest common subsequence.
fn changes<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Change<'a>> {
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, gone) in old.iter().enumerate().rev() {
        for (j, came) in new.iter().enumerate().rev() {
            common[i][j] = if gone == came { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut changes = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            changes.push(Change::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i][j + 1] <= common[i + 1][j] {
            changes.push(Change::Gone(old[i]));
            i += 1;
        } else {
            changes.push(Change::New(new[j]));
            j += 1;
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn a_difference_shows_what_went_and_what_came_with_three_lines_around() {
        let difference = unified("a\nb\nc\nd\ne\nf\ng\nh\n", "a\nb\nc\nd\ne\nX\ng\nh\n");
        assert_eq!(difference, "@@ -3 +3 @@\n c\n d\n e\n-f\n+X\n g\n h\n");
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
    }
}
