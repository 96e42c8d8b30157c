#!/usr/bin/env bash
# The handbook's commands for clients and its calls of the API do what they say, as they are pasted.
. "$(dirname "$0")/lib.sh"
need curl jq openssl

start_daemon
mkdir "$DIR/bin"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH JARVIS_SECRETSD_ADDR=$URL HOME=$DIR
unset XDG_CONFIG_HOME

commands=$(pasted docs/commands.md '# Client commands')
output=$(bash -euo pipefail -c "$commands
[ \"\${#DB_PASSWORD}\" = 32 ] || echo 'no password in the variable'")
echo "$output" | grep -v '"value"'

# says WORDS: the pasted commands have printed that.
says() {
    grep -qE "$1" <<<"$output" || fail "the handbook's commands did not print: $1"
}
for made in redis_password jwt_signing_key postgres_password brave_api_key session_key; do
    says "^$made: made $made-[0-9]{8}-[0-9]{6}, rotation is due on "
done
says '^\{"name":"postgres_password","value":".{24,}","kid":"postgres_password-'
says '^NAME +KID +ROTATION +ROTATION DUE$'
says '^brave_api_key +brave_api_key-[0-9-]+ +manual '
says '^NAME +KID +ROTATION +ROTATION DUE +OWNER +LABELS$'
says '^postgres_password +rotated; postgres_password-[0-9-]+ can be read until '
says '^postgres_password: made postgres_password-[0-9-]+ with the value of postgres_password-[0-9-]+, '
says '^no rotation was due$'
says '^postgres_password-[0-9-]+ .*\(current\)$'
says '^CLIENT +LAST READ +AT +STATE$'
says '^db +postgres_password-[0-9-]+ .* behind$'
says '^postgres_password-[0-9-]+ +retired$'
says '^brave_api_key: destroyed, with its versions: 1$'
! grep -q 'no password' <<<"$output" || fail "get did not print the value alone"

# What was piped in is what is stored, and curl sees the same as the commands.
expect 200 admin GET /secret/redis_password
[ "$(jarvis-secretsd get redis_password --client admin)" = "$(sed 's/.*"value":"\([0-9a-f]\{40\}\)".*/\1/' "$DIR/answer")" ] ||
    fail "get and the API differ"
expect 404 admin GET /secret/brave_api_key

# api HEADING [OPTION...]: runs the calls below it, with options for each curl. What they print is in $DIR/out.
api() {
    local heading=$1 block
    shift
    block=$(pasted docs/api.md "$heading")
    bash -euo pipefail -c "curl() { command curl -sS $* \"\$@\"; }
${block//http:\/\/127.0.0.1:8081/$URL}" >"$DIR/out" || fail "below $heading: $(cat "$DIR/out")"
}
# Each call succeeds.
api '# HTTP API' --fail-with-body
grep -q '"value":"correct horse battery staple"' "$DIR/out" || fail "another value: $(cat "$DIR/out")"
api '## Every call with curl' --fail-with-body
grep -q '"rotated_count":2,' "$DIR/out" || fail "nothing is rotated: $(cat "$DIR/out")"
grep -q '"next":"web_api_key"' "$DIR/out" || fail "no page is listed: $(cat "$DIR/out")"
expect 404 admin GET /secret/brave_api_key

# A condition that does not hold is answered 412.
api '## Check-and-set'
statuses=$(grep -o 'HTTP/1.1 [0-9]*' "$DIR/out" | cut -d' ' -f2 | paste -sd' ')
[ "$statuses" = '200 304 200 412' ] || fail "check-and-set: $statuses"

# A rotation is answered to the request that waits for it.
rm "$DIR/out"
api '## Waiting for a change' &
waiting=$!
is_answered_after_a_rotation() {
    expect 200 admin POST /rotate '{"names":["postgres_password"]}'
    grep -qs 'HTTP/1.1 ' "$DIR/out"
}
await "the request that waits is answered" is_answered_after_a_rotation
wait "$waiting" || fail "no answer to the request that waited"
grep -q 'HTTP/1.1 200' "$DIR/out" || fail "no other version is answered: $(cat "$DIR/out")"
stop_daemon
