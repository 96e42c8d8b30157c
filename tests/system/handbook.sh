# The shell blocks of the documents: the tests run them as they stand there, and one that no test runs is found. To be sourced.
# shellcheck shell=bash

REPOSITORY=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")

# shell_blocks FILE: each line of its shell blocks, behind the block's number below its heading, and the heading.
shell_blocks() {
    awk '
        /^ *```/ { fence = !fence; inside = fence && /^ *```(sh|bash|shell)$/; if (inside) number = ++count[heading]; next }
        !fence && /^#+ / { heading = $0 }
        inside { print number "\t" heading "\t" $0 }' "$1"
}

# pasted FILE HEADING [N]: the commands of the Nth (the first) shell block below that heading, as a reader would paste them.
# In RAN_BLOCKS, if that names a file, it is noted that there is a test for them.
pasted() {
    local commands
    commands=$(shell_blocks "$1" | block="${3:-1}"$'\t'"$2"$'\t' awk '
        index($0, ENVIRON["block"]) == 1 { print substr($0, length(ENVIRON["block"]) + 1) }')
    [ -n "$commands" ] || fail "$1 has no such block below $2"
    [ -z "${RAN_BLOCKS:-}" ] || printf '%s\t%s\t%s\n' "$(realpath --relative-to="$REPOSITORY" "$1")" "${3:-1}" "$2" >>"$RAN_BLOCKS"
    printf '%s\n' "$commands"
}

# blocks_not_run FILE: the shell blocks of the documents that are not noted there, one a line.
blocks_not_run() (
    cd "$REPOSITORY" || exit
    comm -23 <(
        for page in README.md CONTRIBUTING.md SECURITY.md docs/*.md docs/*/*.md; do
            shell_blocks "$page" | cut -f 1,2 | sed "s|^|$page\t|"
        done | sort -u
    ) <(sort -u "$1") | awk -F '\t' '{ print $1 ", below \"" $3 "\", shell block " $2 }'
)
