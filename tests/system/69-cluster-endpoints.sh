#!/usr/bin/env bash
# The first endpoint that daemons are given is dead, or stands still: they start all the same, and go on.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

begin_on_loopback

# work: each daemon changes something, and the others see it.
work() {
    local node other
    for node in "${NODES[@]}"; do
        at "$node"
        expect 200 admin POST /secret "{\"name\":\"a\",\"value\":\"$1 $node\"}"
        for other in "${NODES[@]}"; do
            at "$other"
            expect 200 admin GET /secret/a
            [ "$(jq -r .value "$DIR/answer")" = "$1 $node" ] || fail "$other serves another value: $(cat "$DIR/answer")"
        done
    done
}

stop_all() {
    local node
    for node in "${NODES[@]}"; do
        stop_node "$node"
    done
}

kill_member etcd1
start_cluster
work dead
echo "daemons start without the first endpoint"
start_member etcd1
await "etcd is whole" ask_etcd endpoint health >"$DIR/health" 2>&1
work whole
kill_member etcd1
work killed
start_member etcd1
await "etcd is whole" ask_etcd endpoint health >"$DIR/health" 2>&1
echo "they go on when it is killed"
freeze_member etcd1
work frozen
stop_all
start_cluster
work started
thaw_member etcd1
work thawed
explains_all
echo "they go on, and start, while it stands still"
