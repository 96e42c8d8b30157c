#!/usr/bin/env bash
# The soak of `cargo test`, for five minutes. It takes little of the machine: `run` has it beside the other tests.
source "$(dirname "$0")/lib.sh"

SOAK_SECONDS=${SOAK_SECONDS:-300} DAEMON=$(realpath "$BINARY") exec nice -n 10 cargo test --locked --test daemon soak:: -- --nocapture
