#!/usr/bin/env bash
# The audit log as the handbook describes it: it is verified by the command and by hand, over two files and against a checkpoint, and what
# was changed or cut is found either way.
source "$(dirname "$0")/lib.sh"
need curl jq openssl
page=docs/audit-log.md

new_state
mkdir "$DIR/bin"
ln -s "$(realpath "$BINARY")" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH JARVIS_SECRETSD_CONFIG=$DIR/config.toml JARVIS_SECRETSD_CLIENT=admin
start_daemon
export JARVIS_SECRETSD_ADDR=$URL
expect 200 admin POST /secret '{"name":"postgres_password","generate":true}'
expect 200 db GET /secret/postgres_password

# run COMMANDS: as an operator gives them in the log's directory. What they print is then in $DIR/printed.
run() { (cd "$DIR/audit" && sh -euc "${1//\/opt\/jarvis/$DIR}") >"$DIR/printed" 2>&1; }

run "$(pasted "$page" '# Audit log')" || fail "the log is not read: $(cat "$DIR/printed")"
grep -qP '\tdb\t127\.0\.0\.1:[0-9]+\tsuccess$' "$DIR/printed" || fail "the read of the secret is not listed: $(cat "$DIR/printed")"

# Two files, and a checkpoint of the newer one.
mv "$DIR/audit/audit.jsonl" "$DIR/audit/audit.jsonl.1"
kill -HUP "$PID"
await "logging has continued in a new file" test -s "$DIR/audit/audit.jsonl"
run "$(pasted "$page" '## Checkpoints')" || fail "the checkpoint is not good: $(cat "$DIR/printed")"
stop_daemon
run "$(pasted "$page" '## Checkpoints' 2)" || fail "no line of the checkpoint's number: $(cat "$DIR/printed")"
mapfile -t hashes < <(cut -d ' ' -f 1 "$DIR/printed")
[ "${#hashes[@]}" = 2 ] && [ "${hashes[0]}" = "${hashes[1]}" ] || fail "not the hash of the checkpoint: $(cat "$DIR/printed")"
by_command=$(pasted "$page" '## Verifying it by command')
by_hand=$(pasted "$page" '## Verifying it by hand' && pasted "$page" '## Verifying it by hand' 2)
for way in "$by_command" "$by_hand"; do
    run "$way" || fail "a good log is not verified: $(cat "$DIR/printed")"
done
echo "a good log of two files is verified by the command and by hand"

# spoiled WHAT SED-SCRIPT FILE COMMANDS: they find fault with that file when it is changed so.
spoiled() {
    cp "$DIR/audit/$3" "$DIR/kept"
    sed -i "$2" "$DIR/audit/$3"
    ! cmp -s "$DIR/audit/$3" "$DIR/kept" || fail "$1: nothing is changed"
    ! run "$4" || fail "$1: not found: $(cat "$DIR/printed")"
    cp "$DIR/kept" "$DIR/audit/$3"
}
for way in "$by_command" "$by_hand"; do
    spoiled "a changed line" '1s/server_start/server_stop/' audit.jsonl.1 "$way"
    spoiled "a line that was taken out" 2d audit.jsonl.1 "$way"
    spoiled "a line that is twice there" 2p audit.jsonl "$way"
done
# The line of the checkpoint and all behind it: only the checkpoint shows that.
first=$(sed -n '1s/^{"seq":\([0-9]*\),.*/\1/p' "$DIR/audit/audit.jsonl")
marked=$(jq .seq "$DIR/audit/checkpoint.json")
[ "$marked" -gt "$first" ] || fail "the checkpoint is of the first line"
spoiled "an end that was cut off" "$((marked - first + 1)),\$d" audit.jsonl "$by_command"
echo "changed, missing and repeated lines are found either way, and an end that was cut off by the checkpoint"
