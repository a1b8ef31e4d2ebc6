#!/bin/sh
# Fill .venv from the lock file. Needs Python >= 3.11; brings uv by itself. Safe to run again.
set -eu
cd "$(dirname "$0")/.."
lock=${1:-deploy/development.lock}

python=
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
    # A pyenv shim is a command even where no Python is behind it: run it.
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
[ -n "$python" ] || {
    echo "rsdat needs Python 3.11, 3.12 or 3.13, and found none. Install one, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
}

# The stamp ties .venv to the lock and to pyproject.toml, so that an unchanged one costs nothing.
stamp=.venv/.rsdat-lock
wanted=$(cat "$lock" pyproject.toml deploy/bootstrap.sh | sha256sum | cut -d' ' -f1)
[ "$(cat $stamp 2>/dev/null || true)" = "$wanted" ] && [ -x .venv/bin/rsdat ] && exit 0

make_uv() {
    "$python" -m venv --clear .cache/uv >/dev/null 2>&1 &&
        .cache/uv/bin/python -m pip --version >/dev/null 2>&1
}
if uv --version >/dev/null 2>&1; then
    uv=$(command -v uv)
else
    uv=$PWD/.cache/uv/bin/uv
    if ! "$uv" --version >/dev/null 2>&1; then
        echo "fetching uv"
        # Debian splits venv from Python; root can mend that, others are told.
        make_uv || {
            if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
                export DEBIAN_FRONTEND=noninteractive
                version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
                apt-get update -qq
                apt-get install -y -qq --no-install-recommends "$version-venv" >/dev/null
            fi
            make_uv
        } || {
            echo "$python cannot make virtual environments: install python3-venv (or uv) and run this again" >&2
            exit 1
        }
        .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r deploy/installer.lock
    fi
fi

echo "filling .venv from $lock"
rm -f $stamp
.venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || {
    rm -rf .venv
    "$uv" venv --quiet --python "$python" .venv
}
"$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes "$lock"
# Built by the lock's own hatchling: nothing that is not pinned is fetched.
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
echo "$wanted" >$stamp
