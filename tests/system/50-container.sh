#!/usr/bin/env bash
# The image from scratch, built and run with the least that a container can be given.
source "$(dirname "$0")/lib.sh"
need buildah curl hadolint jq podman runc
need_root

new_state
make --silent static >"$DIR/log" 2>&1 || fail "make static has failed"
chmod 755 "$DIR"
CONTAINER=''
trap end EXIT
storage=(--root "$DIR/storage" --runroot "$DIR/run" --storage-driver vfs)
# Without systemd, nothing would run a container's health check by itself, and podman says so with every command.
podman() { command podman "${storage[@]}" --runtime runc --cgroup-manager cgroupfs "$@" 2>"$DIR/podman" || { cat "$DIR/podman" >&2; return 1; }; }
end() {
    [ -z "$CONTAINER" ] || podman rm --force --time 0 "$CONTAINER" >/dev/null || true
    clean_up
}

hadolint Dockerfile.scratch || fail "hadolint has something to say"
buildah "${storage[@]}" bud --quiet --isolation chroot --format docker --build-arg BINARY=prebuilt \
    -f Dockerfile.scratch -t localhost/jarvis-secretsd . >/dev/null

inspected=$(podman image inspect localhost/jarvis-secretsd)
# config FILTER: what jq finds in the image's configuration.
config() { jq -ce ".[0].Config | $1" <<<"$inspected"; }
[ "$(config .User)" = '"65532:65532"' ] || fail "another user: $(config .User)"
[ "$(config .ExposedPorts)" = '{"8081/tcp":{}}' ] || fail "another port: $(config .ExposedPorts)"
[ "$(config '.Volumes | keys')" = '["/opt/jarvis/audit","/opt/jarvis/secrets"]' ] || fail "other volumes: $(config .Volumes)"
[ "$(jq -c '.[0].HealthCheck // .[0].Healthcheck | .Test' <<<"$inspected")" = '["CMD","/jarvis-secretsd","healthcheck"]' ] ||
    fail "no health check"
layers=$(buildah "${storage[@]}" from localhost/jarvis-secretsd)
root=$(buildah "${storage[@]}" mount "$layers")
files=$(cd "$root" && find . -type f)
[ "$files" = ./jarvis-secretsd ] || fail "the image holds: $files"
buildah "${storage[@]}" rm "$layers" >/dev/null

# The paths are those of the image by default.
mkdir "$DIR/etc"
printf '[server]\nbind_addr = "127.0.0.1:0"\n' >"$DIR/etc/config.toml"
cp etc/policy.toml "$DIR/etc/"

# start: a container with new and empty, or the same, volumes. Sets URL.
start() {
    CONTAINER=$(podman run --detach --network host --read-only --read-only-tmpfs=false --cap-drop=all \
        --security-opt no-new-privileges --memory 16m --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
        -v "$DIR/etc:/etc/jarvis-secretsd:ro" -v vault:/opt/jarvis/secrets -v audit:/opt/jarvis/audit \
        --env RUST_LOG=info localhost/jarvis-secretsd)
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        command podman "${storage[@]}" logs "$CONTAINER" >"$DIR/log" 2>&1
        ! is_healthy || return 0
        sleep 0.1
    done
    fail "the container is not healthy after 10 seconds"
}

# stop: SIGTERM, and after a second SIGKILL. It must not come to that.
stop() {
    podman stop --time 1 "$CONTAINER" >/dev/null
    local status
    status=$(podman inspect --format '{{.State.ExitCode}}' "$CONTAINER")
    [ "$status" = 0 ] || fail "the daemon ended with status $status"
    podman rm "$CONTAINER" >/dev/null
    CONTAINER=''
}

start
[ "$(podman inspect --format '{{.HostConfig.Memory}}' "$CONTAINER")" = 16777216 ] || fail "its memory is not limited"
expect 200 admin POST /secret '{"name":"postgres_password","value":"before"}'
expect 200 db GET /secret/postgres_password
[ "$(jq -r .value "$DIR/answer")" = before ] || fail "another value: $(cat "$DIR/answer")"
expect 200 admin POST /rotate '{"names":["postgres_password"]}'
expect 200 db GET /secret/postgres_password
after=$(jq -r .value "$DIR/answer")
[ "$after" != before ] || fail "it was not rotated"
stop

start
expect 200 db GET /secret/postgres_password
[ "$(jq -r .value "$DIR/answer")" = "$after" ] || fail "the volume has not kept it"
# The health check asks where the configuration says, so that has to name a port.
port=${URL##*:}
sed -i "s/127.0.0.1:0/127.0.0.1:$port/" "$DIR/etc/config.toml"
stop
start
podman healthcheck run "$CONTAINER" >/dev/null || fail "the health check fails"
stop
echo "the image of one file works read-only, without capabilities, in 16 MiB"
