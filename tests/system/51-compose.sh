#!/usr/bin/env bash
# The Compose file, set up as the README says, with podman and podman-compose in the place of Docker.
source "$(dirname "$0")/lib.sh"
need busybox curl ip iptables jq podman podman-compose runc unshare /usr/lib/podman/netavark
need_root

# In namespaces of its own: port and network are not this host's, and nothing outlives the test.
if [ "${NAMESPACES:-}" != own ]; then
    NAMESPACES=own exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0"
fi
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm

new_state
make --silent static >"$DIR/made" 2>&1 || fail "make static has failed: $(tail -n 20 "$DIR/made")"
trap end EXIT
end() {
    local status=$?
    [ "$status" = 0 ] || tail -n 20 "$DIR/said" "$DIR/noise" >&2 || true
    podman rm --all --force --time 0 >/dev/null 2>&1 || true
    clean_up
}

# Containers lie in the test's directory, and are given no higher limits than this machine may have.
cat >"$DIR/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "$DIR/networks"
CONF
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$DIR/storage" "$DIR/run" >"$DIR/storage.conf"
export CONTAINERS_CONF=$DIR/containers.conf CONTAINERS_STORAGE_CONF=$DIR/storage.conf
export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker PODMAN_COMPOSE_IN_POD=false

healthy() { podman healthcheck run jarvis-secretsd >/dev/null 2>&1; }

# What the README calls docker. The image is not compiled in a container again, and for want of systemd, podman does not
# wait for a container's health itself.
docker() {
    case $1 in
        build) podman build --build-arg BINARY=prebuilt "${@:2}" ;;
        compose) podman-compose "${@:2}" && { [[ "$*" != *" --wait" ]] || await "it is healthy" healthy; } ;;
        *) podman "$@" ;;
    esac
}

fail() {
    echo "$*" >&2
    podman logs --tail 20 jarvis-secretsd >&2 || true
    exit 1
}

README=$PWD/README.md URL=http://127.0.0.1:8081
export HOME=$DIR/home
mkdir "$HOME"

# paste N: the Nth block of the README's section, in this shell. What it prints is then in $DIR/said, and what of that are
# messages in $DIR/noise.
paste() { eval "$(pasted "$README" '## Compose' "$1")" >"$DIR/said" 2>"$DIR/noise"; }

# as CLIENT STATUS METHOD PATH [BODY]: a request with its token, as expect sends it.
as() {
    CURL=(curl -H "Authorization: Bearer $(token "$1")")
    expect "$2" "$1" "${@:3}"
}

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
echo "set up as the README says, it serves this host, to those with a token"

# inspected FILTER: what jq finds out about the container.
inspected() { podman inspect jarvis-secretsd | jq -r ".[0] | $1"; }
[ "$(inspected .NetworkSettings.Networks.jarvis_network.IPAddress)" = 172.20.0.5 ] || fail "another address"
[ "$(inspected '.NetworkSettings.Ports | tostring')" = '{"8081/tcp":[{"HostIp":"127.0.0.1","HostPort":"8081"}]}' ] ||
    fail "another port: $(inspected .NetworkSettings.Ports)"
[ "$(inspected .HostConfig.RestartPolicy.Name)" = unless-stopped ] || fail "it is not started again"
[ "$(inspected '.Config.Healthcheck | [.Test[2], .Interval] | tostring')" = '["healthcheck",30000000000]' ] ||
    fail "another health check: $(inspected .Config.Healthcheck)"
[ "$(inspected .HostConfig.Memory)" = 16777216 ] || fail "its memory is not limited"
[ "$(inspected '[.Mounts[] | select(.Type == "volume").Name] | sort | join(" ")')" = 'secretsd_audit secretsd_vault' ] ||
    fail "other volumes: $(inspected .Mounts)"
pid=$(inspected .State.Pid)
process=$(cat "/proc/$pid/status")
grep -q '^Uid:\s*65532\s*65532\s*65532\s*65532$' <<<"$process" || fail "another user: $process"
grep -q '^CapBnd:\s*0*$' <<<"$process" || fail "it has capabilities: $process"
[ "$(inspected '.HostConfig.SecurityOpt | tostring')" = '["no-new-privileges"]' ] || fail "it may gain privileges"
for path in / /etc/jarvis-secretsd; do
    awk -v path="$path" '$5 == path { print $6 }' "/proc/$pid/mountinfo" | grep -q '^ro,' || fail "$path is not read-only"
done
echo "it has the address, the volumes, and nothing that it does not need"

# A client of another project. Debian's busybox stands in for the image of that name.
mkdir "$DIR/busybox"
cp "$(command -v busybox)" "$DIR/busybox/"
printf 'FROM scratch\nCOPY busybox /bin/\nRUN ["/bin/busybox", "--install", "/bin"]\n' >"$DIR/busybox/Dockerfile"
podman build --tag docker.io/library/busybox "$DIR/busybox" >"$DIR/said" 2>&1
paste 3
[ "$(jq -r .value "$DIR/said")" = "$password" ] || fail "the client has read another value"
! client wget -O - --header 'X-Jarvis-Client: db' http://172.20.0.5:8081/secret/postgres_password ||
    fail "the client needs no token"
grep -q 'HTTP/1.1 401' "$DIR/noise" || fail "not refused: $(cat "$DIR/noise")"
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
restarted docker compose restart
restarted down_and_up
echo "killed, restarted, and taken down and up, it keeps what was stored"

paste 4
[ "$(stat -c %s:%a master.key)" = 32:600 ] || fail "the copy is no key: $(stat -c %s:%a master.key)"
as backend 403 GET /secret/postgres_password
sed -i 's/^allow = \["jwt_signing_key"/&, "postgres_password"/' etc/policy.toml
paste 5
is_reloaded() { podman logs jarvis-secretsd 2>&1 | grep -q 'Policy reloaded'; }
await "the policy is reloaded" is_reloaded
as backend 200 GET /secret/postgres_password
docker compose down --volumes >"$DIR/said" 2>&1
podman volume ls --quiet >"$DIR/said"
[ ! -s "$DIR/said" ] || fail "volumes are left"
echo "the policy is checked and reloaded, and everything can be removed"
