#!/usr/bin/env bash
# A disk that fails, at each call that changes a file, once or for a while, also at the start and at the stop: nothing that was
# acknowledged is lost, nothing is served unaudited, what is wrong is reported, and all heals without a restart, after a start on a
# full disk too.
source "$(dirname "$0")/lib.sh"
need gcc python3

# Where nothing has to wait for a disk.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
new_state
sed -i 's/^\[security\]/&\ngrace_days = 0/' "$DIR/config.toml"
gcc -O2 -Wall -Wextra -Werror -shared -fPIC -o "$DIR/faults.so" tests/system/faults/faults.c
python3 -B tests/system/faults/run.py "$BINARY" "$DIR" "$DIR/faults.so"
