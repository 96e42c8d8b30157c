#!/usr/bin/env bash
# The image from scratch, built and run as the handbook says, with the least that a container can be given.
source "$(dirname "$0")/lib.sh"
need buildah hadolint
PAGE=install/containers.md SECTION='## Container'
source tests/system/docker.sh

hadolint Dockerfile.scratch || fail "hadolint has something to say"
paste 1

image=$(podman image inspect jarvis-secretsd)
# config FILTER: what jq finds in the image's configuration.
config() { jq -ce ".[0].Config | $1" <<<"$image"; }
[ "$(config .User)" = '"65532:65532"' ] || fail "another user: $(config .User)"
[ "$(config .ExposedPorts)" = '{"8081/tcp":{}}' ] || fail "another port: $(config .ExposedPorts)"
[ "$(config '.Volumes | keys')" = '["/opt/jarvis/audit","/opt/jarvis/secrets"]' ] || fail "other volumes: $(config .Volumes)"
[ "$(jq -c '.[0].HealthCheck // .[0].Healthcheck | .Test' <<<"$image")" = '["CMD","/jarvis-secretsd","healthcheck"]' ] ||
    fail "no health check"
layers=$(buildah from jarvis-secretsd)
root=$(buildah mount "$layers")
files=$(cd "$root" && find . -type f)
[ "$files" = ./jarvis-secretsd ] || fail "the image holds: $files"
buildah rm "$layers" >/dev/null

paste 2
paste 3
await "it is healthy" healthy
paste 4
tail -n 1 "$DIR/said" | jq -e .value >/dev/null || fail "no password was made and read: $(cat "$DIR/said")"
CURL=(curl)
expect 401 db GET /secret/postgres_password
confined
echo "set up as the handbook says, the image of one file works read-only, without capabilities, in 16 MiB"

as admin 200 POST /rotate '{"names":["postgres_password"]}'
as db 200 GET /secret/postgres_password
rotated=$(jq -r .value "$DIR/answer")
[ "$rotated" != "$(tail -n 1 "$DIR/said" | jq -r .value)" ] || fail "it was not rotated"

# stop: SIGTERM, and if the daemon does not heed it, SIGKILL. It must not come to that.
stop() {
    podman stop --time "$PATIENCE" jarvis-secretsd >"$DIR/said" 2>"$DIR/noise"
    [ "$(inspected .State.ExitCode)" = 0 ] || fail "the daemon ended with status $(inspected .State.ExitCode)"
    podman rm jarvis-secretsd >"$DIR/said" 2>"$DIR/noise"
}
stop
paste 3
await "it is healthy" healthy
as db 200 GET /secret/postgres_password
[ "$(jq -r .value "$DIR/answer")" = "$rotated" ] || fail "the volume has not kept it: $(cat "$DIR/answer")"
echo "stopped by SIGTERM and started anew, it keeps what was stored"

docker exec jarvis-secretsd /jarvis-secretsd backup --output - >secrets.tar 2>"$DIR/noise"
as admin 200 DELETE /secret/postgres_password
paste 5
await "it is healthy" healthy
as db 200 GET /secret/postgres_password
[ "$(jq -r .value "$DIR/answer")" = "$rotated" ] || fail "restored is another value: $(cat "$DIR/answer")"
echo "what was deleted comes back from the backup"

# The master key for the safe, which any installation takes back.
podman cp jarvis-secretsd:/opt/jarvis/secrets/master.key master.key
PAGE=backup-and-keys.md SECTION='### For the safe' paste 3 <<<"correct horse battery staple"
cp "$DIR/said" master.key.txt
"$BINARY" key import --config "$DIR/config.toml" master.key.txt <<<"correct horse battery staple" >"$DIR/said"
cmp --silent master.key "$DIR/secrets/master.key" || fail "another key was exported"
stop
echo "the master key goes to the safe, and comes back"
