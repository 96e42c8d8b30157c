#!/usr/bin/env bash
# An etcd without a quorum: changes are refused, and reads as well, but for a daemon that may serve what it knew a while ago, and
# says how old that is. It heals by itself, and nothing that was acknowledged is lost.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

begin_on_loopback
sed -i '/^\[storage\]/a max_staleness_secs = 3600' "$DIR/host-c/config.toml"
# Clients of Vault are served, too.
"$BINARY" token vault >"$DIR/token" 2>/dev/null
printf '[clients.vault]\nallow = ["*"]\nadmin = true\n%s\n' "$(tail -n 1 "$DIR/token")" >>"$DIR/policy.toml"
token=$(head -n 1 "$DIR/token")
for node in "${NODES[@]}"; do
    sed -i '/^\[server\]$/a vault_api = true' "$DIR/$node/config.toml"
done
start_cluster

# by_vault STATUS METHOD PATH [BODY]: what a client of Vault is answered.
by_vault() {
    local status
    status=$("${CURL[@]}" -sS -o "$DIR/answer" -D "$DIR/head" -w '%{http_code}' -H "X-Vault-Token: $token" -X "$2" "$URL/v1/$3" \
        ${4:+--data-binary "$4"})
    [ "$status" = "$1" ] || fail "$2 $3 was answered $status: $(cat "$DIR/answer")"
}

# is_unavailable METHOD PATH [BODY]: the daemon refuses that, says why, and when to ask again.
is_unavailable() {
    expect 503 admin "$@"
    [ "$(jq -r .error "$DIR/answer")" = storage_unavailable ] || fail "another reason: $(cat "$DIR/answer")"
    "${CURL[@]}" -sS -o "$DIR/answer" -D "$DIR/head" -H 'X-Jarvis-Client: admin' -X "$1" "$URL$2" ${3:+--data-binary "$3"}
    grep -qi '^retry-after: [1-9]' "$DIR/head" || fail "it is not said when to ask again: $(cat "$DIR/head")"
}

# metric NAME: its value.
metric() {
    "${CURL[@]}" -fsS "$URL/metrics" | awk -v "name=jarvis_secretsd_$1" '$1 == name { print $2 }'
}

at host-a
for ((number = 0; number < 20; number++)); do
    expect 200 admin POST /secret "{\"name\":\"secret_$number\",\"value\":\"$number\"}"
done
for node in "${NODES[@]}"; do
    at "$node"
    expect 200 admin GET /secret/secret_19
    by_vault 200 GET secret/metadata/secret_19
    numbers=$(jq -c .data.versions "$DIR/answer")
    [ "$numbers" = "${first:=$numbers}" ] || fail "$node has other numbers for the versions: $numbers, not $first"
done
kill_member etcd1
kill_member etcd3

for node in host-a host-b; do
    at "$node"
    is_unavailable GET /secret/secret_19
    echo ' 503' >>"$DIR/answer"
    guide '503 storage_unavailable' "$DIR/answer"
    is_unavailable POST /secret '{"name":"refused","value":"v"}'
    for call in 'GET secret/data/secret_19' 'PUT kv/refused {"value":"v"}'; do
        read -r method path body <<<"$call"
        by_vault 503 "$method" "$path" "$body"
        jq -e '.errors[0] | contains("etcd")' "$DIR/answer" >/dev/null || fail "$call: $(cat "$DIR/answer")"
        grep -qi '^retry-after: [1-9]' "$DIR/head" || fail "$call: it is not said when to ask again: $(cat "$DIR/head")"
    done
    by_vault 503 GET sys/health
    by_vault 200 GET auth/token/lookup-self
    expect 503 admin GET /healthz
    grep -q '"status":"degraded"' "$DIR/answer" || fail "$node: $(cat "$DIR/answer")"
done
at host-c
is_unavailable POST /secret '{"name":"refused","value":"v"}'
"${CURL[@]}" -fsS -D "$DIR/head" -o "$DIR/answer" -H 'X-Jarvis-Client: admin' "$URL/secret/secret_19"
[ "$(jq -r .value "$DIR/answer")" = 19 ] || fail "it serves another value: $(cat "$DIR/answer")"
grep -qi '^age: [0-9]' "$DIR/head" || fail "it is not said how old that is: $(cat "$DIR/head")"
by_vault 200 GET secret/data/secret_19
grep -qi '^age: [0-9]' "$DIR/head" || fail "a client of Vault is not told how old that is: $(cat "$DIR/head")"
is_counted() { [ "$(metric cluster_stale_reads_total)" -gt 0 ]; }
await "the read is counted" is_counted
echo "without a quorum, all is refused, but for reads where they may be stale"

start_member etcd1
start_member etcd3
await "all daemons are well" all_are_well
for node in "${NODES[@]}"; do
    at "$node"
    for ((number = 0; number < 20; number++)); do
        expect 200 admin GET "/secret/secret_$number"
        [ "$(jq -r .value "$DIR/answer")" = "$number" ] || fail "$node serves another value: $(cat "$DIR/answer")"
    done
    "${CURL[@]}" -fsS -D "$DIR/head" -o "$DIR/answer" -H 'X-Jarvis-Client: admin' "$URL/secret/secret_19"
    ! grep -qi '^age:' "$DIR/head" || fail "$node says that it is stale: $(cat "$DIR/head")"
    expect 200 admin POST /secret "{\"name\":\"secret_0\",\"value\":\"0\"}"
done
explains_all
echo "with a quorum, all is well again"
