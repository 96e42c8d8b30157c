#!/usr/bin/env bash
# Stores the values of a dotenv file in jarvis-secretsd, all or none, where there is no jarvis-secretsd to do it:
#
#     migrate-env-secrets.sh [--prefix PREFIX] [--dry-run] [--replace] FILE
#
# It needs bash, awk and curl, and does what `jarvis-secretsd import` does, under the same names: the keys in lower case,
# with PREFIX before them. It reads FILE, or standard input if that is -, alike, but does not expand variables: a value
# with an unescaped $NAME or ${...}, or a name without a value, is refused. Nothing of it ends up in another file or on a
# command line.
# The same variables name the daemon and the client: JARVIS_SECRETSD_ADDR (http://host:port, https://host:port or
# unix:/path; default http://127.0.0.1:8081), _CLIENT, _TOKEN or _TOKEN_FILE, _CA, _CERT, _KEY. A settings file,
# client.toml, is not read; where _CLIENT_CONFIG names one, nothing is done.
set -euo pipefail
export LC_ALL=C

fail() {
    printf 'migrate-env-secrets.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

# printable: what somebody else wrote, as a terminal may show it: in ASCII, a question mark for every other byte.
printable() { tr -c '\t\n -~' '?'; }

usage() { fail "usage: $1; migrate-env-secrets.sh [--prefix PREFIX] [--dry-run] [--replace] FILE" 2; }

# parse FILE PREFIX: reads standard input, which messages call FILE. Prints a body for POST /secrets, and behind it, a line
# each, +NAME for every value and -NAME for every empty one. The characters are bytes.
parse() {
    # Not every awk can hold a NUL. It becomes a byte that no text in UTF-8 has.
    tr '\0' '\377' | FILE=$1 PREFIX=$2 awk '
        function line_of(place,    before) {
            before = substr(text, 1, place - 1)
            return 1 + gsub(/\n/, "", before)
        }
        function die(place, why) {
            printf "migrate-env-secrets.sh: %s:%d: %s\n", ENVIRON["FILE"], line_of(place), why >"/dev/stderr"
            exit 1
        }
        # Takes what is of that kind at the place that was reached, and goes on behind it.
        function take(kind,    found) {
            found = match(substr(text, at, 4096), kind) ? substr(text, at, RLENGTH) : ""
            at += length(found)
            return found
        }
        # Whether there was any.
        function skip(kind,    any) {
            while (take(kind) != "") any = 1
            return any
        }
        # The place of the next newline, which there always is.
        function line_end() { return at + index(substr(text, at), "\n") - 1 }

        # A dollar sign, of which there may be two for one: sets width. A long s and a kelvin sign count as letters.
        function dollar(place,    next_) {
            next_ = substr(text, place + 1, 3)
            if (next_ ~ "^([A-Za-z_{]|\305\277|\342\204\252)")
                die(place, "a variable, which only jarvis-secretsd import expands; write $$ for a dollar sign")
            width = next_ ~ /^\$/ ? 2 : 1
            return "$"
        }

        function unquoted(    stop, line, value, place, c) {
            stop = line_end()
            line = substr(text, at, stop - at)
            if (index(line, " #")) line = substr(line, 1, index(line, " #") - 1)
            sub(/[ \t\v\f\r]+$/, "", line)
            if (line ~ "^(" odd ")" || line ~ "(" odd ")$")
                die(at, "white space that is easily overlooked; quote the value")
            if (line ~ /\r/) die(at, "a carriage return within a value; quote the value if it is meant")
            if (line ~ /\t#/) die(at, "a comment needs a space before it; if this is none, quote the value")
            if (line ~ /\\\$/) die(at, "a backslash escapes only within double quotes; use single quotes")
            for (place = at; place < at + length(line); place += width) {
                c = substr(text, place, 1)
                width = 1
                value = value (c == "$" ? dollar(place) : c)
            }
            at = stop
            return value
        }

        function quoted(quote,    start, value, c, next_) {
            start = at
            for (at++; at <= length(text); at += width) {
                c = substr(text, at, 1)
                next_ = substr(text, at + 1, 1)
                width = 1
                if (c == quote) { at++; return value }
                if (c == "$" && quote == "\"") {
                    if (next_ == "\\" && substr(text, at + 2, 1) == "$")
                        die(at, "a dollar sign before an escaped one; write \\$ for it too")
                    value = value dollar(at)
                } else if (c == "\\") {
                    width = 2
                    if (next_ == quote) value = value quote
                    else if (quote != "\"") value = value c next_
                    else if (next_ == "0") die(at, "an octal escape; write the character itself")
                    else value = value (next_ in escapes ? escapes[next_] : c next_)
                } else value = value c
            }
            die(start, "this quote is never closed")
        }

        function entry(    start, key, blank, separator, value, name) {
            start = at
            if (substr(text, at, 7) ~ /^export[ \t\f\r\n]/) {
                at += 6
                skip(blanks)
            }
            key = take("^[A-Za-z0-9_.-]+")
            blank = skip(blanks)
            separator = substr(text, at, 1)
            if (key == "" && separator ~ /^[=:\n]/) die(at, "a name is missing")
            if (separator == "" || separator == "\n")
                die(start, "a name without a value; write NAME=value, or quote a value of several lines")
            if (separator !~ /^[=:]/ && blank) die(at, "a name must not have white space in it; write NAME=value")
            if (separator !~ /^[=:]/)
                die(at, "a name is made of A-Z a-z 0-9 _ . -; write NAME=value, or quote a value of several lines")
            at++
            blank = skip(blanks)
            separator = substr(text, at, 1)
            if (separator == "#" && blank)
                die(at, "compose takes this comment for the value; quote it, or write \047\047 for none")
            if (separator == "\"" || separator == "\047") {
                value = quoted(separator)
                skip(blanks)
                if (substr(text, at, 1) !~ /^[\n#]?$/)
                    die(at, "behind the closing quote, only a comment may follow; escape a quote within a value: \\\"")
            } else value = unquoted()

            if (length(value) > 65536) die(start, "a value has at most 65536 bytes")
            name = ENVIRON["PREFIX"] tolower(key)
            if (length(name) > 128) die(start, "the name would be longer than 128 characters")
            if (name in places) die(start, key " becomes " name ", as does line " line_of(places[name]))
            places[name] = start
            names = names (value == "" ? "-" : "+") name "\n"
            if (value != "") body = body (body == "" ? "" : ",") "{\"name\":\"" name "\",\"value\":\"" json(value) "\"}"
        }

        # The value as it stands in a JSON string.
        function json(value,    text_) {
            while (match(value, /[\001-\037"\\]/)) {
                text_ = text_ substr(value, 1, RSTART - 1) in_json[substr(value, RSTART, 1)]
                value = substr(value, RSTART + 1)
            }
            return text_ value
        }

        { text = text $0 "\n" }
        END {
            blanks = "^[ \t\v\f\r]+"
            # White space that is none of ASCII.
            odd = "\302\205|\302\240|\341\232\200|\342\200[\200-\212]|\342\200[\250\251\257]|\342\201\237|\343\200\200"
            escapes["a"] = "\007"; escapes["b"] = "\010"; escapes["f"] = "\014"; escapes["n"] = "\n"
            escapes["r"] = "\r"; escapes["t"] = "\t"; escapes["v"] = "\013"; escapes["$"] = "$"; escapes["\\"] = "\\"
            for (code = 1; code < 32; code++) in_json[sprintf("%c", code)] = sprintf("\\u%04x", code)
            in_json["\""] = "\\\""; in_json["\\"] = "\\\\"
            at = index(text, "\377")
            if (at) die(at, "a NUL byte, or one that is not UTF-8, which no value can have")
            at = substr(text, 1, 3) == "\357\273\277" ? 4 : 1
            for (skip("^[ \t\v\f\r\n]+"); at <= length(text); skip("^[ \t\v\f\r\n]+"))
                if (substr(text, at, 1) == "#") at = line_end()
                else entry()
            printf "{\"secrets\":[%s],\"skip_unchanged\":true}\n%s", body, names
        }'
}

# ask METHOD PATH [OPTION...]: calls the daemon, with a body on standard input if there is one. Sets STATUS and ANSWER.
ask() {
    local method=$1 path=$2 said
    shift 2
    # Its messages may quote a server's certificate.
    said=$({
        curl -q --silent --show-error --noproxy '*' --max-time 30 --request "$method" --write-out '\n%{http_code}' \
            --header @<(headers) "${options[@]}" "$@" "$url$path" 2>&1 >&3 3>&- | printable >&2
    } 3>&1) || unanswered "$method" "$?"
    STATUS=${said##*$'\n'} ANSWER=${said%$'\n'*}
}

# unanswered METHOD STATUS: ends because curl has failed. Without a connection (6 and 7), nothing was sent.
unanswered() {
    local hint=''
    [[ "$1 $2" = GET* || "$2" = [67] ]] || hint='; maybe imported, see --dry-run'
    fail "$address: curl failed with status $2$hint"
}

# token_in FILE: what stands in it. If others may read or write it, that is warned about. One of root's may be handed over
# through its group or an ACL.
token_in() {
    local mode owner forbidden=077 right=600
    [ -f "$1" ] || fail "$1: is not a regular file" 78
    read -r owner mode < <(stat -L -c '%u %a' -- "$1")
    [ "$owner" != 0 ] || [ "$EUID" = 0 ] || { forbidden=027 right=g-w,o=; }
    mode=$(printf %04d "$mode")
    [ $((0$mode & 0$forbidden)) = 0 ] ||
        echo "migrate-env-secrets.sh: warning: $1: others than its owner may use this key (mode $mode); if it was not exposed: chmod $right $1" >&2
    cat -- "$1"
}

headers() {
    [ -z "${JARVIS_SECRETSD_CLIENT:-}" ] || printf 'X-Jarvis-Client: %s\n' "$JARVIS_SECRETSD_CLIENT"
    [ -z "$token" ] || printf 'Authorization: Bearer %s\n' "$token"
}

# refused: ends with the daemon's own words. What it could not say for sure, we cannot either.
refused() {
    local what='maybe imported, see --dry-run'
    [[ "$STATUS" != 4?? ]] || what='nothing was imported'
    fail "$what: $(sed -n 's/.*"message":"\(.*\)"}$/\1/p' <<<"$ANSWER" | printable | grep . || echo "status $STATUS")"
}

# find_existing: sets existing to those of the names that there are secrets of already.
find_existing() {
    local name there
    ask GET /secrets
    [ "$STATUS" = 200 ] || refused
    there=$(tr '{' , <<<"$ANSWER" | tr , '\n' | sed -n 's/^"name":"\(.*\)"$/\1/p')
    existing=()
    for name in "${names[@]}"; do
        ! grep -qxF -e "$name" <<<"$there" || existing+=("$name")
    done
}

prefix='' dry_run=no replace=no file='' leftover=''
while [ "$#" -gt 0 ]; do
    case $1 in
        --prefix) [ "$#" -gt 1 ] || usage "--prefix needs a value" && prefix=$2 && shift ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        --dry-run) dry_run=yes ;;
        --replace) replace=yes ;;
        -?*) usage "there is no option $1" ;;
        *) [ -z "$file" ] || usage "one FILE is needed" && file=$1 ;;
    esac
    shift
done
[ -n "$file" ] || usage "one FILE is needed"
[[ "$prefix" =~ ^[A-Za-z0-9_.-]*$ ]] || usage "--prefix takes A-Z a-z 0-9 _ . -"
if [ "$file" = - ]; then
    file='standard input'
else
    [ -f "$file" ] || fail "$file: is not a regular file"
    exec <"$file"
    leftover=$file
fi
parsed=$(parse "$file" "$prefix")
body=${parsed%%$'\n'*}
# Only names go into a here-string, which bash may write to a file.
told=${parsed#*$'\n'}
mapfile -t names < <(sed -n 's/^+//p' <<<"$told")
mapfile -t empty < <(sed -n 's/^-//p' <<<"$told")
[ "${#names[@]}" -gt 0 ] || fail "$file: holds no value that could be imported"

[ -z "${JARVIS_SECRETSD_CLIENT_CONFIG:-}" ] ||
    fail "JARVIS_SECRETSD_CLIENT_CONFIG: this script reads no settings file; set JARVIS_SECRETSD_ADDR and the other variables" 78
address=${JARVIS_SECRETSD_ADDR:-http://127.0.0.1:8081}
url=${address%/} options=()
octet='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])'
if [[ "$address" == unix:/* ]]; then
    url=http://localhost options=(--unix-socket "${address#unix:}")
elif [[ ! "$url" =~ ^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$ ]]; then
    fail "JARVIS_SECRETSD_ADDR: must be http://host:port, https://host:port or unix:/path, such as http://127.0.0.1:8081" 78
elif [[ "$url" == http:* && ! "$url" =~ ^http://(localhost|127(\.$octet){3}|\[::1\]): ]]; then
    # A name that begins with 127. is a name, and leads where its owner likes.
    echo "migrate-env-secrets.sh: warning: everything is sent to ${url#http://} unencrypted; use https://" >&2
fi
[ -z "${JARVIS_SECRETSD_CA:-}" ] || options+=(--cacert "$JARVIS_SECRETSD_CA")
[ -z "${JARVIS_SECRETSD_CERT:-}" ] || options+=(--cert "$JARVIS_SECRETSD_CERT")
[ -z "${JARVIS_SECRETSD_KEY:-}" ] || options+=(--key "$JARVIS_SECRETSD_KEY")
token=${JARVIS_SECRETSD_TOKEN:-}
if [ -n "${JARVIS_SECRETSD_TOKEN_FILE:-}" ]; then
    [ -z "$token" ] || fail "JARVIS_SECRETSD_TOKEN: must not be set together with JARVIS_SECRETSD_TOKEN_FILE" 78
    token=$(token_in "$JARVIS_SECRETSD_TOKEN_FILE")
    # As `jarvis-secretsd token` prints it, the line for the policy stands behind it.
    token=${token%%$'\n'token_sha256 = *}
fi
if [[ -n "$token" && ! "$token" =~ ^jst_[0-9a-f]{72}$ ]]; then
    by=JARVIS_SECRETSD_TOKEN${JARVIS_SECRETSD_TOKEN_FILE:+_FILE}
    fail "$by: must be a token, as \`jarvis-secretsd token CLIENT\` prints it" 78
fi

if [ "$dry_run" = yes ]; then
    find_existing
    for name in "${names[@]}"; do
        [[ " ${existing[*]} " == *" $name "* ]] && echo "exists: $name" || echo "new: $name"
    done
else
    condition=()
    [ "$replace" = yes ] || condition=(--header 'If-None-Match: *')
    ask POST /secrets "${condition[@]}" --header 'Content-Type: application/json' --data-binary @- < <(printf %s "$body")
    if [ "$STATUS" = 412 ]; then
        find_existing
        list=$(printf ', %s' "${existing[@]}")
        fail "nothing was imported: these exist already: ${list#, }; --replace adds versions to them"
    fi
    [ "$STATUS" = 200 ] || refused
    unchanged=$(sed -n 's/.*"unchanged":\[\(.*\)\].*/\1/p' <<<"$ANSWER" | tr -d '"' | tr , '\n')
    imported=0
    for name in "${names[@]}"; do
        if grep -qxF -e "$name" <<<"$unchanged"; then
            echo "unchanged: $name"
        else
            echo "imported: $name"
            imported=$((imported + 1))
        fi
    done
fi
[ "${#empty[@]}" = 0 ] || printf 'skipped because its value is empty: %s\n' "${empty[@]}"
if [ "$dry_run" = yes ]; then
    case $replace${#existing[@]} in
        yes0 | no0) then='' ;;
        yes*) then='; those with the same value would not change' ;;
        *) then='; without --replace, nothing would be imported unless these have the same values' ;;
    esac
    echo "to import: ${#names[@]}, of which exist: ${#existing[@]}$then"
else
    echo "imported in all: $imported"
    [ -z "$leftover" ] || echo "$leftover still holds them in the clear: delete it once nothing reads it any more"
fi
