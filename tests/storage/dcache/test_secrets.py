"""A secret goes to the door that it is for, and appears nowhere else."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from rsdat.errors import ConfigError
from rsdat.storage.credentials import Credential
from tests.dcache.door import Door


def test_the_token_never_leaves_the_door(fs: Any, door: Door, tmp_path: Path) -> None:
    fs.pipe_file("/d/f", b"x" * 200_000)
    fs.cat("/d/f")
    fs.cat_ranges(["/d/f"] * 3, [0, 90_000, 180_000], [5, 90_005, 180_005], max_gap=0)
    fs.get("/d/f", str(tmp_path / "f"))
    fs.cp("/d/f", "/d/g")
    fs.mv("/d/g", "/d/h")
    fs.rm("/d", recursive=True)
    log = door.requests()
    assert {request.origin for request in log} >= {"webdav", "pool"}
    for request in log:
        assert request.authorized == (request.origin != "pool"), request
        assert door.token not in request.query
        assert door.token not in str(
            {k: v for k, v in request.headers.items() if k != "Authorization"}
        )


def test_the_token_stays_out_of_pickles_and_texts(
    make_fs: Callable[..., Any], door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fs = make_fs(door)
    fs.pipe_file("/f", b"x")
    with pytest.raises(FileNotFoundError) as caught:
        fs.cat("/nix")
    file = fs.open("/f")
    places = [
        pickle.dumps(fs),
        pickle.dumps(caught.value),
        pickle.dumps(fs.client.credential),
        repr(fs).encode(),
        str(vars(fs)).encode(),
        fs.to_json().encode(),
        json.dumps(fs.to_dict()).encode(),
        repr(fs.storage_options).encode(),
        repr(file).encode(),
        str(caught.value).encode(),
        caplog.text.encode(),
    ]
    for place in places:
        assert door.token.encode() not in place


def test_a_credential_in_the_options_is_json(door: Door, token_file: Path) -> None:
    for given in (Credential(token_file=str(token_file)), {"token_file": str(token_file)}):
        fs = fsspec.filesystem(
            "dcache", webdav=door.webdav, api=False, credential=given, skip_instance_cache=True
        )
        assert json.loads(fs.to_json())["credential"] == {"token_file": str(token_file)}
        back = fsspec.AbstractFileSystem.from_json(fs.to_json())
        assert back.ls("/") == []
        back.close()
        fs.close()


@pytest.mark.parametrize("name", ["token", "password", "macaroon", "secret"])
def test_a_literal_secret_is_refused(name: str) -> None:
    for options in ({name: "hunter2"}, {"credential": {name: "hunter2"}}):
        with pytest.raises(ConfigError, match="pickles, graphs and logs") as caught:
            fsspec.filesystem("dcache", host="door.example.org", **options)
        assert "hunter2" not in str(caught.value)
        assert "0600" in str(caught.value.hint)


def test_unknown_and_contradicting_options_are_refused(token_file: Path) -> None:
    with pytest.raises(ConfigError, match="unknown storage option tokenfile"):
        fsspec.filesystem("dcache", host="door.example.org", tokenfile="x")
    with pytest.raises(ConfigError, match="exclude one another"):
        fsspec.filesystem(
            "dcache",
            host="door.example.org",
            token_file=str(token_file),
            credential=Credential(token_env="X"),
        )
    with pytest.raises(ValueError, match="checksum is one of"):
        fsspec.filesystem("dcache", host="door.example.org", checksum="crc")


def test_a_redirect_to_a_foreign_place_does_not_take_the_token(
    make_fs: Callable[..., Any], make_door: Callable[..., Door], door: Door
) -> None:
    """A door (or somebody in between) may answer anything, for every kind of request."""
    from rsdat.storage.dcache.client import Client
    from rsdat.storage.dcache.paths import Door as Address

    other = make_door()
    fs = make_fs(door)
    client = Client(Address(door.webdav), fs.client.credential)

    async def headers(url: str) -> dict[str, str]:
        return await client.secret(url)

    def sent(url: str) -> dict[str, str]:
        return dict(fsspec.asyn.sync(fs.loop, headers, url))

    assert sent(f"{door.webdav}/x")
    assert sent(f"{other.webdav}/x") == {}
    assert sent(door.webdav.replace("http:", "https:")) == {}
    assert sent(door.webdav.replace("127.0.0.1", "127.0.0.1.example.org")) == {}
    assert sent(door.webdav.replace("://", "://127.0.0.1@evil.example.org:1/")) == {}


def test_two_doors_do_not_exchange_tokens(
    make_fs: Callable[..., Any], make_door: Callable[..., Door], door: Door, tmp_path: Path
) -> None:
    other = make_door()
    secret = tmp_path / "other"
    secret.write_text(other.allow("token-of-the-other"))
    secret.chmod(0o600)
    one, two = make_fs(door), make_fs(other, token_file=str(secret))
    one.pipe_file("/f", b"1")
    two.pipe_file("/f", b"2")
    assert (one.cat("/f"), two.cat("/f")) == (b"1", b"2")
    assert "token-of-the-other" not in str([r.headers for r in door.requests()])
    assert door.token not in str([r.headers for r in other.requests()])
