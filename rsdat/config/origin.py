"""Where a value came from, and what is said when it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rsdat.errors import ConfigError


class Layer(IntEnum):
    """The layers of a site, each over the one before it."""

    DEFAULT = 0
    SHIPPED = 1
    ADMIN = 2
    USER = 3
    VARIABLE = 4
    OPTION = 5

    @property
    def of_user(self) -> bool:
        """Whether a user writes this layer; what an admin locks binds these."""
        return self >= Layer.USER


@dataclass(frozen=True)
class Origin:
    """The place that gave a value: a line of a file, a variable, an option, or the default."""

    layer: Layer
    place: str = ""
    """A file's path, the name of a variable or of an option."""
    line: int | None = None

    def __str__(self) -> str:
        if self.layer is Layer.DEFAULT:
            return "default"
        return f"{self.place}:{self.line}" if self.line else self.place


DEFAULT = Origin(Layer.DEFAULT)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a site, and where."""

    origin: Origin
    key: str
    """Dotted, as ``pools.default.memory``; empty when the whole file is meant."""
    message: str
    suggestion: str | None = None
    """The nearest valid key or word."""

    def __str__(self) -> str:
        place = "" if self.origin.layer is Layer.DEFAULT else str(self.origin)
        text = ": ".join(part for part in (place, self.key, self.message) if part)
        return f"{text}; did you mean {self.suggestion!r}?" if self.suggestion else text


class InvalidSite(ConfigError):
    """A site that cannot be used: all its problems at once, in :attr:`problems`."""

    def __init__(
        self, message: str, *, hint: str | None = None, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)

    def keywords(self) -> dict[str, Any]:
        """What the constructor was given besides the message."""
        return {**super().keywords(), "problems": self.problems}


class SiteNotFound(ConfigError):
    """There is no site of this name."""


def invalid(what: str, problems: Iterable[Problem]) -> InvalidSite:
    """The error that tells all problems of ``what``, one line each, in order of place."""
    found = in_order(problems)
    count = "a problem" if len(found) == 1 else f"{len(found)} problems"
    lines = "\n".join(f"  {problem}" for problem in found)
    return InvalidSite(
        f"{what} has {count}:\n{lines}",
        hint="correct it; `rsdat site lint FILE` checks a file",
        problems=found,
    )


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems by place and line, each once."""
    return sorted(
        dict.fromkeys(problems),
        key=lambda p: (p.origin.layer, p.origin.place, p.origin.line or 0, p.key),
    )
