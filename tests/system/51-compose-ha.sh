#!/usr/bin/env bash
# Three daemons and three members of etcd with Compose, with podman and podman-compose in the place of Docker. The image of etcd
# is made of the etcd of this host, as none can be fetched.
source "$(dirname "$0")/lib.sh"
need etcd podman-compose
PAGE=install/containers.md SECTION='## Several daemons with Compose'
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

nodes=(jarvis-secretsd-1 jarvis-secretsd-2 jarvis-secretsd-3)
# healthy: whether those daemons that run are.
healthy() {
    local node
    for node in "${nodes[@]}"; do podman healthcheck run "$node" >/dev/null 2>&1 || return; done
}
# at NUMBER CLIENT STATUS METHOD PATH [BODY]: a request to that daemon.
at() { URL=http://127.0.0.1:808$1 as "${@:2}"; }

paste 1
# This machine may not lift that limit.
sed -i '/ulimits:/d; /memlock:/d' compose.yaml
paste 2
for number in 1 2 3; do
    podman logs "jarvis-etcd-$number" 2>&1 | grep '"starting an etcd server"' >"$DIR/log"
    # What the member says of its own settings.
    jq -e '.["pre-vote"] and .["auto-compaction-mode"] == "periodic" and .["auto-compaction-retention"] == "1h0m0s"' "$DIR/log" \
        >/dev/null || fail "member $number is started otherwise: $(cat "$DIR/log")"
    URL=http://127.0.0.1:808$number
    curl -fsS "$URL/healthz" >"$DIR/answer"
    [ "$(jq -r .cluster.node "$DIR/answer")" = "jarvis-secretsd-$number" ] || fail "another node: $(cat "$DIR/answer")"
done
echo "set up as the handbook says, there are three daemons and three members of etcd"

nodes=(jarvis-secretsd-2 jarvis-secretsd-3)
paste 3
password=$(sed -n 's/.*"value":"\([^"]*\)".*/\1/p' "$DIR/said")
[ "${#password}" = 32 ] || fail "no password is read: $(cat "$DIR/said")"
nodes+=(jarvis-secretsd-1)
await "all are healthy again" healthy
# A container that was started again may be well before this host's port leads to it.
reached() { curl -fsS --max-time 5 -o "$DIR/answer" http://127.0.0.1:8081/healthz 2>"$DIR/noise"; }
await "the first one is reached again" reached
at 1 db 200 GET /secret/postgres_password
[ "$(jq -r .value "$DIR/answer")" = "$password" ] || fail "the one that was away has another value: $(cat "$DIR/answer")"
at 3 admin 200 POST /rotate '{"names":["postgres_password"]}'
at 1 db 200 GET /secret/postgres_password
rotated=$(jq -r .value "$DIR/answer")
[ "$rotated" != "$password" ] || fail "it serves what was replaced"
echo "without one of each, the others go on; the one that comes back serves what is new"

docker compose down >"$DIR/said" 2>&1
docker compose up -d --wait >"$DIR/said" 2>&1
for number in 1 2 3; do
    at "$number" db 200 GET /secret/postgres_password
    [ "$(jq -r .value "$DIR/answer")" = "$rotated" ] || fail "daemon $number has another value: $(cat "$DIR/answer")"
done
echo "taken down and up, they keep what was stored"
