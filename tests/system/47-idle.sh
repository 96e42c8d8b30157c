#!/usr/bin/env bash
# What an idle daemon costs: its memory, also with 10,000 secrets, and that it sleeps.
source "$(dirname "$0")/lib.sh"
need awk cargo curl jq musl-gcc openssl

SECRETS=10000 BATCH=250 VALUE_BYTES=64
MAX_IDLE_KIB=4096 MAX_BYTES_A_SECRET=1024
IDLE_SECONDS=5

# expect_small WHEN: the memory for each secret, its value apart, is within the limit.
expect_small() {
    local kib bytes
    kib=$(resident_kib "$PID")
    bytes=$(((kib - idle) * 1024 / SECRETS - VALUE_BYTES))
    [ "$bytes" -le "$MAX_BYTES_A_SECRET" ] || fail "$1: $kib KiB for $SECRETS secrets are $bytes bytes a secret and its value"
    echo "$1: $kib KiB for $SECRETS secrets, $bytes bytes a secret besides its value"
}

# switches: how often each thread has begun to run, one a line.
switches() {
    local task
    for task in "/proc/$PID/task"/*; do
        awk '/^Name:/ { name = $2 } /ctxt_switches:/ { sum += $2 } END { print name, sum }' "$task/status"
    done
}

# is_still: nothing has run for a moment, and nothing waits for a processor.
is_still() {
    local before
    before=$(switches)
    sleep 0.2
    [ "$(switches)" = "$before" ] && ! grep -q '^State:\s*R' "/proc/$PID/task"/*/status
}

# The binary that is shipped. One that is linked dynamically has the C library's pages besides, which others share.
new_state
make_static
BINARY=$PWD/dist/jarvis-secretsd-$(uname -m)-unknown-linux-musl
start_daemon
await "the daemon has nothing to do" is_still
idle=$(resident_kib "$PID")
[ "$idle" -le "$MAX_IDLE_KIB" ] || fail "idle, it holds $idle KiB"
echo "idle: $idle KiB"

value=$(printf "%${VALUE_BYTES}s" '' | tr ' ' x)
for ((first = 0; first < SECRETS; first += BATCH)); do
    awk -v first="$first" -v count="$BATCH" -v value="$value" 'BEGIN {
        printf "{\"secrets\":["
        for (i = first; i < first + count; i++)
            printf "%s{\"name\":\"secret_%05d\",\"value\":\"%s\"}", (i > first ? "," : ""), i, value
        print "]}"
    }' >"$DIR/body"
    expect 200 admin POST /secrets "@$DIR/body"
done
expect_small "after they were made"
stop_daemon
start_daemon
expect_small "after a start"
loop=$(pasted docs/api.md '## Lists')
listed=$(bash -euo pipefail -c "${loop/http:\/\/127.0.0.1:8081/$URL}" | sort -u | wc -l)
[ "$listed" = "$SECRETS" ] || fail "the handbook's loop lists $listed names"
echo "the handbook's loop lists $listed names"
stop_daemon

# With every kind of listener, each of which has been used.
rm -rf "$DIR/secrets" "$DIR/audit"
(umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$DIR/tls.key" -out "$DIR/tls.pem" \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -days 30 2>/dev/null)
sed -i "s|^\[paths\]|unix_socket = \"$DIR/sock\"\ncredential_socket = \"$DIR/credentials\"\n&|" "$DIR/config.toml"
cat >>"$DIR/config.toml" <<END
[server.tls]
cert_path = "$DIR/tls.pem"
key_path = "$DIR/tls.key"
END
# What lib.sh asks with.
# shellcheck disable=SC2034
SCHEME=https CURL=(curl --cacert "$DIR/tls.pem")
start_daemon
expect 200 admin POST /secret '{"name":"jwt_signing_key","generate":true}'
curl -fsS -o /dev/null --unix-socket "$DIR/sock" http://localhost/healthz
await "the daemon has nothing to do" is_still
before=$(switches)
sleep "$IDLE_SECONDS"
diff <(echo "$before") <(switches) >&2 || fail "these threads have run, with nothing to do"
echo "no thread of $(wc -l <<<"$before") has run in $IDLE_SECONDS s"
stop_daemon
