#!/usr/bin/env bash
# Runs the tests again and again while busy loops use the processors, and says which of them failed and how often.
#
#   tests/under-load.sh [arguments of cargo test]
#
# TIMES says how often beside loops of each priority (10), LOOPS how many loops (8), NICE which priorities ("19 0"). What
# failing tests have said stays in target/under-load. The exit status is 1 if any test failed.
set -euo pipefail
cd "$(dirname "$0")/.."
times=${TIMES:-10} loops=${LOOPS:-8}
logs=${CARGO_TARGET_DIR:-target}/under-load
cargo test --locked --no-run "$@"
rm -rf "$logs"
mkdir -p "$logs"

pids=()
end_loops() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}"
    pids=()
}
trap end_loops EXIT

failed_runs=0 runs=0
for nice in ${NICE:-19 0}; do
    for ((loop = 0; loop < loops; loop++)); do
        nice -n "$nice" sh -c 'while :; do :; done' &
        pids+=($!)
    done
    for ((time = 1; time <= times; time++)); do
        log=$logs/nice-$nice-$time.log
        runs=$((runs + 1))
        begun=$SECONDS
        if cargo test --locked --no-fail-fast "$@" >"$log" 2>&1; then
            result=passed
            rm "$log"
        else
            result=FAILED
            failed_runs=$((failed_runs + 1))
        fi
        echo "beside $loops loops of nice $nice, run $time of $times: $result in $((SECONDS - begun)) s"
    done
    end_loops
done

echo "$failed_runs of $runs runs failed"
[ "$failed_runs" = 0 ] && exit
# How often each test failed. A run without a test that failed was ended otherwise: its log says how.
sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$logs"/*.log | sort | uniq -c | sort -rn
echo "what they said is in $logs"
exit 1
