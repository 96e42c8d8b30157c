#!/usr/bin/env bash
# An etcd that was restored from what was saved a while ago is noticed by every daemon that knew more, while it runs and when it is
# started again, also when somebody has changed the vault since and the revisions of etcd have met, or are higher than before. None
# serves anything, until its operator accepts the rollback.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

begin_on_loopback
start_cluster

# store NODE NAME VALUE
store() {
    at "$1"
    expect 200 admin POST /secret "{\"name\":\"$2\",\"value\":\"$3\"}"
}

# serves NODE NAME VALUE
serves() {
    at "$1"
    expect 200 admin GET "/secret/$2"
    [ "$(jq -r .value "$DIR/answer")" = "$3" ] || fail "$1 serves another value of $2: $(cat "$DIR/answer")"
}

# is_refused NODE: whether its daemon answers that what etcd holds is not the vault that it knows.
is_refused() {
    at "$1"
    [ "$("${CURL[@]}" -s -o "$DIR/answer" -w '%{http_code}' "$URL/secret/kept")" = 503 ] &&
        [ "$(jq -r .error "$DIR/answer")" = storage_mismatch ]
}

# refuse NODE...: their daemons serve and change nothing, and say so.
refuse() {
    local node
    for node; do
        await "$node refuses to read" is_refused "$node"
        expect 503 admin POST /secret '{"name":"kept","value":"changed"}'
        [ "$(jq -r .error "$DIR/answer")" = storage_mismatch ] || fail "$node: $(cat "$DIR/answer")"
        echo ' 503' >>"$DIR/answer"
        guide '503 storage_mismatch' "$DIR/answer"
        expect 503 admin GET /healthz
        grep -q '"status":"degraded"' "$DIR/answer" || fail "$node: $(cat "$DIR/answer")"
    done
}

# is_not_started NODE: whether its daemon has ended, or refuses.
is_not_started() { ! kill -0 "${NODE_PID[$1]}" 2>/dev/null || is_refused "$1"; }

# accept NODE...: started again they refuse as well, until they are told to accept the rollback.
accept() {
    local node accepted
    for node; do
        kill_node "$node"
        start_node "$node"
        await "$node does not start" is_not_started "$node"
        grep -q -- --accept-rollback "$DIR/$node/log" || fail "the log of $node does not say what to do"
        kill_node "$node"
        accepted=$(rollbacks "$node")
        start_node "$node" serve --accept-rollback
        await "$node is well" is_well "$node"
        [ "$(rollbacks "$node")" = $((accepted + 1)) ] || fail "the audit log of $node does not tell of the rollback"
    done
}
rollbacks() { grep -c '"event":"rollback_accepted"' "$DIR/$1/audit/audit.jsonl" || true; }

head_revision() { ask_etcd get "${PREFIX}head" --write-out fields | awk '$1 == "\"ModRevision\"" { print $3 }'; }

# Somebody else, who has never seen more than what was saved, changes the vault; then the last change has the same revision as
# the one that was lost.
store host-a kept first
serves host-b kept first
save_etcd "$DIR/saved"
for value in 1 2 3 4 5; do
    store host-b lost "$value"
done
for node in host-a host-b host-c; do
    serves "$node" lost 5
done
revision=$(head_revision)
new_node host-d 24
for ((attempt = 1; attempt <= 10; attempt++)); do
    restore_etcd "$DIR/saved"
    refuse host-a host-b host-c
    start_node host-d
    await "host-d is well" is_well host-d
    serves host-d kept first
    raise_revision $((revision - 1))
    store host-d lost other
    [ "$(head_revision)" != "$revision" ] || break
    kill_node host-d
    rm -r "$DIR/host-d/secrets/vault.json" "$DIR/host-d/audit"
done
[ "$(head_revision)" = "$revision" ] || fail "the revisions do not meet"
refuse host-a host-b host-c
serves host-d lost other
accept host-a host-b host-c
for node in host-a host-b host-c host-d; do
    serves "$node" lost other
    store "$node" kept "$node"
    serves host-a kept "$node"
done
echo "restored, changed, and with the same revision: refused by all who knew more, until it was accepted"

# Nobody has changed anything, and the revision is higher than before: as etcdctl can make it, or by other changes.
NODES+=(host-d)
save_etcd "$DIR/saved"
store host-c lost again
for node in "${NODES[@]}"; do
    serves "$node" lost again
done
revision=$(etcd_revision)
if grep -q -- --bump-revision <(etcdctl snapshot restore --help); then
    restore_etcd "$DIR/saved" --bump-revision 1000000 --mark-compacted
else
    restore_etcd "$DIR/saved"
    raise_revision $((revision + 100))
fi
[ "$(etcd_revision)" -gt "$revision" ] || fail "the revision is not higher"
refuse "${NODES[@]}"
accept "${NODES[@]}"
for node in "${NODES[@]}"; do
    serves "$node" lost other
    store "$node" kept "$node"
    "$BINARY" audit verify "$DIR/$node/audit/audit.jsonl" >"$DIR/report" 2>&1 || fail "$node: $(cat "$DIR/report")"
done
echo "restored, with a higher revision: refused by all, until it was accepted"
