# What the test of the monitoring and the picture of the dashboard share: a Prometheus that watches the daemon of lib.sh,
# and requests for it to see. To be sourced behind lib.sh.
# shellcheck shell=bash

# shellcheck disable=SC2034  # for what sources this
DASHBOARD=contrib/grafana-dashboard-secrets.json
PROMETHEUS='' PROMETHEUS_PID=''

# try WHAT COMMAND...: runs it; what it prints is shown if it fails.
try() {
    local what=$1
    shift
    "$@" >"$DIR/checks" 2>&1 || fail "$what: $(cat "$DIR/checks")"
}

# rows HEADING: the table below that heading of the handbook, without its head.
rows() { awk -v heading="$1" '/^#/ { below = $0 == heading } below && /^\| `/' docs/monitoring.md; }

# metrics_of FILE: the handbook's table of the metrics, as that page of /metrics says it.
metrics_of() {
    awk '
        function row() { if (name) printf "| `%s` | %s | %s | %s |\n", name, type, labels, help }
        $2 == "HELP" {
            row()
            name = $3; sub(/^jarvis_secretsd_/, "", name); sub(/^# HELP [^ ]* /, ""); help = $0; labels = ""
            next
        }
        $2 == "TYPE" { type = $4; next }
        !labels && match($0, /{.*}/) {
            labels = substr($0, RSTART + 1, RLENGTH - 2); gsub(/="[^"]*"/, "", labels); sub(/,le$/, "", labels)
            gsub(/[a-z]+/, "`&`", labels); gsub(/,/, ", ", labels)
        }
        END { row() }' "$1"
}

# start_prometheus INTERVAL [FILE]: starts one as the handbook does, with the configuration from contrib, but for the daemon that
# runs, or with that in the file; with that time between scrapes, and on a free port. Sets PROMETHEUS, its URL, and PROMETHEUS_PID.
start_prometheus() {
    local command
    sed "s|127.0.0.1:8081|${URL#*://}|; s|: 15s|: $1|; s|jarvis-secretsd.rules.yml|$PWD/contrib/prometheus/&|" \
        "${2:-contrib/prometheus/prometheus.yml}" >"$DIR/prometheus.yml"
    command=$(pasted docs/monitoring.md '## Prometheus' 2)
    command=${command/contrib\/prometheus\/prometheus.yml/$DIR/prometheus.yml}
    command=${command/state\/prometheus/$DIR/prometheus}
    : >"$DIR/prometheus.log"
    # shellcheck disable=SC2086
    ${command/:9090/:0} >>"$DIR/prometheus.log" 2>&1 &
    PROMETHEUS_PID=$!
    await "Prometheus listens" listens
    await "Prometheus has scraped the daemon" has_data 'up{job="jarvis-secretsd"} == 1'
}

listens() {
    kill -0 "$PROMETHEUS_PID" 2>/dev/null || fail "Prometheus did not start: $(tail -n 3 "$DIR/prometheus.log")"
    PROMETHEUS=$(sed -n 's|.*msg="Listening on" address=\([0-9.:]*\).*|http://\1|p' "$DIR/prometheus.log")
    [ -n "$PROMETHEUS" ] && curl -fsS -o "$DIR/ready" "$PROMETHEUS/-/ready" 2>/dev/null
}

stop_prometheus() {
    [ -n "$PROMETHEUS_PID" ] || return 0
    kill -TERM "$PROMETHEUS_PID" 2>/dev/null || true
    wait "$PROMETHEUS_PID" 2>/dev/null || true
    PROMETHEUS_PID=''
}

# ask EXPRESSION: what Prometheus makes of it now, as numbers, a line each.
ask() {
    curl -sS "$PROMETHEUS/api/v1/query" --data-urlencode "query=$1" >"$DIR/result"
    jq -r 'if .status == "success" then .data.result[].value[1] else error(.error) end' "$DIR/result"
}

has_data() { [ -n "$(ask "$1")" ]; }

# repeat COUNT CLIENT PATH [CURL-OPTION...]: the same request COUNT times over one connection, whatever is answered.
repeat() {
    local count=$1 client=$2 path=$3
    shift 3
    curl -sS -o "$DIR/answer" -H "X-Jarvis-Client: $client" "$@" "$URL$path#[1-$count]"
}

# churn: leaves so much that is dead in the vault's file that it is compacted.
churn() {
    repeat 1 admin /secret --data-binary @- <<<"{\"name\":\"large\",\"value\":\"$(printf '%060000d' 0)\"}"
    repeat 1 admin /secret/large -X DELETE
}
