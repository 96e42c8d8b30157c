#!/usr/bin/env bash
# Files and directories that are deleted, exchanged or cut under the daemon, and a disk that really fails: nothing that was
# acknowledged is lost, nothing is served unaudited, what is wrong is reported, and it heals without a restart.
source "$(dirname "$0")/lib.sh"
need curl jq losetup mkfs.ext4
need_root

# begin [COMMAND...]: a daemon with a secret, and a copy of its state; before the start the command was run.
begin() {
    new_state
    trap 'unmount; clean_up' EXIT
    sed -i "s#$DIR/\(secrets\|audit\)#$DIR/state/\1#" "$DIR/config.toml"
    secrets=$DIR/state/secrets audit=$DIR/state/audit
    mkdir -m 700 "$DIR/state"
    "$@"
    start_daemon
    expect 200 admin POST /secret '{"name":"a","value":"first"}'
    cp -a "$DIR/state" "$DIR/copy"
}

unmount() { ! findmnt "$DIR/state" >/dev/null || umount --lazy "$DIR/state" "$DIR/disk"; }

# end VALUE: the daemon that is started on what this one leaves serves that.
end() {
    serves "$1"
    stop_daemon
    start_daemon
    serves "$1"
    stop_daemon
    "$BINARY" audit verify --public-key "$DIR/copy/audit/audit.sign.pub" "$audit/audit.jsonl" >/dev/null
    unmount
    clean_up
}

serves() {
    expect 200 admin GET /secret/a
    [ "$(jq -r .value "$DIR/answer")" = "$1" ] || fail "it serves another value: $(cat "$DIR/answer")"
}

