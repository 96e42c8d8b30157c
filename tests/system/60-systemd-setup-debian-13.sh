#!/usr/bin/env bash
# The same as 60-systemd-setup.sh, on Debian 13.
SYSTEM=/usr/local/lib/jarvis-test-tools/debian-13 exec "$(dirname "$0")/60-systemd-setup.sh"
