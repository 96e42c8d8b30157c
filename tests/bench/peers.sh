# The others that are measured in the same run: RustyVault, and nginx with a file. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153

RVAULT=${RVAULT:-$(command -v rvault || echo "${CARGO_TARGET_DIR:-target}/bench/bin/rvault")}
[ -x "$RVAULT" ] || { echo "missing: rvault (make bench-deps builds it)" >&2; exit 77; }
NGINX=$(command -v nginx || echo /usr/sbin/nginx)

# free_port: one that is unused now.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

answers() {
    curl -s -o "$STATE/answer" "$1"
}

# start_rustyvault: opened and with its root token, for whose requests it need not look at a policy. It audits nothing.
start_rustyvault() {
    local dir=$STATE/rustyvault
    RV_URL=http://127.0.0.1:$(free_port)
    mkdir -p "$dir/data"
    cat >"$dir/config.hcl" <<HCL
storage "file" {
  path = "$dir/data"
}
listener "tcp" {
  address = "${RV_URL#http://}"
  tls_disable = "true"
}
api_addr = "$RV_URL"
log_level = "error"
log_format = "{level}"
pid_file = "$dir/pid"
work_dir = "$dir"
daemon = false
HCL
    "$RVAULT" server --config "$dir/config.hcl" >"$dir/log" 2>&1 &
    RV_PID=$!
    PEERS+=("$RV_PID")
    await "RustyVault answers" answers "$RV_URL/v1/sys/seal-status"
    curl -fsS -X PUT -d '{"secret_shares":1,"secret_threshold":1}' "$RV_URL/v1/sys/init" >"$dir/init"
    curl -fsS -o "$STATE/answer" -X PUT -d "{\"key\":$(jq '.keys[0]' "$dir/init")}" "$RV_URL/v1/sys/unseal"
    RV_AS=(-H "X-Vault-Token: $(jq -r .root_token "$dir/init")")
}

# start_nginx: as Debian configures it, with one worker a core and connections that are kept for ever. Serves $STATE/www.
start_nginx() {
    local dir=$STATE/nginx
    NGINX_URL=http://127.0.0.1:$(free_port)
    mkdir -p "$dir" "$STATE/www"
    cat >"$dir/nginx.conf" <<CONF
daemon off;
user $(id -un);
worker_processes auto;
pid $dir/pid;
error_log $dir/error.log;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    keepalive_requests 1000000000;
    default_type application/json;
    access_log $dir/access.log;
    gzip on;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    server {
        listen ${NGINX_URL#http://};
        root $STATE/www;
    }
}
CONF
    "$NGINX" -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf" &
    PEERS+=($!)
    await "nginx answers" answers "$NGINX_URL/"
}
