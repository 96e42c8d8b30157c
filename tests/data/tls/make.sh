#!/usr/bin/env bash
# Makes the certificates that the tests use, once and for long; their keys protect nothing. Needs openssl 3.
#
#   ca        signs server, other, client, named and expired; its key is not kept
#   server    for localhost, 127.0.0.1 and ::1
#   other     the same with another key: what server is replaced by
#   client    CN=reader, DNS:Reader.internal, URI:spiffe://example.org/reader
#   named     only alternative names: DNS:keeper.internal
#   expired   CN=reader, for a day of 2020
#   foreign   CN=reader, of a CA that nobody here trusts
#   selfsigned   CN=reader, of nobody
#   p521.key, rsa1024.key, encrypted.key   kinds of keys that are not read; the last is server's, in OpenSSL's old way
#   sec1.key, rsa.key   other forms of keys that are: server's, and one of RSA of 2048 bits
set -euo pipefail
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/index"

key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# authority NAME FILE: a CA that is called NAME.
authority() {
    key "$2"
    openssl req -x509 -new -key "$2.key" -subj "/CN=$1" -days 36500 -out "$2.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# certificate FILE CA SUBJECT USAGE NAMES [START END]
certificate() {
    key "$1"
    cat >"$scratch/ca.cnf" <<END
[ca]
default_ca = this
[this]
database = $scratch/index
new_certs_dir = $scratch
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
x509_extensions = extensions
email_in_dn = no
[any]
commonName = optional
organizationName = optional
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = $4
subjectAltName = $5
[req]
distinguished_name = none
[none]
END
    openssl req -new -key "$1.key" -subj "$3" -out "$scratch/request" -config "$scratch/ca.cnf"
    openssl ca -batch -notext -config "$scratch/ca.cnf" -cert "$2.pem" -keyfile "$2.key" -in "$scratch/request" \
        -startdate "${6:-20200101000000Z}" -enddate "${7:-21200101000000Z}" -out "$1.pem"
}

here=DNS:localhost,IP:127.0.0.1,IP:::1
reader=DNS:Reader.internal,URI:spiffe://example.org/reader
authority 'Test CA' ca
authority 'Foreign CA' "$scratch/foreign-ca"
certificate server ca /CN=localhost serverAuth $here
certificate other ca /CN=localhost serverAuth $here
certificate client ca /O=Test/CN=reader clientAuth $reader
certificate named ca /O=Test clientAuth DNS:keeper.internal
certificate expired ca /CN=reader clientAuth $reader 20200101000000Z 20200102000000Z
certificate foreign "$scratch/foreign-ca" /CN=reader clientAuth $reader
key selfsigned
openssl req -x509 -new -key selfsigned.key -subj /CN=reader -days 36500 -out selfsigned.pem \
    -addext basicConstraints=critical,CA:FALSE -addext "subjectAltName=$reader"
rm ca.key
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa1024.key
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$scratch/rsa.key"
openssl rsa -in "$scratch/rsa.key" -traditional -out rsa.key
openssl ec -in server.key -aes128 -passout pass:x -out encrypted.key
{ openssl ecparam -name prime256v1; openssl ec -in server.key; } >sec1.key
