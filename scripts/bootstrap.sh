#!/usr/bin/env bash
# Installs what a target of the Makefile needs and the machine lacks; says nothing when all is there.
#
#   scripts/bootstrap.sh build | test | chaos | bench
#
# Expects cargo and python3. Debian packages are installed where apt-get is at hand; elsewhere the missing ones are named.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "bootstrap: $*" >&2
    exit 1
}

# need COMMAND PACKAGE: remembers the Debian package of a command that is missing.
packages=()
need() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || packages+=("$2")
}

# need_file FILE PACKAGE: the same for a file.
need_file() {
    [ -e "$1" ] || packages+=("$2")
}

install_packages() {
    [ "${#packages[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "please install: ${packages[*]} (there is no apt-get to do it with)"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "please install as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    echo "bootstrap: installing ${packages[*]}"
    local log
    log=$(mktemp)
    # Some come with services (nginx, prometheus). They are wanted as programs: nothing is started, now or at the next boot.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod +x "$policy"
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update >"$log" 2>&1 || { tail -n 5 "$log" >&2; fail "apt-get update failed"; }
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install -y --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
        { tail -n 15 "$log" >&2; fail "apt-get install ${packages[*]} failed"; }
    local package
    for package in "${packages[@]}"; do
        case $package in
        nginx-light | libnginx-mod-http-lua) "${as_root[@]}" systemctl --quiet disable nginx 2>/dev/null || true ;;
        prometheus) "${as_root[@]}" systemctl --quiet disable prometheus 2>/dev/null || true ;;
        esac
    done
    rm -f "$log"
}

# The tests of the console drive a browser.
console_environment() {
    local wanted
    wanted=$(sha256sum tests/console/package-lock.json | cut -d' ' -f1)
    [ "$(cat tests/console/node_modules/.lock 2>/dev/null)" = "$wanted" ] && return 0
    echo "bootstrap: installing what the console's tests need"
    npm --prefix tests/console ci --no-audit --no-fund --silent || fail "npm could not install tests/console"
    echo "$wanted" >tests/console/node_modules/.lock
}

python_environment() {
    local wanted
    wanted=$(sha256sum tests/requirements.txt | cut -d' ' -f1)
    [ "$(cat target/venv/.requirements 2>/dev/null)" = "$wanted" ] && target/venv/bin/python -c '' 2>/dev/null && return 0
    echo "bootstrap: making the Python environment target/venv"
    rm -rf target/venv
    mkdir -p target
    python3 -m venv target/venv || fail "python3 -m venv failed"
    target/venv/bin/pip install --quiet --disable-pip-version-check --no-input -r tests/requirements.txt ||
        fail "pip could not install tests/requirements.txt"
    echo "$wanted" >target/venv/.requirements
}

# The receivers of tests/e2e/peers.py: a Collector built from tests/collector, and Phoenix in an environment of its own.
collector() {
    local wanted
    wanted=$(cat tests/collector/* | sha256sum | cut -d' ' -f1)
    [ "$(cat target/peers/.collector 2>/dev/null)" = "$wanted" ] && [ -x target/peers/collector ] && return 0
    echo "bootstrap: building the OpenTelemetry Collector of the tests (a minute)"
    mkdir -p target/peers
    local log
    log=$(mktemp)
    CGO_ENABLED=0 go build -C tests/collector -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o ../../target/peers/collector . >"$log" 2>&1 ||
        { tail -n 15 "$log" >&2; fail "go could not build tests/collector"; }
    rm -f "$log"
    echo "$wanted" >target/peers/.collector
}

phoenix() {
    local wanted
    wanted=$(sha256sum tests/phoenix.txt | cut -d' ' -f1)
    [ "$(cat target/peers/phoenix/.requirements 2>/dev/null)" = "$wanted" ] && [ -x target/peers/phoenix/bin/phoenix ] && return 0
    echo "bootstrap: installing Arize Phoenix for the tests (a minute)"
    rm -rf target/peers/phoenix
    mkdir -p target/peers
    python3 -m venv target/peers/phoenix || fail "python3 -m venv failed"
    target/peers/phoenix/bin/pip install --quiet --disable-pip-version-check --no-input -r tests/phoenix.txt ||
        fail "pip could not install tests/phoenix.txt"
    echo "$wanted" >target/peers/phoenix/.requirements
}

# The one mostly computes, the other mostly waits for the network.
peers() {
    collector &
    local building=$!
    phoenix
    wait "$building"
}

what=${1:-build}
command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs)"
need cc build-essential
case $what in
build) ;;
test)
    command -v python3 >/dev/null || fail "python3 (3.11 or newer) is missing"
    need curl curl
    need jq jq
    need promtool prometheus
    need chromium chromium
    need node nodejs
    need npm npm
    need go golang-go
    need faketime faketime
    need nginx nginx-light
    need_file /usr/lib/nginx/modules/ngx_http_lua_module.so libnginx-mod-http-lua
    need luajit luajit2
    need busted lua-busted
    need luarocks luarocks
    need valgrind valgrind
    need_file "/usr/lib/$(uname -m)-linux-gnu/lua/5.1/cjson.so" lua-cjson
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
    ;;
chaos)
    command -v python3 >/dev/null || fail "python3 (3.11 or newer) is missing"
    need faketime faketime
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
    ;;
bench)
    command -v python3 >/dev/null || fail "python3 (3.10 or newer) is missing"
    need nginx nginx-light
    need wrk wrk
    need_file /usr/lib/nginx/modules/ngx_http_lua_module.so libnginx-mod-http-lua
    need_file "/usr/lib/$(uname -m)-linux-gnu/lua/5.1/cjson.so" lua-cjson
    ;;
*) fail "unknown: $what (build, test, chaos or bench)" ;;
esac
install_packages
case $what in
test) python_environment && peers && console_environment ;;
chaos) python_environment ;;
esac
