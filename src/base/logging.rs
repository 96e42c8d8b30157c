//! The log for people, on standard error; what must be proved later stands in the audit log instead.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use env_logger::Builder;
use log::{Level, LevelFilter};
use serde::Serialize;

use crate::base::clock::{Clock, Timestamp};

/// Starts logging; only the first call has an effect.
///
/// `RUST_LOG`, if it is set and not empty, wins over `level`. A message is a line of text, its level coloured on a
/// terminal (unless `NO_COLOR` is set), or, with `json`, a JSON object on a line.
pub fn init(level: LevelFilter, json: bool) {
    let filters = std::env::var("RUST_LOG").ok().filter(|filters| !filters.trim().is_empty());
    let mut builder = Builder::new();
    builder.parse_filters(filters.as_deref().unwrap_or(level.as_str()));
    let clock = Clock::system();
    builder.format(move |out, record| {
        let (time, level, message) = (clock.now(), record.level(), record.args().to_string());
        if json {
            writeln!(out, "{}", json_line(time, level, record.target(), &message))
        } else {
            let style = out.default_level_style(level);
            writeln!(out, "{}", text_line(time, format_args!("{style}{level:<5}{style:#}"), &message))
        }
    });
    // An error means that somebody else logs already, which is what a second call finds.
    let _ = builder.try_init();
}

/// `2026-01-01T00:00:00Z INFO  message`
fn text_line(time: Timestamp, level: impl fmt::Display, message: &str) -> String {
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.seconds()));
    format!("{time} {level} {}", escaped(message, |c| c.escape_default().to_string()))
}

/// `{"timestamp":"2026-01-01T00:00:00.000000000Z","level":"INFO","target":"…","message":"…"}`
fn json_line(timestamp: Timestamp, level: Level, target: &str, message: &str) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: Timestamp,
        level: &'a str,
        target: &'a str,
        message: &'a str,
    }
    let line = Line { timestamp, level: level.as_str(), target, message };
    let json = serde_json::to_string(&line).expect("strings always become JSON");
    // JSON leaves these characters as they are, and all that are left stand within strings.
    escaped(&json, |c| format!("\\u{:04x}", u32::from(c))).into_owned()
}

/// `text` with `escape` done to every character that could forge a line, or hide or reorder what a terminal shows.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_deceptive(character) {
            safe.push_str(&escape(character));
        } else {
            safe.push(character);
        }
    }
    safe.into()
}

/// Control characters, line and paragraph separators, and those that change the direction of writing.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Timestamp = Timestamp::from_nanos(1_767_225_600_123_456_789);

    #[test]
    fn a_line_of_text_has_time_level_and_message() {
        assert_eq!(text_line(TIME, "INFO ", "Vault loaded: ü"), "2026-01-01T00:00:00Z INFO  Vault loaded: ü");
    }

    #[test]
    fn a_line_of_json_has_time_level_target_and_message() {
        assert_eq!(
            json_line(TIME, Level::Warn, "jarvis_secretsd::api", "say \"ü\""),
            r#"{"timestamp":"2026-01-01T00:00:00.123456789Z","level":"WARN","target":"jarvis_secretsd::api","message":"say \"ü\""}"#
        );
    }

    #[test]
    fn a_message_cannot_forge_a_line_of_text() {
        let line = text_line(TIME, "INFO ", "a\n2026 INFO  b\r\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}c\td\\");
        assert_eq!(line, r"2026-01-01T00:00:00Z INFO  a\n2026 INFO  b\r\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}c\td\");
    }

    #[test]
    fn whatever_is_in_a_message_a_line_of_json_is_one_line_of_plain_characters_and_gives_it_back() {
        let nasty: String =
            ('\0'..='\u{ff}').chain(['\u{200e}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '😀']).collect();
        let line = json_line(TIME, Level::Info, &nasty, &nasty);
        assert!(!line.contains(is_deceptive), "{line}");
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["message"], nasty.as_str());
        assert_eq!(json["target"], nasty.as_str());
    }

    #[test]
    fn no_control_character_gets_through_as_text() {
        let nasty: String = ('\0'..='\u{ff}').collect();
        assert!(!text_line(TIME, "INFO ", &nasty).contains(is_deceptive));
    }
}
