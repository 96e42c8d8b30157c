#!/usr/bin/env bash
# Installs one program of a Debian package into /usr/local/bin, without the server that the package would start.
#   unpack.sh PACKAGE PATH-IN-IT
set -euo pipefail

if command -v "$(basename "$2")"; then
    exit
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
apt-get -o APT::Sandbox::User=root download "$1"
dpkg-deb -x "$1"_*.deb .
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
$as_root install -m 755 "$2" /usr/local/bin
