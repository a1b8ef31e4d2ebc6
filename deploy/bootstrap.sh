#!/bin/sh
# Fill .venv from the lock file. Needs Python >= 3.11; brings uv by itself. Safe to run again.
set -eu
cd "$(dirname "$0")/.."
lock=${1:-deploy/development.lock}

python=
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
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

if command -v uv >/dev/null 2>&1; then
    uv=$(command -v uv)
else
    if ! [ -x .cache/uv/bin/uv ]; then
        echo "fetching uv"
        "$python" -m venv .cache/uv 2>/dev/null || {
            # Debian splits venv from Python; root can mend that, others are told.
            rm -rf .cache/uv
            if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
                apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
                "$python" -m venv .cache/uv
            else
                echo "python3 cannot make virtual environments: install python3-venv (or uv) and run this again" >&2
                exit 1
            fi
        }
        .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
    fi
    uv=$PWD/.cache/uv/bin/uv
fi
echo "filling .venv from $lock"
[ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || "$uv" venv --quiet --clear --python "$python" .venv
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes "$lock"
"$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
echo "$wanted" >$stamp
