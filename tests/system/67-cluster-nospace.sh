#!/usr/bin/env bash
# An etcd whose quota is used up: daemons refuse changes and say why, and what was read before can be read. It is over as soon as
# its operator has made room and disarmed the alarm.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

ETCD_OPTIONS=(--quota-backend-bytes 16000000)
begin_on_loopback
start_cluster

# serve: all daemons serve what is there.
serve() {
    local node
    for node in "${NODES[@]}"; do
        at "$node"
        expect 200 admin GET /secret/a
        [ "$(jq -r .value "$DIR/answer")" = kept ] || fail "$node serves another value: $(cat "$DIR/answer")"
    done
}

# are_full: whether every daemon says that etcd is full.
are_full() {
    local node
    for node in "${NODES[@]}"; do
        at "$node"
        [ "$("${CURL[@]}" -s -o "$DIR/answer" -w '%{http_code}' "$URL/healthz")" = 503 ] && grep -q space "$DIR/answer" || return
    done
}

# refuse: all daemons refuse changes, as there is no space.
refuse() {
    local node
    for node in "${NODES[@]}"; do
        at "$node"
        expect 503 admin POST /secret '{"name":"a","value":"lost"}'
        [ "$(jq -r .error "$DIR/answer")" = storage_full ] || fail "$node says another reason: $(cat "$DIR/answer")"
        echo ' 503' >>"$DIR/answer"
        guide '503 storage_full' "$DIR/answer"
    done
}

at host-a
expect 200 admin POST /secret '{"name":"a","value":"kept"}'
serve
fill_etcd
refuse
serve
await "all daemons say that etcd is full" are_full
echo "without space, changes are refused and reads are answered"

empty_etcd
refuse
disarm_etcd
await "all daemons are well" all_are_well
serve
await "a daemon leads" leading_node >"$DIR/leader"
for node in "${NODES[@]}"; do
    at "$node"
    expect 200 admin POST /secret '{"name":"a","value":"kept"}'
done
serve
explains_all
echo "with space, and the alarm disarmed, all is well"
