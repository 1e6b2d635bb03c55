#!/usr/bin/env bash
# Calls every operation of a running cluster in ways that its description allows and in ways that it
# forbids, and compares the answers with the description (schemathesis). The cluster is one of
# `clusterctl dev`, of the programs in CLOUDAI_BIN or in the target directory.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}"
bin="${CLOUDAI_BIN:-$target/release}"
port="${CLOUDAI_OPENAPI_PORT:-17600}"
examples="${CLOUDAI_OPENAPI_EXAMPLES:-15}"
seed="${CLOUDAI_OPENAPI_SEED:-1}"
url="http://127.0.0.1:$((port + 101))"

list="tests/openapi-requirements.txt"
tools="$target/openapi-tools-$(cksum <"$list" | tr ' ' '-')"
if [ ! -d "$tools" ]; then
    new="$(mktemp -d "$tools.XXXXXX")"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: --target "$new" -r "$list"
    mv -T "$new" "$tools"
fi

work="$(mktemp -d)"
"$bin/clusterctl" dev --insecure --base-port "$port" --data-dir "$work/data" >"$work/log" 2>&1 &
cluster=$!
finish() {
    kill -INT "$cluster" 2>/dev/null || true
    wait "$cluster" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

if ! python3 - "$url/readyz" <<'PYTHON'; then
import sys, time, urllib.request

for _ in range(300):
    try:
        if urllib.request.urlopen(sys.argv[1], timeout=1).status == 200:
            sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit(1)
PYTHON
    cat "$work/log" >&2
    echo "the cluster is not ready" >&2
    exit 1
fi

# Left out: what does not end (events, a socket, a log that is followed, a wait), what would take the cluster
# itself apart, and probes, whose 503 is no failure.
checks=not_a_server_error,status_code_conformance,content_type_conformance
checks=$checks,response_headers_conformance,response_schema_conformance,negative_data_rejection
checks=$checks,unsupported_method,allow_header_conformance
# It keeps what it has found in the current directory.
cd "$work"
PYTHONPATH="$tools" python3 "$tools/bin/st" run "$url/api/openapi.json" \
    --checks "$checks" --phases examples,coverage,fuzzing --max-examples "$examples" --seed "$seed" \
    --workers 2 --request-timeout 20 --continue-on-failure --warnings off \
    --exclude-path-regex '^/(ws|readyz|leader|follower|api/events)$|/(logs|wait|snapshot)$|^/api/cluster/members.+' "$@"
