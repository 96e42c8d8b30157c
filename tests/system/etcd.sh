# Three members of an etcd, on hosts of their own (hosts.sh), with TLS and client certificates. To be sourced behind hosts.sh.
# shellcheck shell=bash

MEMBERS=(etcd1 etcd2 etcd3)
# Of each member, by its name: its process, and its id in the etcd, which it has when the etcd was started.
declare -A MEMBER_PID=() MEMBER_ID=()
# What they are started with besides what all of them need.
ETCD_OPTIONS=()

# new_etcd: the hosts, certificates and data of an etcd, which is not started yet. Sets ETCD, its directory, and ENDPOINTS, which
# are separated by commas.
new_etcd() {
    need etcd etcdctl openssl
    local number member endpoints=() peers=()
    ETCD=$DIR/etcd
    mkdir "$ETCD"
    for number in "${!MEMBERS[@]}"; do
        member=${MEMBERS[number]}
        new_host "$member" $((number + 11))
        endpoints+=("https://${ADDRESS[$member]}:2379")
        peers+=("$member=https://${ADDRESS[$member]}:2380")
    done
    ENDPOINTS=$(IFS=, && echo "${endpoints[*]}")
    PEERS=$(IFS=, && echo "${peers[*]}")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$ETCD/ca.key" -out "$ETCD/ca.pem" -days 36500 \
        -subj /CN=etcd-ca -addext keyUsage=critical,keyCertSign,cRLSign 2>"$ETCD/openssl.log"
    # A member is a client of the others, and of itself: that is how its JSON gateway asks. Proxies on other hosts pose as members.
    # On the loopback device, each of them comes from 127.0.0.1, which a member compares with the certificate.
    etcd_certificate member serverAuth,clientAuth "$(printf "IP:$NETWORK.%s," {11..29})IP:127.0.0.1"
    etcd_certificate client clientAuth DNS:client.invalid
}

# etcd_certificate FILE USAGE NAMES: a certificate without a common name, which would be taken for an etcd user.
etcd_certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$ETCD/$1.key" -out "$ETCD/request" \
        -subj "/O=jarvis-secretsd tests" 2>"$ETCD/openssl.log"
    openssl x509 -req -in "$ETCD/request" -CA "$ETCD/ca.pem" -CAkey "$ETCD/ca.key" -days 36500 -out "$ETCD/$1.pem" \
        -extfile <(printf 'extendedKeyUsage = %s\nsubjectAltName = %s\n' "$2" "$3") 2>"$ETCD/openssl.log"
}

# start_etcd: starts all members on the data that is there or anew, and waits until they have a leader.
start_etcd() {
    local member
    for member in "${MEMBERS[@]}"; do
        start_member "$member"
    done
    await "etcd has a leader: $(tail -n 3 "$ETCD"/*.log)" etcd_leader >/dev/null
}

# start_member NAME: starts it. Snapshots of its log and the compaction of its history come early, so that tests have some.
start_member() {
    local client=https://${ADDRESS[$1]}:2379 peer=https://${ADDRESS[$1]}:2380
    start_on "$1" "$ETCD/$1.log" etcd --name "$1" --data-dir "$ETCD/$1" --logger zap --log-level warn \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "$PEERS" \
        --trusted-ca-file "$ETCD/ca.pem" --cert-file "$ETCD/member.pem" --key-file "$ETCD/member.key" --client-cert-auth \
        --peer-trusted-ca-file "$ETCD/ca.pem" --peer-cert-file "$ETCD/member.pem" --peer-key-file "$ETCD/member.key" \
        --peer-client-cert-auth --pre-vote --snapshot-count 1000 \
        --auto-compaction-mode revision --auto-compaction-retention 1000 "${ETCD_OPTIONS[@]}"
    MEMBER_PID[$1]=$STARTED
}

# kill_member NAME: as if its host had lost power.
kill_member() {
    end_all "${MEMBER_PID[$1]}"
    unset "MEMBER_PID[$1]"
}

# freeze_member NAME, thaw_member NAME: it stands still, with its connections open; it goes on.
freeze_member() { kill -STOP "${MEMBER_PID[$1]}"; }
thaw_member() { kill -CONT "${MEMBER_PID[$1]}"; }

# part_member NAME, reunite_member NAME: it is cut off from the other members, but not from their clients; it is not any more.
part_member() { part "$1" $(other_members "$1"); }
reunite_member() { reunite "$1" $(other_members "$1"); }

other_members() { printf '%s\n' "${MEMBERS[@]}" | grep -vx "$1"; }

