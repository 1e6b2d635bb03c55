#!/bin/sh
# Checks and tests the Python package, as a wheel that is installed in a virtual environment of its own
# below the target directory. The tests start a cluster of the programs that were built, or of those in
# CLOUDAI_BIN; without any they are skipped.
set -eu
cd "$(dirname "$0")"

target="${CARGO_TARGET_DIR:-$PWD/../../target}/python"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python 3.10 or newer is needed: set PYTHON" >&2
    exit 1
}
# The same one also when the virtual environment comes first in PATH.
python="$("$python" -c 'import sys; print(sys.executable)')"
version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
venv="$target/$version-$(cksum <requirements-test.txt | tr ' ' '-')"
if [ ! -e "$venv/complete" ]; then
    mkdir -p "$target"
    "$python" -m venv --clear --without-pip "$venv"
fi
site="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
into() { # what to install; --target is for every pip, which here is none of the virtual environment's own
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip --quiet --disable-pip-version-check install \
        --target "$site" --no-deps "$@"
}
if [ ! -e "$venv/complete" ]; then
    into --require-hashes --only-binary :all: -r requirements-test.txt
    touch "$venv/complete"
fi
PATH="$venv/bin:$PATH"
# Nothing is written beside the sources.
export PYTHONDONTWRITEBYTECODE=1 RUFF_CACHE_DIR="$target/ruff" MYPY_CACHE_DIR="$target/mypy-$version"
export HYPOTHESIS_STORAGE_DIRECTORY="$target/hypothesis"

echo "format, lints and types"
python -m ruff format --check --quiet src tests tools
python -m ruff check --quiet src tests tools
python -m mypy
python -m mypy tests tools
python tools/make_async.py --check

echo "wheel"
rm -rf "$target/dist" && mkdir -p "$target/dist"
python -m flit_core.wheel --outdir "$target/dist" .
into --upgrade "$target"/dist/cloudai-*.whl
(cd / && python -c 'import cloudai; print("cloudai", cloudai.__version__)')

echo "tests"
python -m pytest -o cache_dir="$target/pytest" "$@"
