"""`rsdat data token`: a macaroon from a door into a file, looked at without its secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from rsdat.storage.credentials import decode
from tests.dcache.door import Door
from tests.storage.secrets import Person, before, macaroon, person

__all__ = ["person"]


@pytest.fixture
def door(make_door: Callable[..., Door], person: Person) -> Door:
    made = make_door(tls="good")
    made.put("/data/x", b"content")
    assert made.authority is not None
    made.authority.write(person.home / "ca.pem")
    person.secret("token", made.token)
    host = made.webdav.removeprefix("https://")
    person.credentials(**{host: {"token_file": "~/token", "ca_file": "~/ca.pem"}})
    return made


def rsdat(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from rsdat.cli import main; main()", "data", "token", *words]
    done = subprocess.run(argv, capture_output=True, text=True, env=os.environ)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_macaroon_is_made_written_and_good_for_what_it_says(door: Door, person: Person) -> None:
    file = person.home / "macaroon"
    host = door.webdav.removeprefix("https://")
    done = rsdat(
        *("create", f"dcache://{host}/", "--activity", "download,LIST", "--path", "/data"),
        *("--validity", "PT12H", "-o", str(file)),
    )
    token = file.read_text().strip()
    assert token not in done.stdout + done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in person.home.glob(".macaroon*")] == []
    read = decode(token)
    assert read.activities == {"DOWNLOAD", "LIST"}
    assert read.values("path") == ("/data",)
    assert read.expires is not None
    assert re.search(r"\(in 11h 5\dmin\)", done.stdout)
    shown = rsdat("show", str(file)).stdout
    assert "activity:DOWNLOAD,LIST" in shown
    assert token not in shown
    person.secret("token", token)
    assert "path:/data" in rsdat("show", f"dcache://{host}/data/x").stdout
    assert door.requests("webdav", "POST")


def test_json_holds_the_secret_only_when_asked(door: Door) -> None:
    host = door.webdav.removeprefix("https://")
    found = json.loads(rsdat("create", f"https://{host}/", "--print", "--json").stdout)
    assert decode(found["token"]).kind == found["kind"] == "macaroon"
    assert rsdat("create", f"https://{host}/", "--print").stdout.startswith("MD")


def test_a_door_that_refuses(door: Door, person: Person) -> None:
    person.secret("token", "wrong")
    done = rsdat("create", door.webdav, "-o", str(person.home / "m"), code=8)
    assert "gives no macaroon to this credential (401" in done.stderr
    assert not (person.home / "m").exists()


def test_what_is_asked_wrongly(door: Door, person: Person) -> None:
    assert "give -o FILE, or --print" in rsdat("create", door.webdav, code=3).stderr
    wrong = {
        "--activity": "READ",
        "--path": "data",
        "--validity": "soon",
    }
    for option, value in wrong.items():
        done = rsdat("create", door.webdav, "--print", option, value, code=3)
        assert value in done.stderr
    assert (
        "no credential is configured"
        in rsdat("create", "https://127.0.0.1:9/", "--print", code=8).stderr
    )
    assert not door.requests("webdav", "POST")


def test_a_token_of_yesterday_is_shown_as_expired(person: Person) -> None:
    file = person.secret("old", macaroon(before(days=-1)))
    assert "it has expired" in rsdat("show", str(file)).stdout
    assert "does not exist" in rsdat("show", str(person.home / "none"), code=8).stderr
