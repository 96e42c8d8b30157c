#!/usr/bin/env bash
# The daemon, killed at each call that changes or syncs a file, before it and in the middle of a write: the user that starts it
# again finds all that was acknowledged, nothing in part, and an audit line for each answer that was given.
source "$(dirname "$0")/lib.sh"
need cc python3 setpriv

DIR=$(mktemp -d)
trap clean_up EXIT
cc -O1 -Wall -Wextra -Werror -shared -fPIC -o "$DIR/die.so" tests/system/power-cuts/die.c
# With this, a daemon looks at what is left by a clock that was set back.
FAKETIME_LIBRARY=$(faketime_library)
export FAKETIME_LIBRARY
PYTHONDONTWRITEBYTECODE=1 timeout 900 python3 tests/system/power-cuts/kill_at_every_call.py "$(realpath "$BINARY")" "$DIR/die.so" "$DIR"
