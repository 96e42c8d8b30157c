#!/usr/bin/env bash
# Measures the release binary over loopback, and others beside it, and writes RESULTS.md beside this file.
#
#   bench.sh [PART...]     of reads, writes, growth, bulk, audit, idle, cluster; without all of them, the table is only printed
#
#   BENCH_QUICK=1          few rounds and few secrets, and only printed: to see that it works, not how fast
#   BENCH_ROUNDS           how often each load runs, in turn with what it is compared with (5)
#   BENCH_SECONDS          for how long (2)
#   BENCH_AUDIT_LINES      how long the audit log gets (10000000)
#   RVAULT                 RustyVault's binary (rvault in the PATH, or what `make bench-deps` builds)
#   TMPDIR                 where the state lies: the file system decides what a durable write costs (the target directory)
export TMPDIR=${TMPDIR:-$(cd "$(dirname "$0")/../.." && mkdir -p target && cd target && pwd)}
source "$(dirname "$0")/lib.sh"
source tests/bench/peers.sh
source tests/bench/reads.sh
source tests/bench/writes.sh
source tests/bench/compaction.sh
source tests/bench/growth.sh
source tests/bench/bulk.sh
source tests/bench/audit.sh
source tests/bench/idle.sh
source tests/bench/cluster.sh
need curl faketime jq openssl wrk

ROUNDS=5 SECONDS_EACH=2 STARTS=11 MANY=100000 LINES=10000000 RESULTS=tests/bench/RESULTS.md
if [ -n "${BENCH_QUICK:-}" ]; then
    ROUNDS=1 SECONDS_EACH=1 STARTS=1 MANY=2000 LINES=20000 RESULTS=/dev/null
fi
ROUNDS=${BENCH_ROUNDS:-$ROUNDS} SECONDS_EACH=${BENCH_SECONDS:-$SECONDS_EACH} LINES=${BENCH_AUDIT_LINES:-$LINES}
FEW=100
COUNTS=("$FEW" $((MANY / 10)) "$MANY")

# machine: what it was measured on.
machine() {
    echo "$(sed -n '0,/^model name/s/^model name\s*: //p' /proc/cpuinfo), $(nproc) cores," \
        "$(awk '/^MemTotal:/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB; Linux $(uname -r)," \
        "state on $(df --output=fstype "$STATE" | sed -n 2p)." \
        "jarvis-secretsd $("$BINARY" --version | awk '{ print $NF }'), $("$RVAULT" --version)," \
        "$("$NGINX" -v 2>&1 | sed 's/.*: //')."
}

start_rustyvault
start_nginx
# The daemon is measured as its units start it.
# shellcheck disable=SC2046
export $(sed -n 's/^Environment=//p' contrib/systemd/jarvis-secretsd.service)
[ $# -gt 0 ] || set -- reads writes growth bulk audit idle cluster
[ "$*" = 'reads writes growth bulk audit idle cluster' ] || RESULTS=/dev/null
for part; do
    as admin
    "$part"
done
tee "$RESULTS" <<END
# Measured

Written by \`make bench\` on $(date -u +%F), in $((SECONDS / 60)) minutes; [docs/performance.md](../../docs/performance.md) says how.
$(machine)

| Figure | Value | Compared with | Its value | Ratio | Promised | Met |
|---|---:|---|---:|---:|---:|---|
$(cat "$STATE/rows")
END
