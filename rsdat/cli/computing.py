"""Where a command computes: on a session's workers or in its own threads, with an orderly end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rsdat.cli.progress import Counters, tile_bars
from rsdat.errors import RsdatError


@contextmanager
def computing(session: str | None, quiet: bool) -> Iterator[tuple[str, Counters | None]]:
    """A Dask client of the session, or none; a progress bar; and an orderly end on SIGTERM."""
    came: list[int] = []
    try:
        with session_client(session, came) as (_, place), tile_bars(quiet) as progress:
            yield place, progress
    except RsdatError as error:
        # GDAL's callbacks swallow the interrupt, and what they return then looks like an error.
        if came:
            _interrupted(error)
            raise KeyboardInterrupt from None
        raise
    except KeyboardInterrupt as error:
        _interrupted(error)
        raise


@contextmanager
def session_client(session: str | None, came: list[int] | None = None) -> Iterator[tuple[Any, str]]:
    """The Dask client of a session, or None, and where that is in words; SIGTERM is as Ctrl-C.

    Parameters
    ----------
    came
        Gets the signals.
    """

    def interrupted(number: int, frame: Any) -> None:
        if came is not None:
            came.append(number)
        raise KeyboardInterrupt

    previous = {one: signal.signal(one, interrupted) for one in (signal.SIGINT, signal.SIGTERM)}
    client, place = _client(session)
    try:
        yield client, place
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
        if client is not None:
            client.close()


def _interrupted(error: BaseException) -> None:
    own = [] if isinstance(error, RsdatError) else getattr(error, "__notes__", [])
    notes = own or ["nothing half-written is left"]
    print(f"rsdat: interrupted; {'; '.join(notes)}", file=sys.stderr)


def _client(session: str | None) -> tuple[Any, str]:
    """The client of the session meant, and where that is in words.

    Without a session, threads of this process compute: a cluster of our own would only add a
    scheduler, and an open port on a login node.
    """
    from rsdat.cluster import client
    from rsdat.cluster.layout import SESSION_VARIABLE
    from rsdat.errors import SessionError

    try:
        connected = client(_directory(session)) if session else client()
    except SessionError as error:
        if session:
            raise
        if "no running session" not in error.message:
            print(f"rsdat: {error.message}; going on in this process", file=sys.stderr)
        return None, "in this process"
    if not connected.nthreads():
        if not session and SESSION_VARIABLE not in os.environ:
            connected.close()
            return None, "in this process (the session has no workers)"
        print(
            "rsdat: the session has no workers yet; waiting for some (`rsdat scale 2`)",
            file=sys.stderr,
        )
    return connected, "on the session's workers"


def _directory(session: str) -> str:
    from pathlib import Path

    from rsdat.errors import SessionError
    from rsdat.session.find import find

    found = find(session)
    directory = str(found.overview.session.directory)
    if not Path(directory).expanduser().is_dir():
        raise SessionError(
            f"session {session} runs on {found.host.name}, where this machine's files are not",
            hint="run this command in a terminal of its JupyterLab",
        )
    return directory
