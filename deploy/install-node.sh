#!/bin/sh
# Installs what the dashboard is built with: Node.js and npm, and the packages that are named.
set -eu

missing=""
node_major() { node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/'; }
[ "$(node_major || true)" -ge 18 ] 2>/dev/null || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install:$missing (Debian's names; Node.js 18 or newer), then run make again" >&2
    exit 1
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
echo "installing:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # these are several packages
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
if [ "$(node_major)" -lt 18 ]; then
    echo "this system has Node.js $(node --version): please install 18 or newer" >&2
    exit 1
fi
