#!/bin/sh
# Resolve the dependencies anew: hashes, no index addresses, valid on Python 3.11 to 3.13.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-header --no-annotate "$@"
}
compile pyproject.toml --extra jupyter -o deploy/environment.lock
compile --group installer -o deploy/installer.lock
compile pyproject.toml --extra jupyter --group dev -c deploy/environment.lock -o deploy/development.lock
compile --group s3-server -o tests/servers/s3.lock
compile --group stac-api-server -o tests/servers/stac-api.lock
# stac2dcache pins a rasterio that has no wheels for these versions of Python.
compile --group comparison --overrides /dev/stdin -o tests/servers/comparison.lock <<END
rasterio>=1.4.3
END
