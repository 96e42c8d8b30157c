//! For bash, without the package bash-completion.

use super::place::{self, EVERYWHERE, Names, Place, Value, Word};

pub fn script() -> String {
    let (places, values) = (place::all(), place::values());
    TEMPLATE
        .replace("@VALUED@", &place::pattern(values.iter().map(|value| format!("--{}", value.option))))
        .replace("@BEHIND@", &place::pattern(places.iter().skip(1).map(|place| place.behind.to_owned())))
        .replace("@VALUES@", &values.iter().map(value).collect::<String>())
        .replace("@PLACES@", &places.iter().map(place).collect::<String>())
}

fn value(Value { option, words, names }: &Value) -> String {
    format!("        --{option}) words='{}' files={} ;;\n", joined(words), files(*names))
}

fn place(Place { behind, words, options, names }: &Place) -> String {
    let options: Vec<_> =
        options.iter().copied().chain(&EVERYWHERE).map(|option| format!("--{}", option.name)).collect();
    let (words, options, files) = (joined(words), options.join(" "), files(*names));
    format!("        ' {behind}') words='{words}' options='{options}' files={files} ;;\n")
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|Word { word, .. }| *word).collect::<Vec<_>>().join(" ")
}

/// The options of `compgen` for these names.
fn files(names: Names) -> &'static str {
    match names {
        Names::Other => "''",
        Names::File => "-f",
        Names::Directory => "-d",
    }
}

const TEMPLATE: &str = r#"# Completion of jarvis-secretsd's arguments for bash: made by `jarvis-secretsd completions bash`.

_jarvis_secretsd() {
    local current=${COMP_WORDS[COMP_CWORD]} command='' option='' words='' options='' files='' word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ -n "$option" ]; then
            # bash takes --config=FILE for three words.
            [ "$word" = = ] || option=''
            continue
        fi
        case $word in
            --)
                command=$word
                break
                ;;
            @VALUED@) option=$word ;;
            -*) ;;
            *)
                case ${command:+$command }$word in
                    @BEHIND@) command=${command:+$command }$word ;;
                esac
                ;;
        esac
    done
    [ "$current" != = ] || current=''
    case "$option $command" in
@PLACES@    esac
    case $option in
@VALUES@    esac
    [[ $current != -* ]] || words=$options files=''
    mapfile -t COMPREPLY < <(
        compgen -W "$words" -- "$current"
        [ -z "$files" ] || compgen "$files" -- "$current"
    )
    # Names are quoted where that is needed, and directories get their slash.
    [ -z "$files" ] || compopt -o filenames
}

complete -F _jarvis_secretsd jarvis-secretsd
"#;