# end_etcd: kills all members.
end_etcd() {
    [ "${#MEMBER_PID[@]}" -eq 0 ] || end_all "${MEMBER_PID[@]}"
    MEMBER_PID=()
}

# ask_etcd ARGUMENT...: what etcdctl says, of all members.
ask_etcd() { ask_members "$ENDPOINTS" "$@"; }

# ask_member NAME ARGUMENT...: what etcdctl says, of that one.
ask_member() { ask_members "https://${ADDRESS[$1]}:2379" "${@:2}"; }

ask_members() {
    ETCDCTL_API=3 etcdctl --endpoints "$1" --cacert "$ETCD/ca.pem" --cert "$ETCD/client.pem" --key "$ETCD/client.key" \
        --dial-timeout 1s "${@:2}"
}

# etcd_leader: prints the member that leads now; fails if there is none that a member knows. One that is cut off or frozen may
# take itself for the leader of a term that is over.
etcd_leader() {
    local member term=0 its_term leader='' its_leader id
    for member in "${!MEMBER_PID[@]}"; do
        read -r id its_leader its_term < <(member_status "$member") || continue
        MEMBER_ID[$id]=$member
        if [ "$its_leader" != 0 ] && [ "$its_term" -gt "$term" ]; then
            term=$its_term leader=$its_leader
        fi
    done
    [ -n "$leader" ] && [ -n "${MEMBER_ID[$leader]:-}" ] && echo "${MEMBER_ID[$leader]}"
}

# member_status NAME: its id, that of its leader, and its term.
member_status() {
    ask_member "$1" --command-timeout 1s endpoint status --write-out fields 2>/dev/null |
        awk '{ value[$1] = $3 } END { if (!("\"Leader\"" in value)) exit 1
            print value["\"MemberID\""], value["\"Leader\""], value["\"RaftTerm\""] }'
}

# a_follower: prints a member that runs and does not lead.
a_follower() {
    local leader
    leader=$(etcd_leader) && other_members "$leader" | sed -n 1p
}

# save_etcd FILE: saves all that it holds.
save_etcd() { ask_member "${MEMBERS[0]}" snapshot save "$1" >/dev/null 2>"$ETCD/etcdctl.log" || fail "$(cat "$ETCD/etcdctl.log")"; }

# restore_etcd FILE [OPTION...]: kills the members and starts them with what was saved, and nothing else.
restore_etcd() {
    local member
    end_etcd
    for member in "${MEMBERS[@]}"; do
        rm -r "${ETCD:?}/$member"
        ETCDCTL_API=3 etcdctl snapshot restore "$1" --name "$member" --data-dir "$ETCD/$member" --initial-cluster "$PEERS" \
            --initial-advertise-peer-urls "https://${ADDRESS[$member]}:2380" "${@:2}" >"$ETCD/etcdctl.log" 2>&1 ||
            fail "$(cat "$ETCD/etcdctl.log")"
    done
    start_etcd
}

# etcd_dump PREFIX: all keys with that prefix, and their values.
etcd_dump() { ask_etcd get --prefix "$1" --write-out json | jq -r '.kvs[] | .key, .value' | base64 -d; }

# etcd_revision: how many changes it has had.
etcd_revision() { ask_etcd get / --write-out fields | awk '$1 == "\"Revision\"" { print $3 }'; }

# raise_revision NUMBER: changes what is of no interest to anybody until it has had so many.
raise_revision() {
    local revision
    revision=$(etcd_revision)
    while [ "$revision" -lt "$1" ]; do
        ask_etcd put /elsewhere "$revision" >/dev/null
        revision=$((revision + 1))
    done
}

# fill_etcd: writes until its quota is used up, which is 2 GB if no ETCD_OPTIONS say otherwise.
fill_etcd() {
    local number
    for ((number = 0; ; number++)); do
        head -c 500000 /dev/zero | tr '\0' x | ask_etcd put "/filling/$number" >/dev/null 2>"$ETCD/etcdctl.log" || break
    done
    grep -q 'database space exceeded' "$ETCD/etcdctl.log" || fail "etcd is not full: $(cat "$ETCD/etcdctl.log")"
}

# empty_etcd: takes away what fill_etcd has written, and all of the history. The alarm stays.
empty_etcd() {
    ask_etcd del --prefix /filling/ >/dev/null
    ask_etcd compact --physical "$(etcd_revision)" >/dev/null
    ask_etcd defrag >/dev/null
}

# disarm_etcd: lets it write again, as its operator does.
disarm_etcd() { ask_etcd alarm disarm >/dev/null; }
