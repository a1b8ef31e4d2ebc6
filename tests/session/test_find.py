"""What a person types, and which session is meant by it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rsdat.config import load_site
from rsdat.errors import RsdatError, SessionError
from rsdat.session import memory
from rsdat.session.find import find, sessions_here


@pytest.fixture(autouse=True)
def home(own_places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(own_places))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own_places / "config"))
    monkeypatch.delenv("RSDAT_SESSION", raising=False)
    return own_places


def session(home: Path, identity: str, name: str, *, ended: bool = False) -> Path:
    """A session that is just being submitted, or one of an hour ago that has ended."""
    directory = home / ".rsdat" / "sessions" / identity
    directory.mkdir(parents=True)
    created = time.time() - (3600 if ended else 0)
    (directory / "request.json").write_text(json.dumps({"name": name, "created": created}))
    (directory / "site.json").write_text(load_site("local").site.model_dump_json())
    if ended:
        (directory / "end.json").write_text('{"message": "stopped on request"}')
    return directory


def found(reference: str | None, **options: bool) -> str:
    return find(reference, interactive=False, **options).overview.session.id


def broken_site(home: Path) -> None:
    """A site that was used from here and cannot be asked."""
    sites = home / "config" / "rsdat" / "sites"
    sites.mkdir(parents=True)
    (sites / "broken.yaml").write_text("nonsense: 1\n")
    memory.remember_session("old-bcdfg", "broken")


def test_the_only_live_session_needs_no_name(home: Path) -> None:
    session(home, "lab-bcdfg", "lab")
    session(home, "lab-hjkmn", "lab", ended=True)
    assert found(None) == found("lab") == found("local") == found("local/lab") == "lab-bcdfg"


def test_two_of_one_name_are_told_apart_by_their_ids(home: Path) -> None:
    session(home, "lab-bcdfg", "lab")
    session(home, "lab-hjkmn", "lab")
    with pytest.raises(SessionError, match=r"more than one.*lab-bcdfg"):
        found("lab")
    assert found("lab-hjkmn") == found("local/lab-hjkmn") == "lab-hjkmn"


def test_an_id_is_meant_before_a_name(home: Path) -> None:
    session(home, "lab-bcdfg", "lab")
    session(home, "lab-bcdfg-hjkmn", "lab-bcdfg")
    assert found("lab-bcdfg") == "lab-bcdfg"


def test_ended_sessions_are_found_only_when_they_are_wanted(home: Path) -> None:
    session(home, "lab-hjkmn", "lab", ended=True)
    with pytest.raises(SessionError, match="no live session 'lab'"):
        found("lab")
    assert found("lab", ended=True) == "lab-hjkmn"


def test_nothing_is_stopped_by_a_name_that_a_silent_site_may_know(home: Path) -> None:
    session(home, "lab-bcdfg", "lab")
    broken_site(home)
    assert found("lab") == "lab-bcdfg"
    with pytest.raises(RsdatError, match="not all sites answer") as refused:
        found("lab", certain=True)
    assert "lab-bcdfg" in str(refused.value.hint)
    assert found("lab-bcdfg", certain=True) == "lab-bcdfg"


def test_a_session_that_may_be_on_a_silent_site_is_not_said_to_be_absent(home: Path) -> None:
    session(home, "lab-bcdfg", "lab")
    broken_site(home)
    with pytest.raises(RsdatError, match="nonsense"):
        found("geo")


def test_inside_a_session_its_own_names_mean_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = session(home / "elsewhere", "lab-bcdfg", "lab")
    session(home, "geo-bcdfg", "geo")
    monkeypatch.setenv("RSDAT_SESSION", str(own))
    for reference in (None, "lab", "lab-bcdfg", "spider/lab-bcdfg"):
        assert found(reference) == "lab-bcdfg"
    assert found("geo") == "geo-bcdfg"
    assert [one.overview.session.id for one in sessions_here([])] == ["lab-bcdfg"]
