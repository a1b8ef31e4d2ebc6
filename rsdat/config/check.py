"""Merged values to a checked site: everything that is wrong becomes a problem with its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsdat.config.keys import ANY, NAMED, generic, known_keys, nearest, nearest_key, sections
from rsdat.config.origin import Layer, Problem
from rsdat.config.values import Path, Values, begins

if TYPE_CHECKING:
    from rsdat.config.models import Site
    from rsdat.config.possible import Contradiction


@dataclass
class _Findings:
    problems: list[Problem] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)


def check(values: Values) -> tuple[Site | None, list[Problem]]:
    """The site that the values make, or all that is wrong with them.

    A wrong value hides what is wrong beside it from the models, so it is taken out and the rest is
    judged again; contradictions in which a removed value takes part are not reported.
    """
    from pydantic import ValidationError

    from rsdat.config.models import Site

    found = _Findings()
    rest = _with_pools(values)
    while True:
        try:
            site = Site.model_validate(rest.nested())
            return (None if found.problems else site), found.problems
        except ValidationError as error:
            wrong = _judge(error.errors(include_url=False), rest, found)
        if not wrong:
            return None, found.problems
        for path in wrong:
            rest = rest.without(path)
        found.removed += wrong
        rest = _with_pools(rest)


def check_locks(patterns: tuple[str, ...], values: Values) -> list[Problem]:
    """The patterns of ``limits.locked`` that name no key."""
    problems = []
    for index, pattern in enumerate(patterns):
        path = tuple(pattern.split("."))
        if generic(path) in known_keys() or (path[-1] == ANY and path[:-1] in sections()):
            continue
        suggestion = nearest_key(generic(path))
        origin = values.origin(("limits", "locked", str(index)))
        message = f"{pattern!r} names no key"
        problems.append(Problem(origin, "limits.locked", message, suggestion))
    return problems


def with_empty_sections(values: Values) -> Values:
    """The values with ``head:`` and nothing below it as an empty section, which says nothing.

    An absent container stays null: it takes away the one of a lower layer.
    """
    empty: dict[Path, Any] = {
        path: {}
        for path, value in values.leaves.items()
        if value is None and generic(path) in sections() and (len(path) == 1 or path[0] in NAMED)
    }
    return Values({**values.leaves, **empty}, values.origins)


def _with_pools(values: Values) -> Values:
    """The values with a pool of defaults where they have none."""
    if any(path[0] == "pools" for path in values.leaves):
        return values
    return Values({**values.leaves, ("pools", "default"): {}}, values.origins)


def _judge(errors: list[Any], values: Values, found: _Findings) -> list[Path]:
    """Report pydantic's errors; return the paths of the wrong values."""
    wrong: list[Path] = []
    for error in errors:
        cause = error.get("ctx", {}).get("error")
        contradictions = getattr(cause, "contradictions", None)
        if contradictions is not None:
            found.problems += [
                _contradiction(item, values)
                for item in contradictions
                if not any(begins(key, gone) for key in item.keys for gone in found.removed)
            ]
            continue
        path = tuple(str(part) for part in error["loc"])
        if path[-1] == "[key]":
            path = path[:-1]
        problem, at = _explain(error, path, values)
        found.problems.append(problem)
        if error["type"] != "missing":
            wrong.append(_removable(at, values))
        else:
            # The section cannot be without this key: take the whole section out.
            wrong.append(path[:-1])
    return [path for path in wrong if path]


def _removable(path: Path, values: Values) -> Path:
    """The node to take out: an item of a list goes with its list."""
    for length in range(1, len(path)):
        if path[:length] in values.leaves:
            return path[:length]
    return path


def _contradiction(item: Contradiction, values: Values) -> Problem:
    """Blame the newest value that takes part: what is below it was possible without it."""

    def layer(path: Path) -> Layer:
        given = any(path[:length] in values.leaves for length in range(1, len(path) + 1))
        return values.origin(path).layer if given else Layer.DEFAULT

    key = max(item.keys, key=layer)
    message = item.message
    if key != item.keys[0]:
        message = f"{'.'.join(item.keys[0])}: {message}"
    return Problem(values.origin(key), ".".join(key), message)


def _explain(error: Any, path: Path, values: Values) -> tuple[Problem, Path]:
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    suggestion = None
    if kind == "extra_forbidden":
        message, suggestion = "unknown key", nearest_key(path, _pool_names(values))
    elif kind == "missing":
        message = "a value is needed here"
    elif kind == "literal_error":
        words = context["expected"]
        message = f"expected {words}, got {_show(given)}"
        suggestion = nearest(str(given), [word for word in words.split("'") if word.isalnum()])
    elif kind == "greater_than_equal":
        message = f"expected at least {context['ge']}, got {_show(given)}"
    elif kind == "value_error":
        message = str(context["error"])
    elif kind in ("model_type", "dict_type"):
        message = f"expected a section with keys of its own, got {_show(given)}"
    else:
        message = f"{_EXPECTED.get(kind, error['msg'])}, got {_show(given)}"
        if kind == "string_type" and isinstance(given, int | float):
            message += f' (in quotes it is a text: "{given}")'
        elif kind == "string_type" and given is None:
            message += ' (a bare ~ is nothing in YAML; in quotes it is a text: "~")'
    return Problem(values.origin(path), ".".join(path), message, suggestion), path


_EXPECTED = {
    "string_type": "expected a text",
    "tuple_type": "expected a list",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
}


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value)


def _pool_names(values: Values) -> list[str]:
    return list(dict.fromkeys(p[1] for p in values.leaves if p[0] == "pools" and len(p) > 1))
