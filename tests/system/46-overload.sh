#!/usr/bin/env bash
# The overload test of `cargo test`, with 5,000 connections for a minute. It prints what was offered and what came of it.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt 6000 ]; then
    echo "missing: the right to open 6000 files (ulimit -Hn says $(ulimit -Hn))" >&2
    exit 77
fi
OVERLOAD_SECONDS=${OVERLOAD_SECONDS:-60} OVERLOAD_CONNECTIONS=${OVERLOAD_CONNECTIONS:-5000} \
    cargo test --release --locked --test daemon overload:: -- --nocapture
