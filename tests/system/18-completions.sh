#!/usr/bin/env bash
# The completions, asked for in the real shells: every command and every option that the help names is offered, and files
# where they belong.
source "$(dirname "$0")/lib.sh"
need bash fish script zsh

DIR=$(mktemp -d)
trap clean_up EXIT
mkdir -p "$DIR/zsh" "$DIR/work/state" "$DIR/bin" "$DIR/a dir" "$DIR/broken"
# The scripts ask the program: the one in PATH, or the one whose path is typed.
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH
cat >"$DIR/a dir/jarvis-secretsd" <<END
#!/bin/sh
[ "\$1" != __complete ] || exec '$DIR/bin/jarvis-secretsd' "\$@"
echo "\$*" >>../arguments
END
cat >"$DIR/broken/jarvis-secretsd" <<'END'
#!/bin/sh
[ "$1" != __complete ] || { cat && echo "out of order" >&2 && exit 1; }
echo "$*" >>../arguments
END
chmod +x "$DIR/a dir/jarvis-secretsd" "$DIR/broken/jarvis-secretsd"
touch "$DIR/work/audit log.jsonl"
"$BINARY" completions bash >"$DIR/bash"
"$BINARY" completions zsh >"$DIR/zsh/_jarvis-secretsd"
"$BINARY" completions fish >"$DIR/fish"

# What is typed, with ^ for the tabulator, and which arguments come of it; behind the program's name, or another path of it.
cat >"$DIR/cases" <<'END'
au^ -> audit
audit ver^ -> audit verify
audit verify --pub^aud^ -> audit verify --public-key audit log.jsonl
audit verify aud^ -> audit verify audit log.jsonl
audit verify -- aud^ -> audit verify -- audit log.jsonl
serve --ac^ -> serve --accept-rollback
--con^aud^chec^ -> --config audit log.jsonl check
--config=aud^chec^ -> --config=audit log.jsonl check
init st^ -> init state
token aud^ -> token aud
completions f^ -> completions fish
check --public^ -> check --public
--config 'audit log.jsonl' chec^ -> --config audit log.jsonl check
configure --rotation m^x -> configure --rotation manual x
configure --rotation=m^x -> configure --rotation=manual x
get --addr unix:/run/x --js^x -> get --addr unix:/run/x --json x
render -- aud^ -> render -- audit log.jsonl
exec --env x -- --json aud^ -> exec --env x -- --json audit log.jsonl
../a\ dir/jarvis-secretsd au^ver^aud^ -> audit verify audit log.jsonl
../broken/jarvis-secretsd au^ -> au
END
# Behind these words (none at the beginning) that word can stand, as the help has it.
while read -r command; do
    echo "${command% *}|${command##* }" | sed "s/^$command|/|/"
    [[ $command != *' '* ]] || echo "|${command% *}"
    # shellcheck disable=SC2086
    { "$BINARY" $command --help && printf '  --%s\n' help version; } | sed -nE "s/^  (--[a-z-]+).*/$command|\1/p"
done < <("$BINARY" --help | sed -n 's/^  \([a-z][a-z ]*[a-z]\)  .*/\1/p') | sort -u >"$DIR/words"
[ "$(wc -l <"$DIR/words")" -gt 30 ] || fail "the help names too little: $(cat "$DIR/words")"
# Of each word all but the last letter is typed; or, where others begin like that, all of it: the space behind it then shows
# that it was known.
awk -F '|' '
    { behind[NR] = $1; word[NR] = $2 }
    END {
        for (i = 1; i <= NR; i++) {
            typed = substr(word[i], 1, length(word[i]) - 1)
            others = 0
            for (j = 1; j <= NR; j++)
                others += behind[j] == behind[i] && index(word[j], typed) == 1 && index(word[j], word[i]) != 1
            before = behind[i] == "" ? "" : behind[i] " "
            if (others) print before word[i] "^x -> " before word[i] " x"
            else print before typed "^ -> " before word[i]
        }
    }' "$DIR/words" >>"$DIR/cases"
awk -F ' -> ' '{ print $1 }' "$DIR/cases" >"$DIR/typed"
awk -F ' -> ' '{ print $2 }' "$DIR/cases" >"$DIR/expected"

# compare SHELL: what it made of the lines, with what was expected. zsh leaves out the slash of a directory.
compare() {
    sed 's|/$||' "$DIR/arguments" | paste -d '|' "$DIR/typed" "$DIR/expected" - | awk -F '|' '$2 != $3' >"$DIR/different"
    [ ! -s "$DIR/different" ] || fail "$1 completes otherwise: $(cat "$DIR/different")"
    echo "$1 completes every command and option, and files where they belong"
}

# types SHELL...: types all that into an interactive shell, where a function of the program's name writes its arguments down.
types() {
    {
        sed '/^\.\./!s/^/jarvis-secretsd /' "$DIR/typed" | tr '^' '\t'
        # These lines are deleted again, by ^U, before they are run.
        printf '%s\t\025\n' '../absent/jarvis-secretsd au' "jarvis-secretsd get \$(touch ../executed) --js" \
            "jarvis-secretsd --config=\$(touch ../executed) au" "\$(touch ../executed)/jarvis-secretsd au"
        echo exit
    } >"$DIR/keys"
    : >"$DIR/arguments"
    (cd "$DIR/work" && script --quiet --return --command "$*" /dev/null <"$DIR/keys" >"$DIR/terminal" 2>&1) ||
        fail "$1 has ended with status $?: $(cat "$DIR/terminal")"
    [ ! -e "$DIR/executed" ] || fail "$1 executes what is typed"
    ! grep -E 'out of order|not found|No such file|Unknown command' "$DIR/terminal" ||
        fail "$1 shows what a program says that cannot be asked"
    compare "$1"
}
cat >"$DIR/bashrc" <<END
unset HISTFILE
. '$DIR/bash'
jarvis-secretsd() { echo "\$*" >>../arguments; }
END
cat >"$DIR/zsh/.zshrc" <<END
fpath=('$DIR/zsh' \$fpath)
autoload -Uz compinit && compinit -u -D
jarvis-secretsd() { echo "\$*" >>../arguments; }
END
cat >"$DIR/config.fish" <<END
source '$DIR/fish'
function jarvis-secretsd; echo "\$argv" >>../arguments; end
END
types bash --noprofile --rcfile "$DIR/bashrc" -i
ZDOTDIR=$DIR/zsh types zsh -i
HOME=$DIR types fish --no-config --private --interactive --init-command "'source $DIR/config.fish'"
