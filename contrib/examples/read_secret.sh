#!/bin/sh
# Reads a secret, and reads it again when it has changed:
#
#   read_secret.sh NAME [SECONDS]     SECONDS pass between two looks, 60 by default
#
# JARVIS_SECRETSD_ADDR (http://127.0.0.1:8081), JARVIS_SECRETSD_CLIENT and JARVIS_SECRETSD_TOKEN name the
# daemon and the client.
set -eu

name=${1:?usage: read_secret.sh NAME [SECONDS]}
seconds=${2:-60}
kid=none
newline='
'

# use_secret VALUE: what the value is for, as connecting to a database.
use_secret() {
    [ -n "$1" ] && echo "$name: $kid"
}

# What the answer says, as a terminal may show it.
printable() {
    printf '%s: %s\n' "$name" "$1" | LC_ALL=C tr -c '\n -~' '?'
}

# The answer's body, and behind it a line with the status and the seconds of Retry-After. What is secret goes by standard
# input, for a command line can be seen with ps.
ask() {
    curl --silent --show-error --max-time 10 --write-out '\n%{http_code} %header{retry-after}' --config - \
        "${JARVIS_SECRETSD_ADDR:-http://127.0.0.1:8081}/secret/$name" <<END
header = "X-Jarvis-Client: $JARVIS_SECRETSD_CLIENT"
header = "Authorization: Bearer $JARVIS_SECRETSD_TOKEN"
header = "If-None-Match: \"$kid\""
END
}

while :; do
    if ! answer=$(ask); then
        echo "$name: no answer" >&2
        sleep 1
        continue
    fi
    last=${answer##*"$newline"}
    body=${answer%"$newline"*}
    case $last in
        200*)
            # It goes into curl's configuration. Another text than a version's id would be obeyed there.
            kid=$(printf %s "$body" | jq -r '.kid | select(test("\\A[A-Za-z0-9_.-]+\\z"))')
            [ -n "$kid" ] || { echo "$name: the answer has no kid" >&2 && exit 1; }
            use_secret "$(printf %s "$body" | jq -r .value)"
            ;;
        304*) ;;
        429* | 503*)
            printable "$body" >&2
            sleep "${last#* }"
            continue
            ;;
        *)
            printable "$body" >&2
            exit 1
            ;;
    esac
    sleep "$seconds"
done
