#!/usr/bin/env bash
# A full disk: what cannot be audited is not served, what cannot be stored is refused, and all heals by itself.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need curl python3

[ "$(id -u)" -eq 0 ] || { echo "only root may mount the small file system that is filled up here" >&2; exit 77; }

# A small file system under DIR/$1, of the size $2, which is empty.
mount_small() {
    small=$DIR/$1
    mkdir -m 700 "$small"
    trap 'umount --lazy "$small"; clean_up' EXIT
    mount -t tmpfs -o size=${2:-256k},mode=0700 jarvis-secretsd-test "$small" || {
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

# both_on_one: a state of which vault and audit log lie on one small file system, of the size $1.
both_on_one() {
    new_state
    mount_small state "${1:-256k}"
    sed -i "s#$DIR/\(secrets\|audit\)#$DIR/state/\1#" "$DIR/config.toml"
}

# is_there: whether the daemon answers, however it is. Sets URL.
is_there() {
    kill -0 "$PID" 2>/dev/null || fail "the daemon did not start"
    URL=$(sed -n 's|.*Starting server on \([0-9.]*:[0-9]*\)$|http://\1|p' "$DIR/log")
    [ -n "$URL" ] && curl -fs -o "$DIR/answer" "$URL/healthz?live=true"
}

# start_degraded [OPTION]: starts it where it has no room for an audit line.
start_degraded() {
    cat "$DIR/log" >>"$DIR/logs"
    : >"$DIR/log"
    RUST_LOG=info "$BINARY" --config "$DIR/config.toml" "$@" 2>"$DIR/log" &
    PID=$!
    await "the daemon answers" is_there
    expect_degraded
    guide 'It has started on a full disk' "$DIR/log"
}

kill_daemon() {
    kill -KILL "$PID"
    wait "$PID" 2>/dev/null || true
}

# events FILE N: what the last N lines of an audit log are about.
events() { tail -n "$2" "$1" | sed 's/.*"event":"\([a-z_]*\)".*/\1/' | tr '\n' ' '; }

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
kill_daemon
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
both_on_one
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
umount "$small"
clean_up

echo "a start on a full disk succeeds, changes nothing, and heals, with the lines of what was before first"
both_on_one
start_daemon
vault=$small/secrets/vault.json log=$small/audit/audit.jsonl
expect 200 admin POST /secret '{"name":"f0","value":"f value 0"}'
# The lines of the start must not fit into what is left of the log's last block.
until [ $(($(stat -c %s "$log") % 4096)) -ge 3500 ]; do expect 200 admin GET /secret/f0; done
audited=$(stat -c %s "$log")
expect 200 admin POST /secret '{"name":"f1","value":"f value 1"}'
kill_daemon
# As if it had been killed before the line of that change was written, and in the middle of the next change.
truncate --size "$audited" "$log"
printf '{"seq":3,"sealed":"AAAA' >>"$vault"
fill_up
cp "$log" "$DIR/log.before"
for _ in 1 2; do
    start_degraded
    for _ in 1 2; do
        expect 503 admin GET /secret/f1
        expect_error audit_unavailable
        expect 503 admin POST /secret '{"name":"f2","value":"refused"}'
        expect_error audit_unavailable
        expect 503 admin POST /rotate '{"names":["f0"]}'
        expect 503 admin GET /secrets
    done
    kill_daemon
    cmp "$log" "$DIR/log.before" || fail "something was written to the log"
done
start_degraded
make_space
expect 200 admin GET /secret/f1
[ "$(events "$log" 4)" = "recovered server_start audit_resumed get_secret " ] || fail "other lines: $(tail -n 4 "$log")"
expect_values f 2
expect 200 admin POST /secret '{"name":"f2","value":"f value 2"}'
stop_daemon
cp "$vault" "$DIR/older"
start_daemon
expect_values f 3
expect 200 admin DELETE /secret/f2
until [ $(($(stat -c %s "$log") % 4096)) -ge 3500 ]; do expect 200 admin GET /secret/f0; done
kill_daemon
cat "$DIR/older" >"$vault"
fill_up
for _ in 1 2; do
    start_degraded --accept-rollback
    expect 503 admin GET /secret/f2
    kill_daemon
    ! "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log" || fail "a rollback that is written down nowhere counts as accepted"
done
start_degraded --accept-rollback
make_space
expect 200 admin GET /secret/f2
[ "$(events "$log" 4)" = "rollback_accepted server_start audit_resumed get_secret " ] || fail "other lines: $(tail -n 4 "$log")"
stop_daemon
start_daemon
expect_values f 3
stop_daemon
"$BINARY" audit verify "$log" >"$DIR/verified" || fail "the audit log does not verify"

echo "what an interrupted compaction has left is taken away first"
head -c 1M /dev/zero >"$vault.compacting" 2>/dev/null && fail "the file system takes more than it should"
start_daemon
expect_values f 3
stop_daemon
umount "$small"
clean_up

echo "values that are replaced all the time fill a small disk: it ends in 503, starts again, and heals"
both_on_one 1m
sed -i 's/^\[security\]/&\ngrace_days = 0/' "$DIR/config.toml"
start_daemon
python3 -B - "$URL" >"$DIR/replaced" <<'END' || fail "a put was answered in another way than it should"
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"), timeout=300)
last, refused = {}, set()
for number in range(3000):
    name = f"name{number % 3}"
    body = json.dumps({"name": name, "value": f"{number} ".ljust(65536, "x")})
    connection.request("POST", "/secret", body, {"X-Jarvis-Client": "admin"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status == 200:
        last[name] = number
    else:
        assert answer.status == 503, (answer.status, text)
        refused.add(json.loads(text)["error"])
assert "audit_unavailable" in refused, refused
print("\n".join(f"{name} {number}" for name, number in last.items()))
END
[ "$(wc -l <"$DIR/replaced")" -eq 3 ] || fail "not even one value of each fits"
kill_daemon
start_degraded
mount -o remount,size=8m "$small"
expect 200 nobody GET /healthz
while read -r name number; do
    expect 200 admin GET "/secret/$name"
    grep -q "\"value\":\"$number x" "$DIR/answer" || fail "$name is not what was put last"
    expect 200 admin POST /secret "{\"name\":\"$name\",\"value\":\"once more\"}"
done <"$DIR/replaced"
is_small() { [ "$(stat -c %s "$small/secrets/vault.json")" -lt 65536 ]; }
await 'the vault has nothing any more of what was replaced' is_small
stop_daemon
"$BINARY" audit verify "$small/audit/audit.jsonl" >"$DIR/verified" || fail "the audit log does not verify"
