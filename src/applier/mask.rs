//! What a program has printed, without the values that it was given.

use zeroize::Zeroizing;

use crate::secret::Wiped;

/// How much of it is shown, from its end.
const SHOWN: usize = 4096;

/// The shortest part of a value that is looked for: a line of it, or what was printed of it before the program was killed.
const SHORTEST_PART: usize = 4;

/// The end of `output`, at most 4 KiB, with `***` in the place of every one of these values: as they are, as JSON, base64 or
/// a URL writes them, and line by line.
pub fn shown(output: &[u8], values: &[&str]) -> String {
    let mut needles: Vec<Wiped> = values.iter().flat_map(|value| forms(value)).collect();
    needles.sort_unstable_by(|one, other| one.cmp(other));
    needles.dedup();
    let mut hidden = vec![false; output.len()];
    for needle in needles.iter().filter(|needle| !needle.is_empty() && needle.len() <= output.len()) {
        // What begins further ahead ends before what is shown.
        let first = output.len().saturating_sub(SHOWN + needle.len());
        for (offset, found) in output[first..].windows(needle.len()).enumerate() {
            if found == needle.as_slice() {
                hidden[first + offset..][..needle.len()].fill(true);
            }
        }
    }
    for needle in &needles {
        // It was killed while it printed this one.
        let longest = needle.len().min(output.len());
        let begun = (SHORTEST_PART..longest).rev().find(|length| output.ends_with(&needle[..*length]));
        hidden[output.len() - begun.unwrap_or(0)..].fill(true);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(2 * SHOWN));
    let from = output.len().saturating_sub(SHOWN);
    for (place, byte) in output.iter().enumerate().skip(from) {
        match (hidden[place], place > from && hidden[place - 1]) {
            (false, _) => text.push(*byte),
            (true, false) => text.extend(b"***"),
            (true, true) => {}
        }
    }
    String::from_utf8_lossy(text.trim_ascii()).into_owned()
}

/// All that `value` may be printed as.
fn forms(value: &str) -> Vec<Wiped> {
    let bytes = |text: &[u8]| Wiped::new(text.to_vec());
    let json = Zeroizing::new(serde_json::to_string(value).expect("a string becomes JSON"));
    let json = &json[1..json.len() - 1];
    let mut forms = vec![bytes(value.as_bytes()), bytes(json.as_bytes()), ascii_json(json)];
    forms.push(bytes(json.replace('/', "\\/").as_bytes()));
    forms.extend(
        value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_PART).map(|line| bytes(line.as_bytes())),
    );
    for config in [base64::STANDARD, base64::URL_SAFE] {
        forms.extend((0..3).flat_map(|before| base64_within(value, before, config)));
    }
    for (digits, unreserved) in
        [(b"0123456789ABCDEF", "-._~"), (b"0123456789abcdef", "-._~"), (b"0123456789ABCDEF", "-._~!*'()")]
    {
        forms.push(percent_encoded(value, digits, unreserved));
    }
    forms
}

/// `json` with escapes for all that is not ASCII, as some programs write it.
fn ascii_json(json: &str) -> Wiped {
    let mut ascii = Wiped::new(Vec::with_capacity(6 * json.len()));
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(byte),
            _ => ascii.extend(format!("\\u{unit:04x}").into_bytes()),
        }
    }
    ascii
}

/// The characters of base64 that are made of `value` alone, where `before` bytes (to a multiple of 3) stand before it; and the
/// same where nothing stands behind it.
fn base64_within(value: &str, before: usize, config: base64::Config) -> [Wiped; 2] {
    let mut within = Wiped::new(vec![0; before]);
    within.extend(value.as_bytes());
    let encoded = Zeroizing::new(base64::encode_config(&*within, config));
    let (first, end) = ((before * 8).div_ceil(6), within.len() * 8 / 6);
    let last = encoded.trim_end_matches('=').len();
    [end, last].map(|end| Wiped::new(encoded.as_bytes().get(first..end).unwrap_or_default().to_vec()))
}

