# What it costs to have many secrets: 100, 10,000 and 100,000, of 64 bytes and of 16 KiB. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# fill BYTES COUNT: creates so many secrets of that size, or with values that the daemon makes if that is `generated`.
fill() {
    local batch=100
    [ "$1" != 16384 ] || batch=20
    load 600 4 fill "$URL" "${AS[@]}" -- s_ "$1" "$2" "$batch"
    [ "$(metric secrets)" = "$2" ] || fail "not every secret was created"
}

# grow BYTES: a daemon of each number of secrets of that size; samples of their memory, as they were filled and when they
# have been started anew, of those starts, and of hashing the vault as the daemon does at the start.
grow() {
    local size=$1 count daemon round starts=$STARTS
    [ "$size" -lt 4096 ] || starts=$(((STARTS + 3) / 4))
    for count in "${COUNTS[@]}"; do
        echo "$(many "$count") secrets of $size bytes" >&2
        start "$size-$count"
        fill "$size" "$count"
        sample "filled $size-$count" "$(resident_kib "$PID")"
        stop "$size-$count"
    done
    for ((round = 1; round <= starts; round++)); do
        for count in "${COUNTS[@]}"; do
            daemon=$size-$count
            started_in "$daemon"
            sample "start $daemon" "$TOOK"
            sample "hash $daemon" "$(seconds sha256sum "$DIR/secrets/vault.json")"
            sample "started $daemon" "$(resident_kib "${PIDS[$daemon]}")"
            stop "$daemon"
        done
    done
}

# compare_few_and_many BYTES: 2,000 new secrets by 16 writers, and pages of the list, at a daemon of few secrets and at one
# of many in turn; samples of the microseconds, and of the processor's, that one takes. The few are put back each time.
compare_few_and_many() {
    local size=$1 few=$1-$FEW many=$1-$MANY round daemon before writes=2000
    at "$few"
    cp -r "$DIR" "$STATE/few"
    start "$many"
    for ((round = 1; round <= ROUNDS * 2; round++)); do
        echo "few and many secrets of $size bytes, round $round of $((ROUNDS * 2))" >&2
        start "$few"
        for daemon in "$few" "$many"; do
            at "$daemon"
            load 1 1 report "$URL/secrets?limit=100" "${AS[@]}"
            sample "list $daemon" "$P50"
            before=$(metric process_cpu_seconds_total)
            load 60 16 fill "$URL" "${AS[@]}" -- "new${round}_" "$size" "$writes" 1
            sample "write $daemon" "$(calc "$TOOK / $writes")"
            sample "cpu $daemon" "$(calc "($(metric process_cpu_seconds_total) - $before) * 1e6 / $writes")"
        done
        stop "$few"
        rm -r "$DIR"
        cp -r "$STATE/few" "$DIR"
    done
    rm -r "$STATE/few"
    stop "$many"
}

# above BYTES COUNT KEY: the bytes above its value that a secret adds to the memory sampled as KEY, which FEW have a part in.
above() {
    calc "($(median "$3 $1-$2") - $(median "$3 $1-$FEW")) * 1024 / ($2 - $FEW) - $1"
}

growth_rows() {
    local size=$1 few=$1-$FEW many=$1-$MANY count
    row "New secret, 16 writers, with $(many "$MANY") secrets" µs "$(median "write $many")" "with $FEW" \
        "$(median "write $few")" '<= 1.3'
    row "Processor time of that" µs "$(median "cpu $many")" "with $FEW" "$(median "cpu $few")"
    row "Page of 100 of the list, with $(many "$MANY") secrets" µs "$(median "list $many")" "with $FEW" \
        "$(median "list $few")" '<= 1.3'
    for count in "${COUNTS[@]:1}"; do
        row "First healthy answer after the start, with $(many "$count") secrets" ms "$(median "start $size-$count")" \
            "with $FEW" "$(median "start $few")" "$([ "$size-$count" != 64-10000 ] || echo 'value <= 30')"
        row "Start, a secret of $(many "$count")" µs "$(calc "$(median "start $size-$count") * 1000 / $count")" \
            "sha256sum of the vault's file" "$(calc "$(median "hash $size-$count") * 1e6 / $count")" 'value <= 10'
        row "Memory a secret above its value, $(many "$count") created" bytes "$(above "$size" "$count" filled)" \
            "the value" "$size" 'value <= 1024'
        row "Memory a secret above its value, started with $(many "$count")" bytes "$(above "$size" "$count" started)" \
            "the value" "$size" 'value <= 1024'
    done
}

growth() {
    local size
    for size in 64 16384; do
        grow "$size"
        compare_few_and_many "$size"
        compact "$size"
        heading "Growth: values of $size bytes"
        growth_rows "$size"
        compaction_rows "$size"
        for count in "${COUNTS[@]}"; do
            rm -r "${DIRS[$size-$count]}"
        done
    done
}
