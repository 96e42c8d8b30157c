# Three daemons on one vault and three members of etcd, all on this machine, beside one daemon and its file. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

CLUSTER=(one two three)

# start_members: three members of etcd on loopback, without TLS. Sets ENDPOINTS, which are separated by commas.
start_members() {
    local member endpoints=() peers=() network=127.$((RANDOM % 254 + 1)).$((RANDOM % 256))
    for member in 1 2 3; do
        peers+=("m$member=http://$network.$member:2380")
        endpoints+=("http://$network.$member:2379")
    done
    ENDPOINTS=$(IFS=, && echo "${endpoints[*]}")
    for member in 1 2 3; do
        etcd --name "m$member" --data-dir "$STATE/etcd$member" --logger zap --log-level error --pre-vote \
            --listen-client-urls "${endpoints[member - 1]}" --advertise-client-urls "${endpoints[member - 1]}" \
            --listen-peer-urls "http://$network.$member:2380" --initial-advertise-peer-urls "http://$network.$member:2380" \
            --initial-cluster "$(IFS=, && echo "${peers[*]}")" --auto-compaction-mode periodic \
            --auto-compaction-retention 10m >"$STATE/etcd$member.log" 2>&1 &
        PEERS+=("$!")
    done
    await "etcd answers" curl -fs -o /dev/null "${endpoints[0]}/health"
}

start_cluster() {
    local node
    start_members
    head -c 32 /dev/urandom >"$STATE/cluster.key"
    chmod 600 "$STATE/cluster.key"
    for node in "${CLUSTER[@]}"; do
        at "$node"
        mkdir -p "$DIR/secrets"
        cp -p "$STATE/cluster.key" "$DIR/secrets/master.key"
        printf '[storage]\nkind = "etcd"\nendpoints = ["%s"]\nnode = "%s"\n' "${ENDPOINTS//,/\", \"}" "$node" \
            >>"$DIR/config.toml"
        start "$node"
    done
}

# together KEY: 16 writers at each daemon at the same time; samples of the slowest, the fastest, all of them and the largest P99.
together() {
    local node rates=() slowest=0
    for node in "${CLUSTER[@]}"; do
        wrk -t 1 -c 16 -d "$((SECONDS_EACH * 2))s" --timeout 10s -s tests/bench/write.lua "${URLS[$node]}" "${AS[@]}" -- \
            ours "bench_${node}_" 64 1000 >"$STATE/report.$node" &
    done
    wait $(jobs -p | tail -n 3)
    for node in "${CLUSTER[@]}"; do
        read_report "$STATE/report.$node"
        rates+=("$RATE")
        slowest=$(calc "($P99 > $slowest) ? $P99 : $slowest")
    done
    sample "$1 slowest" "$(printf '%s\n' "${rates[@]}" | sort -g | sed -n 1p)"
    sample "$1 fastest" "$(printf '%s\n' "${rates[@]}" | sort -g | sed -n '$p')"
    sample "$1 all" "$(calc "${rates[0]} + ${rates[1]} + ${rates[2]}")"
    sample "$1 p99" "$(calc "$slowest / 1000")"
}

measure_cluster() {
    local round connections daemon
    for ((round = 1; round <= ROUNDS; round++)); do
        echo "several daemons, round $round of $ROUNDS" >&2
        for connections in 1 16 64; do
            for daemon in alone one; do
                load "$SECONDS_EACH" "$connections" report "${URLS[$daemon]}/secret/postgres_password" "${AS[@]}"
                sample "read $daemon $connections" "$RATE"
                sample "read p50 $daemon $connections" "$P50"
            done
        done
        for daemon in alone one; do
            load "$SECONDS_EACH" 16 write "${URLS[$daemon]}" "${AS[@]}" -- ours bench_ 64 1000
            sample "write $daemon" "$RATE"
        done
        load "$SECONDS_EACH" 16 put "${ENDPOINTS%%,*}" -- 350 1000
        sample put "$RATE"
        together three
    done
}

cluster() {
    local daemon connections limit
    need etcd
    start alone
    start_cluster
    as admin
    for daemon in alone one; do
        "${CURL[@]}" -fsS -o "$STATE/answer" "${AS[@]}" -d '{"name":"postgres_password","generate":true}' \
            "${URLS[$daemon]}/secret"
    done
    measure_cluster
    heading 'Three daemons on one vault, with three members of etcd on the same machine'
    for connections in 1 16 64; do
        case $connections in 1) limit='' ;; 16) limit='>= 0.3' ;; 64) limit='>= 0.5' ;; esac
        row "Read over $connections kept connections, at one of them" /s "$(median "read one $connections")" \
            "one daemon and its file" "$(median "read alone $connections")" "$limit"
    done
    row "A lone read's median" µs "$(median 'read p50 one 1')" "one daemon and its file" "$(median 'read p50 alone 1')"
    row "16 writers at one of them" /s "$(median 'write one')" "16 clients that put 350 bytes into etcd" "$(median put)" '>= 1.0'
    row "16 writers at one of them" /s "$(median 'write one')" "one daemon and its file" "$(median 'write alone')"
    row "16 writers at each of them" /s "$(median 'three all')" "16 at one of them" "$(median 'write one')"
    row "The slowest of the three" /s "$(median 'three slowest')" "the fastest" "$(median 'three fastest')" '>= 0.5'
    row "A write's 99th percentile then" ms "$(median 'three p99')" "250 ms" 250 'value <= 250'
    for daemon in "${CLUSTER[@]}" alone; do
        stop "$daemon"
    done
}
