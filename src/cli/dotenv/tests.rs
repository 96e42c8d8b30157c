//! What a file means. The values that are expected here are those that compose-go 2.13 reads from the same lines.

use std::path::Path;

use super::{Read, Reading};
use crate::base::source::Source;

/// All of a file, with an environment of two variables.
fn read_all(text: &str, variables: bool) -> Read {
    let environment = |name: &str| match name {
        "FROM_ENV" => Some("environment".into()),
        "EMPTY_ENV" => Some("".into()),
        _ => None,
    };
    super::read(&Source::new(Path::new(".env"), text), Reading { environment: &environment, variables })
}

/// What `KEY` is in this file, with an environment of two variables; or why that cannot be said.
fn read(text: &str) -> Result<String, String> {
    value(read_all(text, true))
}

fn value(Read { entries, mut mistakes }: Read) -> Result<String, String> {
    match mistakes.is_empty() {
        true => Ok(entries.iter().rev().find(|entry| entry.key == "KEY").unwrap().value.expose().to_owned()),
        false => Err(mistakes.remove(0).1.to_string()),
    }
}

#[track_caller]
fn reads(cases: &[(&str, &str)]) {
    for (text, value) in cases {
        assert_eq!(read(text).as_deref(), Ok(*value), "{text:?}");
    }
}

/// Each file is refused at this place, for a reason that has these words in it.
#[track_caller]
fn refuses(cases: &[(&str, &str, &str)]) {
    for (text, place, why) in cases {
        let message = read(text).expect_err(text);
        assert!(message.starts_with(&format!(".env:{place}: ")) && message.contains(why), "{text:?}: {message}");
    }
}

#[test]
fn a_name_and_a_value_are_parted_by_an_equals_sign_or_a_colon_with_any_blanks() {
    reads(&[
        ("KEY=value", "value"),
        ("KEY = value", "value"),
        ("KEY\t=\tvalue", "value"),
        ("KEY: value", "value"),
        ("KEY:value", "value"),
        ("KEY: a=b", "a=b"),
        ("KEY=a:b=c==", "a:b=c=="),
        ("  KEY=value  ", "value"),
        ("\n\n\tKEY=value\n\n", "value"),
        ("KEY=two words", "two words"),
    ]);
}

#[test]
fn export_before_a_name_is_passed_over() {
    reads(&[
        ("export KEY=value", "value"),
        (" export\t KEY: value", "value"),
        ("exported=1\nexport=2\nKEY=$export", "2"),
    ]);
    refuses(&[("export\nKEY=1", "1:7", "a name is missing"), ("export =1", "1:8", "a name is missing")]);
}

