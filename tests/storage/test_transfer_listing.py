"""What cannot be listed: whose fault it is, as errors that programs can tell apart."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import fsspec
import pytest
from distributed.core import clean_exception, error_message

from rsdat.errors import RsdatError
from rsdat.storage import read_text
from rsdat.storage.dcache.errors import Unreachable
from rsdat.storage.transfer_listing import Absent, Forbidden, Unlisted, expand
from tests.storage.secrets import person
from tests.storage.transfer_ends import Ends, ends, short_clock

__all__ = ["ends", "person", "short_clock"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_a_permission_error_that_travels(ends: Ends, status: int) -> None:
    ends.write(ends.url("https", "f"), b"x")
    ends.door.fault("status", "/d/f", value=status, times=None)
    with pytest.raises(PermissionError, match=f"status {status}") as caught:
        expand(ends.url("https", "f"))
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), Forbidden)
    assert "credentials" in str(caught.value.hint)  # type: ignore[attr-defined]


def test_what_is_missing_and_what_fails(ends: Ends) -> None:
    with pytest.raises(Absent):
        expand(ends.url("https", "none"))
    ends.write(ends.url("https", "f"), b"x")
    ends.door.fault("status", "/d/f", value=500, times=None)
    with pytest.raises(Unlisted, match="status 500") as caught:
        expand(ends.url("https", "f"))
    assert not isinstance(caught.value, PermissionError)


def test_errors_of_connections_arrive_from_a_worker_as_what_they_are(ends: Ends) -> None:
    """aiohttp's, which cause them, hold TLS contexts and headers that cannot be sent."""
    fs, path = fsspec.url_to_fs(ends.url("dcache", "f"), retries=0, skip_instance_cache=True)
    fs.exists(path)
    ends.door.fault("status", "/d/f", value=401, times=None)
    calls = [lambda: read_text(ends.url("https", "f")), lambda: expand(ends.url("https", "f"))]
    found = [sent(call) for call in calls]
    ends.door.disconnect()
    found.append(sent(lambda: fs.cat_file(path)))
    assert [isinstance(one, PermissionError) for one in found] == [True, True, False]
    assert isinstance(found[-1], Unreachable)
    ends.door.reconnect()


def sent(call: Callable[[], object]) -> BaseException | None:
    """An error as it arrives from a Dask worker."""
    try:
        call()
    except RsdatError as error:
        return clean_exception(error_message(error)["exception"].data)[1]
    return None
