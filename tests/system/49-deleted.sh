#!/usr/bin/env bash
# What was deleted is gone from the file and from memory: names that come and go cost as much as the same names again and again,
# and after a compaction the memory of what it dropped is the system's again.
source "$(dirname "$0")/lib.sh"
need awk cargo curl jq musl-gcc

NAMES=50000 BATCH=1000 KEPT=1000
LARGE=3000 VALUE_BYTES=65536 SMALL=100000
MAX_BESIDES_KIB=65536
# What waits for a disk here says nothing of memory.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm

# store PREFIX FIRST COUNT: secrets of 64 bytes.
store() {
    awk -v prefix="$1" -v first="$2" -v count="$3" 'BEGIN {
        printf "{\"secrets\":["
        for (i = first; i < first + count; i++)
            printf "%s{\"name\":\"%s_%06d\",\"value\":\"%064d\"}", (i > first ? "," : ""), prefix, i, i
        print "]}"
    }' >"$DIR/body"
    expect 200 admin POST /secrets "@$DIR/body"
}

# all_are_answered COUNT: $DIR/statuses has so many, and all are 200.
all_are_answered() {
    [ "$(sort "$DIR/statuses" | uniq -c | xargs)" = "$1 200" ] || fail "the answers: $(sort "$DIR/statuses" | uniq -c)"
}

# each METHOD COUNT: one request of that method for each of the URLs on standard input, which must all be answered 200.
each() {
    sed 's/.*/url = "&"\noutput = "\/dev\/null"/' >"$DIR/requests"
    curl -sS --no-progress-meter -Z --parallel-max 16 -X "$1" -H 'X-Jarvis-Client: admin' -w '%{http_code}\n' \
        -K "$DIR/requests" >"$DIR/statuses"
    all_are_answered "$2"
}

# delete PREFIX FIRST COUNT
delete() { seq -f "$URL/secret/$1_%06.0f" "$2" "$(($2 + $3 - 1))" | each DELETE "$3"; }

# start_anew: with no state, and some secrets that stay.
start_anew() {
    rm -rf "$DIR/secrets" "$DIR/audit"
    start_daemon
    store kept 0 "$KEPT"
}

file_bytes() { stat -c %s "$DIR/secrets/vault.json"; }

# is_compacted: nothing in the file is dead.
is_compacted() { grep -q '^jarvis_secretsd_vault_records{state="dead"} 0$' <(curl -fsS "$URL/metrics"); }

# restart: the daily round, which it begins with, compacts what is left.
restart() {
    stop_daemon
    start_daemon
    await "nothing in the file is dead" is_compacted
}

# within_a_tenth WHAT IS EXPECTED
within_a_tenth() {
    [ "$2" -le "$(($3 + $3 / 10))" ] || fail "$1: $2, and $3 where no such names ever were"
    echo "$1: $2, and $3 where no such names ever were"
}

# churn STEP: stores and deletes so many names; every batch has names of its own, or, with a step of 0, the same ones.
churn() {
    local batch
    for ((batch = 0; batch < NAMES / BATCH; batch++)); do
        store gone $((batch * $1)) "$BATCH"
        delete gone $((batch * $1)) "$BATCH"
    done
}

new_state
start_anew
churn 0
quiet=$(resident_kib "$PID")
restart
quiet_file=$(file_bytes) quiet_start=$(resident_kib "$PID")
stop_daemon
start_anew
churn "$BATCH"
within_a_tenth "KiB of memory after $NAMES names came and went" "$(resident_kib "$PID")" "$quiet"
restart
within_a_tenth "bytes of the file" "$(file_bytes)" "$quiet_file"
within_a_tenth "KiB of memory after a start" "$(resident_kib "$PID")" "$quiet_start"
stop_daemon

# expect_given_back WHAT: besides what it held when nothing had been stored, it holds no more than the bound.
expect_given_back() {
    local kib
    kib=$(resident_kib "$PID")
    [ "$kib" -le "$((idle + MAX_BESIDES_KIB))" ] || fail "$1: it holds $kib KiB, and $idle KiB before"
    echo "$1: $kib KiB, and $idle KiB before"
}

# replace GRACE_DAYS: three secrets with that grace period get values as large as may be, many times.
replace() {
    local i
    sed -i '/^grace_days/d' "$DIR/config.toml"
    echo "grace_days = $1" >>"$DIR/config.toml"
    start_anew
    idle=$(resident_kib "$PID")
    for i in 0 1 2; do
        printf '{"name":"large_%d","value":"%0*d"}' "$i" "$VALUE_BYTES" "$i" >"$DIR/body-$i"
    done
    for ((i = 0; i < LARGE; i++)); do
        printf 'url = "%s/secret"\ndata-binary = "@%s"\noutput = "/dev/null"\nheader = "X-Jarvis-Client: admin"\n' \
            "$URL" "$DIR/body-$((i % 3))"
        printf 'write-out = "%%{http_code}\\n"\nnext\n'
    done | sed '$d' >"$DIR/requests"
    curl -sS --no-progress-meter -Z --parallel-max 4 -K "$DIR/requests" >"$DIR/statuses"
    all_are_answered "$LARGE"
}

# large_values: the memory of many large values is given back, whether they are gone at once or after their grace period.
large_values() {
    local i
    replace 0
    expect_given_back "after $LARGE values of 64 KiB without a grace period"
    stop_daemon
    replace 14
    for i in 0 1 2; do
        expect 200 admin POST "/secret/large_$i/retire" '{"force":true}'
    done
    await "nothing in the file is dead" is_compacted
    expect_given_back "after $LARGE values of 64 KiB whose grace period was ended"
    stop_daemon
}

# As the units start it.
while read -r variable; do export "${variable?}"; done < <(sed -n 's/^Environment=\(MALLOC_.*\)/\1/p' contrib/systemd/jarvis-secretsd.service | tr ' ' '\n')
large_values

# The binary that is shipped. glibc keeps what many small values leave, unless nothing that lasts stands behind it.
make_static
BINARY=$PWD/dist/jarvis-secretsd-$(uname -m)-unknown-linux-musl
large_values
start_anew
idle=$(resident_kib "$PID")
for ((first = 0; first < SMALL; first += BATCH)); do store gone "$first" "$BATCH"; done
[ "$(resident_kib "$PID")" -gt "$((idle + MAX_BESIDES_KIB))" ] || fail "so few secrets show nothing"
delete gone 0 "$SMALL"
expect_given_back "after $SMALL secrets of 64 bytes were deleted"
stop_daemon
