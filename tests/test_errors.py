"""The family of errors: what an error says and knows survives its way from a worker."""

from __future__ import annotations

import errno
import pickle
import threading
import traceback

import pytest
from distributed.core import clean_exception, error_message

from rsdat.config.origin import InvalidSite, Layer, Origin, Problem
from rsdat.errors import CredentialError, DataError, RsdatError
from rsdat.storage.dcache.errors import DoorError, NotFound, Unreachable
from rsdat.storage.transfer_errors import CopyFailed, Damaged, Missing
from rsdat.storage.transfer_listing import Absent

ERRORS = [
    DataError("a", hint="b"),
    DataError("a", hint="b", asset="red"),
    CredentialError("a"),
    CredentialError("a", asset="red"),
    Absent("a", hint="b"),
    CopyFailed("a", hint="b", source="s", target="t"),
    Missing("a", target="t"),
    DoorError("a", hint="b", path="/p", door="https://d", status=500, code=errno.EAGAIN),
    NotFound("a", path="/p"),
    InvalidSite("a", problems=[Problem(Origin(Layer.USER, "site.yaml", 3), "k", "wrong")]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_arrive_as_they_were_raised(error: RsdatError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.message, arrived.hint) == ("a", "a", error.hint)
    assert arrived.keywords() == error.keywords()
    assert getattr(arrived, "errno", None) == getattr(error, "errno", None)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_other_words_make_no_other_error(error: RsdatError) -> None:
    other = error.reworded("c", hint="d")
    assert type(other) is type(error)
    assert (str(other), other.hint) == ("c", "d")
    assert {**other.keywords(), "hint": error.hint} == error.keywords()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_traceback_ends_with_the_next_step(error: RsdatError) -> None:
    for one in (error, pickle.loads(pickle.dumps(error))):
        told = "".join(traceback.format_exception_only(one)).splitlines()
        assert told[-1] == (f"→ {error.hint}" if error.hint else told[0])


@pytest.mark.parametrize("kind", [NotFound, Unreachable, Missing, Damaged])
def test_what_is_an_oserror_too_says_its_message(kind: type[RsdatError]) -> None:
    assert str(kind("scene.tif is not there")) == "scene.tif is not there"


class Unsendable(Exception):
    """As aiohttp's, which hold what cannot be pickled."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.lock = threading.Lock()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("chained", ["cause", "context", "hidden"])
def test_what_cannot_be_sent_does_not_keep_an_error_from_arriving(
    error: RsdatError, chained: str
) -> None:
    raised = error.reworded("a", hint=error.hint)

    def fail() -> None:
        try:
            raise Unsendable("a lock is held")
        except Unsendable as cause:
            if chained == "context":
                raise raised  # noqa: B904
            raise raised from (cause if chained == "cause" else None)

    with pytest.raises(type(error)) as caught:
        fail()
    # As Dask's workers do it, which send along what has caused an error.
    message = error_message(caught.value)
    arrived = clean_exception(message["exception"].data)[1]
    assert type(arrived) is type(error)
    assert arrived.message == "a"
    whole = "".join(traceback.format_exception(arrived))
    assert ("Unsendable: a lock is held" in whole) == (chained != "hidden")


def test_errors_with_a_long_story_arrive_with_all_of_it() -> None:
    def fail(depth: int) -> None:
        try:
            if depth == 0:
                raise Unsendable("a lock is held")
            fail(depth - 1)
        except Exception as cause:
            raise RsdatError(f"step {depth}") from cause

    with pytest.raises(RsdatError) as caught:
        fail(30)
    # Trying each cause with all of its own again would not end within a lifetime.
    message = error_message(caught.value)
    whole = "".join(traceback.format_exception(clean_exception(message["exception"].data)[1]))
    assert [f"RsdatError: step {depth}\n" in whole for depth in range(31)] == [True] * 31
    assert "Unsendable: a lock is held" in whole