fn percent_encoded(value: &str, digits: &[u8; 16], unreserved: &str) -> Wiped {
    let mut encoded = Wiped::new(Vec::with_capacity(3 * value.len()));
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || unreserved.as_bytes().contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(output: impl AsRef<[u8]>, value: &str) -> String {
        shown(output.as_ref(), &["other-value", value])
    }

    #[test]
    fn a_value_is_masked_wherever_it_stands_and_nothing_else_is() {
        assert_eq!(masked("password s3cret/+ is wrong: 's3cret/+'\n", "s3cret/+"), "password *** is wrong: '***'");
        assert_eq!(masked("s3cret/+s3cret/+", "s3cret/+"), "***");
        assert_eq!(masked("other-value before s3cret", "s3cret/+"), "*** before ***", "also one that was cut off");
        assert_eq!(masked("nothing of it", "s3cret/+"), "nothing of it");
        assert_eq!(masked("abab abababab ab", "abab"), "*** *** ab", "what overlaps is one");
        assert_eq!(masked("a b", "a"), "*** b", "however short it is");
        assert_eq!(masked("", "s"), "");
    }

    #[test]
    fn a_value_is_masked_as_json_writes_it() {
        let value = "q\"uo\\te/ü€😀\n";
        for json in [r#"q\"uo\\te/ü€😀\n"#, r#"q\"uo\\te\/ü€😀\n"#, "q\\\"uo\\\\te/\\u00fc\\u20ac\\ud83d\\ude00\\n"]
        {
            assert_eq!(masked(format!("{{\"password\":\"{json}\"}}"), value), r#"{"password":"***"}"#);
        }
    }

    #[test]
    fn a_value_is_masked_in_base64_also_where_something_stands_before_it() {
        let value = "s3cret??>>value";
        for config in [base64::STANDARD, base64::URL_SAFE, base64::STANDARD_NO_PAD] {
            for before in ["", "u", "us", "user:"] {
                let encoded = base64::encode_config(format!("{before}{value}\n"), config);
                let shown = masked(format!("Basic {encoded}"), value);
                let left = shown.strip_prefix("Basic ").unwrap();
                assert!(
                    left.contains("***") && left.len() <= 3 + before.len().next_multiple_of(3) * 4 / 3 + 4,
                    "{left}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_left_of_a_value_in_base64_that_stands_alone() {
        for value in ["s3cret-val", "s3cret-valu", "s3cret-value"] {
            let shown = masked(base64::encode(value), value);
            assert_eq!(shown.trim_end_matches('='), "***", "{value}");
        }
    }

    #[test]
    fn a_value_is_masked_as_a_url_writes_it() {
        for (encoded, value) in [
            ("p%40ss%2Fw%20rd", "p@ss/w rd"),
            ("p%40ss%2fw%20rd", "p@ss/w rd"),
            ("p!%40ss", "p!@ss"),
            ("%C3%BCber", "über"),
        ] {
            assert_eq!(masked(format!("postgres://u:{encoded}@h/"), value), "postgres://u:***@h/");
        }
    }

    #[test]
    fn every_line_of_a_value_of_several_is_masked() {
        let value = "user=app\r\npassword=s3cret\nx=1\n";
        assert_eq!(masked("at password=s3cret: no\nuser=app, x=1", value), "at ***: no\n***, x=1");
    }

    #[test]
    fn the_end_is_shown_and_no_value_is_cut_in_two_by_its_beginning() {
        let value = "v".repeat(100) + "end";
        let output = format!("{}{value}{}", "x".repeat(10_000), "y".repeat(SHOWN - 50));
        assert_eq!(masked(output, &value), format!("***{}", "y".repeat(SHOWN - 50)));
        assert_eq!(masked("z".repeat(100_000), "value").len(), SHOWN);
        let large = "l".repeat(65_536);
        assert_eq!(masked(format!("{large}\nend"), &large), "***\nend");
    }

    #[test]
    fn what_is_no_utf8_is_shown_all_the_same() {
        assert_eq!(masked(b"\xff s3cret \xc3", "s3cret"), "\u{fffd} *** \u{fffd}");
    }
}
