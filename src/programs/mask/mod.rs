//! What a program has printed, without the values that it was given.

mod forms;
mod view;

use zeroize::Zeroizing;

use forms::{forms, in_digits};
use view::View;

/// How many bytes of the output are shown, from its end.
const SHOWN: usize = 4096;

/// The shortest text that is looked for other than as a value in one piece: a form of a value, a line of one, or what was
/// printed of one before the program was killed. What is shorter stands everywhere by chance.
const SHORTEST: usize = 4;

/// The end of `output`, at most 4 KiB, with `***` in the place of every one of these values.
///
/// A value is found as it is, however short. One of at least four characters is found without regard to white space and
/// control characters, however it is wrapped or indented, as it is, as JSON, base64 or a URL writes it, line by line, and in
/// hexadecimal, with or without punctuation between the digits.
pub fn shown(output: &[u8], values: &[&str]) -> String {
    let from = output.len().saturating_sub(SHOWN);
    let mut hidden = vec![false; output.len()];
    let whole = View::whole(output);
    // A value of several lines may be printed without the newline at its end.
    let mut values: Vec<&str> = values.iter().flat_map(|value| [*value, value.trim_end_matches('\n')]).collect();
    values.dedup();
    for value in &values {
        whole.hide(value.as_bytes(), SHORTEST, from, &mut hidden);
    }
    let long = || values.iter().filter(|value| value.len() >= SHORTEST);
    let mut needles: Vec<_> = long().flat_map(|value| forms(value)).collect();
    needles.sort_unstable_by(|one, other| one.cmp(other));
    needles.dedup();
    let without_space = View::without_space(output);
    for needle in needles.iter().filter(|needle| needle.len() >= SHORTEST) {
        without_space.hide(needle, SHORTEST, from, &mut hidden);
    }
    let digits = View::of_digits(output);
    for needle in long().flat_map(|value| in_digits(value)) {
        digits.hide(&needle, 2 * SHORTEST, from, &mut hidden);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(2 * SHOWN));
    for (place, byte) in output.iter().enumerate().skip(from) {
        match (hidden[place], place > from && hidden[place - 1]) {
            (false, _) => text.push(*byte),
            (true, false) => text.extend(b"***"),
            (true, true) => {}
        }
    }
    String::from_utf8_lossy(text.trim_ascii()).into_owned()
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
        assert_eq!(masked("abab-abababab-ab", "abab"), "***-***-ab", "what overlaps is one");
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

    /// `text` in lines of this many characters.
    fn wrapped(text: &str, columns: usize, line_end: &str) -> String {
        let lines: Vec<_> = text.as_bytes().chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join(line_end)
    }

    #[test]
    fn a_value_is_masked_however_it_is_wrapped_or_indented() {
        let value = "q\"uo\\te??>>s3cret/+value".repeat(5) + "end12";
        let json = serde_json::to_string(&value).unwrap();
        let url = value.replace('"', "%22").replace('\\', "%5C").replace('?', "%3F").replace('>', "%3E");
        let url = url.replace('/', "%2F").replace('+', "%2B");
        let base64 = base64::encode(&value);
        assert_eq!(base64.trim_end_matches('=').len(), 167, "it has more than two lines, and is padded");
        for form in [&value, &json[1..json.len() - 1], &url, base64.trim_end_matches('=')] {
            for (columns, line_end) in
                [(76, "\n"), (76, "\r\n"), (64, "\n    "), (19, " \t"), (1, "\r\n\r\n"), (1, "\0")]
            {
                let output = format!("before: {} : behind", wrapped(form, columns, line_end));
                assert_eq!(masked(output, &value), "before: *** : behind", "{columns} {line_end:?} {form}");
            }
        }
        for before in ["u", "us", "user:"] {
            let output = wrapped(&base64::encode(format!("{before}{value}\n")), 76, "\r\n");
            let left = masked(output, &value);
            assert!(left.contains("***") && left.len() <= 3 + before.len().next_multiple_of(3) * 4 / 3 + 4, "{left}");
        }
        assert_eq!(masked("here s3cr\n  et-va", "s3cret-value"), "here ***", "it was cut off in the second line");
        assert_eq!(masked("there s3cret-\nvalue\n", "s3cret-value\n"), "there ***");
    }

    #[test]
    fn a_value_is_masked_in_hexadecimal() {
        let value = "s3cret/ü-value\n".repeat(6);
        let pairs = |between: &str, before: &str| {
            let pairs: Vec<_> = value.bytes().map(|byte| format!("{before}{byte:02x}")).collect();
            pairs.join(between)
        };
        let plain = pairs("", "");
        for form in [
            plain.clone(),
            plain.to_uppercase(),
            pairs(":", ""),
            pairs(":", "").to_uppercase(),
            pairs(" ", ""),
            pairs(", ", "0x"),
            pairs("", "\\x"),
            pairs("", "%"),
            wrapped(&plain, 60, "\n"),
            wrapped(&plain, 4, " "),
            wrapped(&pairs(":", ""), 45, "\r\n    "),
            wrapped(&pairs(" ", ""), 48, "\n"),
        ] {
            let left = masked(format!("key: {form}; end"), &value).replace("0x", "").replace(['\\', 'x', '%'], "");
            assert_eq!(left, "key: ***; end", "{form}");
        }
        assert_eq!(masked(format!("key: 0x{plain} end"), &value), "key: 0x*** end");
        let without_end = plain.strip_suffix("0a").unwrap();
        assert_eq!(masked(format!("key: {without_end} end"), &value), "key: *** end");
        assert_eq!(masked(format!("cut: {}", wrapped(&plain[..101], 60, "\n")), &value), "cut: ***");
        assert_eq!(
            masked("the hash is 0123456789abcdef, port 5432", &value),
            "the hash is 0123456789abcdef, port 5432"
        );
    }

    #[test]
    fn a_value_within_json_is_masked_also_where_that_is_encoded_as_a_whole() {
        let value = "q\"uo\\te-s3cret";
        let json = format!("{{\"value\":{}}}", serde_json::to_string(value).unwrap());
        let hex: String = json.bytes().map(|byte| format!("{byte:02x}")).collect();
        for encoded in [base64::encode(&json), hex] {
            let left = masked(&encoded, value);
            assert!(left.contains("***") && left.len() < encoded.len() - value.len(), "{left}");
        }
    }

    #[test]
    fn a_value_of_fewer_than_four_characters_is_masked_as_it_is_and_in_no_other_way() {
        assert_eq!(masked("a1 is 6131, YTE= or a 1", "a1"), "*** is 6131, YTE= or a 1");
        assert_eq!(masked("a 1 in a1", "a 1"), "*** in a1");
        assert_eq!(masked("p1n5 is p1 n5, 70316e35 or cDFuNQ==", "p1n5"), "*** is ***, *** or ***==");
    }

    #[test]
    fn a_large_output_with_large_values_is_masked_in_one_go() {
        // Each place of it could be the beginning of each value.
        let value = |end: &str| "a".repeat(65_536 - end.len()) + end;
        let [one, other] = [value("b"), value("c")];
        let output = format!("{}\n{}\nthe end", wrapped(&"a".repeat(1 << 20), 76, "\r\n"), wrapped(&one, 76, "\n"));
        assert_eq!(shown(output.as_bytes(), &[&one, &other]), "***\nthe end");
        let hex: String = one.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown(format!("{hex}\nthe end").as_bytes(), &[&one, &other]), "***\nthe end");
        assert_eq!(shown(&vec![b'a'; 1 << 20], &[&one, &other]), "***");
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
