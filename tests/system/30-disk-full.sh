#!/usr/bin/env bash
# A full disk: what cannot be audited is not served, what cannot be stored is refused, and all heals by itself.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need curl

[ "$(id -u)" -eq 0 ] || { echo "only root may mount the small file system that is filled up here" >&2; exit 77; }

# A small file system under DIR/$1, which is empty.
mount_small() {
    small=$DIR/$1
    mkdir -m 700 "$small"
    trap 'umount --lazy "$small"; clean_up' EXIT
    mount -t tmpfs -o size=256k,mode=0700 jarvis-secretsd-test "$small" || {
        trap clean_up EXIT
        echo "no tmpfs may be mounted here" >&2
        exit 77
    }
}

fill_up() { head -c 1M /dev/zero >"$small/filler" 2>/dev/null && fail "the file system takes more than it should"; return 0; }
make_space() { rm "$small/filler"; }

# expect_error CODE: what the last answer says.
expect_error() { grep -q "\"error\":\"$1\"" "$DIR/answer" || fail "expected $1, got: $(cat "$DIR/answer")"; }

# expect_degraded: /healthz says so, and why.
expect_degraded() {
    expect 503 nobody GET /healthz
    grep -q '"status":"degraded","reason":".*No space left' "$DIR/answer" || fail "no reason: $(cat "$DIR/answer")"
    expect 200 nobody GET '/healthz?live=true'
    grep -q '"status":"degraded"' "$DIR/answer" || fail "it says that it is well: $(cat "$DIR/answer")"
}

# exhaust METHOD PATH [BODY]: repeats a request, each time with the next number for every # in it, until it is answered
# 503: the last block of a file has room for a little more. Sets `accepted`.
exhaust() {
    local body=() status
    for ((accepted = 0; accepted < 100; accepted++)); do
        [ "$#" -lt 3 ] || body=(-d "${3//\#/$accepted}")
        status=$(curl -sS -o "$DIR/answer" -w '%{http_code}' -X "$1" -H 'X-Jarvis-Client: admin' "${body[@]}" \
            "$URL${2//\#/$accepted}")
        case $status in
            200) ;;
            503) return ;;
            *) fail "$1 $2 on a full disk: $status $(cat "$DIR/answer")" ;;
        esac
    done
    fail "a full disk takes a hundred records"
}

# expect_values NAME COUNT: the secrets NAME0 to NAME(COUNT-1) have their values, and there is none after them.
expect_values() {
    local number
    for ((number = 0; number < $2; number++)); do
        expect 200 admin GET "/secret/$1$number"
        grep -q "\"value\":\"$1 value $number\"" "$DIR/answer" || fail "another value: $(cat "$DIR/answer")"
    done
    expect 404 admin GET "/secret/$1$2"
}

verify() { "$BINARY" audit verify "$DIR/audit/audit.jsonl" >"$DIR/verified" || fail "the audit log does not verify"; }

echo "the audit log's disk is full: nothing is served or changed"
new_state
mount_small audit
start_daemon
expect 200 admin POST /secret '{"name":"a0","value":"a value 0"}'
fill_up
exhaust GET /secret/a0
echo ' 503' >>"$DIR/answer"
guide '503 audit_unavailable' "$DIR/answer"
for _ in 1 2 3; do
    expect_error audit_unavailable
    expect_degraded
    expect 503 admin POST /secret '{"name":"a1","value":"refused"}'
    expect_error audit_unavailable
    expect 503 admin DELETE /secret/a0
    expect_error audit_unavailable
    expect 503 stranger GET /secret/a0
    expect 503 admin GET /secret/a0
done
make_space
expect 200 nobody GET /healthz
expect_values a 1
grep -q '"event":"audit_resumed"' "$DIR/audit/audit.jsonl" || fail "the log does not say that it was interrupted"
verify
expect 200 admin POST /secret '{"name":"a1","value":"a value 1"}'
stop_daemon
start_daemon
expect_values a 2
stop_daemon
verify
umount "$small"
clean_up

echo "the vault's disk is full: secrets are served, changes are refused"
new_state
mount_small secrets
start_daemon
for number in {0..49}; do
    expect 200 admin POST /secret "{\"name\":\"d$number\",\"value\":\"deleted soon\"}"
done
fill_up
exhaust POST /secret '{"name":"b#","value":"b value #"}'
kept=$accepted
# A deletion takes less room than a value.
exhaust DELETE /secret/d#
deleted=$accepted
echo ' 503' >>"$DIR/answer"
guide '503 vault_unavailable' "$DIR/answer"
for _ in 1 2 3; do
    expect_error vault_unavailable
    expect_degraded
    expect_values b "$kept"
    expect 200 admin GET "/secret/d$deleted"
    expect 503 admin DELETE "/secret/d$deleted"
    expect_error vault_unavailable
    expect 503 admin POST /rotate '{"names":["d49"]}'
done
# A kill now loses nothing, and brings nothing back that was refused.
kill -KILL "$PID"
wait "$PID" 2>/dev/null || true
start_daemon
expect_values b "$kept"
expect 200 admin GET "/secret/d$deleted"
[ "$deleted" -eq 0 ] || expect 404 admin GET "/secret/d$((deleted - 1))"
make_space
expect 200 nobody GET /healthz
expect 200 admin POST /secret "{\"name\":\"b$kept\",\"value\":\"b value $kept\"}"
stop_daemon
start_daemon
expect_values b $((kept + 1))
stop_daemon
verify
umount "$small"
clean_up

# leave KIB: fills the file system up to that.
leave() { head -c $((($(df --output=avail -k "$small" | tail -n 1) - $1) * 1024)) /dev/zero >"$small/filler"; }

# large NAME: a value that takes 55 KiB of the vault.
large() { expect 200 admin POST /secret "{\"name\":\"$1\",\"value\":\"$(head -c 40000 /dev/zero | tr '\0' x)\"}"; }

echo "the disk of both has no room for a compaction, then for nothing"
new_state
mount_small state
sed -i "s#$DIR/\(secrets\|audit\)#$DIR/state/\1#" "$DIR/config.toml"
start_daemon
expect 200 admin POST /secret '{"name":"c0","value":"c value 0"}'
for name in live dead{1,2}; do large "$name"; done
leave 24
expect 200 admin DELETE /secret/dead1
expect 200 admin DELETE /secret/dead2
await 'a compaction was tried' grep -q 'Compaction failed, .*No space left' "$DIR/log"
[ ! -e "$DIR/state/secrets/vault.json.compacting" ] || fail "what a failed compaction has written takes room"
expect_values c 1
fill_up
exhaust POST /secret '{"name":"e#","value":"e value #"}'
kept=$accepted
expect_degraded
make_space
expect 200 nobody GET /healthz
expect_values c 1
expect_values e "$kept"
stop_daemon
start_daemon
await 'it is compacted' grep -q 'Vault compacted' "$DIR/log"
expect_values e "$kept"
stop_daemon
"$BINARY" audit verify "$DIR/state/audit/audit.jsonl" >"$DIR/verified" || fail "the audit log does not verify"
