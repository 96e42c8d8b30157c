#!/usr/bin/env bash
# Several daemons on one vault, set up by the handbook's commands on three hosts, each with its own network, name and files. Then a
# vault that is there comes along, and a lost etcd is restored from a daemon's copy.
source "$(dirname "$0")/lib.sh"
need etcd etcdctl ip jq nsenter openssl unshare
need_root
[ "${NAMESPACES:-}" = own ] ||
    NAMESPACES=own exec unshare --mount --net --pid --fork --kill-child --mount-proc "tests/system/$(basename "$0")"
source tests/system/hosts.sh
page=docs/cluster.md section='## Set it up'

new_state
trap 'end_hosts; clean_up' EXIT
ip link set lo up
# The addresses of the handbook.
# shellcheck disable=SC2034
NETWORK=10.0.0
new_network
mkdir "$DIR/bin"
cp "$BINARY" "$DIR/bin/jarvis-secretsd"
export PATH=$DIR/bin:$PATH
directories=(/etc/jarvis-secretsd /opt/jarvis /var/lib/etcd)
mkdir -p "${directories[@]}"
# Of each host: the process that holds its name and its files.
declare -A PLACE=()

# settle NAME NUMBER: a host of that name, on which the handbook's directories are empty. Commands run in $DIR/NAME.
settle() {
    new_host "$1" "$2"
    mkdir "$DIR/$1"
    start_on "$1" "$DIR/$1/log" unshare --mount --uts bash -euc '
        hostname "$1"
        for directory in "${@:3}"; do mount -t tmpfs -o mode=0755 none "$directory"; done
        touch "$2/settled"
        exec sleep infinity' - "$1" "$DIR/$1" "${directories[@]}"
    PLACE[$1]=$STARTED
    await "$1 is settled" test -e "$DIR/$1/settled"
}

# run_at NAME COMMANDS: runs them on that host.
run_at() { nsenter --target "${PLACE[$1]}" --net --mount --uts --wd="$DIR/$1" bash -euo pipefail -c "$2"; }

# The handbook's copies between hosts come from the first one.
# shellcheck disable=SC2086
scp() { cp -p /proc/$FIRST/root${2#*:} "$3"; }
export -f scp

fail() {
    echo "$*" >&2
    tail -n 15 "$DIR"/host-*/*.log >&2
    exit 1
}

for number in 1 2 3; do
    settle "host-$number" "$number"
done
export FIRST=${PLACE[host-1]}
run_at host-1 "$(pasted "$page" "$section")" 2>"$DIR/noise"
cp -p "$DIR"/host-1/{etcd-ca.pem,member.pem,member.key} "$DIR/host-2/"
cp -p "$DIR"/host-1/{etcd-ca.pem,member.pem,member.key} "$DIR/host-3/"

# ask_etcd ARGUMENT...: what etcdctl says, of all members, as one of the daemons.
ask_etcd() {
    run_at host-1 "ETCDCTL_API=3 etcdctl --endpoints https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379 \
        --cacert etcd-ca.pem --cert etcd.pem --key etcd.key $*" >"$DIR/said" 2>"$DIR/noise"
}
for number in 1 2 3; do
    commands=$(pasted "$page" "$section" 2 | sed "s/^here=.*/here=10.0.0.$number/")
    run_at "host-$number" "$commands" >"$DIR/host-$number/etcd.log" 2>&1 &
done
await "etcd has a leader" ask_etcd endpoint health
echo "etcd is set up as the handbook says"

declare -A DAEMON=()
# serve NAME COMMANDS: runs them, of which the last one is the daemon, and waits until it is well.
serve() {
    nsenter --target "${PLACE[$1]}" --net --mount --uts --wd="$DIR/$1" bash -euo pipefail -c \
        "${2/jarvis-secretsd serve/exec jarvis-secretsd serve}" >>"$DIR/$1/daemon.log" 2>&1 </dev/null &
    DAEMON[$1]=$!
    await "the daemon of $1 is well" is_well "$1"
}
is_well() {
    kill -0 "${DAEMON[$1]}" 2>/dev/null || fail "the daemon of $1 has ended"
    run_at "$1" "jarvis-secretsd healthcheck" >"$DIR/said" 2>&1
}
# stop NAME: as an operator does.
stop() { kill -TERM "${DAEMON[$1]}" && wait "${DAEMON[$1]}" || fail "the daemon of $1 ended with status $?"; }

serve host-1 "$(pasted "$page" "$section" 3)"
serve host-2 "$(pasted "$page" "$section" 4)"
serve host-3 "$(pasted "$page" "$section" 4)"
run_at host-1 "$(pasted "$page" "$section" 5)" >"$DIR/said" 2>"$DIR/noise"
are_there() {
    run_at host-1 "jarvis-secretsd cluster status" >"$DIR/said"
    [ "$(grep -cE '^host-[123] +(leads|follows) ' "$DIR/said")" = 3 ]
}
await "cluster status knows all of them" are_there
# admin NUMBER COMMAND...: the handbook's administrator asks the daemon of that host.
admin() {
    run_at host-1 "JARVIS_SECRETSD_ADDR=http://10.0.0.$1:8081 JARVIS_SECRETSD_TOKEN_FILE=tokens/admin jarvis-secretsd ${*:2}" 2>"$DIR/noise"
}
admin 3 get postgres_password >"$DIR/said"
password=$(cat "$DIR/said")
[ "${#password}" = 32 ] || fail "no password is read: $password"
echo "what one daemon was told, another one serves, and all of them are there"

end_all "${DAEMON[host-1]}"
admin 2 set made_meanwhile --generate >"$DIR/said"
made=$(admin 3 get made_meanwhile)
[ "${#made}" = 44 ] || fail "nothing is made while one is away: $made"
serve host-1 "jarvis-secretsd serve"
[ "$(admin 1 get made_meanwhile)" = "$made" ] || fail "the one that comes back has another value"
echo "without one of them, the others go on"

# The vault of the first host goes to an etcd that has lost everything, as one does that was there before.
for node in host-1 host-2 host-3; do
    stop "$node"
done
ask_etcd del --prefix /jarvis-secretsd/
run_at host-1 "$(pasted "$page" '### With a vault that is there')" >"$DIR/said" 2>&1 || fail "not copied: $(cat "$DIR/said")"
serve host-1 "jarvis-secretsd serve"
serve host-2 "jarvis-secretsd serve"
serve host-3 "jarvis-secretsd serve"
for number in 1 2 3; do
    [ "$(admin "$number" get made_meanwhile)" = "$made" ] || fail "host-$number has lost a value"
    run_at "host-$number" "jarvis-secretsd audit verify" >"$DIR/said" 2>&1 || fail "host-$number: $(cat "$DIR/said")"
done
echo "a lost etcd is restored from a daemon's copy"
