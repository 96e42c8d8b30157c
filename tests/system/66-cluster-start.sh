#!/usr/bin/env bash
# What a daemon of several on one vault is refused for when it starts: another daemon has its name, etcd does not have what it has
# left there, its audit log was cut, or its host has lost its disk. `cluster status` shows who is there, and `cluster forget` lets
# go who does not come back.
source "$(dirname "$0")/lib.sh"
source tests/system/cluster.sh

begin_on_loopback
start_cluster

# asks_etcd ARGUMENT...: a command for the vault of host-a.
asks_etcd() { "$BINARY" cluster "$@" --config "$DIR/host-a/config.toml"; }

# status_is FILTER: whether that holds for what `cluster status` says.
status_is() { asks_etcd status --json >"$DIR/status" && jq -e "$1" "$DIR/status" >/dev/null; }

# is_refused NODE TEXT [ARGUMENT...]: its daemon does not start, and says so.
is_refused() {
    local status=0
    : >"$DIR/$1/log"
    start_node "$1" "${@:3}"
    wait "${NODE_PID[$1]}" || status=$?
    unset "NODE_PID[$1]"
    [ "$status" -ne 0 ] || fail "$1 has started and ended"
    grep -qF -- "$2" "$DIR/$1/log" || fail "$1 does not say: $2"
}

# anchored NODE: what etcd has of it.
anchored() { ask_etcd get "${PREFIX}member/$1" --print-value-only | base64 -w 0; }

at host-a
expect 200 admin POST /secret '{"name":"kept","value":"v"}'
await "all are there, and one leads" status_is '([.daemons[].state] | sort == ["follows", "follows", "leads"]) and .warnings == []'
status_is '.leader as $leader | .seq == 1 and any(.daemons[]; .node == $leader and .state == "leads")' || fail "$(cat "$DIR/status")"
asks_etcd status >"$DIR/status"
grep -q '^host-b .* [0-9a-f]\{12\} ' "$DIR/status" || fail "$(cat "$DIR/status")"
tells_of_the_cluster() {
    is_well host-a && jq -e '.cluster | .node == "host-a" and .leader != null and .seq == 1 and .confirmed_secs_ago < 60' \
        "$DIR/answer" >/dev/null
}
await "health says so, too" tells_of_the_cluster
echo "status and health show who is there, and who leads"

# Another host, whose configuration has the same name.
cp -r "$DIR/host-c" "$DIR/host-d"
ADDRESS[host-d]=${ADDRESS[host-c]%.*}.24
rm -r "$DIR/host-d/audit" "$DIR/host-d/secrets/vault.json"
sed -i "s|$DIR/host-c/|$DIR/host-d/|; s|${ADDRESS[host-c]}:|${ADDRESS[host-d]}:|" "$DIR/host-d/config.toml"
is_refused host-d 'set `node`'
await "host-c goes on" is_well host-c
asks_etcd forget host-c 2>"$DIR/said" && fail "a daemon that is there was forgotten"
grep -q 'it works with the vault' "$DIR/said" || fail "$(cat "$DIR/said")"
echo "of two daemons with one name the second one is refused"

# One that was killed is started again at once.
kill_node host-c
start_node host-c
await "host-c is well" is_well host-c

# Its disk is gone, and its audit log with it.
stop_node host-c
is_refused host-d 'cluster forget host-c'
is_refused host-d 'cluster forget host-c' --accept-rollback
await "host-c is away" status_is 'any(.daemons[]; .node == "host-c" and .state == "away") and any(.warnings[]; startswith("host-c is away"))'
asks_etcd forget host-c
asks_etcd forget host-c 2>"$DIR/said" && fail "what is not there was forgotten"
grep -q 'no daemon of this name' "$DIR/said" || fail "$(cat "$DIR/said")"
start_node host-d
await "host-d has taken its place" is_well host-d
stop_node host-d
echo "a host that has lost its disk takes its place when it was forgotten"

# The daemon that was there before is another one now.
is_refused host-c 'cluster forget host-c'
echo "and the one that was there before is not taken for it"

# Lines are cut off its audit log.
stop_node host-b
cp -r "$DIR/host-b/audit" "$DIR/before"
head -n 1 "$DIR/before/audit.jsonl" >"$DIR/host-b/audit/audit.jsonl"
is_refused host-b "of this daemon's audit log, which ends at line 1"
cp "$DIR/before/audit.jsonl" "$DIR/host-b/audit/audit.jsonl"
start_node host-b
await "host-b is well" is_well host-b
stop_node host-b
echo "an audit log that was cut is refused"

# etcd has what the daemon has left there a while ago, and the same vault.
older=$(anchored host-b)
for _ in 1 2; do
    start_node host-b
    await "host-b is well" is_well host-b
    stop_node host-b
done
[ "$(anchored host-b)" != "$older" ] || fail "host-b has left nothing of itself"
base64 -d <<<"$older" | head -c -1 | ask_etcd put "${PREFIX}member/host-b" >/dev/null
is_refused host-b '--accept-rollback'
: >"$DIR/host-b/log"
start_node host-b --accept-rollback
await "host-b is well" is_well host-b
grep -q '"event":"rollback_accepted"' "$DIR/host-b/audit/audit.jsonl" || fail "no line tells of it"
stop_node host-b
start_node host-b
await "host-b is well" is_well host-b
echo "an etcd that was set back is refused until that is accepted"

asks_etcd step-down >"$DIR/said"
leader=$(sed -n 's/ leads no more.*//p' "$DIR/said")
await "another daemon leads" status_is ".leader != null and .leader != \"$leader\""
echo "another daemon leads when the one that does is told not to"
