#!/usr/bin/env bash
# Secrets with an applier that the schedule rotates, while the daemon that leads is killed, stands still for longer than its
# lease, or is stopped in the middle of its rotations, and the next one as well: each secret is rotated once for each time that it
# is due, and the external system accepts what the vault serves.
source "$(dirname "$0")/lib.sh"
source tests/system/appliers/servers.sh
source tests/system/cluster.sh

SECRETS=10
ROUNDS=$((${CLUSTER_ROTATIONS:-20} / SECRETS))
new_state
trap 'end_cluster; end_etcd; stop_servers' EXIT
on_loopback
new_etcd
start_etcd

# The external system: a file for each secret, and a list of what was done.
new_programs
mkdir "$DIR/outside"
cat >"$PROGRAMS/outside" <<'END'
#!/bin/sh
# outside ACTION path=DIRECTORY
cd "${2#path=}" || exit
request=$(cat)
name=$(printf '%s' "$request" | jq -r .name)
case $1 in
    apply)
        sleep 0.2
        printf '%s' "$request" | jq -j .new.value >"$name.$$"
        mv "$name.$$" "$name"
        echo "$name" >>applied
        ;;
    verify)
        [ "$(printf '%s' "$request" | jq -j .value)" = "$(cat "$name")" ]
        ;;
esac
END
chmod 755 "$PROGRAMS/outside"
{
    printf '[rotation]\njitter_hours = 0\n'
    for ((secret = 0; secret < SECRETS; secret++)); do
        printf '\n[rotation.secret_%s]\n' "$secret"
        for action in apply verify; do
            printf '%s = ["%s", "%s", "%s"]\n' "$action" "$PROGRAMS/outside" "$action" "path=$DIR/outside"
        done
    done
} >"$DIR/rotation.toml"

# The daemons are started with another clock each time. That is not set while they run, as what is faked then is also the clock
# that leases go by.
library=$(faketime_library)
install -m 755 "$BINARY" "$DIR/daemon"
cat >"$DIR/start" <<END
#!/bin/sh
export LD_PRELOAD='$library' FAKETIME="\$(cat "$DIR/clock")" DONT_FAKE_MONOTONIC=1
exec "$DIR/daemon" "\$@"
END
chmod 755 "$DIR/start"
BINARY=$DIR/start
echo +0d >"$DIR/clock"
SECURITY='rotation_days = 1
grace_days = 36500'
new_cluster "$DIR/rotation.toml"
start_cluster
at host-a
for ((secret = 0; secret < SECRETS; secret++)); do
    printf first >"$DIR/outside/secret_$secret"
    expect 200 admin POST /secret "{\"name\":\"secret_$secret\",\"value\":\"first\",\"rotation\":\"auto\"}"
done
: >"$DIR/outside/applied"

applied() { wc -l <"$DIR/outside/applied"; }
has_applied() { [ "$(applied)" -ge "$1" ]; }
leads() { leading_node >"$DIR/leader"; }
# is_done: whether no rotation is due any more, and none is under way.
is_done() {
    local node
    all_are_well || return
    for node in "${NODES[@]}"; do
        at "$node"
        "${CURL[@]}" -fsS -H 'X-Jarvis-Client: admin' "$URL/rotation/schedule" | jq -e '.schedule | all(.is_due | not)' &&
            "${CURL[@]}" -fsS -o "$DIR/metrics" "$URL/metrics" &&
            grep -qx 'jarvis_secretsd_pending_versions 0' "$DIR/metrics" || return
    done
}

# disturb NODE HOW: ends it, or lets it stand still for three times its lease.
disturb() {
    case $2 in
        0) stop_node "$1" ;;
        1) kill_node "$1" ;;
        2)
            freeze_node "$1"
            sleep 15
            thaw_node "$1"
            ;;
    esac
}

for ((round = 1; round <= ROUNDS; round++)); do
    for node in "${NODES[@]}"; do
        stop_node "$node"
    done
    echo "+$((2 * round))d" >"$DIR/clock"
    before=$(applied)
    start_cluster
    for change in 1 2; do
        await "secrets are rotated" has_applied $((before + 3 * change))
        await "it is known who leads" leads
        disturb "$(cat "$DIR/leader")" $(((round + change) % 3))
    done
    for node in "${NODES[@]}"; do
        [ -n "${NODE_PID[$node]:-}" ] || start_node "$node"
    done
    await "round $round is done" is_done >"$DIR/done"
done

# agrees NAME: whether the external system accepts what the vault serves.
agrees() {
    at host-b
    expect 200 admin GET "/secret/$1"
    [ "$(jq -j .value "$DIR/answer")" = "$(cat "$DIR/outside/$1")" ]
}
for ((secret = 0; secret < SECRETS; secret++)); do
    name=secret_$secret
    await "the external system accepts $name" agrees "$name"
    at host-c
    expect 200 admin GET "/secret/$name/versions"
    days=$(jq -r '.versions[].created_at[:10]' "$DIR/answer" | sort)
    [ "$(wc -l <<<"$days")" = $((ROUNDS + 1)) ] && [ "$(uniq <<<"$days" | wc -l)" = $((ROUNDS + 1)) ] ||
        fail "$name was to be rotated $ROUNDS times, on as many days; its versions are of $(xargs <<<"$days")"
done
# Also of the versions that were made and given up again, whose lines do not say success.
are_explained() { "$BINARY" audit verify --cluster "$DIR"/host-{a,b,c}/audit >"$DIR/report" 2>&1; }
await "the audit logs explain all changes" are_explained
echo "$((ROUNDS * SECRETS)) rotations over $((2 * ROUNDS)) changes of the leader, $(applied) times applied"
