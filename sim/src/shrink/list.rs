//! Delta debugging of lists.

/// A part of a list that still does, from which no single entry can be left out, if `does` has answered all along.
/// Large pieces are tried first, the last ones before the first ones: what comes late rarely matters to what came
/// before.
pub(super) fn minimize<T: Clone>(mut list: Vec<T>, mut does: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        let before = list.len();
        let mut end = list.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let without = [&list[..start], &list[end..]].concat();
            if does(&without) {
                list = without;
            }
            end = start;
        }
        // One by one, until nothing more goes.
        let again = size == 1 && list.len() < before;
        size = if again { 1 } else { size / 2 };
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_together_is_left_and_nothing_else() {
        let mut asked = 0;
        let left = minimize((0..1000).collect(), |list: &[u32]| {
            asked += 1;
            [3, 500, 501, 999].iter().all(|needed| list.contains(needed))
        });
        assert_eq!(left, [3, 500, 501, 999]);
        assert!(asked < 200, "{asked} lists were tried");
    }

    #[test]
    fn an_entry_that_becomes_needless_with_another_one_goes_too() {
        // Of the even numbers two at a time may go, the last two first.
        let left =
            minimize((0..8).collect(), |list: &[u32]| list.iter().filter(|number| *number % 2 == 0).count() % 2 == 0);
        assert_eq!(left, Vec::<u32>::new());
        assert_eq!(minimize(vec![1, 2], |_| false), [1, 2]);
        assert_eq!(minimize(Vec::<u32>::new(), |_| true), Vec::<u32>::new());
    }
}
