#!/usr/bin/env bash
# Three daemons and three members of etcd with Compose, with podman and podman-compose in the place of Docker. The image of etcd
# is made of the etcd of this host, as none can be fetched.
source "$(dirname "$0")/lib.sh"
need etcd etcdctl podman-compose
source tests/system/docker.sh

fail() {
    echo "$*" >&2
    for container in $(podman ps --all --format '{{.Names}}'); do
        echo "$container:"
        podman logs --tail 10 "$container" 2>&1
    done >&2
    exit 1
}

mkdir "$DIR/etcd"
etcd=$(command -v etcd)
# It may need libraries.
for file in "$etcd" $(ldd "$etcd" | grep -o '/[^ ]*'); do
    cp --parents --dereference "$file" "$DIR/etcd"
done
printf 'FROM scratch\nENV PATH=%s\nCOPY . /\n' "${etcd%/*}" >"$DIR/Dockerfile"
export ETCD_IMAGE=localhost/etcd
podman build --quiet --tag "$ETCD_IMAGE" --file "$DIR/Dockerfile" "$DIR/etcd" >"$DIR/said"

# ask_etcd ARGUMENT...: what etcdctl says, of all members.
ask_etcd() {
    ETCDCTL_API=3 etcdctl --endpoints 172.21.0.11:2379,172.21.0.12:2379,172.21.0.13:2379 "$@" >"$DIR/said" 2>"$DIR/noise"
}

cp contrib/compose.ha.yaml "$DIR/compose.yaml"
cd "$DIR" || exit
# This machine may not lift that limit.
sed -i '/ulimits:/d; /memlock:/d' compose.yaml
podman-compose up -d etcd-1 etcd-2 etcd-3 >"$DIR/said" 2>"$DIR/noise"
await "etcd has a leader" ask_etcd endpoint health
ask_etcd put key before
# What each member says of its own settings.
for number in 1 2 3; do
    podman logs "jarvis-etcd-$number" 2>&1 | grep '"starting an etcd server"' >"$DIR/log"
    jq -e '.["pre-vote"] and .["auto-compaction-mode"] == "periodic" and .["auto-compaction-retention"] == "1h0m0s"' "$DIR/log" \
        >/dev/null || fail "member $number is started otherwise: $(cat "$DIR/log")"
done
podman kill jarvis-etcd-2 >"$DIR/said"
await "the others go on" ask_etcd put key after
podman-compose down >"$DIR/said" 2>"$DIR/noise"
podman-compose up -d etcd-1 etcd-2 etcd-3 >"$DIR/said" 2>"$DIR/noise"
await "etcd has a leader again" ask_etcd endpoint health
ask_etcd get --print-value-only key
[ "$(cat "$DIR/said")" = after ] || fail "etcd has lost something: $(cat "$DIR/said")"
echo "etcd outlasts the loss of a member, and keeps what it has"
