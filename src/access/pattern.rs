//! Which names a rule of the policy is about.

use std::fmt;

use crate::base::name::is_name_byte;

/// A pattern of names or of other texts: all characters stand for themselves, but `*` for any run of characters, also an empty
/// one.
#[derive(Debug)]
pub(super) struct Pattern(String);

impl Pattern {
    /// What a pattern is made of, for messages.
    pub(super) const FORM: &'static str = "a pattern of the characters A-Z a-z 0-9 _ . - and *";

    /// The pattern of names that `text` writes; none if it is empty or holds another character.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let valid = !text.is_empty() && text.bytes().all(|byte| byte == b'*' || is_name_byte(byte));
        valid.then(|| Self(text.to_owned()))
    }

    /// The same for texts that need not be names; none if it is empty or holds a control character.
    pub(super) fn parse_text(text: &str) -> Option<Self> {
        let valid = !text.is_empty() && !text.contains(char::is_control);
        valid.then(|| Self(text.to_owned()))
    }

    /// Whether it matches each and every name.
    pub(super) fn is_everything(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Where, from the name `from` on, there may be one that matches, as far as the characters before the first star
    /// tell; none: nowhere.
    pub(super) fn seek<'a>(&'a self, from: &'a str) -> Option<&'a str> {
        let fixed = self.0.split('*').next().unwrap_or_default();
        if from.starts_with(fixed) {
            return Some(from);
        }
        Some(fixed).filter(|fixed| *fixed > from)
    }

    /// Whether `name` matches, in at most pattern times name steps.
    ///
    /// Each star first takes nothing, and one character more whenever what follows does not fit. Going back to the
    /// last star is enough: what an earlier one could give up, the last one can take.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut last_star = None;
        while n < name.len() {
            match (pattern.get(p), last_star) {
                (Some(b'*'), _) => {
                    last_star = Some((p, n));
                    p += 1;
                }
                (Some(byte), _) if *byte == name[n] => {
                    p += 1;
                    n += 1;
                }
                (_, Some((star, taken_to))) => {
                    last_star = Some((star, taken_to + 1));
                    p = star + 1;
                    n = taken_to + 1;
                }
                (_, None) => return false,
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Pattern {
    /// As it stands in the policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What matching means, written down without a thought of its cost.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => reference(rest, name),
            (Some((b'*', rest)), Some((_, shorter))) => reference(rest, name) || reference(pattern, shorter),
            (Some((p, pattern)), Some((n, name))) => p == n && reference(pattern, name),
            _ => false,
        }
    }

    /// All texts over `alphabet` of at most `longest` characters.
    fn texts(alphabet: &str, longest: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..longest {
            last = last.iter().flat_map(|text| alphabet.chars().map(move |c| format!("{text}{c}"))).collect();
            all.extend_from_slice(&last);
        }
        all
    }

    #[test]
    fn every_short_pattern_matches_exactly_what_the_definition_says() {
        let names = texts("ab", 7);
        let mut matched = 0;
        for text in texts("ab*", 6) {
            let Some(pattern) = Pattern::parse(&text) else {
                assert_eq!(text, "");
                continue;
            };
            for name in &names {
                let expected = reference(text.as_bytes(), name.as_bytes());
                assert_eq!(pattern.matches(name), expected, "{text} on {name}");
                matched += usize::from(expected);
            }
        }
        assert!(matched > 0);
    }

    #[test]
    fn a_search_passes_over_no_name_that_matches() {
        let names = texts("ab", 4);
        let mut passed_over = 0;
        for pattern in texts("ab*", 4).iter().filter_map(|text| Pattern::parse(text)) {
            for from in &names {
                let place = pattern.seek(from);
                assert!(place.is_none_or(|place| place >= from.as_str()), "{pattern:?} from {from}");
                for name in names.iter().filter(|name| *name >= from && place.is_none_or(|place| place > name.as_str()))
                {
                    assert!(!pattern.matches(name), "{pattern:?} from {from} passes over {name}");
                    passed_over += 1;
                }
            }
        }
        assert!(passed_over > 0);
    }

    #[test]
    fn case_matters_and_nothing_but_the_star_is_special() {
        let pattern = Pattern::parse("db.*_key").unwrap();
        assert!(pattern.matches("db.main_key") && pattern.matches("db._key"));
        assert!(!pattern.matches("dbx_key") && !pattern.matches("DB.main_key") && !pattern.matches("db.main_keys"));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = Pattern::parse(&format!("{}b", "a*".repeat(64))).unwrap();
        assert!(!pattern.matches(&"a".repeat(128)));
    }

    #[test]
    fn of_all_characters_only_those_of_names_and_the_star_make_patterns() {
        for character in '\0'..='\u{ff}' {
            let text = character.to_string();
            assert_eq!(
                Pattern::parse(&text).is_some(),
                text == "*" || crate::base::name::is_name(&text),
                "{character:?}"
            );
        }
        assert!(Pattern::parse("").is_none());
    }

    #[test]
    fn only_stars_alone_are_everything() {
        assert!(Pattern::parse("*").unwrap().is_everything() && Pattern::parse("**").unwrap().is_everything());
        assert!(!Pattern::parse("*a").unwrap().is_everything());
    }
}
