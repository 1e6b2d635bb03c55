#!/usr/bin/env bash
# Shows on a machine with GPUs that tasks see the GPUs that they were assigned, and no others. Ends
# with 0 when everything was as expected, and with 77 where there is no GPU. CI has none, so this runs
# by hand.
#
#   tests/gpu.sh [--base-port 7700] [--bin DIR]
#
# With one GPU it shows that a second task waits for it; with two or more, that two tasks see different
# ones and that a task of two sees both. MIG slices count as GPUs. Everything that is started is ended
# again.
set -euo pipefail

base_port=7700
bin=""
while [ $# -gt 0 ]; do
    case "$1" in
        --base-port) base_port=$2; shift 2 ;;
        --bin) bin=$2; shift 2 ;;
        -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "unknown option $1: see --help" >&2; exit 2 ;;
    esac
done
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${bin:-${CARGO_TARGET_DIR:-$root/target}/release}
for program in master worker clusterctl; do
    [ -x "$bin/$program" ] || { echo "$bin/$program is not there: run 'make build' first" >&2; exit 1; }
done
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L | grep -q '^GPU '; then
    echo "SKIPPED: this machine has no NVIDIA GPU"
    exit 77
fi

work=$(mktemp -d)
cluster=""
failed=0
finish() {
    [ -z "$cluster" ] || { kill "$cluster" 2>/dev/null && wait "$cluster" 2>/dev/null; } || true
    if [ "$failed" = 0 ]; then rm -rf "$work"; else echo "logs are in $work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

ctl() { "$bin/clusterctl" --endpoints "127.0.0.1:$((base_port + 1))" "$@"; }
check() {
    if [ "$2" = "$3" ]; then printf '   ok    %s: %s\n' "$1" "$2"; else
        printf '   FAIL  %s: %s, expected %s\n' "$1" "$2" "$3"
        failed=1
    fi
}
until_true() {
    local began=$SECONDS
    while ! "$@"; do
        [ $((SECONDS - began)) -lt 60 ] || { echo "   FAIL  not within 60 s: $*"; failed=1; exit 1; }
        sleep 0.2
    done
}
# submit NAME GPUS COMMAND…: prints the id of the task.
submit() {
    local name=$1 gpus=$2
    shift 2
    ctl task submit --name "$name" --gpu "$gpus" --cpu 0.1 --memory-mb 64 --max-attempts 1 -- "$@"
}
state() { ctl task show "$1" -o json | tr -d ' \n' | grep -o '"state":"[a-z]*"' | head -1 | cut -d'"' -f4; }
is_in() { [ "$(state "$1")" = "$2" ]; }
offered() { ctl worker show worker-1 -o json 2>/dev/null | tr -d ' \n' | grep -o '"gpu":[0-9]*' | head -1 | cut -d: -f2; }
has_worker() { [ "$(offered)" -gt 0 ] 2>/dev/null; }
# What a program that asks the driver sees of the GPUs in CUDA_VISIBLE_DEVICES.
seen='for gpu in ${CUDA_VISIBLE_DEVICES//,/ }; do
        case $gpu in
            GPU-* | [0-9]*) nvidia-smi -i "$gpu" --query-gpu=uuid --format=csv,noheader ;;
            MIG-*) nvidia-smi -L | grep -o "$gpu" ;;
        esac
      done'

echo "== A master and a worker on this machine"
"$bin/clusterctl" dev --insecure --masters 1 --workers 1 --base-port "$base_port" \
    --data-dir "$work/cluster" >"$work/dev.log" 2>&1 &
cluster=$!
until_true has_worker
count=$(offered)
check "GPUs of the worker, as many as the driver's, slices instead of divided ones" "$count" \
    "$(nvidia-smi -L | awk '/^GPU /{if (gpu) n += slices ? slices : 1; gpu = 1; slices = 0} /MIG/{slices++} END{n += slices ? slices : 1; print n}')"

echo "== Tasks"
none=$(submit none 0 bash -c 'echo "<$CUDA_VISIBLE_DEVICES>"')
until_true is_in "$none" completed
check "a task without GPU sees" "$(ctl task logs "$none")" "<>"

first=$(submit first 1 bash -c "$seen; exec sleep 600")
until_true is_in "$first" running
if [ "$count" -ge 2 ]; then
    second=$(submit second 1 bash -c "$seen; exec sleep 600")
    until_true is_in "$second" running
    sleep 2
    a=$(ctl task logs "$first") b=$(ctl task logs "$second")
    check "GPUs of two tasks, different ones" "$(printf '%s\n%s\n' "$a" "$b" | sort -u | grep -c -E '^(GPU|MIG)-')" 2
    ctl task cancel "$first" "$second" >/dev/null
    both=$(submit both 2 bash -c "$seen")
    until_true is_in "$both" completed
    check "GPUs of a task of two" "$(ctl task logs "$both" | sort -u | grep -c -E '^(GPU|MIG)-')" 2
else
    second=$(submit second 1 bash -c "$seen")
    sleep 2
    check "a second task, while the first has the GPU" "$(state "$second")" queued
    a=$(ctl task logs "$first")
    ctl task cancel "$first" >/dev/null
    until_true is_in "$second" completed
    check "the same GPU for the next task" "$(ctl task logs "$second")" "$a"
fi

[ "$failed" = 0 ] && echo "as expected"
exit "$failed"
