//! The word that was probably meant.

/// The one of `known` that is closest to `key`, if a slip of the finger explains the difference.
pub fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key: Vec<char> = key.chars().collect();
    known
        .iter()
        .map(|candidate| (distance(&key, &candidate.chars().collect::<Vec<_>>()), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be added, dropped, replaced or swapped with their neighbour to make `b` of `a`
/// (the optimal string alignment distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: &str, b: &str) -> usize {
        distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn each_slip_of_the_finger_counts_once() {
        assert_eq!(apart("allow", "allow"), 0);
        assert_eq!(apart("alow", "allow"), 1, "dropped");
        assert_eq!(apart("alllow", "allow"), 1, "added");
        assert_eq!(apart("allaw", "allow"), 1, "replaced");
        assert_eq!(apart("alolw", "allow"), 1, "swapped");
        assert_eq!(apart("", "deny"), 4);
        assert_eq!(apart("größe", "grösse"), 2);
    }

    #[test]
    fn the_nearest_key_is_named_and_a_far_one_is_not() {
        let known = ["allow", "deny", "admin"];
        assert_eq!(nearest("alow", &known), Some("allow"));
        assert_eq!(nearest("admni", &known), Some("admin"));
        assert_eq!(nearest("token_sha256", &known), None);
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest("rotation-day", &["grace_days", "rotation_days"]), Some("rotation_days"));
    }
}
