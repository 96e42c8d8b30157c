#!/usr/bin/env bash
# The crash test of `cargo test`, with many more rounds: kill -9 at random moments under concurrent writers.
set -euo pipefail
cd "$(dirname "$0")/../.."

KILL_ROUNDS=${KILL_ROUNDS:-500} cargo test --release --locked --test daemon crash:: -- --nocapture
