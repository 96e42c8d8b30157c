# A command that is killed at a call of the system, for tests of what is then left. To be sourced behind lib.sh.
# shellcheck shell=bash

# The calls that change a file.
CALLS=(write pwrite64 fsync fdatasync ftruncate rename link linkat unlink fchown)

# killed OPTION CALL N COMMAND...: whether the command was killed at the Nth of these calls. With the option -f, which is strace's, the
# calls of what it has started count too, and kill that; with none, those of the command itself.
killed() {
    local option=$1 call=$2 n=$3 status=0
    shift 3
    {
        strace ${option:+"$option"} -qq -o /dev/null -e "inject=$call:signal=KILL:when=$n" "$@" >"$DIR/killed" 2>&1 || status=$?
    } 2>"$DIR/shell"
    case $status in
        0) return 1 ;;
        137) return 0 ;;
        *) fail "$* has failed by itself: $(cat "$DIR/killed")" ;;
    esac
}
