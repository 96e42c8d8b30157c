#!/usr/bin/env bash
# Draws docs/dashboard.png: the dashboard's panels, from what a real Prometheus records of a real daemon that is kept busy
# for six minutes. For twenty seconds of them the audit log's small disk is full, and nothing is served.
source "$(dirname "$0")/../lib.sh"
source tests/system/dashboard/lib.sh
need curl fc-list jq mount prometheus python3
need_root
fc-list : family | grep -qx Inter || { echo "missing: the font Inter (Debian: fonts-inter)" >&2; exit 77; }

venv=${CARGO_TARGET_DIR:-target}/dashboard-venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check matplotlib==3.11.2
fi

new_state
mkdir -m 700 "$DIR/audit"
mount -t tmpfs -o size=64m,mode=0700 jarvis-secretsd-picture "$DIR/audit"
trap 'stop_prometheus; umount --lazy "$DIR/audit"; clean_up' EXIT
start_daemon
start_prometheus 5s
begun=$(date +%s)

# second N: what is asked in the Nth second.
second() {
    local wave=$(($1 % 120))
    [ "$wave" -lt 60 ] || wave=$((120 - wave))
    repeat $((20 + wave)) db /secret/postgres_password
    [ $(($1 % 5)) -ne 0 ] || repeat 1 admin /secret -d "{\"name\":\"app_$1\",\"generate\":true,\"rotation\":\"auto\"}"
    [ $(($1 % 6)) -ne 0 ] || repeat 4 backend /secrets
    [ $(($1 % 8)) -ne 0 ] || repeat 3 admin /rotate -d '{"names":["postgres_password"]}'
    [ $(($1 % 25)) -ne 20 ] || repeat 1 admin "/secret/app_$(($1 - 10))" -X DELETE
    [ $(($1 % 45)) -ne 44 ] || churn
    case $1 in
        9? | 1[01]?) repeat 25 backend /secret/postgres_password ;;
        16? | 17?) repeat 30 stranger /secrets ;;
        240) head -c 70M /dev/zero >"$DIR/audit/filler" 2>/dev/null || true ;;
        260) rm "$DIR/audit/filler" ;;
    esac
}

repeat 1 admin /secret -d '{"name":"postgres_password","generate":true}'
repeat 1 admin /secret -d '{"name":"brave_api_key","value":"supplied by a person"}'
for ((number = 0; number < 360; number++)); do
    second "$number"
    # The next second begins.
    while [ $(($(date +%s) - begun)) -le "$number" ]; do sleep 0.05; done
done

"$venv/bin/python" tests/system/dashboard/render.py "$PROMETHEUS" "$begun" 5 "$DASHBOARD" docs/dashboard.png
stop_daemon
ls -l docs/dashboard.png
