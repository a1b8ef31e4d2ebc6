"""The two layers that are no files: ``RSDAT_*`` variables and the command line's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rsdat.config.keys import ANY, generic, known_keys, list_keys, nearest, nearest_key, sections
from rsdat.config.origin import Layer, Origin, Problem
from rsdat.config.values import Path, Values

PREFIX = "RSDAT_"

#: Variables that mean something else than a site's key; further ones may be added freely, only a
#: name with a double underscore, or one that looks like a mistyped key, is taken for a key.
RESERVED = frozenset(
    {
        "RSDAT_CONFIG_DIR",
        "RSDAT_DEBUG",
        "RSDAT_HOME",
        "RSDAT_NAME",
        "RSDAT_SESSION",
        "RSDAT_SITE",
        "RSDAT_UPDATE_GOLDEN",
    }
)


@dataclass(frozen=True)
class Option:
    """A value from the command line with the name of the option that gave it."""

    name: str
    value: object


def from_environment(
    environ: Mapping[str, str], pools: Iterable[str]
) -> tuple[Values, list[Problem]]:
    """Values of the ``RSDAT_*`` variables, as ``RSDAT_POOLS__DEFAULT__MEMORY=8GiB``.

    An empty value unsets the key. A pool's name is matched without regard to case, with ``_`` for
    ``-``; variables change pools and make none.
    """
    names = _variable_names(tuple(pools))
    leaves: dict[Path, Any] = {}
    origins: dict[Path, Origin] = {}
    problems = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        origin = Origin(Layer.VARIABLE, variable)
        if variable in names:
            path = names[variable]
            leaves[path] = _from_text(path, environ[variable])
            origins[path] = origin
            continue
        mistyped = nearest(variable, names, cutoff=0.75)
        if "__" in variable or mistyped:
            problems.append(
                Problem(origin, "", "names no key of a site", mistyped or nearest(variable, names))
            )
    return Values(leaves, origins), problems


def from_options(
    overrides: Mapping[str, object], pools: Iterable[str]
) -> tuple[Values, list[Problem]]:
    """Values of the command line: dotted key to value, or to an :class:`Option`.

    None means that the option was not given; ``*`` as a pool's name means every pool.
    """
    pools = tuple(pools)
    leaves: dict[Path, Any] = {}
    origins: dict[Path, Origin] = {}
    problems = []
    for key, given in overrides.items():
        option = given if isinstance(given, Option) else Option("command line", given)
        if option.value is None:
            continue
        path = tuple(key.split("."))
        origin = Origin(Layer.OPTION, option.name)
        if problem := _unfit(path, origin, pools):
            problems.append(problem)
            continue
        value = option.value
        value = _from_text(path, value) if isinstance(value, str) else value
        for each in _for_pools(path, pools):
            leaves[each] = value
            origins[each] = origin
    return Values(leaves, origins), problems


def _unfit(path: Path, origin: Origin, pools: tuple[str, ...]) -> Problem | None:
    key = ".".join(path)
    if path[0] == "pools" and len(path) > 2 and path[1] not in (ANY, *pools):
        other = nearest(path[1], pools)
        suggestion = ".".join(("pools", other, *path[2:])) if other else None
        return Problem(origin, key, f"the site has no pool {path[1]!r}", suggestion)
    settable = generic(path) in known_keys() and generic(path) not in sections()
    if not settable or path == ("name",) or path[0] == "credentials":
        return Problem(origin, key, "not a key that can be set here", nearest_key(path, pools))
    return None


def _variable_names(pools: tuple[str, ...]) -> dict[str, Path]:
    names = {}
    for key in known_keys():
        # An address is no part of a variable's name.
        if key in sections() or key == ("name",) or key[0] == "credentials":
            continue
        for path in _for_pools(key, pools):
            names[PREFIX + "__".join(part.upper().replace("-", "_") for part in path)] = path
    return names


def _for_pools(path: Path, pools: tuple[str, ...]) -> list[Path]:
    """The path itself, or for ``pools.*`` the path in each pool."""
    if ANY not in path:
        return [path]
    return [tuple(pool if part == ANY else part for part in path) for pool in pools]


def _from_text(path: Path, text: str) -> Any:
    """A text as the key wants it: a list may be written ``[a, b]``; all else stays a text."""
    if generic(path) in list_keys():
        if text.startswith("["):
            from rsdat.config.document import parse_document

            values, problems = parse_document(f"list: {text}", file="", layer=Layer.VARIABLE)
            return text if problems else values.leaves.get(("list",), text)
        return [text] if text else []
    return text or None
