"""stac-fastapi on pgstac: a STAC API with PostgreSQL and PostGIS behind it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environments import python_of
from .programs import SECONDS_TO_START, Server, missing, ordinary, running, workplace

POSTGRESQL = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class StacApi(Server):
    """A STAC API that takes collections and items."""

    def load(self, collection: dict[str, Any], items: Iterable[dict[str, Any]]) -> None:
        """Store a collection with its items through the API's transaction extension."""
        self._post("/collections", collection)
        features = {item["id"]: item for item in items}
        body = {"items": features, "method": "insert"}
        self._post(f"/collections/{collection['id']}/bulk_items", body)

    def _post(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


@contextmanager
def stac_api() -> Iterator[StacApi]:
    programs = _postgresql()
    python = python_of("stac-api")
    with workplace("pgstac") as place:
        data = place / "data"
        initdb: list[str | Path] = [programs / "initdb", "-D", data, "-U", "tests", "-A", "trust"]
        _run([*initdb, "--no-sync"], place, user=ordinary())

        def database(port: int) -> list[str]:
            settings = ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=32MB"]
            words = [word for setting in settings for word in ("-c", setting)]
            return [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", "", *words]

        # An interrupt is PostgreSQL's fast shutdown: it waits for no client and leaves nothing.
        with running(database, place, stop=signal.SIGINT) as port:
            # It listens before it is ready, and sends everybody away until then.
            _until_ready([str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)])
            environment = {
                "PGHOST": "127.0.0.1",
                "PGPORT": str(port),
                "PGUSER": "tests",
                "PGPASSWORD": "none",
                "PGDATABASE": "postgres",
                "ENABLE_TRANSACTIONS_EXTENSIONS": "TRUE",
                "ENABLE_RESPONSE_MODELS": "FALSE",
            }
            _run([python, "-m", "pypgstac.pypgstac", "migrate"], place, environment)

            def application(port: int) -> list[str]:
                words = ["--factory", "stac_fastapi.pgstac.app:create_app", "--host", "127.0.0.1"]
                return [str(python), "-m", "uvicorn", *words, "--port", str(port)]

            with running(application, place, environment=environment, own_rights=True) as api_port:
                yield StacApi(f"http://127.0.0.1:{api_port}", place, place / "log")


def _postgresql() -> Path:
    """Where the programs of a PostgreSQL lie that has PostGIS."""
    found = [
        directory / "bin"
        for directory in sorted(POSTGRESQL.glob("*"), key=lambda d: int(d.name))
        if (directory / "bin/postgres").exists()
        and Path("/usr/share/postgresql", directory.name, "extension/postgis.control").exists()
    ]
    if not found:
        missing("PostgreSQL with PostGIS is not installed (apt-get install postgresql-postgis)")
    return found[-1]


def _until_ready(asking: list[str]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while subprocess.run(asking, capture_output=True, check=False).returncode != 0:
        assert time.monotonic() < deadline, "PostgreSQL does not become ready"
        time.sleep(0.02)


def _run(
    argv: list[str | Path],
    place: Path,
    environment: dict[str, str] | None = None,
    user: dict[str, Any] | None = None,
) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(place), "LC_ALL": "C.UTF-8", **(environment or {})}
    done = subprocess.run(
        argv, cwd=place, env=env, capture_output=True, text=True, check=False, **(user or {})
    )
    assert done.returncode == 0, f"{argv[0]} failed:\n{done.stdout}{done.stderr}"
