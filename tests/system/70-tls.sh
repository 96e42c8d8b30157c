#!/usr/bin/env bash
# TLS as curl, openssl, sslscan and testssl.sh see it, with certificates made as the handbook says, and behind nginx.
source "$(dirname "$0")/lib.sh"
need curl jq nginx openssl sslscan testssl

new_state
# As the handbook has it.
sed -i '/^\[clients.backend\]/a tls_subject = ["CN=backend", "DNS:backend.internal"]' "$DIR/policy.toml"
cd "$DIR"

# key FILE: a private key that its owner alone may read.
key() {
    (umask 077 && openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1")
}

# authority FILE NAME: a CA.
authority() {
    key "$1.key"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 30 -addext keyUsage=critical,keyCertSign,cRLSign -out "$1.pem"
}

# intermediate FILE CA NAME CONSTRAINTS: a CA of that CA, which may vouch for these names.
intermediate() {
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$3" -out request
    openssl x509 -req -in request -CA "$2.pem" -CAkey "$2.key" -days 30 -out "$1.pem" 2>/dev/null -extfile <(
        echo "basicConstraints = critical,CA:TRUE"
        echo "keyUsage = critical,keyCertSign"
        echo "nameConstraints = critical,$4"
    )
}

# certificate FILE CA SUBJECT USAGE NAMES: a certificate of that CA.
certificate() {
    key "$1.key"
    openssl req -new -key "$1.key" -multivalue-rdn -subj "$3" -out request
    openssl x509 -req -in request -CA "$2.pem" -CAkey "$2.key" -days 90 -out "$1.pem" 2>/dev/null -extfile <(
        echo "basicConstraints = critical,CA:FALSE"
        echo "keyUsage = critical,digitalSignature"
        echo "extendedKeyUsage = $4"
        echo "subjectAltName = $5"
        echo "crlDistributionPoints = URI:http://localhost/crl"
    )
}

# The CA, the daemon's certificate and the client's, as the handbook makes them.
for section in '## TLS' '### Client certificates'; do
    bash -euo pipefail -c "$(pasted "$OLDPWD/docs/access.md" "$section")" 2>openssl.log || fail "$section: $(cat openssl.log)"
done
authority foreign-ca "Foreign CA"
# None of these is "backend", though nginx could be told to think so.
certificate other-case ca /CN=Backend clientAuth DNS:backend.internal
certificate longer ca /CN=backend2 clientAuth DNS:backend.internal
certificate further ca /O=backend/CN=backend clientAuth DNS:backend.internal
certificate combined ca /CN=backend+OU=x clientAuth DNS:backend.internal
certificate in-value ca '/CN=x SUCCESS CN=backend' clientAuth DNS:backend.internal
certificate foreign foreign-ca /CN=backend clientAuth DNS:backend.internal
intermediate team ca "Team CA" 'permitted;DNS:.team.internal'
certificate within team /CN=job clientAuth DNS:job.team.internal
certificate beyond team /CN=job clientAuth DNS:backend.internal
certificate posing team /CN=backend clientAuth DNS:job.team.internal
for name in within beyond posing; do
    cat team.pem >>$name.pem
done
key selfsigned.key
openssl req -x509 -new -key selfsigned.key -subj /CN=backend -days 7 -out selfsigned.pem
cat >>config.toml <<END
[server.tls]
cert_path = "$DIR/tls.pem"
key_path = "$DIR/tls.key"
client_ca_path = "$DIR/ca.pem"
END
cd "$OLDPWD"
SCHEME=https CURL=(curl --cacert "$DIR/ca.pem")
start_daemon
address=${URL#https://} port=${URL##*:}

# What is spoken.
expect 200 admin POST /secret '{"name":"jwt_signing_key","value":"over-tls"}'
for section in '## TLS' '### Client certificates'; do
    block=$(pasted docs/access.md "$section" 2)
    (cd "$DIR" && bash -euo pipefail -c "${block//:8081/:$port}") >"$DIR/answer" 2>"$DIR/error" ||
        fail "$section: $(cat "$DIR/error")"
done
[ "$(jq -r .value "$DIR/answer")" = over-tls ] || fail "with the handbook's certificate: $(cat "$DIR/answer")"
status=$(curl -s -o "$DIR/answer" -w '%{http_code}' "http://$address/healthz")
[ "$status" = 400 ] && grep -q https:// "$DIR/answer" || fail "plain HTTP: $status, $(cat "$DIR/answer")"
for version in 1_2 1_3; do
    told=$(openssl s_client -connect "$address" -CAfile "$DIR/ca.pem" -verify_return_error "-tls$version" </dev/null 2>&1) ||
        fail "TLS $version is not spoken: $told"
done
for version in 1 1_1; do
    ! openssl s_client -connect "$address" "-tls$version" -cipher 'ALL:@SECLEVEL=0' </dev/null >"$DIR/answer" 2>&1 ||
        fail "TLS $version is spoken"
    grep -q 'SSL alert number' "$DIR/answer" || fail "TLS $version is not refused by an alert: $(cat "$DIR/answer")"
done
# s_client ends with status 0 if the server ends the connection by close_notify.
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
    openssl s_client -connect "$address" -CAfile "$DIR/ca.pem" -ign_eof -msg >"$DIR/answer" 2>&1 || fail "s_client fails"
grep -q close_notify "$DIR/answer" || fail "the connection ends without close_notify"

# Client certificates.
"${CURL[@]}" -fsS --cert "$DIR/backend.pem" --key "$DIR/backend.key" -o "$DIR/answer" "$URL/healthz" || fail "a good certificate"
for name in foreign selfsigned; do
    ! "${CURL[@]}" -sS --cert "$DIR/$name.pem" --key "$DIR/$name.key" -o "$DIR/answer" "$URL/healthz" 2>"$DIR/error" ||
        fail "the $name certificate gets in"
    grep -qiE 'unknown ca|certificate unknown' "$DIR/error" || fail "the $name certificate: $(cat "$DIR/error")"
done
[ "$(grep -c 'client certificate: ' "$DIR/audit/audit.jsonl")" = 2 ] || fail "bad certificates are not audited"

# A CA that is held to names cannot vouch for others. A common name is not held to anything, as the handbook warns.
for name in within posing; do
    "${CURL[@]}" -fsS --cert "$DIR/$name.pem" --key "$DIR/$name.key" -o "$DIR/answer" "$URL/healthz" || fail "certificate $name"
done
! "${CURL[@]}" -sS --cert "$DIR/beyond.pem" --key "$DIR/beyond.key" -o "$DIR/answer" "$URL/healthz" 2>"$DIR/error" ||
    fail "a name beyond the constraints of its CA gets in"
grep -q 'client certificate: .*NameConstraint' "$DIR/audit/audit.jsonl" || fail "it is not said why: $(cat "$DIR/error")"

# The certificate is exchanged while the daemon runs: a half changes nothing, the whole is used.
serial() {
    openssl s_client -connect "$address" </dev/null 2>/dev/null | openssl x509 -noout -serial
}
before=$(serial)
(cd "$DIR" && certificate new ca /CN=localhost serverAuth DNS:localhost,IP:127.0.0.1)
mv "$DIR/new.pem" "$DIR/tls.pem"
kill -HUP "$PID"
await "half a pair is refused" grep -q 'TLS certificate not reloaded' "$DIR/log"
[ "$(serial)" = "$before" ] || fail "half a pair is used"
mv "$DIR/new.key" "$DIR/tls.key"
is_exchanged() { [ "$(serial)" != "$before" ]; }
await "the new pair is used" is_exchanged

# What scanners say, of a certificate that shows them more than the handbook's.
sslscan --no-colour "$address" >"$DIR/sslscan"
for version in SSLv2 SSLv3 TLSv1.0 TLSv1.1; do
    grep -q "^$version *disabled" "$DIR/sslscan" || fail "sslscan: $version: $(cat "$DIR/sslscan")"
done
for version in TLSv1.2 TLSv1.3; do
    grep -q "^$version *enabled" "$DIR/sslscan" || fail "sslscan: $version: $(cat "$DIR/sslscan")"
done
! grep -E '^(Accepted|Preferred)' "$DIR/sslscan" | grep -vE 'GCM|POLY1305' || fail "sslscan finds the weak ciphers above"
! grep -E ' vulnerable to' "$DIR/sslscan" | grep -v 'not vulnerable' || fail "sslscan finds the above"
testssl --quiet --color 0 --warnings off --nodns min --ip one --add-ca "$DIR/ca.pem" --jsonfile "$DIR/testssl.json" \
    --protocols --std --fs --server-preference --server-defaults --headers --vulnerable \
    "https://localhost:$port" >"$DIR/testssl" 2>&1 || true
[ "$(jq length "$DIR/testssl.json")" -gt 50 ] || fail "testssl.sh did not get to its end: $(tail -n 20 "$DIR/testssl")"
findings=$(jq -r '.[] | select(.severity | IN("MEDIUM", "HIGH", "CRITICAL", "FATAL")) | "\(.severity) \(.id): \(.finding)"' \
    "$DIR/testssl.json")
[ -z "$findings" ] || fail "testssl.sh finds: $findings"

stop_daemon

# Behind nginx, which verifies the certificates, with the daemon on plain HTTP.
sed -i '/^\[server\.tls\]/,$d' "$DIR/config.toml"
sed -i '/^tls_subject/d' "$DIR/policy.toml"
SCHEME=http CURL=(curl)
start_daemon
mkdir "$DIR/nginx"
front=$((20000 + RANDOM % 10000))
sed -e "s|127\.0\.0\.1:8081|${URL#http://}|; s|listen 8443|listen 127.0.0.1:$front|" \
    -e "s|/etc/jarvis-secretsd/client-ca.pem|$DIR/ca.pem|; s|/etc/jarvis-secretsd|$DIR|" \
    contrib/nginx/jarvis-secretsd.conf >"$DIR/nginx/jarvis.conf"
cat >"$DIR/nginx/nginx.conf" <<END
daemon off;
pid $DIR/nginx/pid;
error_log $DIR/nginx/error.log;
events { }
http {
    access_log off;
    client_body_temp_path $DIR/nginx/body;
    proxy_temp_path $DIR/nginx/proxy;
    fastcgi_temp_path $DIR/nginx/fastcgi;
    uwsgi_temp_path $DIR/nginx/uwsgi;
    scgi_temp_path $DIR/nginx/scgi;
    include $DIR/nginx/jarvis.conf;
}
END
nginx -c "$DIR/nginx/nginx.conf" 2>>"$DIR/nginx/error.log" &
NGINX=$!
trap 'kill "$NGINX" 2>/dev/null || true; clean_up' EXIT
through() {
    curl -sS --cacert "$DIR/ca.pem" -o "$DIR/answer" -w '%{http_code}' "$@" "https://localhost:$front/secret/jwt_signing_key"
}
listens() {
    kill -0 "$NGINX" || fail "nginx does not start: $(cat "$DIR/nginx/error.log")"
    through >/dev/null 2>&1
}
await "nginx listens" listens
as_backend=(--cert "$DIR/backend.pem" --key "$DIR/backend.key")
[ "$(through "${as_backend[@]}")" = 200 ] && [ "$(jq -r .value "$DIR/answer")" = over-tls ] ||
    fail "through nginx: $(cat "$DIR/answer" "$DIR/nginx/error.log")"
[ "$(through)" = 401 ] || fail "through nginx without a certificate: $(cat "$DIR/answer")"
[ "$(through -H 'X-Jarvis-Client: backend')" = 401 ] || fail "nginx passes on what a client says that it is"
[ "$(through "${as_backend[@]}" -H 'X-Jarvis-Client: db')" = 200 ] || fail "nginx does not say who it is"
for name in other-case longer further combined in-value; do
    [ "$(through --cert "$DIR/$name.pem" --key "$DIR/$name.key")" = 401 ] ||
        fail "nginx takes the certificate $name for that of a client: $(openssl x509 -noout -subject -in "$DIR/$name.pem")"
done
[ "$(through "${as_backend[@]}" -H 'Origin: https://evil.example')" = 403 ] && grep -q cross_site "$DIR/answer" ||
    fail "nginx hides from where a page's request comes: $(cat "$DIR/answer")"
kill "$NGINX"
wait "$NGINX" || true
stop_daemon
