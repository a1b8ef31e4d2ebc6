#!/bin/bash
# Everything that must hold: lint and types, the tests, and the tests on the virtual cluster.
# Where the virtual cluster cannot run, it says which tests did not; with CI=true or
# RSDAT_REQUIRE_CLUSTER=1 that is a failure. Called by `make test`.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
# The tests start rsdat hundreds of times: as on a user's machine, it is compiled once.
unset PYTHONDONTWRITEBYTECODE

bin=$PWD/.venv/bin
vc=$PWD/deploy/virtual-cluster/vc
scratch=$(mktemp -d)
required=
[ "${CI:-}" = true ] || [ "${RSDAT_REQUIRE_CLUSTER:-}" = 1 ] && required=1
started=
results=()
failed=

finish() {
    trap '' INT TERM
    [ -z "$started" ] || "$vc" down
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

record() { # NAME STATUS
    if [ "$2" = 0 ]; then
        results+=("ok      $1")
    else
        results+=("FAILED  $1")
        failed=1
    fi
}

quietly() { # NAME COMMAND...: shows what the command printed only if it fails
    local name=$1
    shift
    "$@" >"$scratch/out" 2>&1
    local status=$?
    [ $status = 0 ] || { echo "--- $name"; tail -n 60 "$scratch/out"; }
    record "$name" $status
}

box() { # lines that nobody overlooks
    local bar
    bar=$(printf '#%.0s' {1..78})
    printf '\n%s\n' "$bar"
    printf '#  %s\n' "$@"
    printf '%s\n\n' "$bar"
}

# The files whose tests carry a mark, from pytest itself.
files_with() { "$bin/pytest" -m "$1" --collect-only -qq 2>/dev/null | sed -n 's/^\(tests[^:]*\):.*/\1/p' | sort -u; }

not_run() { # REASON MARK-EXPRESSION
    local lines
    mapfile -t lines < <(files_with "$2" | sed 's/^/    /')
    box "NOT RUN: $1" "These tests did not run:" "${lines[@]:-    (none found)}"
    results+=("NOT RUN $2: $1")
    [ -z "$required" ] || failed=1
}

can_be_root_on_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

install_packages() { # PACKAGE...: Debian's packages, without starting their services
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e $policy ]; then
        ours=1
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    echo "installing $*"
    { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            -o DPkg::Lock::Timeout=300 "$@"; } >"$scratch/apt" 2>&1 || tail -n 5 "$scratch/apt"
    [ -z "$ours" ] || rm -f $policy
}

bring_chromium() {
    command -v chromium >/dev/null && return
    can_be_root_on_debian && install_packages chromium
}

# Arguments have to survive every login shell, and doors of other makes speak WebDAV, too. Without
# one of these programs its tests say that they skip.
bring_shells_and_servers() {
    local program packages=()
    { [ -n "$required" ] && can_be_root_on_debian; } || return
    for program in ksh zsh tcsh fish rclone; do
        command -v "$program" >/dev/null || packages+=("$program")
    done
    command -v apache2 >/dev/null || packages+=(apache2-bin)
    [ -n "$(find /usr/lib -name 'libXrdHttp-*.so' -print -quit)" ] ||
        packages+=(xrootd-server xrootd-server-plugins)
    [ -n "$(find /usr/share/postgresql -name postgis.control -print -quit 2>/dev/null)" ] ||
        packages+=(postgresql postgresql-postgis)
    [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
}

# --- lint and types
quietly "ruff check" "$bin/ruff" check .
quietly "ruff format" "$bin/ruff" format --check .
quietly "mypy" "$bin/mypy"

# --- the virtual cluster, which also brings sshd for the other tests
bring_chromium
bring_shells_and_servers
browser=
command -v chromium >/dev/null || browser="and not browser"
why=
if ! can_be_root_on_debian; then
    why="the virtual cluster needs root on Debian or Ubuntu (sudo make test)"
elif ! "$vc" status >/dev/null 2>&1; then
    started=1
    "$vc" up 2>"$scratch/up" || {
        cat "$scratch/up"
        why="the virtual cluster did not start: $(tail -n 1 "$scratch/up")"
    }
fi

# --- the tests that need no cluster
# Most of these tests wait for processes of their own: four at a time fit on two cores.
"$bin/pytest" -n 4 --dist loadfile -rs -m "not cluster $browser"
record "tests without the cluster" $?

# --- the tests on the virtual cluster
if [ -n "$why" ]; then
    not_run "$why" cluster
else
    "$bin/pytest" -m "cluster $browser" -rs --junitxml="$scratch/cluster.xml"
    status=$?
    record "tests on the virtual cluster" $status
    [ $status != 5 ] || echo "no test of the virtual cluster was found"
    skipped=$(sed -n 's/.*<testsuite [^>]*skipped="\([0-9]*\)".*/\1/p' "$scratch/cluster.xml" 2>/dev/null)
    if [ "${skipped:-0}" != 0 ]; then
        box "SKIPPED: $skipped tests of the virtual cluster (the reasons are above)"
        results+=("SKIPPED $skipped tests on the virtual cluster")
        [ -z "$required" ] || failed=1
    fi
fi
[ -z "$browser" ] || not_run "Chromium is not here (apt-get install chromium)" browser

echo
printf '%s\n' "${results[@]}"
if [ -n "$failed" ]; then
    echo "make test: FAILED"
    exit 1
fi
echo "make test: passed"
