#!/usr/bin/env bash
# Makes a CA, and certificates for an etcd and for its client, in the directory that is named. Needs openssl 3.
set -euo pipefail
cd "$1"

key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    chmod 600 "$1.key"
}

# certificate FILE SUBJECT EXTENSIONS
certificate() {
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile <(printf '%s\n' "$3") -out "$1.pem"
}

key ca
openssl req -x509 -new -key ca.key -subj '/O=Test CA' -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE
# The gateway within etcd is a client of etcd, with etcd's own certificate.
certificate server /O=etcd $'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth'
# One with a CN would be taken for a user.
certificate client /O=client extendedKeyUsage=clientAuth
