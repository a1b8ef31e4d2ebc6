"""What is kept of pools' addresses, when, and for whom."""

from __future__ import annotations

import gc

import pytest

from rsdat.storage.credentials import Credential
from rsdat.storage.dcache import known
from rsdat.storage.dcache.known import Addresses
from rsdat.storage.dcache.paths import Door


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(known, "time", clock)
    return clock


def lasting() -> Addresses:
    found = Addresses()
    found.keep("/f", "f1")
    assert found.take("/f") == "f1"
    found.served("/f", "f1")
    return found


def test_one_request_tries_whether_an_address_lasts(clock: Clock) -> None:
    found = Addresses()
    found.keep("/f", "f1")
    found.keep("/g", "g1")
    assert not found.lasting
    assert found.take("/f") == "f1"
    assert found.take("/f") is found.take("/g") is None
    clock.now += 1
    found.served("/f", "f1")
    assert found.lasting
    assert [found.take("/f"), found.take("/f"), found.take("/g")] == ["f1", "f1", "g1"]


def test_a_try_that_said_nothing_is_made_again(clock: Clock) -> None:
    found = Addresses()
    found.keep("/f", "f1")
    found.keep("/g", "g1")
    found.failed("/f", found.take("/f") or "")
    assert found.take("/f") is None
    assert found.take("/g") == "g1"
    assert not found.lasting
    assert not found.single_use


def test_a_first_refusal_says_that_addresses_are_of_one_use(clock: Clock) -> None:
    found = Addresses()
    found.keep("/f", "f1")
    found.refused("/f", found.take("/f") or "")
    assert found.single_use
    found.keep("/f", "f2")
    assert found.take("/f") is None
    clock.now += known.SINGLE_USE_SECONDS
    found.keep("/f", "f3")
    assert found.take("/f") == "f3"


def test_a_refusal_after_a_while_says_nothing(clock: Clock) -> None:
    found = Addresses()
    found.keep("/f", "f1")
    clock.now += known.FRESH_SECONDS + 1
    found.refused("/f", found.take("/f") or "")
    assert not found.single_use
    found.keep("/f", "f2")
    assert found.take("/f") == "f2"


def test_an_address_that_has_served_may_end(clock: Clock) -> None:
    found = lasting()
    for url in ("f2", "f3", "f4"):
        found.keep("/f", url)
        clock.now += 1
        found.served("/f", url)
        found.refused("/f", url)
        assert found.lasting
        assert found.take("/f") is None


def test_a_door_may_change_its_mind(clock: Clock) -> None:
    found = lasting()
    for n in range(known.REFUSALS):
        assert found.lasting
        found.keep("/f", f"g{n}")
        found.refused("/f", f"g{n}")
    assert not found.lasting
    assert found.single_use


def test_a_late_refusal_of_an_old_address_does_not_touch_the_new(clock: Clock) -> None:
    found = lasting()
    found.keep("/f", "f2")
    found.refused("/f", "f1")
    found.failed("/f", "f1")
    found.served("/f", "f1")
    assert found.take("/f") == "f2"


def test_addresses_are_used_while_they_are_used(clock: Clock) -> None:
    found = lasting()
    for _ in range(3):
        clock.now += known.ADDRESS_SECONDS - 1
        assert found.take("/f") == "f1"
        found.served("/f", "f1")
    clock.now += known.ADDRESS_SECONDS
    assert found.take("/f") is None
    found.keep("/f", "f2")
    found.forget("/f")
    assert found.take("/f") is None


def test_no_more_addresses_than_so_many(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_ADDRESSES", 2)
    found = lasting()
    for path in ("/g", "/h"):
        found.keep(path, path)
    assert [found.take(path) for path in ("/f", "/g", "/h")] == [None, "/g", "/h"]


def test_it_is_shared_by_door_and_credential() -> None:
    door, one = Door("https://h:1"), Credential(token_file="a")
    mine = known.shared(door, one)
    assert known.shared(Door("https://h:1"), Credential(token_file="a")) is mine
    others = [
        known.shared(door, None),
        known.shared(door, Credential(token_file="b")),
        known.shared(Door("https://h:2"), one),
        known.shared(Door("https://h:1", api="https://h:3/api/v1"), one),
        known.shared(Door("https://h:1", root="/r"), one),
    ]
    assert len({id(each) for each in [mine, *others]}) == 6


def test_it_ends_with_the_last_who_uses_it() -> None:
    door = Door("https://ends:1")
    known.shared(door, None).parts = False
    gc.collect()
    assert known.shared(door, None).parts
