#!/usr/bin/env bash
# The clock is set back a day and forward ten years, and right again, while the daemon runs: no kid comes twice, also when the
# vault is compacted meanwhile, and none is dated by a clock that was wrong; grace and due dates go by it, no client is locked out,
# connections stay, and the audit log verifies.
source "$(dirname "$0")/lib.sh"
need curl jq

new_state
"$BINARY" token careful >"$DIR/token" 2>/dev/null
token=$(sed -n 1p "$DIR/token")
cat >>"$DIR/policy.toml" <<END

[clients.careful]
allow = ["*"]
$(sed -n 2p "$DIR/token")
END
# What the C library says of the time; the monotonic clock is left alone, as setting the time does.
library=$(faketime_library)
install -m 755 "$BINARY" "$DIR/daemon"
BINARY=$DIR/start
cat >"$BINARY" <<END
#!/bin/sh
export LD_PRELOAD='$library' FAKETIME_TIMESTAMP_FILE="$DIR/clock" FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1
exec "$DIR/daemon" "\$@"
END
chmod 755 "$BINARY"

# set_clock OFFSET: as far as that from the right time, from now on.
set_clock() {
    echo "$1" >"$DIR/clock.new"
    mv "$DIR/clock.new" "$DIR/clock"
}

# store NAME VALUE: its kid is then in $kid.
store() {
    expect 200 admin POST /secret "{\"name\":\"$1\",\"value\":\"$2\"}"
    kid=$(jq -r .kid "$DIR/answer")
}

# reads PATH VALUE
reads() {
    expect 200 admin GET "/secret/$1"
    [ "$(jq -r .value "$DIR/answer")" = "$2" ] || fail "$1 has another value: $(cat "$DIR/answer")"
}

# rotated: how many secrets a round by hand rotates.
rotated() {
    expect 200 admin POST /rotate '{"names":[]}'
    jq .rotated_count "$DIR/answer"
}

# answers: the connection that was opened at the beginning is answered.
answers() {
    local line status
    printf 'HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3
    read -r status <&3
    [ "$status" = $'HTTP/1.1 200 OK\r' ] || fail "the connection was closed, or: $status"
    while read -r line <&3 && [ "$line" != $'\r' ]; do :; done
}

# wrong_token: the status that somebody with a wrong token gets.
wrong_token() {
    curl -s -o "$DIR/answer" -w '%{http_code}\n' -H 'X-Jarvis-Client: careful' -H 'Authorization: Bearer no' "$URL/secrets"
}

# careful: a client that has the right one is not kept out.
careful() { curl -fsS -o "$DIR/answer" -H 'X-Jarvis-Client: careful' -H 'Authorization: Bearer '"$token" "$URL/secrets"; }

set_clock +0
start_daemon
exec 3<>"/dev/tcp/127.0.0.1/${URL##*:}"
answers
store supplied one
one=$kid
expect 200 admin POST /secret '{"name":"generated","generate":true,"rotation":"auto"}'
store supplied two

set_clock -1d
answers
reads supplied two
reads "supplied?kid=$one" one
for value in three four; do store supplied "$value"; done
[[ "$kid" == *-$(date -u -d '-1 day' +%Y%m%d)-* ]] || fail "the clock was not set back: $kid"
reads "supplied?kid=$one" one
reads supplied four
[ "$(rotated)" = 0 ] || fail "a clock that was set back makes something due"
set_clock +0
reads supplied four
store supplied five
answers
echo "set back a day: no kid comes twice, nothing is due, and all is readable"

set_clock +10y
answers
reads supplied five
expect 410 admin GET "/secret/supplied?kid=$one"
expect 200 admin GET /secrets
[ "$(jq -c '[.secrets[].is_expired]' "$DIR/answer")" = '[true,true]' ] || fail "not all is due: $(cat "$DIR/answer")"
[ "$(rotated) $(rotated)" = '1 0' ] || fail "what is due is not rotated once"
for _ in {1..10}; do [ "$(wrong_token)" = 401 ] || fail "it is turned away too early"; done
[ "$(wrong_token)" = 429 ] || fail "it is not turned away"
careful
set_clock +0
[ "$(wrong_token)" = 401 ] || fail "it is turned away for ten years"
careful
answers
exec 3>&-
reads supplied five
reads "supplied?kid=$one" one
[ "$(rotated)" = 0 ] || fail "it rotates once more"
expect 200 admin POST /rotate '{"names":["generated"]}'
stop_daemon
echo "set forward ten years: what is due is rotated once, what had its grace is not shown; right again, it is, and no client is locked out"

set_clock +10y
start_daemon
# Four of `supplied`, and the one of `generated` that was replaced last: the one before it was replaced in ten years.
await 'the daily round is over' grep -q 'Destroyed 5 versions whose grace period is over' "$DIR/log"
expect 410 admin GET "/secret/supplied?kid=$one"
reads supplied five
for _ in 1 2 3; do
    store passing there
    expect 200 admin DELETE /secret/passing
    stop_daemon
    start_daemon
    await 'a compaction has forgotten what was deleted' grep -q 'Vault compacted' "$DIR/log"
done
store passing 'there again'
set_clock +0
reads supplied five
for name in supplied passing new; do
    store "$name" six
    [[ "$kid" < "$name-$(date -u -d '+2 days' +%Y%m%d)" ]] || fail "a compaction in ten years dates the kids of today: $kid"
    expect 410 admin GET "/secret/supplied?kid=$one"
done
expect 200 admin DELETE /secret/passing
stop_daemon
start_daemon
await 'a compaction has forgotten what was deleted' grep -q 'Vault compacted' "$DIR/log"
set_clock -1d
for _ in 1 2; do
    store passing there
    expect 200 admin DELETE /secret/passing
done
set_clock +0
stop_daemon
start_daemon
await 'the daily round has begun' grep -q 'Checking for secrets due' "$DIR/log"
reads supplied six
expect 410 admin GET "/secret/supplied?kid=$one"
stop_daemon
[ "$(grep -c 'Checking for secrets due' "$DIR/log")" = 1 ] || fail "the daily round is made again and again"
jq -r 'select(.event == "create_secret" or .event == "rotate") | .kid // empty' "$DIR/audit/audit.jsonl" >"$DIR/kids"
[ "$(wc -l <"$DIR/kids")" -ge 10 ] || fail "not all is audited: $(cat "$DIR/kids")"
[ -z "$(sort "$DIR/kids" | uniq -d)" ] || fail "a kid came twice: $(cat "$DIR/kids")"
"$DIR/daemon" audit verify "$DIR/audit/audit.jsonl" >/dev/null
echo "a start in ten years destroys what had its grace and nothing else; the log, whose times go back, verifies"