# change VALUE: asks for it, and succeeds if it is made.
change() {
    [ "$(curl -sS -o "$DIR/answer" -w '%{http_code}' -H 'X-Jarvis-Client: admin' -d "{\"name\":\"a\",\"value\":\"$1\"}" \
        "$URL/secret")" = 200 ]
}

# refuses VALUE: a change to that is answered 503; the answer is then as the guide quotes such.
refuses() {
    expect 503 admin POST /secret "{\"name\":\"a\",\"value\":\"$1\"}"
    echo ' 503' >>"$DIR/answer"
}

degraded() {
    expect 503 nobody GET /healthz
    grep -q "\"status\":\"degraded\",\"reason\":\".*$1" "$DIR/answer" || fail "another reason: $(cat "$DIR/answer")"
}

logged() { grep -q "$1" "$DIR/log" || fail "the log does not say: $1"; }

events() { jq -r .event "$audit/audit.jsonl" | xargs; }

begin true
rm -r "$audit"
serves first
logged 'ERROR The audit log was deleted while the daemon was using it; a new file continues'
[ "$(stat -c %a "$audit" "$audit/audit.sign.key" | xargs)" = '700 600' ] || fail "others may read the key"
cmp "$audit/audit.sign.key" "$DIR/copy/audit/audit.sign.key"
[ "$(events)" = 'log_reopen get_secret' ] || fail "the next events are $(events)"
change second
end second
echo "the audit log's directory is deleted: it is made again, with the keys, before anything is served"

# Where something else is in the directory above, the daemon is held back from making one.
neighbour() { touch "$DIR/state/neighbour"; }
begin neighbour
if grep -q 'Confined by Landlock' "$DIR/log"; then
    rm -r "$audit"
    refuses second
    guide 'The directory of the audit log was deleted' "$DIR/answer"
    degraded 'Permission denied'
    expect 503 admin GET /secret/a
    mkdir -m 700 "$audit"
    expect 503 admin GET /secret/a
    pid=$PID PID=''
    kill -TERM "$pid"
    ! wait "$pid" || fail "it has stopped as if it could have written that"
    PID=''
    cp -a "$DIR/copy/audit/." "$audit/"
    start_daemon
    end first
else
    stop_daemon
    clean_up
fi
echo "where it may not be made again, nothing is served until it is put back and the daemon restarted"

begin true
rm -r "$secrets"
serves first
refuses second
guide 'The vault was deleted or changed' "$DIR/answer"
serves first
await 'the vault is written anew' change second
logged 'Vault compacted'
cp -a "$DIR/copy/secrets/master.key" "$secrets/"
end second
echo "the vault's directory is deleted: secrets are served, and the vault is written anew; the master key is the operator's"

begin true
change second
cp "$DIR/copy/secrets/vault.json" "$secrets/other"
mv "$secrets/other" "$secrets/vault.json"
refuses third
guide 'Another file stands in the place of the vault' "$DIR/answer"
degraded 'another file stands in its place'
serves second
cmp "$secrets/vault.json" "$DIR/copy/secrets/vault.json" || fail "the other file was written to"
mv "$secrets/vault.json" "$secrets/other"
await 'the vault is written anew' change third
end third
echo "another file is put in the vault's place: it is not touched, and when it is moved away the vault is written anew"

for damage in 'truncate -s -1' 'truncate -s +1' 'truncate -s 0'; do
    begin true
    change second
    $damage "$secrets/vault.json"
    expect 503 admin POST /secret '{"name":"a","value":"third"}'
    grep -q 'another program changed the file' "$DIR/answer" || fail "another reason: $(cat "$DIR/answer")"
    serves second
    await 'the daemon is well by itself' curl -fs -o "$DIR/answer" "$URL/healthz"
    change third
    end third
done
echo "the vault's file is cut or grows: nothing is added to it, and it is written anew"

begin true
truncate -s 0 "$audit/audit.jsonl"
serves first
[ "$(events)" = 'log_reopen get_secret' ] || fail "the next events are $(events)"
truncate -s -1 "$audit/audit.jsonl"
refuses second
guide 'The audit log was cut under the daemon' "$DIR/answer"
degraded 'it was truncated'
expect 503 admin GET /secret/a
mv "$audit/audit.jsonl" "$audit/cut"
serves first
end first
echo "the audit log is cut: nothing is served before the rest is moved away; if nothing is left, a new one continues at once"

# ext4 SIZE OPTIONS [MKFS_OPTION...]: the state is on one, in a sparse file on a file system of that size.
ext4() {
    mkdir "$DIR/disk"
    mount -t tmpfs -o "size=$1" jarvis-secretsd-test "$DIR/disk"
    truncate -s 16M "$DIR/disk/image"
    mkfs.ext4 -q "${@:3}" "$DIR/disk/image"
    mount -o "$2" "$DIR/disk/image" "$DIR/state"
}

# When the file system below is full, writes are accepted and their syncs fail.
begin ext4 1M loop,mb_optimize_scan=0 -O ^has_journal -E lazy_itable_init=1,nodiscard
head -c 1M /dev/zero >"$DIR/disk/filler" 2>/dev/null || true
stored=first
for ((number = 1; number <= 200; number++)); do
    change "$number" || break
    stored=$number
done
[ "$number" -le 200 ] || fail "the disk takes everything"
grep -Eq 'No space left|Input/output error' "$DIR/answer" || fail "another reason: $(cat "$DIR/answer")"
! grep -q 'the change was made' "$DIR/answer" || stored=$number
rm "$DIR/disk/filler"
await 'the daemon is well by itself' curl -fs -o "$DIR/answer" "$URL/healthz"
serves "$stored"
change after
end after
echo "a disk that accepts writes and fails to sync them: changes are refused, and it heals when the disk has done so"

# What Linux does with an ext4 in which it finds an error, and what an operator can do only so with files in use.
begin ext4 32M loop
mount -o remount,abort "$DIR/state"
for _ in 1 2; do
    refuses second
    expect 503 admin GET /secret/a
    degraded 'Read-only file system'
done
logged 'Audit log cannot be written: Read-only file system'
kill -KILL "$PID"
wait "$PID" 2>/dev/null || true
umount "$DIR/state"
mount -o loop "$DIR/disk/image" "$DIR/state"
start_daemon
serves first
change second
end second
echo "a file system that became read-only: nothing is served unaudited, and all is there when it is mounted anew"
