# Durable writes, against RustyVault's, and how long a read takes beside them. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# syncs: how often vault and audit log were synced.
syncs() {
    echo $(($(metric vault_syncs_total) + $(metric audit_syncs_total)))
}

measure_writes() {
    local round connections before
    for ((round = 1; round <= ROUNDS; round++)); do
        echo "writes, round $round of $ROUNDS" >&2
        for connections in 1 16; do
            before=$(syncs)
            load "$SECONDS_EACH" "$connections" write "$URL" "${AS[@]}" -- ours bench_ 64 1000
            sample "write ours $connections" "$RATE"
            sample "syncs $connections" "$(calc "($(syncs) - $before) / 2")"
            sample "written $connections" "$(calc "int($RATE * $TOOK / 1e6)")"
            load "$SECONDS_EACH" "$connections" write "$RV_URL" "${RV_AS[@]}" -- rustyvault bench_ 64 1000
            sample "write rustyvault $connections" "$RATE"
        done
    done
}

# Reads at a pace, alone and while 16 writers write as fast as they can; and what that does to a daemon that they do not touch,
# with which the first has nothing in common but the processors.
measure_reads_beside_writes() {
    local round read bystander
    read=$URL/secret/bench_1
    start bystander
    bystander=$URL/healthz
    at writes
    for ((round = 1; round <= ROUNDS; round++)); do
        echo "reads beside writes, round $round of $ROUNDS" >&2
        ask_at_a_pace alone "$read"
        ask_at_a_pace "bystander alone" "$bystander"
        load_until_finished 16 write "$URL" "${AS[@]}" -- ours bench_ 64 1000
        ask_at_a_pace beside "$read"
        ask_at_a_pace "bystander beside" "$bystander"
        finish
    done
    stop bystander
    at writes
}

# ask_at_a_pace KEY URL: samples of an answer's median and 99th percentile, in microseconds.
ask_at_a_pace() {
    load "$SECONDS_EACH" 4 pace "$2" "${AS[@]}"
    sample "p50 $1" "$P50"
    sample "p99 $1" "$P99"
}

writes() {
    start writes
    measure_writes
    measure_reads_beside_writes
    heading 'Writes: `POST /secret` of 64 bytes over 1,000 names, synced in vault and audit log before the answer'
    row "1 writer" /s "$(median 'write ours 1')" "RustyVault, not synced" "$(median 'write rustyvault 1')"
    row "16 writers" /s "$(median 'write ours 16')" "RustyVault, not synced" "$(median 'write rustyvault 16')" '>= 1.0'
    row "16 writers: writes acknowledged" "" "$(median 'written 16')" "pairs of syncs for them" "$(median 'syncs 16')" '>= 8'
    row "A read's median while 16 writers write" µs "$(median 'p50 beside')" "while nobody writes" "$(median 'p50 alone')"
    row "A read's 99th percentile while 16 writers write" µs "$(median 'p99 beside')" "while nobody writes" \
        "$(median 'p99 alone')" '<= 2'
    row "The same of \`/healthz\` of a second daemon, which nobody writes to" µs "$(median 'p99 bystander beside')" \
        "while nobody writes to the first" "$(median 'p99 bystander alone')"
    stop writes
}