#[test]
fn lines_end_with_a_newline_and_may_have_a_carriage_return_before_it() {
    reads(&[("A=1\r\nKEY=value\r\n", "value"), ("KEY=\"value\"\r\nA=1", "value"), ("KEY='a\r\nb'\r\n", "a\r\nb")]);
    refuses(&[("KEY=a\rB=b\r", "1:6", "carriage return")]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    reads(&[("\u{feff}KEY=value", "value")]);
    refuses(&[("\u{feff}KEY=1\n=2", "2:1", "name is missing"), ("\u{feff}=1", "1:1", "name is missing")]);
}

#[test]
fn a_comment_is_a_line_of_its_own_or_stands_behind_a_space() {
    reads(&[
        ("# KEY=1\n \t# KEY=2\nKEY=3 # KEY=4\n#", "3"),
        ("KEY=value #", "value"),
        ("KEY=value  #comment", "value"),
        ("KEY=va#lue", "va#lue"),
        ("KEY=#value", "#value"),
        ("KEY='value' # comment", "value"),
        ("KEY=\"value\"#comment", "value"),
        ("KEY='a # b'", "a # b"),
        ("KEY=\"a # b\"", "a # b"),
    ]);
    refuses(&[
        ("KEY= # comment\n", "1:6", "compose takes this comment for the value"),
        ("KEY=value\t# comment", "1:11", "a space before it"),
    ]);
}

#[test]
fn without_quotes_everything_but_a_variable_stands_for_itself() {
    reads(&[
        (r"KEY=a\tb\n", r"a\tb\n"),
        (r#"KEY=a"b'c"#, r#"a"b'c"#),
        ("KEY=`a b`", "`a b`"),
        ("KEY=ключ ƒ", "ключ ƒ"),
        ("KEY=a\u{a0}b", "a\u{a0}b"),
    ]);
    refuses(&[
        ("KEY=\u{a0}value", "1:5", "easily overlooked"),
        ("KEY=value\u{2003}\n", "1:10", "easily overlooked"),
        ("KEY=a\u{a0} ", "1:6", "easily overlooked"),
        (r"KEY=a\$b", "1:7", "use single quotes"),
    ]);
}

#[test]
fn between_single_quotes_everything_but_an_escaped_quote_stands_for_itself() {
    reads(&[
        ("KEY=''", ""),
        (r"KEY=' a\tb\\ $A ${A '", r" a\tb\\ $A ${A "),
        (r"KEY='Let\'s go'", "Let's go"),
        (r#"KEY='a"b\"c'"#, r#"a"b\"c"#),
        ("KEY='one\n two\n\nB=3'\n", "one\n two\n\nB=3"),
    ]);
}

#[test]
fn between_double_quotes_escapes_are_replaced_and_unknown_ones_kept() {
    reads(&[
        (r#"KEY="""#, ""),
        (r#"KEY=" a\tb\nc\rd ""#, " a\tb\nc\rd "),
        (r#"KEY="\a\b\f\v""#, "\u{7}\u{8}\u{c}\u{b}"),
        (r#"KEY="\"a\" 'b' \'c\'""#, r#""a" 'b' \'c\'"#),
        (r#"KEY="\\n\\""#, r"\n\"),
        (r#"KEY="\x41\u0041\c\ ""#, r"\x41\u0041\c\ "),
        ("KEY=\"one\n two\n\nB=3\"\n", "one\n two\n\nB=3"),
        ("KEY=\"one\\\ntwo\"", "one\\\ntwo"),
    ]);
    refuses(&[(r#"KEY="a\0123""#, "1:7", "octal")]);
}

#[test]
fn a_dollar_sign_is_escaped_by_another_one_or_within_double_quotes_by_a_backslash() {
    reads(&[
        ("KEY=a$$b$$$$c", "a$b$$c"),
        ("KEY=$1 a$ $(b) $-$", "$1 a$ $(b) $-$"),
        ("KEY=$${A}", "${A}"),
        (r#"KEY="\$A \${A} $$A""#, "$A ${A} $A"),
    ]);
    refuses(&[(r#"KEY="$\$A""#, "1:6", "before an escaped one")]);
}

#[test]
fn a_variable_comes_from_the_environment_or_else_from_a_line_before() {
    reads(&[
        ("A=1\nKEY=$A-${A}b\n", "1-1b"),
        ("A=1\nKEY=\"<$A>\"", "<1>"),
        ("A=1\nA=2\nKEY=$A", "2"),
        ("A='$B'\nKEY=$A", "$B"),
        ("FROM_ENV=file\nKEY=$FROM_ENV", "environment"),
        ("KEY=<$EMPTY_ENV>", "<>"),
        ("A=1\nKEY=$Aé", "1é"),
    ]);
    refuses(&[
        ("KEY=$A\nA=1", "1:5", "this variable is not set"),
        ("KEY=\"a\n  ${A}\"", "2:3", "this variable is not set"),
        ("KEY=$\u{212a}", "1:5", "not ASCII"),
        ("A=1\nKEY=$A\u{17f}", "2:5", "not ASCII"),
    ]);
}

#[test]
fn braces_tell_what_stands_for_a_variable_that_is_not_set_or_empty() {
    reads(&[
        ("KEY=${A:-word}", "word"),
        ("KEY=${A-word}", "word"),
        ("KEY=${A-}", ""),
        ("KEY=${EMPTY_ENV:-word}", "word"),
        ("KEY=${EMPTY_ENV-word}", ""),
        ("KEY=${FROM_ENV:-word}", "environment"),
        ("KEY=${A:+word}", ""),
        ("KEY=${A+word}", ""),
        ("KEY=${EMPTY_ENV:+word}", ""),
        ("KEY=${EMPTY_ENV+word}", "word"),
        ("KEY=${FROM_ENV:+word}", "word"),
        ("KEY=${FROM_ENV:?reason}", "environment"),
        ("KEY=${EMPTY_ENV?reason}", ""),
        ("KEY=${A:-a:-b} c}", "a:-b c}"),
    ]);
    refuses(&[
        ("KEY=a${A:?reason}", "1:6", "required, and not set"),
        ("KEY=${A?reason}", "1:5", "required, and not set"),
        ("KEY=${EMPTY_ENV:?reason}", "1:5", "required, and not set"),
    ]);
}

#[test]
fn a_word_may_hold_variables_which_need_not_be_set_where_it_is_not_used() {
    reads(&[
        ("KEY=${A:-${B:-$FROM_ENV}}", "environment"),
        ("KEY=${A:-a$$b$}", "a$b$"),
        ("KEY=${FROM_ENV:-${A:?reason}$B}", "environment"),
        ("KEY=${A+$B}", ""),
    ]);
    refuses(&[
        ("KEY=${A:-$B}", "1:10", "not set"),
        ("KEY=${A:-{}}", "1:10", "a brace"),
        (&format!("KEY={}", "${A:-".repeat(9)), "1:45", "too many times"),
    ]);
}

#[test]
fn braces_that_are_not_closed_or_hold_something_else_are_refused() {
    refuses(&[
        ("KEY=a${", "1:6", "write $$"),
        ("KEY=${}", "1:5", "write $$"),
        ("KEY=${1}", "1:5", "write $$"),
        ("KEY=${FROM_ENV b}", "1:5", "write $$"),
        ("KEY=${FROM_ENV:}", "1:5", "write $$"),
        ("KEY=${FROM_ENV:-b", "1:17", "not closed"),
        ("KEY=\"${A:-b\nc}\"", "1:12", "closed on its line"),
    ]);
}

#[test]
fn a_name_alone_takes_its_value_from_the_environment() {
    reads(&[("FROM_ENV\nKEY=$FROM_ENV\n", "environment"), ("FROM_ENV \r\nKEY=1", "1")]);
    refuses(&[("A=1\nUNSET\nKEY=1\n", "2:1", "no such variable"), ("KEY", "1:4", "write NAME=value")]);
}

#[test]
fn a_value_may_be_empty() {
    reads(&[("KEY=", ""), ("KEY=\nA=1", ""), ("KEY:", ""), ("KEY= \t\r\n", "")]);
}

#[test]
fn a_quote_that_is_not_closed_is_refused_where_it_opens() {
    refuses(&[
        ("KEY=\"", "1:5", "never closed"),
        ("A=1\nKEY= 'value\nB=2", "2:6", "never closed"),
        (r"KEY='value\'", "1:5", "never closed"),
        (r#"KEY="value\""#, "1:5", "never closed"),
        (r#"KEY="value\"#, "1:5", "never closed"),
    ]);
}

#[test]
fn behind_a_quote_compose_would_read_the_next_name() {
    refuses(&[
        ("KEY=\"a\" B=2", "1:9", "behind the closing quote"),
        ("KEY='a'b", "1:8", "behind the closing quote"),
        ("KEY=\"one\nB=\"two\"\n", "2:4", "behind the closing quote"),
    ]);
}

#[test]
fn names_are_those_that_a_secret_can_have() {
    reads(&[("a.b-c_1=x\n1=2\nKEY=3", "3")]);
    refuses(&[
        ("A B=1", "1:3", "white space in it"),
        ("KEY[1]=1", "1:4", "A-Z a-z 0-9"),
        ("A=1\n  ключ=1", "2:3", "A-Z a-z 0-9"),
        ("\u{a0}KEY=1", "1:1", "A-Z a-z 0-9"),
        ("{\"KEY\": 1}", "1:1", "A-Z a-z 0-9"),
        ("=1", "1:1", "a name is missing"),
        ("-----BEGIN PRIVATE KEY-----\n", "1:12", "white space in it"),
    ]);
}

#[test]
fn no_value_is_longer_than_that_of_a_secret_however_it_came_about() {
    let longest = "x".repeat(65536);
    reads(&[(&format!("KEY={longest}"), &longest)]);
    refuses(&[
        (&format!("KEY='{longest}y'"), "1:65542", "at most 65536 bytes"),
        (&format!("A={longest}\nB=$A$A\n"), "2:5", "at most 65536 bytes"),
    ]);
}

#[test]
fn a_nul_byte_is_refused_wherever_it_stands() {
    refuses(&[("KEY=1\n# \0", "2:3", "NUL")]);
}

#[test]
fn a_failure_shows_nothing_of_the_file() {
    for text in [
        "KEY=$hunter2",
        "KEY=${hunter2!}",
        "KEY=\"hunter2",
        "KEY='a' hunter2",
        "hunter2\n",
        "KEY='a\nhunter2+",
        "hunter2",
    ] {
        let message = read(text).unwrap_err();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn every_mistake_is_found_and_none_twice() {
    let text = "A=$NONE\nB=${A:?}\nC D=1\nE=\"two\nlines $NONE\" # x\nF=1\n=1\nG=\"\\01\n$\"\nH='a' b\nI=\"\nJ=$NONE\n";
    let Read { entries, mistakes } = read_all(text, true);
    let places: Vec<_> = mistakes.iter().map(|(_, why)| why.to_string()).collect();
    let starts = [".env:1:3: ", ".env:3:3: ", ".env:5:7: ", ".env:7:1: ", ".env:8:4: ", ".env:10:7: ", ".env:11:3: "];
    assert_eq!(places.len(), starts.len(), "{places:#?}");
    for (place, start) in places.iter().zip(starts) {
        assert!(place.starts_with(start), "{place} is not at {start}");
    }
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["A", "B", "E", "F", "G", "H", "I"]);
}

#[test]
fn where_there_are_no_variables_a_dollar_sign_stands_for_itself() {
    for (text, expected) in [
        ("KEY=pa$word", "pa$word"),
        ("KEY=$$", "$$"),
        ("KEY=\"${A\\tb$$\"", "${A\tb$$"),
        ("KEY=\"a\\$b\"", "a$b"),
        ("KEY='a$b'", "a$b"),
        ("KEY=a\\$b", "a\\$b"),
    ] {
        assert_eq!(value(read_all(text, false)).as_deref(), Ok(expected), "{text:?}");
    }
}
