#!/usr/bin/env bash
# The same as 62-key-companions.sh, on Debian 13.
SYSTEM=/usr/local/lib/jarvis-test-tools/debian-13 exec "$(dirname "$0")/62-key-companions.sh"
