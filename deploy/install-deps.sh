#!/bin/sh
# Installs what a build and the tests need and a bare Debian or Ubuntu machine lacks: a C++
# compiler and libclang for RocksDB, pip for the audit, and the programs that the fault tests use.
# Says what to install where apt-get is not to be had.
set -eu

missing=""
need() { # program package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need c++ g++
need make make
need haproxy haproxy
need iptables iptables
need etcd etcd-server
need promtool prometheus
need ip iproute2
need nsenter util-linux
need perl perl
need mkfs.ext4 e2fsprogs
need faketime faketime
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for file in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang*.so* \
        /usr/local/lib/libclang*.so* /opt/homebrew/opt/llvm/lib/libclang*.dylib; do
        case "$file" in *libclang-cpp*) continue ;; esac
        [ -e "$file" ] && return 0
    done
    return 1
}
has_libclang || missing="$missing libclang-dev"
# Installs the programs of audit.sh.
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"

[ -n "$missing" ] || exit 0

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is missing: install Rust 1.95 or newer with rustup" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install:$missing (Debian's names), then run make again" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "please install as root: apt-get install$missing" >&2
        exit 1
    fi
    as_root="sudo"
fi
echo "installing:$missing"
$as_root apt-get update -qq
# A Debian service file would start a daemon of its own; we only want the programs.
for package in $missing; do
    case "$package" in
    etcd-server | haproxy | iptables)
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" ||
            echo "could not install $package: what needs it is skipped" >&2
        ;;
    prometheus)
        # Brings promtool, for the tests of the alert rules.
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            prometheus
        if [ -d /run/systemd/system ]; then
            $as_root systemctl disable --now prometheus
        fi
        ;;
    python3-pip)
        # Without compilers for packages that are not compiled here.
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            python3-pip
        ;;
    *) $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" ;;
    esac
done
