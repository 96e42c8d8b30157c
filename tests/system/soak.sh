#!/usr/bin/env bash
# The soak of `cargo test`, for five minutes. It takes little of the machine: `run` has it beside the other tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

SOAK_SECONDS=${SOAK_SECONDS:-300} exec nice -n 10 cargo test --release --locked --test daemon soak:: -- --nocapture
