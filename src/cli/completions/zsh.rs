//! For zsh.

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
    format!("        --{option}) following=({}) files={} ;;\n", described(words), files(*names))
}

fn place(Place { behind, words, options, names }: &Place) -> String {
    let options = options.iter().copied().chain(&EVERYWHERE);
    let options: Vec<_> = options.map(|option| quoted(&format!("--{}", option.name), option.summary)).collect();
    let (following, options, files) = (described(words), options.join(" "), files(*names));
    format!("        ' {behind}') following=({following}) options=({options}) files={files} ;;\n")
}

fn described(words: &[Word]) -> String {
    words.iter().map(|Word { word, summary }| quoted(word, summary)).collect::<Vec<_>>().join(" ")
}

/// As `_describe` takes it, quoted.
fn quoted(word: &str, summary: &str) -> String {
    let separator = if summary.is_empty() { "" } else { ":" };
    format!("'{word}{separator}{}'", summary.replace('\'', r"'\''"))
}

/// How `_files` is called.
fn files(names: Names) -> &'static str {
    match names {
        Names::Other => "",
        Names::File => "_files",
        Names::Directory => "'_files -/'",
    }
}

const TEMPLATE: &str = r#"#compdef jarvis-secretsd
# Completion of jarvis-secretsd's arguments for zsh: made by `jarvis-secretsd completions zsh`.

_jarvis-secretsd() {
    local word command option files found=1
    local -a following options
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ -n $option ]]; then
            option=''
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
    [[ -n $option ]] || ! compset -P '--*=' || option=${IPREFIX%=}
    case "$option $command" in
@PLACES@    esac
    case $option in
@VALUES@    esac
    if [[ -z $option && $PREFIX == -* ]]; then
        _describe -o option options
        return
    fi
    (( $#following )) && _describe argument following && found=0
    [[ -n $files ]] && ${=files} && found=0
    return found
}

# Found by compinit, or read with `source`.
if [[ $funcstack[1] == _jarvis-secretsd ]]; then
    _jarvis-secretsd "$@"
else
    compdef _jarvis-secretsd jarvis-secretsd
fi
"#;
