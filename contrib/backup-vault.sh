#!/bin/sh
# Makes a backup in DIRECTORY, and keeps the last KEEP (by default 14) that are there:
#
#   backup-vault.sh DIRECTORY [KEEP [OPTION...]]
#
# The options go to `jarvis-secretsd backup`. An old backup is removed only when the new one is there and was verified. In
# /etc/cron.d/jarvis-secretsd:
#
#   0 2 * * * root /usr/local/libexec/jarvis-secretsd/backup-vault.sh /var/backups/jarvis-secretsd 14
set -eu
umask 077
# Where `make install` puts the program; cron would not look there.
PATH=$PATH:/usr/local/bin

fail() {
    echo "backup-vault.sh: $1" >&2
    exit "$2"
}

[ "$#" -gt 0 ] || fail 'usage: backup-vault.sh DIRECTORY [KEEP [OPTION...]]' 2
directory=$1 keep=${2:-14}
shift
[ "$#" -eq 0 ] || shift
case $keep in
    *[!0-9]* | '' | 0*) fail "KEEP: must be a number from 1 on, not $keep" 2 ;;
esac

mkdir -p "$directory"
jarvis-secretsd backup --output "$directory/jarvis-secretsd-$(date -u +%Y%m%d-%H%M%S).tar" "$@"

# The names sort by time. Nothing else in the directory is touched.
count=0
for backup in "$directory"/jarvis-secretsd-[0-9]*-[0-9]*.tar; do
    count=$((count + 1))
done
for backup in "$directory"/jarvis-secretsd-[0-9]*-[0-9]*.tar; do
    [ "$count" -gt "$keep" ] || break
    rm "$backup"
    count=$((count - 1))
done
