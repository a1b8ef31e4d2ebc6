"""Tokens that end before the session does are told when it is ready."""

from __future__ import annotations

import time

from rsdat.config.models import Site
from rsdat.session.expiry import expiring
from tests.storage.secrets import Person, before, macaroon, person

__all__ = ["person"]

SITE = Site(name="here", queue="local", head={"walltime": "8h"})


def test_a_token_that_ends_before_the_head_job(person: Person) -> None:
    person.credentials(**{"door.example.org": {"token_file": "~/token"}})
    assert expiring(SITE, None) == []  # there is no such file: another user's way
    person.secret("token", macaroon(before(hours=2)))
    [said] = expiring(SITE, None)
    assert "the token of ~/token ends on" in said
    assert expiring(SITE, time.time() + 3600) == []
    person.secret("token", macaroon(before(hours=9)))
    assert expiring(SITE, None) == []


def test_a_wrong_section_is_told_and_stops_no_session(person: Person) -> None:
    person.credentials(**{"door.example.org": {"token": "x"}})
    [said] = expiring(SITE, None)
    assert "unknown key" in said
