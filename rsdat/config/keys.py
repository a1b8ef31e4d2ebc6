"""The keys that a site has, read from the models, and the nearest one to a key that it has not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from rsdat.config.values import Path

ANY = "*"
"""Stands for a name that the file chooses: of a pool, or an address of ``credentials``."""

NAMED = frozenset({"pools", "credentials"})
"""The sections whose keys are such names."""


@cache
def known_keys() -> tuple[Path, ...]:
    """Every key of a site, sections included, in the models' order; ``*`` for a chosen name."""
    from rsdat.config.models import Site

    return tuple(_walk(Site, ()))


@cache
def list_keys() -> frozenset[Path]:
    """The keys whose value is a list."""
    return frozenset(path for path in known_keys() if get_origin(_plain(_type_of(path))) is tuple)


@cache
def sections() -> frozenset[Path]:
    """The keys that hold further keys."""
    return frozenset(path[:-1] for path in known_keys() if len(path) > 1)


def generic(path: Path) -> Path:
    """A path with the name that the file chose replaced by ``*``."""
    if len(path) > 1 and path[0] in NAMED:
        return (path[0], ANY, *path[2:])
    return path


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The word most like ``word``, if any is like it."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=cutoff)
    return found[0] if found else None


def nearest_key(path: Path, pools: Iterable[str] = ()) -> str | None:
    """The valid key most like an unknown one: among its siblings, else anywhere in a site.

    ``pools`` are the names of the site's pools, to be put in where the key lies in one.
    """
    siblings = [
        key[-1]
        for key in known_keys()
        if key[:-1] == generic(path)[:-1] and len(key) == len(path) and key[-1] != ANY
    ]
    if word := nearest(path[-1], siblings):
        return ".".join((*path[:-1], word))
    everywhere = [key for key in known_keys() if ANY not in key]
    pool = path[1] if len(path) > 2 and path[0] == "pools" else next(iter(pools), None)
    if pool:
        everywhere += [
            tuple(pool if part == ANY else part for part in key)
            for key in known_keys()
            if ANY in key and key[0] == "pools"
        ]
    same_word = [".".join(key) for key in everywhere if key[-1] == path[-1]]
    dotted = ".".join(path)
    return nearest(dotted, same_word, cutoff=0.0) or nearest(
        dotted, (".".join(key) for key in everywhere)
    )


def _walk(model: Any, prefix: Path) -> Iterable[Path]:
    for name, info in model.model_fields.items():
        path = (*prefix, name)
        yield path
        inner = _plain(info.annotation)
        if get_origin(inner) is dict:
            path = (*path, ANY)
            yield path
            inner = _plain(get_args(inner)[1])
        if hasattr(inner, "model_fields"):
            yield from _walk(inner, path)


def _type_of(path: Path) -> Any:
    from rsdat.config.models import Site

    kind: Any = Site
    for part in path:
        if part == ANY:
            kind = _plain(get_args(kind)[1])
        else:
            kind = _plain(kind.model_fields[part].annotation)
    return kind


def _plain(annotation: Any) -> Any:
    """A type without ``Annotated`` and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        if len(inner) == 1:
            return _plain(inner[0])
    return annotation
