#!/usr/bin/env bash
# The same as 59-packages.sh, on Debian 13, which has no rpm.
SYSTEM=/usr/local/lib/jarvis-test-tools/debian-13 exec "$(dirname "$0")/59-packages.sh"
