# A long audit log: what it costs to verify it, and to start with it. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# lengthen: reads a secret until the audit log has LINES lines.
lengthen() {
    local lines
    while lines=$(wc -l <"$DIR/audit/audit.jsonl") && [ "$lines" -lt "$LINES" ]; do
        echo "audit log: $(many "$lines") of $(many "$LINES") lines" >&2
        # What the rate of the last run takes for the rest; a minute at most, to say how far it is.
        load "$(calc "((s = int(($LINES - $lines) / ${RATE:-20000}) + 1) > 60) ? 60 : s")" 16 report \
            "$URL/secret/postgres_password" "${AS[@]}"
    done
}

audit() {
    local round lines bytes verified summed log
    [ -n "${URLS[ours]:-}" ] || prepare_reads
    at ours
    log=$DIR/audit/audit.jsonl
    as db
    RATE=
    lengthen
    stop ours
    start fresh
    stop fresh
    for ((round = 1; round <= STARTS; round++)); do
        started_in ours
        sample "start long" "$TOOK"
        stop ours
        started_in fresh
        sample "start fresh" "$TOOK"
        stop fresh
    done
    lines=$(wc -l <"$log")
    bytes=$(stat -c %s "$log")
    echo "verifying $(many "$lines") lines" >&2
    summed=$(seconds sha256sum "$log")
    verified=$(seconds "$BINARY" audit verify "$log")
    heading "Audit log of $(many "$lines") lines, $(calc "int($bytes / 1e6)") MB"
    row '`audit verify`: hashes, chain and signatures' s "$verified" 'sha256sum of the file' "$summed"
    row '`audit verify`' lines/s "$(calc "$lines / $verified")" 'signatures a second that openssl verifies on one core' \
        "$(openssl_verifies)"
    row "First healthy answer after the start with it" ms "$(median "start long")" "with a new one" \
        "$(median "start fresh")" '<= 1.3'
}

# openssl_verifies: how many Ed25519 signatures a second openssl verifies.
openssl_verifies() {
    openssl speed -seconds "$SECONDS_EACH" ed25519 2>/dev/null | awk '/Ed25519/ { print $NF }'
}
