#!/usr/bin/env bash
# SIGKILL, SIGTERM and SIGHUP in every phase of a daemon's life, which strace makes last long enough: the one loses nothing that
# was acknowledged, the second ends it with status 0 when what is under way is answered, the third never ends it.
source "$(dirname "$0")/lib.sh"
need curl jq strace
need_root
library=$(faketime_library)
[ "$(uname -m)" = x86_64 ] || { echo "the numbers of system calls are known here only for x86_64" >&2; exit 77; }

# How long a phase lasts, in microseconds.
LONG=1000000
new_state
direct=$BINARY

# store FROM TO: secrets that are each known by their number.
store() {
    expect 200 admin POST /secrets "$(jq -nc --argjson from "$1" --argjson to "$2" \
        '{secrets: [range($from; $to) | {name: "n\(.)", value: "value \(.)"}]}')"
}

# keep NAME: stops the daemon and puts the state aside.
keep() {
    expect 200 admin GET /secrets
    stop_daemon
    mkdir "$DIR/$1"
    jq -r '.secrets[].name' "$DIR/answer" >"$DIR/$1/names"
    cp -a "$DIR/secrets" "$DIR/audit" "$DIR/$1/"
}

# lay NAME: puts it back.
lay() {
    rm -rf "$DIR/secrets" "$DIR/audit"
    kept=$DIR/$1
    ! [ -d "$kept" ] || cp -a "$kept/secrets" "$kept/audit" "$DIR/"
}

# A vault of a few secrets, and one that takes its time to be read.
start_daemon
expect 200 admin POST /secret '{"name":"a","value":"old"}'
store 0 20
keep few
start_daemon
store 20 100
for ((from = 100; from < 10000; from += 100)); do store "$from" $((from + 100)); done
keep many
lay few
start_daemon
expect 200 admin POST /secrets "$(jq -nc '{secrets: [range(100) | {name: "g\(.)", generate: true, rotation: "auto"}]}')"
keep generated

# slowed CALL WHEN FILE [OPTION...]: from now on the daemon is started such that this one of its calls, of those about the
# file, lasts; and with these options of strace.
slowed() {
    BINARY=$DIR/slowed
    printf '#!/bin/sh\nexec strace -D -f -qq -o /dev/null -P "%s" -e inject=%s:delay_enter=%s:when=%s %s "%s" "$@"\n' \
        "$3" "$1" "$LONG" "$2" "${*:4}" "$direct" >"$BINARY"
    chmod 755 "$BINARY"
}

# slow CALL: the next such call of the daemon that runs lasts.
slow() {
    strace -f -qq -o /dev/null -e "trace=$1" -e "inject=$1:delay_enter=$LONG:when=1" -p "$PID" 2>"$DIR/strace" &
    tracer=$!
    await 'strace has the daemon' is_traced
}
is_traced() { ! grep -q '^TracerPid:\s0$' "/proc/$PID/status"; }

