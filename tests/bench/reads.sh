# Reads, against RustyVault, nginx, the connection layer alone, and the same over TLS. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

# ask SERVER: sets REQUEST, the URL and the headers of a read from it.
ask() {
    case $1 in
        ours | tls) REQUEST=("${URLS[$1]}/secret/postgres_password" "${AS[@]}") ;;
        healthz) REQUEST=("${URLS[ours]}/healthz") ;;
        rustyvault) REQUEST=("$RV_URL/v1/secret/postgres_password" "${RV_AS[@]}") ;;
        nginx) REQUEST=("$NGINX_URL/secret") ;;
    esac
}

# prepare_reads: one value, in all of them.
prepare_reads() {
    local value daemon
    start ours
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$STATE/tls.key" -out "$STATE/tls.pem" 2>/dev/null
    at tls
    printf '[server.tls]\ncert_path = "%s"\nkey_path = "%s"\n' "$STATE/tls.pem" "$STATE/tls.key" >>"$DIR/config.toml"
    CURL=(curl --cacert "$STATE/tls.pem")
    SCHEME=https start tls
    as admin
    value=$(openssl rand -base64 32)
    for daemon in ours tls; do
        "${CURL[@]}" -fsS -o "$STATE/answer" "${AS[@]}" \
            -d "{\"name\":\"postgres_password\",\"value\":\"$value\"}" "${URLS[$daemon]}/secret"
    done
    curl -fsS -o "$STATE/answer" "${RV_AS[@]}" -d "{\"value\":\"$value\"}" "$RV_URL/v1/secret/postgres_password"
    as db
    ask ours
    curl -fsS -o "$STATE/www/secret" "${REQUEST[@]}"
}

measure_reads() {
    local round way server options connections
    for ((round = 1; round <= ROUNDS; round++)); do
        echo "reads, round $round of $ROUNDS" >&2
        for way in 1 16 new; do
            for server in ours rustyvault nginx healthz tls; do
                options=() connections=$way
                [ "$way" != new ] || { options=(-H 'Connection: close') connections=16; }
                ask "$server"
                load "$SECONDS_EACH" "$connections" report "${REQUEST[@]}" "${options[@]}"
                sample "read $server $way" "$RATE"
            done
        done
    done
}

reads() {
    local way how rate
    prepare_reads
    measure_reads
    heading 'Reads: `GET /secret/{name}`, authenticated by a token and audited'
    for way in 1 16 new; do
        case $way in
            1) how="over 1 kept connection" ;;
            16) how="over 16 kept connections" ;;
            new) how="with a new connection each, 16 at a time" ;;
        esac
        rate=$(median "read ours $way")
        row "Read $how" /s "$rate" "RustyVault, not audited" "$(median "read rustyvault $way")" '>= 3'
        row "Read $how" /s "$rate" "nginx, the same bytes from a file, access log on" "$(median "read nginx $way")" '>= 0.6'
        row "Read $how" /s "$rate" '`GET /healthz`: the connection layer alone' "$(median "read healthz $way")"
        row "Read over TLS, $how" /s "$(median "read tls $way")" "the same without TLS" "$rate" \
            "$([ "$way" = new ] || echo '>= 0.7')"
    done
    stop tls
}
