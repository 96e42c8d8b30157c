#!/usr/bin/env bash
# The overload test of `cargo test`, with 5,000 connections for 20 seconds. It prints what was offered and what came of it.
source "$(dirname "$0")/lib.sh"

if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt 6000 ]; then
    echo "missing: the right to open 6000 files (ulimit -Hn says $(ulimit -Hn))" >&2
    exit 77
fi
OVERLOAD_SECONDS=${OVERLOAD_SECONDS:-20} OVERLOAD_CONNECTIONS=${OVERLOAD_CONNECTIONS:-5000} \
    DAEMON=$(realpath "$BINARY") cargo test --locked --test daemon overload:: -- --nocapture