# is_in CALL: whether a thread of the daemon is about to make it, or it has ended. What loads its libraries opens files, too, before
# there is anything of the daemon that could handle a signal.
is_in() {
    local -A numbers=([openat]=257 [linkat]=265 [pread64]=17 [fdatasync]=75 [rename]=82)
    ! kill -0 "$PID" 2>/dev/null || { handles_hangups && grep -qsE "^${numbers[$1]} " "/proc/$PID"/task/*/syscall; }
}
# handles_hangups: whether SIGHUP, the first signal, is caught.
handles_hangups() {
    local caught
    caught=$(sed -n 's/^SigCgt:\t//p' "/proc/$PID/status" 2>/dev/null) && [ $((0x${caught:-0} & 1)) = 1 ]
}

# launch: starts it, and does not wait for anything.
launch() {
    : >"$DIR/log"
    RUST_LOG=info "$BINARY" --config "$DIR/config.toml" 2>"$DIR/log" &
    PID=$!
}

# ask BODY: stores that in the background; what it comes to is then in $DIR/stored.
ask() {
    curl -s -o /dev/null -w '%{http_code}' -H 'X-Jarvis-Client: admin' -d "$1" "$URL/secret" >"$DIR/stored" &
    asking=$!
}

# strike SIGNAL: sends it, and waits for what it should come to.
strike() {
    local status=0
    kill -s "$1" "$PID"
    if [ "$1" = HUP ]; then
        await 'the policy is read again' grep -q 'Policy reloaded' "$DIR/log"
        is_healthy || fail "it does not answer any more"
        kill -TERM "$PID"
    fi
    { wait "$PID" || status=$?; } 2>"$DIR/shell"
    PID=''
    [ "$1" = KILL ] && expected=137 || expected=0
    [ "$status" = "$expected" ] || fail "SIG$1 $phase: it ended with status $status"
    [ -z "${tracer:-}" ] || wait "$tracer" || true
    tracer=''
}

# holds VALUE...: a daemon that is started now has one of these values, and the others.
holds() {
    local value
    BINARY=$direct
    start_daemon
    expect 200 admin GET /secret/a
    value=$(jq -r .value "$DIR/answer")
    [[ " $* " == *" $value "* ]] || fail "SIG$signal $phase: it serves $value instead of $*"
    expect 200 admin GET /secrets
    jq -r '.secrets[].name' "$DIR/answer" >"$DIR/names"
    cmp "$DIR/names" "$kept/names" || fail "SIG$signal $phase: other secrets are there"
    stop_daemon
    "$direct" audit verify "$DIR/audit/audit.jsonl" >/dev/null
}

signals=(KILL TERM HUP)
while read -r call number file what; do
    for signal in "${signals[@]}"; do
        phase="before it $what"
        case $what in *"read the vault") lay many ;; *) lay few ;; esac
        slowed "$call" "$number" "$DIR/$file"
        launch
        await "it is $phase" is_in "$call"
        strike "$signal"
        holds old
    done
done <<END
openat 1 config.toml has a configuration
openat 1 policy.toml has a policy
openat 1 audit/audit.jsonl looks at the audit log
pread64 5 secrets/vault.json has read the vault
fdatasync 1 audit/audit.jsonl writes its first audit line
END
echo "during a start, in five places"

phase='between key and vault'
for signal in "${signals[@]}"; do
    lay new
    slowed linkat 1 "$DIR/secrets/vault.json"
    launch
    await "it is $phase" is_in linkat
    [ -e "$DIR/secrets/master.key" ] || fail "there is no key yet"
    [ ! -e "$DIR/secrets/vault.json" ] || fail "there is a vault already"
    strike "$signal"
    BINARY=$direct
    start_daemon
    expect 200 admin POST /secret '{"name":"a","value":"new"}'
    stop_daemon
done
echo "during a first start, between key and vault"

phase='during a write'
for signal in "${signals[@]}"; do
    lay few
    start_daemon
    slow fdatasync
    ask '{"name":"a","value":"new"}'
    await "it is $phase" is_in fdatasync
    strike "$signal"
    wait "$asking" || true
    if [ "$signal" = KILL ]; then
        holds old new
    else
        [ "$(cat "$DIR/stored")" = 200 ] || fail "SIG$signal $phase: the change was answered $(cat "$DIR/stored")"
        holds new
    fi
done
echo "$phase: requests that wait for it are answered"

phase="during a request's body"
for signal in "${signals[@]}"; do
    lay few
    start_daemon
    exec 3<>"/dev/tcp/127.0.0.1/${URL##*:}"
    printf 'POST /secret HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\nExpect: 100-continue\r\n' >&3
    printf 'Content-Length: 26\r\n\r\n' >&3
    read -r line <&3
    [[ "$line" == 'HTTP/1.1 100 '* ]] || fail "the request is not under way: $line"
    printf '{"name":"a",' >&3
    kill -s "$signal" "$PID"
    if [ "$signal" = KILL ]; then
        { wait "$PID" || true; } 2>"$DIR/shell"
        PID=''
        holds old
    else
        [ "$signal" = HUP ] || await 'it stops' grep -q Stopping "$DIR/log"
        printf '"value":"new"}' >&3
        read -r line <&3
        while [[ "$line" != 'HTTP/1.1 '* ]]; do read -r line <&3; done
        [[ "$line" == 'HTTP/1.1 200 '* ]] || fail "SIG$signal $phase: it was answered $line"
        exec 3>&-
        [ "$signal" = TERM ] || kill -TERM "$PID"
        wait "$PID" || fail "SIG$signal $phase: it ended with status $?"
        PID=''
        holds new
    fi
done
echo "$phase: it is waited for"

phase='during a compaction'
for signal in "${signals[@]}"; do
    lay few
    start_daemon
    slow rename
    # Dead, it is more than half of the file.
    expect 200 admin POST /secret "{\"name\":\"large\",\"value\":\"$(printf %065000d 0)\"}"
    expect 200 admin DELETE /secret/large
    await "it is $phase" is_in rename
    expect 200 admin GET /secret/n17
    strike "$signal"
    holds old
    [ ! -e "$DIR/secrets/vault.json.compacting" ] || fail "the next start leaves the new file behind"
done
echo "$phase"

phase='during a daily round'
for signal in "${signals[@]}"; do
    lay generated
    # The second commit of that thread, in a hundred days.
    slowed fdatasync 2 "$DIR/secrets/vault.json" "-E 'LD_PRELOAD=$library'" \
        -E FAKETIME=+100d -E DONT_FAKE_MONOTONIC=1
    launch
    await "it is $phase" is_in fdatasync
    await 'it is in its second commit' grep -q '"event":"rotate"' "$DIR/audit/audit.jsonl"
    strike "$signal"
    holds old
done
echo "$phase"

phase='during a stop'
for signal in "${signals[@]}"; do
    lay few
    start_daemon
    slow fdatasync
    kill -TERM "$PID"
    await "it is $phase" is_in fdatasync
    status=0
    kill -s "$signal" "$PID"
    { wait "$PID" || status=$?; } 2>"$DIR/shell"
    PID=''
    wait "$tracer" || true
    tracer=''
    [ "$status" = 0 ] || [ "$signal $status" = 'KILL 137' ] || fail "SIG$signal $phase: it ended with status $status"
    holds old
done
echo "$phase, where a second SIGTERM and a SIGHUP change nothing"

phase='as a storm'
signal=HUP
lay few
start_daemon
for reader in 1 2 3 4; do
    # Every answer has to be 200.
    curl -fsS -H 'X-Jarvis-Client: admin' "$URL/secret/n[0-19]"{,,,,,,,,,,,,,,,,,,,,,,,,} >/dev/null 2>"$DIR/reader$reader" &
    readers[reader]=$!
done
for ((number = 0; number < 100; number++)); do kill -HUP "$PID"; done
for reader in 1 2 3 4; do
    wait "${readers[reader]}" || fail "a reader was turned away: $(cat "$DIR/reader$reader")"
done
await 'the policy is read again' grep -q 'Policy reloaded' "$DIR/log"
kill -HUP "$PID"
stop_daemon
holds old
echo "a hundred SIGHUP while clients read: all are answered"
