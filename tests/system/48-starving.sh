#!/usr/bin/env bash
# A flood of what needs no credential starves nobody: of the reads of a client with a token, from where the flood comes from and
# from another address, at most one in twenty fails, with 1 secret and with 50,000. The hosts are addresses in a network
# namespace of the test's own, which reach nothing else.
source "$(dirname "$0")/lib.sh"
need awk curl ip seq unshare wrk

if [ "${1:-}" != inside ]; then
    unshare --map-root-user --net true 2>/dev/null || { echo "missing: the right to make a network namespace" >&2; exit 77; }
    # lib.sh has changed the directory.
    exec env BINARY="$(realpath "$BINARY")" unshare --map-root-user --net "tests/system/$(basename "$0")" inside
fi

ip link set lo up
for host in 1 3; do
    ip address add "192.0.2.$host/32" dev lo
done
new_state
FLOOD=''
trap '[ -z "$FLOOD" ] || kill -KILL "$FLOOD" 2>/dev/null; clean_up' EXIT
read -r token hash <<<"$("$BINARY" token backend 2>/dev/null | sed 's/.*"\(.*\)".*/\1/' | tr '\n' ' ')"
printf '[clients.backend]\nallow = ["*"]\nadmin = true\ntoken_sha256 = ["%s"]\n' "$hash" >"$DIR/policy.toml"
sed -i 's/127\.0\.0\.1:0/192.0.2.1:8081/' "$DIR/config.toml"
# Otherwise nothing would be looked at of an address that fails so often.
printf 'auth_failures_per_minute = 0\n' >>"$DIR/config.toml"
start_daemon
as_backend=(-H 'X-Jarvis-Client: backend' -H "Authorization: Bearer $token")

# Sixteen requests at a time, and the answers after.
cat >"$DIR/pipeline.lua" <<'END'
function init()
   requests = string.rep(wrk.format("GET"), 16)
end

function request()
   return requests
end
END

reads=100
for ((read = 0; read < reads; read++)); do
    printf 'url = "%s/secret/small"\noutput = "%s"\n' "$URL" "$DIR/read"
done >"$DIR/reads"

# failures HOST [CURL OPTION...]: how many reads of that host are answered otherwise than 200, or not at all.
failures() {
    curl -s -K "$DIR/reads" --max-time 60 --interface "192.0.2.$1" "${as_backend[@]}" "${@:2}" -w '%{http_code}\n' |
        awk -v reads="$reads" '$1 == 200 { good++ } END { print reads - good }'
}

# starves PATH: floods with that, and checks what is left for others.
starves() {
    local host how failed options
    wrk -t 1 -c 600 -d 600s -s "$DIR/pipeline.lua" "$URL$1" >"$DIR/flood" 2>&1 &
    FLOOD=$!
    for host in 1 3; do
        for how in kept new; do
            options=()
            [ "$how" = kept ] || options=(-H 'Connection: close')
            failed=$(failures "$host" "${options[@]}")
            echo "$1, $secrets secrets: 192.0.2.$host, $how connections: $failed of $reads reads fail"
            [ "$failed" -le $((reads / 20)) ] || starved+=("$1")
        done
    done
    kill -INT "$FLOOD"
    wait "$FLOOD" || true
    FLOOD=''
}

store() { curl -fsS -o "$DIR/answer" "${as_backend[@]}" -d "$1" "$URL/$2"; }
starved=() secrets=1
store '{"name":"small","value":"served"}' secret
for path in /metrics /openapi.json /nowhere /secret/small /healthz; do
    starves "$path"
done

secrets=50000
for ((from = 2; from <= secrets; from += 5000)); do
    seq -f '{"name":"n%.0f","value":"v"}' -s , "$from" "$((from + 4999 < secrets ? from + 4999 : secrets))" |
        sed 's/^/{"secrets":[/; s/$/]}/' >"$DIR/many"
    store "@$DIR/many" secrets
done
starves /metrics
[ "${#starved[@]}" = 0 ] || fail "starved by ${starved[*]}"
stop_daemon
"$BINARY" audit verify "$DIR/audit/audit.jsonl" >"$DIR/verified" || fail "the audit log does not verify"
