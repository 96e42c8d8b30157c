# What a compaction of many secrets costs, and whom it holds up. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# add_ballast: versions of one secret, until they are more than half of the file. All are in their grace period, so nothing
# of it is dead before that secret is deleted.
add_ballast() {
    local live
    live=$(metric vault_size_bytes)
    until [ "$(metric vault_size_bytes)" -gt $((live * 21 / 10)) ]; do
        load 1 4 write "$URL" "${AS[@]}" -- ours ballast_ 65536 1
    done
}

# compact_beside COMMAND...: deletes the ballast, with whose answer a compaction begins, and lets the load that the command
# starts run until the compaction has ended; a sample of the milliseconds.
compact_beside() {
    local begin end from
    add_ballast
    from=$(($(wc -l <"$DIR/log") + 1))
    begin=${EPOCHREALTIME/./}
    "${CURL[@]}" -fsS -o "$STATE/answer" -X DELETE "${AS[@]}" "$URL/secret/ballast_0"
    "$@"
    grep -q 'Vault compacted' <(tail -n "+$from" -f --pid="$PID" "$DIR/log")
    end=${EPOCHREALTIME/./}
    # Before anything else is started, which would be measured too.
    finish
    sample "compaction $SIZE" "$(((end - begin) / 1000))"
    sample "record $SIZE" "$(calc "$(metric vault_size_bytes) / $(metric 'vault_records{state="live"}')")"
}

# write_plainly: a sample of the milliseconds in which dd writes and syncs as many bytes.
write_plainly() {
    local took
    took=$(seconds dd if=/dev/zero of="$STATE/plain" bs=64K count="$(($(metric vault_size_bytes) / 65536))" \
        conv=fsync status=none)
    sample "plain $SIZE" "$(calc "$took * 1000")"
    rm "$STATE/plain"
}

# compact BYTES: samples of it with MANY secrets of that size.
compact() {
    local SIZE=$1 round rounds=5
    [ "$SIZE" -lt 4096 ] || rounds=1
    start "$SIZE-$MANY"
    for ((round = 1; round <= rounds; round++)); do
        echo "compaction of $(many "$MANY") secrets of $SIZE bytes, round $round of $rounds" >&2
        load "$SECONDS_EACH" 4 pace "$URL/secret/s_1" "${AS[@]}"
        sample "p99 quiet $SIZE" "$P99"
        compact_beside load_until_finished 4 pace "$URL/secret/s_1" "${AS[@]}"
        sample "p99 compaction $SIZE" "$P99"
        load "$SECONDS_EACH" 1 write "$URL" "${AS[@]}" -- ours w_ "$SIZE" 1000
        sample "stall quiet $SIZE" "$(calc "$MAX / 1000")"
        compact_beside load_until_finished 1 write "$URL" "${AS[@]}" -- ours w_ "$SIZE" 1000
        sample "stall compaction $SIZE" "$(calc "$MAX / 1000")"
        write_plainly
    done
    stop "$SIZE-$MANY"
}

compaction_rows() {
    local size=$1
    row "Compaction of $(many "$MANY") secrets" ms "$(median "compaction $size")" "dd writes and syncs as many bytes" \
        "$(median "plain $size")"
    row "The file after it, a secret" bytes "$(median "record $size")" "its value" "$size"
    row "A read's 99th percentile during it" µs "$(median "p99 compaction $size")" "before it" \
        "$(median "p99 quiet $size")" '<= 3'
    row "The longest that one writer waits during it" ms "$(median "stall compaction $size")" "before it" \
        "$(median "stall quiet $size")"
}
