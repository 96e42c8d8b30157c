#!/usr/bin/env bash
# The Compose file, set up as the handbook says, with podman and podman-compose in the place of Docker.
source "$(dirname "$0")/lib.sh"
need podman-compose
PAGE=install/containers.md SECTION='## Compose'
source tests/system/docker.sh

# client COMMAND...: in a container of the other project.
client() { docker compose -f compose.client.yaml run --rm -T client "$@" >"$DIR/said" 2>"$DIR/noise"; }

paste 1
# This machine may not lift that limit.
sed -i '/ulimits:/d; /memlock:/d' compose.yaml
paste 2
tail -n 1 "$DIR/said" | jq -e ".kid" >/dev/null || fail "no password was made"
as db 200 GET /secret/postgres_password
password=$(jq -r .value "$DIR/answer")
CURL=(curl)
expect 401 db GET /secret/postgres_password
echo "set up as the handbook says, it serves this host, to those with a token"

confined
pid=$(inspected .State.Pid)
[ "$(inspected .NetworkSettings.Networks.jarvis_network.IPAddress)" = 172.20.0.5 ] || fail "another address"
[ "$(inspected '.Config.Healthcheck | [.Test[2], .Interval] | tostring')" = '["healthcheck",30000000000]' ] ||
    fail "another health check: $(inspected .Config.Healthcheck)"
echo "it has the address, the volumes, and nothing that it does not need"

# A client of another project, with a token file as Docker mounts them.
paste 3
[ "$(cat "$DIR/said")" = "$password" ] || fail "the client has read another value"
chmod 444 db.token
client get postgres_password || fail "it does not take its token: $(cat "$DIR/noise")"
[ "$(cat "$DIR/said")" = "$password" ] || fail "the client has read another value"
[ "$(grep -c 'warning: /run/secrets/db_token: others than its owner may use this key (mode 0444)' "$DIR/noise")" = 1 ] ||
    fail "the token that all may read is not warned about once: $(cat "$DIR/noise")"
! docker compose -f compose.client.yaml run --rm -T -e JARVIS_SECRETSD_TOKEN_FILE= client get postgres_password \
    >"$DIR/said" 2>"$DIR/noise" || fail "the client needs no token"
grep -q 'there is no token' "$DIR/noise" || fail "not refused: $(cat "$DIR/noise")"
echo "another container reads a secret over the network, and needs its token"

as admin 200 POST /rotate '{"names":["postgres_password"]}'
as db 200 GET /secret/postgres_password
rotated=$(jq -r .value "$DIR/answer")
[ "$rotated" != "$password" ] || fail "it was not rotated"
# restarted COMMAND...: after it, another process must serve that value.
restarted() {
    local before
    before=$(inspected .State.Pid)
    "$@" >"$DIR/said" 2>&1
    await "after $*, there is another process" is_another "$before"
    await "after $*, it is healthy" healthy
    as db 200 GET /secret/postgres_password
    [ "$(jq -r .value "$DIR/answer")" = "$rotated" ] || fail "after $*, another value: $(cat "$DIR/answer")"
}
is_another() { [ "$(inspected .State.Pid)" != 0 ] && [ "$(inspected .State.Pid)" != "$1" ]; }
down_and_up() { docker compose down && ! podman container exists jarvis-secretsd && docker compose up -d --wait; }
restarted kill -KILL "$pid"
# What is mounted read-only can be changed by nobody in there, whatever its mode.
chmod 777 etc
restarted docker compose restart
chmod 755 etc
restarted down_and_up
echo "killed, restarted, and taken down and up, it keeps what was stored"

paste 4
[ "$(stat -c %s:%a master.key)" = 32:600 ] || fail "the copy is no key: $(stat -c %s:%a master.key)"
as backend 403 GET /secret/postgres_password
sed -i 's/^allow = \["jwt_signing_key"/&, "postgres_password"/' etc/policy.toml
paste 5
is_reloaded() { grep -q 'Policy reloaded' <(podman logs jarvis-secretsd 2>&1); }
await "the policy is reloaded" is_reloaded
as backend 200 GET /secret/postgres_password
echo "the policy is checked and reloaded"

# All is removed but the backup and, for the safe, the master key.
paste 6
PAGE=backup-and-keys.md SECTION='### For the safe' paste 3 <<<"correct horse battery staple"
cp "$DIR/said" master.key.txt
as admin 200 POST /secret '{"name":"made_later","value":"v"}'
docker compose down --volumes >"$DIR/said" 2>&1
podman volume ls --quiet >"$DIR/said"
[ ! -s "$DIR/said" ] || fail "volumes are left"
PAGE=backup-and-keys.md SECTION='### For the safe' paste 4 <<<"correct horse battery staple"
paste 7
as db 200 GET /secret/postgres_password
[ "$(jq -r .value "$DIR/answer")" = "$rotated" ] || fail "restored is another value: $(cat "$DIR/answer")"
as admin 404 GET /secret/made_later
echo "everything can be removed, and comes back from the backup and the safe"
