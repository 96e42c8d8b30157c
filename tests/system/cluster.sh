# Three daemons on one vault, whose changes an etcd (etcd.sh) puts in order, on hosts of their own. They speak TLS with the
# certificates of tests/data/tls. To be sourced behind lib.sh.
# shellcheck shell=bash

source tests/system/hosts.sh
source tests/system/etcd.sh

NODES=(host-a host-b host-c)
PREFIX=/jarvis-secretsd/test/
# What their configurations have below [security] besides what all of them need.
SECURITY=''
# Of each daemon, by its node: its process.
declare -A NODE_PID=()
TLS=$PWD/tests/data/tls

# fail MESSAGE: as in lib.sh, with what each daemon has logged.
fail() {
    local node
    echo "$*" >&2
    for node in "${NODES[@]}"; do
        [ ! -s "$DIR/$node/log" ] || { echo "the log of $node:" && tail -n 15 "$DIR/$node/log"; } >&2
    done
    exit 1
}

# begin_on_loopback: begins a test with an etcd, started, and the three daemons, not started yet, on the loopback device.
begin_on_loopback() {
    new_state
    trap 'end_cluster; end_etcd; clean_up' EXIT
    on_loopback
    new_etcd
    start_etcd
    new_cluster
}

# new_cluster [FILE]: the hosts of three daemons with the same master key, whose policy lets the tests' client certificate be
# admin, and their configurations, with those lines of a file at the end. None is started yet.
new_cluster() {
    need curl jq
    local number
    printf '[clients.admin]\nallow = ["*"]\ntls_subject = ["CN=reader"]\n' >"$DIR/policy.toml"
    (umask 077 && head -c 32 /dev/urandom >"$DIR/master.key")
    for number in "${!NODES[@]}"; do
        new_node "${NODES[number]}" $((number + 21)) "$@"
    done
}

# new_node NODE NUMBER [FILE]: one more such host, with that number in the network.
new_node() {
    new_host "$1" "$2"
    mkdir -p "$DIR/$1/secrets"
    chmod 700 "$DIR/$1/secrets"
    cp -p "$DIR/master.key" "$DIR/$1/secrets/"
    cp "$TLS/server.pem" "$DIR/$1/tls.pem"
    install -m 600 "$TLS/server.key" "$DIR/$1/tls.key"
    configure_node "$1" "$ENDPOINTS" "${@:3}"
}

# configure_node NODE ENDPOINTS [FILE]: writes its configuration, with those lines of a file at the end.
configure_node() {
    cat - "${@:3}" >"$DIR/$1/config.toml" <<EOF
[server]
bind_addr = "${ADDRESS[$1]}:8443"

[server.tls]
cert_path = "$DIR/$1/tls.pem"
key_path = "$DIR/$1/tls.key"
client_ca_path = "$TLS/ca.pem"

[paths]
vault_path = "$DIR/$1/secrets/vault.json"
audit_path = "$DIR/$1/audit/audit.jsonl"
master_key_path = "$DIR/$1/secrets/master.key"

[security]
rbac_policy_path = "$DIR/policy.toml"
$SECURITY

[storage]
kind = "etcd"
endpoints = ["${2//,/\", \"}"]
prefix = "$PREFIX"
ca_path = "$ETCD/ca.pem"
cert_path = "$ETCD/client.pem"
key_path = "$ETCD/client.key"
node = "$1"
lease_secs = 5

EOF
}

# start_node NODE [ARGUMENT...]: starts its daemon, with these arguments, and waits for nothing. What it logs is in $DIR/NODE/log.
start_node() {
    start_on "$1" "$DIR/$1/log" env RUST_LOG=info "$BINARY" "${@:2}" --config "$DIR/$1/config.toml"
    NODE_PID[$1]=$STARTED
}

# start_cluster: starts all daemons, and waits until each of them is well.
start_cluster() {
    local node
    for node in "${NODES[@]}"; do
        start_node "$node"
    done
    await "all daemons are well" all_are_well
}

# kill_node NODE: as if its host had lost power.
kill_node() {
    end_all "${NODE_PID[$1]}"
    unset "NODE_PID[$1]"
}

freeze_node() { kill -STOP "${NODE_PID[$1]}"; }
thaw_node() { kill -CONT "${NODE_PID[$1]}"; }

# stop_node NODE: stops its daemon as an operator does; it must end with status 0.
stop_node() {
    kill -TERM "${NODE_PID[$1]}"
    wait "${NODE_PID[$1]}" || fail "the daemon of $1 ended with status $?"
    unset "NODE_PID[$1]"
}

# end_cluster: kills all daemons.
end_cluster() {
    [ "${#NODE_PID[@]}" -eq 0 ] || end_all "${NODE_PID[@]}"
    NODE_PID=()
}

# at NODE: the daemon that `expect` asks from now on.
at() {
    URL=https://localhost:8443
    CURL=(curl --max-time 60 --connect-to "localhost:8443:${ADDRESS[$1]}:8443" --cacert "$TLS/ca.pem" --cert "$TLS/client.pem"
        --key "$TLS/client.key")
}

# is_well NODE: whether its daemon, which must not have ended, answers so.
is_well() {
    kill -0 "${NODE_PID[$1]}" 2>/dev/null || fail "the daemon of $1 has ended"
    at "$1"
    "${CURL[@]}" -fs -o "$DIR/answer" "$URL/healthz"
}

all_are_well() {
    local node
    for node in "${NODES[@]}"; do
        is_well "$node" || return
    done
}

# leading_node: prints the node that leads; fails if none does, or its daemon does not run.
leading_node() {
    local node _
    read -r node _ < <(ask_etcd get "${PREFIX}leader" --print-value-only) && [ -n "${NODE_PID[$node]:-}" ] && echo "$node"
}

# explains_all: the audit log of each node is whole, and the lines of all of them together tell of each change to the vault
# exactly once. All daemons run: what one was killed at, it tells of when it is started again.
explains_all() {
    local directories=("${NODES[@]/#/$DIR/}")
    await "the audit logs tell of all changes" are_told
    "$BINARY" audit verify --cluster "${directories[@]/%//audit}" >"$DIR/report" 2>&1 || fail "$(cat "$DIR/report")"
    changes | cut -f 1 | diff - <(seq "$(head_of_log .seq)") >"$DIR/report" ||
        fail "these changes have no line (>), or more than one (<): $(grep '^[<>]' "$DIR/report" | head)"
}
are_told() { [ "$(changes | cut -f 1 | uniq | wc -l)" -ge "$(head_of_log .seq)" ]; }

# head_of_log FILTER: what etcd holds of the vault's last change, by a filter of jq.
head_of_log() { ask_etcd get "${PREFIX}head" --print-value-only | jq "$1"; }

# changes: what the audit logs say of changes to the vault, in their order: its sequence number, and the request's id.
changes() {
    local changing='"create_secret", "configure_secret", "delete_secret", "prepare_rotation", "rotate", "destroy_version", "retire",
        "recovered"'
    jq -r "select(.result == \"success\" and (.event | IN($changing))) | \"\(.vault_seq)\t\(.request_id)\"" \
        "$DIR"/*/audit/audit.jsonl | sort -n
}
