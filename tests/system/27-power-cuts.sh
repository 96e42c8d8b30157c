#!/usr/bin/env bash
# The daemon, traced once, and a simulated disk that does what it did: the power is cut behind each call, in each way that
# docs/design.md, "Promises on disk", leaves to a disk, and a daemon that is started on what is left has kept them.
source "$(dirname "$0")/lib.sh"
need cc python3 setpriv strace
need_root

DIR=$(mktemp -d -p /dev/shm)
trap clean_up EXIT
cc -O1 -Wall -Wextra -Werror -shared -fPIC -o "$DIR/die.so" tests/system/power-cuts/die.c
# With this, a daemon looks at what is left by a clock that was set back.
FAKETIME_LIBRARY=$(faketime_library)
export FAKETIME_LIBRARY
for ((campaign = 1; campaign <= ${CAMPAIGNS:-1}; campaign++)); do
    seed=${SEED:-$RANDOM}
    echo "SEED=$seed does the same once more"
    mkdir "$DIR/at"
    PYTHONDONTWRITEBYTECODE=1 timeout 1200 python3 tests/system/power-cuts/power_cuts.py "$(realpath "$BINARY")" "$DIR/die.so" "$DIR/at" "$seed"
    rm -r "$DIR/at"
done
