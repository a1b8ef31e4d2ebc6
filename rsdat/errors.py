"""One family of errors: each names the thing, the place and the next step, and has an exit code.

The command line prints ``message`` and ``hint`` and leaves with ``exit_code``; a traceback is
shown only with ``--debug``. Exit codes are part of the interface (docs/exit-codes.md).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Self


class RsdatError(Exception):
    """Something went wrong that a person can act on.

    Parameters
    ----------
    message
        What happened, to which thing, where.
    hint
        What to do next, as an imperative sentence or a command.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"→ {hint}")  # tracebacks, also those of notebooks, end with it

    def __str__(self) -> str:
        # Of those that are an OSError, too, it would be the errno.
        return self.message

    def keywords(self) -> dict[str, Any]:
        """What the constructor was given besides the message; a kind with more of it adds that."""
        return {"hint": self.hint}

    def reworded(self, message: str, *, hint: str | None) -> Self:
        """The same error in other words."""
        return type(self)(message, **{**self.keywords(), "hint": hint})

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders (Dask workers): the keywords have to survive pickling. Dask
        # sends along what has caused an error; an aiohttp error there would make it arrive as text.
        if not _trying.get():
            _make_sendable(self)
        return _rebuild, (type(self), self.message, self.keywords())


class Told(Exception):
    """What has caused an error in another process: its kind and words."""


#: Set while it is tried whether a cause can be pickled: those of its own are known by then.
_trying: ContextVar[bool] = ContextVar("_trying", default=False)


def _make_sendable(error: BaseException) -> None:
    """Replace what has caused an error, and what has caused that, where it cannot be sent."""
    for one in _with_causes(error, set()):
        silent = one.__suppress_context__
        one.__cause__, one.__context__ = _told(one.__cause__), _told(one.__context__)
        one.__suppress_context__ = silent


def _with_causes(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """An error after all that has caused it, each once."""
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield from _with_causes(error.__cause__, seen)
        yield from _with_causes(error.__context__, seen)
        yield error


def _told(cause: BaseException | None) -> BaseException | None:
    """A cause that can be sent to another process: itself, else its words."""
    before = _trying.set(True)
    try:
        pickle.loads(pickle.dumps(cause))
    except Exception:
        return Told(f"{type(cause).__name__}: {cause}")
    finally:
        _trying.reset(before)
    return cause


def _rebuild(kind: type[RsdatError], message: str, keywords: dict[str, Any]) -> RsdatError:
    return kind(message, **keywords)


class ConfigError(RsdatError):
    """A site file, a variable or an option is wrong. Exit code 3."""

    exit_code = 3


class HostError(RsdatError):
    """A host could not be reached, refused us, or a command on it failed. Exit code 4."""

    exit_code = 4


class QueueError(RsdatError):
    """The job queue refused a request or does not answer. Exit code 5."""

    exit_code = 5


class SessionError(RsdatError):
    """A session is not there, has ended, or cannot be reached. Exit code 6."""

    exit_code = 6


class EnvironmentMissing(RsdatError):
    """The Python environment on a site is absent or differs from what is needed. Exit code 7."""

    exit_code = 7


class DataError(RsdatError):
    """A catalog, an item, an asset or an output is wrong. Exit code 8.

    Parameters
    ----------
    asset
        The key of the asset that is wrong, where it is one asset of an item.
    """

    exit_code = 8

    def __init__(self, message: str, *, hint: str | None = None, asset: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.asset = asset

    def keywords(self) -> dict[str, Any]:
        """The hint, and the asset where there is one."""
        return {**super().keywords(), **({} if self.asset is None else {"asset": self.asset})}


class Incomplete(RsdatError):
    """A part of what was asked was done, and it was told which part was not. Exit code 9."""

    exit_code = 9


class CredentialError(DataError, PermissionError):
    """A secret is missing, unreadable, has expired, or does not allow what was asked."""
