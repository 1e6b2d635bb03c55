#!/bin/sh
# Tests the dashboard: types, rules, units, that the committed build is the one of the sources, and
# all pages in Chromium against real clusters. CLOUDAI_BIN is the directory of the programs.
set -eu
cd "$(dirname "$0")/.."
: "${CLOUDAI_BIN:?is the directory of master, worker and clusterctl}"
deploy/install-node.sh chromium

cd dashboard
npm ci --ignore-scripts --no-progress --loglevel=error
if grep -n '"resolved"' package-lock.json; then
    echo "the lockfile names a registry: npm install with the .npmrc of dashboard/" >&2
    exit 1
fi
npm run --silent types
npm run --silent lint

fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT
npx vite build --outDir "$fresh" --emptyOutDir --logLevel warn
if ! diff -r "$fresh" dist; then
    echo "dashboard/dist is not the build of these sources: make dashboard" >&2
    exit 1
fi

npm run --silent unit
npm run --silent e2e
