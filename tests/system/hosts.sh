# Hosts of a system test: each is a network namespace with an address of its own, on one network that nothing else reaches. To be
# sourced behind lib.sh, by a test that has called in_own_network; the test itself is on the network, too.
#
# Without a network the hosts are addresses of the loopback device, which cannot be unplugged.
# shellcheck shell=bash

NETWORK=192.0.2
# Of each host, by its name: its address, and the process that holds its namespace.
declare -A ADDRESS=() HOLDER=()

# new_network: makes the network, on which the test is host 100.
new_network() {
    ip link add name network type bridge
    ip address add "$NETWORK.100/24" dev network
    ip link set network up
}

# on_loopback: lets hosts be addresses of the loopback device. They are random, so that no two tests have the same.
on_loopback() { NETWORK=127.$((RANDOM % 254 + 1)).$((RANDOM % 256)); }

# new_host NAME NUMBER: a host with that number in the network.
new_host() {
    ADDRESS[$1]=$NETWORK.$2
    [[ $NETWORK != 127.* ]] || return 0
    unshare --net sleep infinity &
    HOLDER[$1]=$!
    await "$1 has its namespace" has_own_namespace "${HOLDER[$1]}"
    ip link add name "$1" type veth peer name eth0 netns "${HOLDER[$1]}"
    ip link set "$1" master network up
    on "$1" ip link set lo up
    on "$1" ip address add "${ADDRESS[$1]}/24" dev eth0
    on "$1" ip link set eth0 up
}

has_own_namespace() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

# on NAME COMMAND...: runs it on that host.
on() { ${HOLDER[$1]:+nsenter --target "${HOLDER[$1]}" --net} "${@:2}"; }

# start_on NAME OUTPUT COMMAND...: starts it there, with what it says behind what that file has already. Sets STARTED, its process.
start_on() {
    ${HOLDER[$1]:+nsenter --target "${HOLDER[$1]}" --net} "${@:3}" >>"$2" 2>&1 </dev/null &
    STARTED=$!
}

# unplug NAME, plug_in NAME: no packet comes to that host or from it any more; all do again.
unplug() { ip link set "$1" down; }
plug_in() { ip link set "$1" up; }

# part NAME OTHER..., reunite NAME OTHER...: the same for packets between that host and the others.
part() { between replace "$@"; }
reunite() { between delete "$@"; }

between() {
    local other
    for other in "${@:3}"; do
        on "$2" ip route "$1" blackhole "${ADDRESS[$other]}"
        on "$other" ip route "$1" blackhole "${ADDRESS[$2]}"
    done
}

# end_hosts: ends what holds them.
end_hosts() {
    [ "${#HOLDER[@]}" -eq 0 ] || end_all "${HOLDER[@]}"
    HOLDER=()
}

# end_all PROCESS...: kills these, which the test has started, frozen or not, and waits for their end.
end_all() { { kill -KILL "$@" && wait "$@" || true; } 2>/dev/null; }
