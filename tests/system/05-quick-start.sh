#!/usr/bin/env bash
# The README's quick start, pasted: the first try, by curl and by the client commands; and then the configuration for good with
# tokens, under no service manager. 63-readme.sh has the rest of it.
#
# Its port and its paths are fixed, so this runs where nobody else sees them.
source "$(dirname "$0")/lib.sh"
need cargo curl ip jq make unshare
need_root
[ "${NAMESPACES:-}" = own ] ||
    NAMESPACES=own exec unshare --mount --net --pid --fork --kill-child --mount-proc tests/system/05-quick-start.sh
ip link set lo up
mkdir -p state /etc/jarvis-secretsd /opt/jarvis
for directory in state /etc/jarvis-secretsd /opt/jarvis; do
    mount -t tmpfs -o mode=0755 none "$directory"
done
DIR=$(mktemp -d)
trap clean_up EXIT
section='## Quick start'
URL=http://127.0.0.1:8081
answers() { curl -fs -o "$DIR/answer" "$URL/healthz"; }

eval "$(pasted README.md "$section")" >"$DIR/log" 2>&1 &
await "the first try answers" answers
eval "$(pasted README.md "$section" 2)" >"$DIR/answers" 2>"$DIR/noise"
[ "$(grep -o ' [0-9]\{3\}$' "$DIR/answers" | tr -d '\n')" = ' 200 200 403 200' ] || fail "other answers: $(cat "$DIR/answers")"
# What the README shows has the same form.
form() { sed 's/"value":"[^"]*"/"value":""/; s/[0-9]/9/g; s/999999999\{0,1\}Z/9Z/g'; }
shown=$(awk '/^The answers/ { below = 1 } below && /^```/ { if (inside) exit; inside = 1; next } inside' README.md)
[ "$(form <"$DIR/answers")" = "$(form <<<"$shown")" ] || fail "the README shows other answers: $(form <"$DIR/answers")"
built=${CARGO_TARGET_DIR:-$PWD/target}
(
    unset XDG_CONFIG_HOME
    HOME=$DIR
    eval "$(pasted README.md "$section" 3 | sed "s|\$PWD/target|$built|")"
) >"$DIR/answers" 2>"$DIR/noise"
grep -qE '^[0-9a-f]{64}' "$DIR/answers" || fail "no password is read: $(cat "$DIR/answers" "$DIR/noise")"
grep -qE 'redis_password +redis_password-[0-9-]+ ' "$DIR/answers" || fail "it is not listed: $(cat "$DIR/answers")"
grep -qE '^[0-9]+ lines, .*: chain and signatures hold$' "$DIR/answers" || fail "the log does not verify: $(cat "$DIR/answers")"
pkill -TERM -x jarvis-secretsd
await "it has ended" eval '! answers'
echo "the first try answers as the README shows, and serves the client commands"

export PATH=$DIR:$PATH
cp "$BINARY" "$DIR/jarvis-secretsd"
without_systemd=$(pasted README.md '## Set it up for good' 3)
cd "$DIR"
eval "$without_systemd" >"$DIR/log" 2>&1 &
await "it answers" answers
expect 401 admin POST /secret '{"name":"postgres_password","generate":true}'
# shellcheck disable=SC2034
CURL=(curl -H "Authorization: Bearer $(cat tokens/admin)")
expect 200 admin POST /secret '{"name":"postgres_password","generate":true}'
# shellcheck disable=SC2034
CURL=(curl -H "Authorization: Bearer $(cat tokens/db)")
expect 200 db GET /secret/postgres_password
pkill -TERM -x jarvis-secretsd
await "it has ended" eval '! answers'
echo "set up for good, it wants the tokens that init has made"
