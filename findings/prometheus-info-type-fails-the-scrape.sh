#!/usr/bin/env bash
# Prometheus: one `# TYPE … info` line in the plain text format fails the whole scrape.
#
# The guess: the metric types of OpenMetrics (info, stateset, unknown) are passed over where the
# answer says `text/plain`, or cost that one metric.
# Seen (Prometheus 2.42.0, Debian 12): with `content-type: text/plain; version=0.0.4` the target is
# "down", no sample of it is stored, and the error is `invalid metric type "info"`. The same body as
# `application/openmetrics-text` is fine. Libraries that write OpenMetrics make such lines (the Rust
# crate prometheus-client for its `Info`), and a proxy that rewrites the header turns a healthy
# target into one that is down.
set -euo pipefail

dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
version=$(apt-cache madison prometheus | awk '$3 ~ /^2\.42\.0/ {print $3; exit}')
[ -n "$version" ] || { echo "Debian's prometheus 2.42.0 is not to be had: run apt-get update" >&2; exit 1; }
(cd "$dir" && apt-get -qq download "prometheus=$version" && dpkg -x prometheus_*.deb .)

cat >"$dir/targets.py" <<'PY'
import http.server, sys, threading
BODY = b"# TYPE build info\nbuild_info{version=\"1\"} 1\n# TYPE load gauge\nload 1\n# EOF\n"
def serve(kind):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(BODY)
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    return server.server_port
print(serve("text/plain; version=0.0.4"), serve("application/openmetrics-text; version=1.0.0"), flush=True)
PY
python3 "$dir/targets.py" >"$dir/ports" &
until [ -s "$dir/ports" ]; do sleep 0.1; done
read -r plain open <"$dir/ports"
cat >"$dir/prometheus.yml" <<YAML
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: plain, static_configs: [{targets: ["127.0.0.1:$plain"]}]}
  - {job_name: open, static_configs: [{targets: ["127.0.0.1:$open"]}]}
YAML
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$dir/usr/bin/prometheus" --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" \
    --web.listen-address="127.0.0.1:$port" >"$dir/log" 2>&1 &

python3 - "$port" <<'PY'
import json, sys, time, urllib.request
deadline = time.monotonic() + 30
while True:
    try:
        url = "http://127.0.0.1:%s/api/v1/targets" % sys.argv[1]
        targets = json.load(urllib.request.urlopen(url))["data"]["activeTargets"]
        seen = {t["labels"]["job"]: (t["health"], t["lastError"]) for t in targets}
        if len(seen) == 2 and all(health != "unknown" for health, _ in seen.values()):
            break
    except OSError:
        pass
    assert time.monotonic() < deadline, "Prometheus does not answer"
    time.sleep(0.2)
print(seen)
assert seen["open"] == ("up", ""), seen
assert seen["plain"][0] == "down" and 'invalid metric type "info"' in seen["plain"][1], seen
PY
echo "as described"
