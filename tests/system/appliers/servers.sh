# Servers whose passwords are changed, each in $DIR and on free loopback ports. To be sourced after lib.sh.
# shellcheck shell=bash

PROGRAMS=''
PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)
SERVERS=()

# free_port: one that is unused now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# secret: a new value, which must not be seen anywhere. It is then in $VALUE, and in $DIR/values.
secret() {
    VALUE=$(openssl rand -base64 32)
    printf '%s\n' "$VALUE" >>"$DIR/values"
}

# passfile FILE: with a new password, which is then in $VALUE.
passfile() {
    secret
    (umask 077 && printf '%s\n' "$VALUE" >"$1")
}

AS_POSTGRES=(env -C / setpriv --reuid postgres --regid postgres --clear-groups)
as_postgres() { "${AS_POSTGRES[@]}" "$@"; }
# tcp_by METHOD: how PostgreSQL lets in who comes by TCP, once it has read that.
tcp_by() {
    printf '%s\n' 'local all all peer' "host all all 127.0.0.1/32 $1" | as_postgres tee "$DIR/postgres/data/pg_hba.conf" >"$DIR/answer"
}
is_ready() { pg_isready -q -h "$DIR/postgres" -p "$POSTGRES_PORT"; }
# sql [DATABASE]: as the superuser of the cluster, what standard input says.
# shellcheck disable=SC2120
sql() { as_postgres psql -X -q -v ON_ERROR_STOP=1 -h "$DIR/postgres" -p "$POSTGRES_PORT" -At "${1:-app}" 2>>"$DIR/psql"; }
# counts TABLE CONDITION: whether it has such rows; lacks: whether it has none.
counts() { [ "$(sql <<<"SELECT count(*) FROM $1 WHERE $2")" != 0 ]; }
lacks() { ! counts "$@"; }

# start_postgres: it logs every statement. Sets POSTGRES and POSTGRES_PORT.
start_postgres() {
    if [ ! -d "$DIR/postgres" ]; then
        POSTGRES_PORT=$(free_port)
        install -d -o postgres -g postgres -m 755 "$DIR/postgres"
        as_postgres initdb -U postgres --auth-local=peer --auth-host=reject --no-sync -D "$DIR/postgres/data" \
            >"$DIR/initdb" 2>&1 || fail "initdb: $(cat "$DIR/initdb")"
        tcp_by scram-sha-256
        as_postgres tee -a "$DIR/postgres/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $POSTGRES_PORT
unix_socket_directories = '$DIR/postgres'
log_statement = all
log_connections = on
fsync = off
CONF
    fi
    "${AS_POSTGRES[@]}" postgres -D "$DIR/postgres/data" >>"$DIR/postgres.log" 2>&1 &
    POSTGRES=$!
    SERVERS+=("$POSTGRES")
    await "PostgreSQL is ready" is_ready
}

redis_answers() { [ "$(redis-cli -p "$REDIS_PORT" ping 2>/dev/null)" ]; }

# start_redis: with the users of $DIR/users.acl. Sets REDIS and REDIS_PORT.
start_redis() {
    if [ ! -d "$DIR/redis" ]; then
        mkdir "$DIR/redis"
        REDIS_PORT=$(free_port)
    fi
    redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$DIR/redis" --save '' --aclfile "$DIR/users.acl" \
        --unixsocket "$DIR/redis/socket" --loglevel debug "$@" >>"$DIR/redis.log" 2>&1 &
    REDIS=$!
    SERVERS+=("$REDIS")
    await "Redis answers" redis_answers
}

nginx_answers() { curl -s -o "$DIR/answer" "http://127.0.0.1:$NGINX_PORT/"; }

# start_nginx: /protected needs a user of $DIR/www/htpasswd. Sets NGINX and NGINX_PORT.
start_nginx() {
    NGINX_PORT=$(free_port)
    mkdir -p "$DIR/nginx" "$DIR/www"
    echo 'in' >"$DIR/www/protected"
    cat >"$DIR/nginx/nginx.conf" <<CONF
daemon off;
user www-data;
pid $DIR/nginx/pid;
error_log $DIR/nginx.log info;
events { }
http {
    access_log $DIR/nginx/access.log;
    client_body_temp_path $DIR/nginx/body;
    proxy_temp_path $DIR/nginx/proxy;
    fastcgi_temp_path $DIR/nginx/fastcgi;
    uwsgi_temp_path $DIR/nginx/uwsgi;
    scgi_temp_path $DIR/nginx/scgi;
    server {
        listen 127.0.0.1:$NGINX_PORT;
        root $DIR/www;
        location /protected { auth_basic in; auth_basic_user_file $DIR/www/htpasswd; }
        location /open { return 200 open; }
        location /any { if (\$http_authorization = "") { return 401; } return 200 any; }
    }
}
CONF
    nginx -c "$DIR/nginx/nginx.conf" 2>>"$DIR/nginx.log" &
    NGINX=$!
    SERVERS+=("$NGINX")
    await "nginx answers" nginx_answers
}

# start_fake KIND ARGUMENT...: a server that is another one than it should be (fake.py). Sets FAKE_PORT.
start_fake() {
    : >"$DIR/fake.port"
    /usr/bin/python3 tests/system/appliers/fake.py "$@" <&0 >"$DIR/fake.port" 2>>"$DIR/fake.log" &
    SERVERS+=("$!")
    await "the other server listens" test -s "$DIR/fake.port"
    FAKE_PORT=$(cat "$DIR/fake.port")
}

# new_programs: makes PROGRAMS, a directory for programs that the daemon is to call, that no other user may write to.
new_programs() {
    PROGRAMS=$(mktemp -d -p "${HOME:-/root}" jarvis-secretsd-test-XXXXXX)
    chmod 755 "$PROGRAMS"
}

# is_resolved: whether no version is pending any more: the daemon knows then of each which one works.
is_resolved() {
    curl -fsS -o "$DIR/metrics" "$URL/metrics" && grep -qx 'jarvis_secretsd_pending_versions 0' "$DIR/metrics"
}

# stop PID: as an operator does.
stop() {
    kill "$1"
    wait "$1" || true
}

# SIGQUIT ends PostgreSQL at once, SIGTERM the others, which ignore that, for they were started in the background.
stop_servers() {
    local server
    for server in "${SERVERS[@]}"; do
        kill -QUIT "$server" 2>/dev/null && kill -TERM "$server" 2>/dev/null || true
    done
    [ "${#SERVERS[@]}" = 0 ] || wait "${SERVERS[@]}" 2>/dev/null || true
    [ -z "$PROGRAMS" ] || rm -r "$PROGRAMS"
    clean_up
}

# nowhere_seen FILE...: no value of $DIR/values is in one of the files.
nowhere_seen() {
    ! grep -lFf "$DIR/values" "$@" || fail "a value is in the files above"
}
