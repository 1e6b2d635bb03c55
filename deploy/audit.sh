#!/bin/sh
# Checks the spelling, the lockfile, and the dependencies: unused ones, and licenses, versions,
# sources and advisories by deny.toml. Its programs are installed once for each audit-tools.txt.
set -eu
cd "$(dirname "$0")/.."

list="deploy/audit-tools.txt"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/cloudai-tools/$(cksum <"$list" | tr ' ' '-')"
if [ ! -d "$tools" ]; then
    mkdir -p "$(dirname "$tools")"
    new="$(mktemp -d "$tools.XXXXXX")"
    trap 'rm -rf "$new"' EXIT
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --require-hashes --no-deps --only-binary :all: --target "$new" -r "$list"
    # Another audit may have been faster.
    mv -T "$new" "$tools" 2>/dev/null || [ -d "$tools" ]
fi
PATH="$tools/bin:$PATH"

echo "spelling"
typos --hidden

echo "lockfile"
cargo metadata --locked --format-version 1 >/dev/null

echo "unused dependencies"
cargo shear --locked --deny-warnings

echo "licenses, versions and sources of dependencies"
cargo deny --locked check --deny unmatched-skip --hide-inclusion-graph bans licenses sources

# The database is a git repository, which not every network lets through.
if GIT_TERMINAL_PROMPT=0 timeout 120 cargo deny --log-level off fetch db >/dev/null 2>&1; then
    echo "advisories"
    cargo deny --locked check advisories
else
    echo "advisories: SKIPPED, the database of RustSec cannot be reached"
fi
