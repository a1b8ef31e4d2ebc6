"""Values of one layer with their origins, and how layers are merged: per key, the upper one wins.

Sections merge, pools therefore by name; a list is one value and is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rsdat.config.origin import DEFAULT, Origin

Path = tuple[str, ...]
"""A key as its parts: ``("pools", "default", "memory")``; list items count from ``"0"``."""


@dataclass(frozen=True)
class Values:
    """Leaves (scalars, lists, empty sections) by path, and the origin of every node above them."""

    leaves: Mapping[Path, Any] = field(default_factory=dict)
    origins: Mapping[Path, Origin] = field(default_factory=dict)

    def nested(self) -> dict[str, Any]:
        """The values as the dictionary of dictionaries that a model is made from."""
        root: dict[str, Any] = {}
        for path, value in self.leaves.items():
            section = root
            for part in path[:-1]:
                section = section.setdefault(part, {})
            section[path[-1]] = value
        return root

    def origin(self, path: Path) -> Origin:
        """The origin of a path, or of the nearest node above it that has one."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return DEFAULT

    def without(self, path: Path) -> Values:
        """These values with the node at ``path``, and all below it, removed."""
        return Values(
            {p: v for p, v in self.leaves.items() if not begins(p, path)},
            {p: o for p, o in self.origins.items() if not begins(p, path)},
        )


def from_mapping(mapping: Mapping[str, Any], origin: Origin) -> Values:
    """The values of nested dictionaries, all of one origin."""
    leaves: dict[Path, Any] = {}
    origins: dict[Path, Origin] = {}

    def walk(section: Mapping[str, Any], prefix: Path) -> None:
        for key, value in section.items():
            path = (*prefix, str(key))
            origins[path] = origin
            if isinstance(value, Mapping) and value:
                walk(value, path)
            else:
                leaves[path] = value

    walk(mapping, ())
    return Values(leaves, origins)


def begins(path: Path, prefix: Path) -> bool:
    """Whether ``path`` is ``prefix`` or lies below it."""
    return path[: len(prefix)] == prefix


def merge(layers: Iterable[Values]) -> Values:
    """One set of values from layers, the lowest first."""
    leaves: dict[Path, Any] = {}
    origins: dict[Path, Origin] = {}
    for layer in layers:
        for path, value in layer.leaves.items():
            _set(leaves, origins, path, value)
        origins.update(layer.origins)
    return Values(leaves, origins)


def _set(leaves: dict[Path, Any], origins: dict[Path, Origin], path: Path, value: Any) -> None:
    """Let a leaf take its place, over a scalar above it or a section below it."""
    for length in range(1, len(path)):
        leaves.pop(path[:length], None)
    below = [p for p in leaves if len(p) > len(path) and begins(p, path)]
    if value == {} and below:
        # An empty section says nothing against what a lower layer wrote in it.
        return
    for old in below:
        del leaves[old]
    for old in [p for p in origins if len(p) > len(path) and begins(p, path)]:
        del origins[old]
    leaves[path] = value
