#!/usr/bin/env bash
# Walks through worker reconnection on a fresh local cluster, step by step: what is done, what is
# expected, what was seen. Ends with 0 when everything was as expected.
#
#   tests/worker_reconnection.sh [--interval 5s] [--base-port 7600] [--bin DIR]
#
# The interval is the reconnection monitor's. Its default is 30s in production; here it is shorter so
# that nobody has to wait for long. Everything that is started is ended again.
set -euo pipefail

interval=5s
base_port=7600
bin=""
while [ $# -gt 0 ]; do
    case "$1" in
        --interval) interval=$2; shift 2 ;;
        --base-port) base_port=$2; shift 2 ;;
        --bin) bin=$2; shift 2 ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "unknown option $1: see --help" >&2; exit 2 ;;
    esac
done
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${bin:-${CARGO_TARGET_DIR:-$root/target}/release}
for program in master worker clusterctl; do
    [ -x "$bin/$program" ] || { echo "$bin/$program is not there: run 'make build' first" >&2; exit 1; }
done

case "$interval" in
    *ms) seconds=1 ;;
    *s) seconds=${interval%s} ;;
    *m) seconds=$((${interval%m} * 60)) ;;
    *) echo "'$interval' is not an interval: write it as in 5s or 1m" >&2; exit 2 ;;
esac
# One interval, one attempt, and some room for a busy machine.
patience=$((seconds + 3 + 10))

work=$(mktemp -d)
cluster=""
declare -A workers=()
failed=0

finish() {
    for pid in "${workers[@]}" $cluster; do kill "$pid" 2>/dev/null || true; done
    for pid in "${workers[@]}" $cluster; do wait "$pid" 2>/dev/null || true; done
    if [ "$failed" = 0 ]; then rm -rf "$work"; else echo "logs are in $work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

endpoints="127.0.0.1:$((base_port + 1)),127.0.0.1:$((base_port + 2)),127.0.0.1:$((base_port + 3))"
ctl() { "$bin/clusterctl" --endpoints "$endpoints" "$@"; }

title() { printf '\n== %s\n' "$*"; }
step() { printf '   %s\n' "$*"; }

# expect WHAT SECONDS COMMAND…: repeats the command until it succeeds, and says how long it took.
expect() {
    local what=$1 limit=$2 began=$SECONDS
    shift 2
    while ! "$@"; do
        if [ $((SECONDS - began)) -ge "$limit" ]; then
            printf '   FAIL  expected: %s; not within %s s\n' "$what" "$limit"
            failed=1
            return 0
        fi
        sleep 0.2
    done
    printf '   ok    expected: %s; seen after %s s\n' "$what" "$((SECONDS - began))"
}

# Spaces in JSON are not promised.
worker_is() { ctl worker show "$1" -o json 2>/dev/null | tr -d ' ' | grep -q "\"is_active\":$2"; }
task_is() { ctl task show "$1" -o json 2>/dev/null | tr -d ' ' | grep -q "\"state\":\"$2\""; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$((base_port + 200 + $1))") 2>/dev/null; }
is_gone() { ! ctl worker show "$1" >/dev/null 2>&1; }
has_leader() { ctl leader >/dev/null 2>&1; }
says() { grep -qh "$1" "$work"/cluster/*.log 2>/dev/null; }

address() { echo "127.0.0.1:$((base_port + 200 + $1))"; }
register() { ctl worker register "worker-$1" "$(address "$1")" >/dev/null; }
start_worker() {
    "$bin/worker" --worker-id "worker-$1" --listen "$(address "$1")" --data-dir "$work/worker-$1" \
        --cpu 4 --memory-mb 4096 >>"$work/worker-$1.log" 2>&1 &
    workers[$1]=$!
}
kill_worker() {
    kill -9 "${workers[$1]}"
    wait "${workers[$1]}" 2>/dev/null || true
    unset "workers[$1]"
}

title "A cluster of three masters and no worker (reconnection interval $interval)"
CLOUDAI_RECONNECT_INTERVAL=$interval CLOUDAI_WORKER_HEARTBEAT_INTERVAL=1s \
    CLOUDAI_WORKER_HEARTBEAT_TIMEOUT=5s \
    "$bin/clusterctl" dev --insecure --masters 3 --workers 0 --base-port "$base_port" \
    --data-dir "$work/cluster" >"$work/dev.log" 2>&1 &
cluster=$!
expect "the masters elect a leader" 60 has_leader

title "1. A worker is registered while it is offline"
step "register worker-1 at $(address 1), where nobody listens yet"
register 1
expect "worker-1 is on the registry, inactive" 5 worker_is worker-1 false
step "start worker-1"
start_worker 1
expect "worker-1 becomes active by itself" "$patience" worker_is worker-1 true
expect "the leader's log tells of it" 5 says "successfully reconnected to worker"

title "2. A worker dies and comes back"
step "kill -9 worker-1"
kill_worker 1
expect "worker-1 is inactive after its heartbeat timeout" 20 worker_is worker-1 false
step "start worker-1 again"
start_worker 1
expect "worker-1 is active again, nobody had to register it" "$patience" worker_is worker-1 true

title "3. Several workers come online at once"
for number in 2 3 4; do register "$number"; done
for number in 2 3 4; do expect "worker-$number is inactive" 5 worker_is "worker-$number" false; done
step "start worker-2, worker-3 and worker-4 together"
for number in 2 3 4; do start_worker "$number"; done
for number in 2 3 4; do
    expect "worker-$number becomes active" "$patience" worker_is "worker-$number" true
done

title "4. An operator does not want to wait for the next round"
register 5
start_worker 5
expect "worker-5 listens" 10 listens 5
step "clusterctl worker reconnect worker-5"
ctl worker reconnect worker-5 | sed 's/^/         /'
expect "worker-5 is active at once" 3 worker_is worker-5 true

title "5. Tasks wait for workers, and run when there are some"
for number in 1 2 3 4 5; do ctl worker cordon "worker-$number" >/dev/null; done
task=$(ctl task submit -o json -- echo hello | tr -d ' ' | grep -o '"task_id":"t[0-9]*"' | grep -o 't[0-9]*"$' | tr -d '"')
expect "task $task is queued" 5 task_is "$task" queued
for number in 1 2 3 4 5; do ctl worker uncordon "worker-$number" >/dev/null; done
expect "task $task is completed" 10 task_is "$task" completed

title "6. The leader dies: its successor calls every worker at once"
leader=$(ctl leader -o json | tr -d ' ' | grep -o '"leader_id":[0-9]*' | cut -d: -f2)
step "kill -9 the leader, master $leader"
pid=$(pgrep -f -- "--node-id $leader .*$work/cluster" | head -n 1)
kill -9 "$pid"
expect "another master leads" 10 has_leader
for number in 1 2 3 4 5; do
    expect "worker-$number is active" 5 worker_is "worker-$number" true
done

title "7. A worker is unregistered: nobody tries to reach it any more"
ctl worker unregister worker-5 >/dev/null 2>&1
expect "worker-5 is off the registry" 5 is_gone worker-5
step "its process still runs and waits to be registered again"
register 5
expect "registered again, worker-5 is active again" "$patience" worker_is worker-5 true

title "$([ "$failed" = 0 ] && echo 'Everything was as expected' || echo 'Not everything was as expected')"
exit "$failed"
