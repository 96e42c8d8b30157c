#!/usr/bin/env bash
# The crash test of `cargo test`, with many more rounds: kill -9 at random moments under concurrent writers.
source "$(dirname "$0")/lib.sh"

KILL_ROUNDS=${KILL_ROUNDS:-500} DAEMON=$(realpath "$BINARY") cargo test --locked --test daemon crash:: -- --nocapture
