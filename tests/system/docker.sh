# What the tests share that run containers as the handbook says it for Docker: podman in its place, in namespaces of the test's
# own. Port and network are then not this host's, and nothing outlives the test. To be sourced behind lib.sh. SECTION is the
# heading of the handbook below which commands are taken.
# shellcheck shell=bash disable=SC2034

need busybox curl ip iptables jq podman runc unshare /usr/lib/podman/netavark
need_root

if [ "${NAMESPACES:-}" != own ]; then
    NAMESPACES=own exec unshare --mount --net --pid --fork --kill-child --mount-proc "tests/system/$(basename "$0")"
fi
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm

new_state
make_static
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

# What the handbook calls docker. The image is not compiled in a container again, no directory of a read-only container can be
# written to, and for want of systemd, podman does not wait for a container's health itself.
docker() {
    case $1 in
        build) podman build --build-arg BINARY=prebuilt "${@:2}" ;;
        run) podman run --read-only-tmpfs=false "${@:2}" ;;
        compose) podman-compose "${@:2}" && { [[ "$*" != *" --wait" ]] || await "it is healthy" healthy; } ;;
        *) podman "$@" ;;
    esac
}

fail() {
    echo "$*" >&2
    podman logs --tail 20 jarvis-secretsd >&2 || true
    exit 1
}

HANDBOOK=$PWD/docs URL=http://127.0.0.1:8081
export HOME=$DIR/home
mkdir "$HOME"

# paste N: the Nth block of the handbook's section, in this shell. What it prints is then in $DIR/said, and what of that are
# messages in $DIR/noise. This machine may not lift that limit, and has no terminal.
paste() {
    eval "$(pasted "$HANDBOOK/$PAGE" "$SECTION" "$1" | sed 's/ --ulimit memlock=-1:-1//; s/ -it / -i /')" >"$DIR/said" 2>"$DIR/noise"
}

# as CLIENT STATUS METHOD PATH [BODY]: a request with its token, as expect sends it.
as() {
    CURL=(curl -H "Authorization: Bearer $(cat "tokens/$1")")
    expect "$2" "$1" "${@:3}"
}

# inspected FILTER: what jq finds out about the container.
inspected() { podman inspect jarvis-secretsd | jq -r ".[0] | $1"; }

# confined: the container has nothing that it does not need.
confined() {
    local process path
    process=$(cat "/proc/$(inspected .State.Pid)/status")
    grep -q '^Uid:\s*65532\s*65532\s*65532\s*65532$' <<<"$process" || fail "another user: $process"
    grep -q '^CapBnd:\s*0*$' <<<"$process" || fail "it has capabilities: $process"
    grep -q '^NoNewPrivs:\s*1$' <<<"$process" || fail "it may gain privileges: $process"
    for path in / /etc/jarvis-secretsd; do
        grep -q '^ro,' <(awk -v path="$path" '$5 == path { print $6 }' "/proc/$(inspected .State.Pid)/mountinfo") ||
            fail "$path is not read-only"
    done
    [ "$(inspected .HostConfig.Memory)" = 16777216 ] || fail "its memory is not limited"
    [ "$(inspected .HostConfig.RestartPolicy.Name)" = unless-stopped ] || fail "it is not started again"
    [ "$(inspected '.NetworkSettings.Ports | tostring')" = '{"8081/tcp":[{"HostIp":"127.0.0.1","HostPort":"8081"}]}' ] ||
        fail "another port: $(inspected .NetworkSettings.Ports)"
    [ "$(inspected '[.Mounts[] | select(.Type == "volume").Name] | sort | join(" ")')" = 'secretsd_audit secretsd_vault' ] ||
        fail "other volumes: $(inspected .Mounts)"
}
