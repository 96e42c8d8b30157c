#!/usr/bin/env bash
# Three daemons on one vault, with three members of an etcd, while clients read and change 200 times a second and daemons and
# members are killed, frozen and cut off, and answers get lost: what all clients saw can have happened in one order, no change
# that was acknowledged is lost, and the audit logs together explain each change once. At last, etcd lies about what is new: that
# must be noticed, or nothing of this was worth anything.
source "$(dirname "$0")/lib.sh"
need cargo curl etcd etcdctl ip jq nsenter openssl python3 unshare
[ -n "${LOAD:-}" ] || LOAD=$(cargo test --locked --quiet --no-run --test model --message-format json |
    jq -r 'select(.executable and .target.name == "model").executable')
export LOAD
in_own_network "$@"
source tests/system/cluster.sh

new_state
PROXIES=()
trap 'end_all ${load:+"$load"} "${PROXIES[@]}"; end_cluster; end_etcd; end_hosts; clean_up' EXIT
load=''
new_network
new_etcd
start_etcd
new_cluster
# The daemon on host-c reaches etcd by proxies.
echo 0 0 0 >"$DIR/rules"
# by_proxies NODE: lets its daemon reach etcd by proxies on its host.
by_proxies() {
    local number port endpoints=()
    for number in "${!MEMBERS[@]}"; do
        port=$((2391 + number))
        start_on "$1" "$DIR/$1/lossy-$number" tests/system/lossy.py "${ADDRESS[$1]}" "$port" "${ADDRESS[${MEMBERS[number]}]}" \
            "$ETCD" "$DIR/rules"
        PROXIES+=("$STARTED")
        await "a proxy listens" grep -qs listens "$DIR/$1/lossy-$number"
        endpoints+=("https://${ADDRESS[$1]}:$port")
    done
    configure_node "$1" "$(IFS=, && echo "${endpoints[*]}")"
}
by_proxies host-c
start_cluster
# One more stands still, until the log that it knows has been replaced by snapshots.
new_node host-d 24
start_node host-d
await "host-d is well" is_well host-d
freeze_node host-d

printf '{"name":"large","value":"%s"}' "$(head -c 48000 /dev/urandom | base64 --wrap 0)" >"$DIR/large"
at host-b
expect 200 admin POST /secret '{"name":"a_private_name","value":"a private value","owner":"a-private-team"}'

# start_load NAME [VARIABLE=VALUE...]: lets clients ask until there is a file $DIR/NAME.end.
start_load() {
    local node addresses=()
    for node in "${NODES[@]}"; do
        addresses+=("${ADDRESS[$node]}:8443")
    done
    env "${@:2}" CLUSTER_DAEMONS="$(IFS=, && echo "${addresses[*]}")" CLUSTER_END="$DIR/$1.end" CLUSTER_CHANGES="$DIR/$1.changes" \
        "$LOAD" several::what_clients_see --nocapture >"$DIR/$1" 2>&1 &
    load=$!
}

# end_load NAME: lets them end. Its status is what was found out.
end_load() {
    local ends=$load
    load=''
    touch "$DIR/$1.end"
    wait "$ends"
}

# The faults, each of which is mended at its end. What a fault is to last is the load's time.
last() { sleep "${FAULT_SECONDS:-4}"; }
# for_a_while FAULT MEND TARGET...: does the one to that target, and the other one when it has lasted.
for_a_while() { "$1" "${@:3}" && last && "$2" "${@:3}"; }
any_node() { echo "${NODES[RANDOM % 3]}"; }

kill_a_daemon() { for_a_while kill_node start_node "$(any_node)"; }
kill_the_leader() { for_a_while kill_member start_member "$(etcd_leader)"; }
kill_a_follower() { for_a_while kill_member start_member "$(a_follower)"; }
freeze_a_daemon() { for_a_while freeze_node thaw_node "$(any_node)"; }
freeze_the_leader() { for_a_while freeze_member thaw_member "$(etcd_leader)"; }
unplug_the_leader() { for_a_while unplug plug_in "$(etcd_leader)"; }
unplug_a_follower() { for_a_while unplug plug_in "$(a_follower)"; }
part_the_leader() { for_a_while part_member reunite_member "$(etcd_leader)"; }
part_a_daemon() { for_a_while part reunite "$(any_node)" "${MEMBERS[@]}"; }
outgrow_the_log() {
    local before
    before=$(head_of_log .snapshot)
    at "$(any_node)"
    await "there is a snapshot" is_outgrown "$before" >"$DIR/stored"
}
# is_outgrown SNAPSHOT: stores something large, and looks whether there is another one.
is_outgrown() {
    "${CURL[@]}" -fsS -H 'X-Jarvis-Client: admin' -d "@$DIR/large" "$URL/secret" && [ "$(head_of_log .snapshot)" != "$1" ]
}
lose_answers() { echo 30 0 0 >"$DIR/rules" && last && echo 0 0 0 >"$DIR/rules"; }
lose_answers_and_freeze_the_leader() {
    echo 30 20 0 >"$DIR/rules"
    freeze_the_leader
    echo 0 0 0 >"$DIR/rules"
}
kill_a_daemon_and_the_leader() {
    local node
    node=$(any_node)
    kill_node "$node"
    kill_the_leader
    start_node "$node"
}

