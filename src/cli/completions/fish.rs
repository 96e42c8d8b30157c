//! For fish, which takes a rule for each thing that may follow.

use super::place::{self, EVERYWHERE, Names, Place, Value, Word};
use crate::cli::command::Opt;

pub fn script() -> String {
    let (places, values) = (place::all(), place::values());
    let everywhere = EVERYWHERE.iter().map(|option| rule("", &self::option(option)));
    let rules: String = everywhere.chain(places.iter().flat_map(place)).collect();
    TEMPLATE
        .replace("@VALUED@", &list(values.iter().map(|value| format!("--{}", value.option))))
        .replace("@BEHIND@", &list(places.iter().skip(1).map(|place| place.behind.to_owned())))
        .replace("@RULES@", &rules)
}

fn place(Place { behind, words, options, names }: &Place) -> Vec<String> {
    let condition = format!(" -n {}", quoted(format!("__jarvis_secretsd_behind {behind}").trim_end()));
    let words = words.iter().map(|Word { word, summary }| format!("-a {word}{}", described(summary)));
    let rules = words.chain(options.iter().copied().map(option)).chain(files(*names));
    rules.map(|what| rule(&condition, &what)).collect()
}

fn rule(condition: &str, what: &str) -> String {
    format!("complete -c jarvis-secretsd{condition} {what}\n")
}

fn option(option: &Opt) -> String {
    let what = format!("-l {}{}", option.name, described(option.summary));
    let Some(Value { words, names, .. }) = Value::of(option) else { return what };
    let words: Vec<_> = words.iter().map(|Word { word, .. }| *word).collect();
    let words = if words.is_empty() { None } else { Some(format!("-a '{}'", words.join(" "))) };
    [Some(what), Some("-r".to_owned()), words, files(names)].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn files(names: Names) -> Option<String> {
    match names {
        Names::Other => None,
        Names::File => Some("-F".to_owned()),
        Names::Directory => Some("-a '(__fish_complete_directories)'".to_owned()),
    }
}

fn described(summary: &str) -> String {
    if summary.is_empty() { String::new() } else { format!(" -d {}", quoted(summary)) }
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

const TEMPLATE: &str = r#"# Completion of jarvis-secretsd's arguments for fish: made by `jarvis-secretsd completions fish`.

function __jarvis_secretsd_behind --description 'Whether these are the words of a command that were typed so far'
    set -l command
    set -l option
    for word in (commandline -opc)[2..]
        if test -n "$option"
            set option
        else if test "$word" = --
            set command $word
            break
        else if contains -- $word @VALUED@
            set option $word
        else if not string match -q -- '-*' $word
            set -l longer (string join ' ' -- $command $word)
            contains -- $longer @BEHIND@
            and set command $longer
        end
    end
    test "$command" = "$argv"
end

complete -c jarvis-secretsd -f
@RULES@"#;
