"""What both writers say of a run: what it has written, or what it keeps for the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rsdat.errors import RsdatError
from rsdat.raster.image import Skipped


@dataclass(frozen=True)
class Written:
    """A finished file or store, and what it took."""

    path: str
    """Where it is: a path or an address."""
    tiles: int
    bytes: int
    """Of the file; of a store, of what its tiles have written."""
    skipped: tuple[Skipped, ...]
    """Sources that were left out, of all tiles."""
    seconds: float
    kept: int
    """Tiles that an earlier, interrupted run had computed."""
    levels: int
    """Resolutions, the full one among them."""
    unread: frozenset[str] = frozenset()
    """Ids of the items that were left out of all tiles where they lie."""
    item: str | None = None
    """The STAC item beside it."""
    preview: str | None = None
    """The picture beside it."""


@contextmanager
def for_the_next_run(
    done: Callable[[], int], total: int, discard: Callable[[], None], *, resume: bool
) -> Iterator[None]:
    """After an error or an interrupt leave the tiles that are done, and say so; or leave nothing.

    Parameters
    ----------
    done
        How many of the ``total`` tiles are finished by now.
    discard
        Removes all that is there of the output.
    """
    try:
        yield
    except BaseException as error:
        finished = done()
        if not resume or not finished:
            # What is told is why the run ended, not that its place is out of reach by now.
            with suppress(OSError, RsdatError):
                discard()
            raise
        words = f"{finished} of {total} tiles are kept; run again to continue"
        if isinstance(error, RsdatError):
            hint = f"{error.hint}; {words}" if error.hint else words
            raise error.reworded(error.message, hint=hint) from error
        error.add_note(words)
        raise