is_mended() {
    kill -0 "$load" 2>/dev/null || fail "the clients gave up: $(cat "$DIR/$campaign")"
    ask_etcd endpoint health 2>/dev/null && all_are_well
}

# campaign NAME SECONDS FAULT...: each of these faults, and again until so much time is over, under load; then all is looked at.
campaign() {
    local campaign=$1 end=$((SECONDS + $2)) fault faults=0
    start_load "$1" "${LOAD_OPTIONS[@]}"
    while [ "$faults" = 0 ] || [ "$SECONDS" -lt "$end" ]; do
        for fault in "${@:3}"; do
            "$fault"
            await "all is well after $fault: $(tail -n 1 "$ETCD"/*.log)" is_mended >"$DIR/mended"
            sleep "${PAUSE_SECONDS:-1}"
            faults=$((faults + 1))
        done
    done
    end_load "$1" || fail "$1: $(cat "$DIR/$1")"
    explains_all
    changes | cut -f 2 | sort >"$DIR/explained"
    missing=$(sort "$DIR/$1.changes" | comm -23 - "$DIR/explained")
    [ -z "$missing" ] || fail "$1: acknowledged, but in no audit log: $missing"
    echo "$faults faults ($1): $(grep operations "$DIR/$1")"
}

# With CLUSTER_SECONDS, a fault comes every 20 seconds in the first half, and no client may wait 3 s beyond an election, which takes 2.
LOAD_OPTIONS=() PAUSE_SECONDS=1
if [ -n "${CLUSTER_SECONDS:-}" ]; then
    LOAD_OPTIONS=(CLUSTER_LONGEST_SECS=5) PAUSE_SECONDS=15
fi
campaign kills $((${CLUSTER_SECONDS:-0} / 2)) kill_a_daemon kill_the_leader kill_a_follower
LOAD_OPTIONS=() PAUSE_SECONDS=1
campaign faults $((${CLUSTER_SECONDS:-0} / 2)) outgrow_the_log freeze_the_leader freeze_a_daemon unplug_the_leader lose_answers \
    kill_a_daemon part_the_leader part_a_daemon lose_answers_and_freeze_the_leader unplug_a_follower \
    kill_a_daemon_and_the_leader outgrow_the_log

# The one that slept may say that it has to be started again, but serves no version of before, and adds nothing to what it knows.
thaw_node host-d
at host-a
expect 200 admin GET /secret/large
kid=$(jq -r .kid "$DIR/answer")
at host-d
# knows_again: it has taken in what it missed, which may take longer than a client waits.
knows_again() {
    status=$("${CURL[@]}" -sS -o "$DIR/answer" -w '%{http_code}' -H 'X-Jarvis-Client: admin' "$URL/secret/large")
    [ "$(jq -r .error "$DIR/answer")" != storage_unavailable ]
}
await "host-d has taken in what it missed" knows_again
[ "$status $(jq -r .error "$DIR/answer")" = '503 storage_mismatch' ] || [ "$(jq -r .kid "$DIR/answer")" = "$kid" ] ||
    fail "host-d serves another version, or says $status: $(jq 'del(.value)' "$DIR/answer")"
kill_node host-d
start_node host-d
NODES+=(host-d)
await "host-d is well" is_well host-d
expect 200 admin GET /secret/large
[ "$(jq -r .kid "$DIR/answer")" = "$kid" ] || fail "host-d serves another version: $(jq 'del(.value)' "$DIR/answer")"
expect 200 admin POST /secret '{"name":"a_private_name","value":"a private value"}'
explains_all
echo "a daemon that slept while $(head_of_log .seq) changes were made, and the log was replaced, has added nothing of its own"

# Whoever reads etcd learns no name, no value, no client and no owner.
etcd_dump "$PREFIX" >"$DIR/dump"
[ "$(wc -c <"$DIR/dump")" -gt 100000 ] || fail "the dump of etcd is empty"
! grep -aoE 'a.private.{8}|put [0-9]+|run-[0-9]+-[0-9]+|"admin"' "$DIR/dump" >"$DIR/found" || fail "in etcd can be read: $(head "$DIR/found")"

# Now nobody is told what came in the last second.
for node in "${NODES[@]}"; do
    stop_node "$node"
done
by_proxies host-a
by_proxies host-b
start_cluster
echo 0 0 1000 >"$DIR/rules"
# is_noticed: whether clients notice it within some seconds. Where they have little of the processor, they ask too rarely.
is_noticed() {
    rm -f "$DIR/control.end"
    start_load control
    sleep 5
    ! end_load control
}
await "stale reads are noticed" is_noticed
grep -q 'none of these can be next' "$DIR/control" || fail "stale reads are no reason: $(cat "$DIR/control")"
echo "stale reads are noticed"
