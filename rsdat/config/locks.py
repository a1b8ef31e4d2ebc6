"""What users may not change: keys that the admin locked, and the admin's limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rsdat.config.keys import ANY
from rsdat.config.origin import Problem
from rsdat.config.units import short_walltime
from rsdat.config.values import Path, Values

if TYPE_CHECKING:
    from rsdat.config.models import Limits, Site

_LOCKED = ("limits", "locked")


def check_against_admin(
    site: Site, values: Values, admin: Site, admin_values: Values
) -> list[Problem]:
    """What a user's layers change although the admin's layers (shipped, /etc) do not allow it.

    Parameters
    ----------
    site, values
        All layers together.
    admin, admin_values
        The admin's layers alone.
    """
    problems = [
        *_limits_raised(site.limits, values, admin.limits, admin_values),
        *_walltimes_left_out(site, values, admin, admin_values),
    ]
    for index, pattern in enumerate(admin.limits.locked):
        lock = tuple(pattern.split("."))
        where = admin_values.origin((*_LOCKED, str(index)))
        problems += [
            Problem(
                values.origin(path),
                ".".join(path),
                f"users may not change this: {where} locks {pattern!r}",
            )
            for path in _set_by_user(values)
            if _matches(lock, path) and _changed(path, site, admin)
        ]
    return problems


def _walltimes_left_out(
    site: Site, values: Values, admin: Site, admin_values: Values
) -> Iterator[Problem]:
    """Jobs that would run for the queue's default time, which may be over the admin's limit."""
    most = admin.limits.walltime
    if most is None:
        return
    for place in [("head",), *(("pools", name) for name in site.pools)]:
        path: Path = (*place, "walltime")
        known = place[0] == "head" or place[1] in admin.pools
        if _value(site, path) is None and (not known or _value(admin, path) is not None):
            where = admin_values.origin(("limits", "walltime"))
            message = f"a walltime is needed here: {where} limits it to {short_walltime(most)}"
            yield Problem(values.origin(path), ".".join(path), message)


def _set_by_user(values: Values) -> Iterator[Path]:
    for path in values.leaves:
        if values.origin(path).layer.of_user:
            yield path


def _matches(pattern: Path, path: Path) -> bool:
    """Whether a lock is about a value, something above it, or something below it."""
    return all(word in (ANY, part) for word, part in zip(pattern, path, strict=False))


def _changed(path: Path, site: Site, admin: Site) -> bool:
    value = _value(site, path)
    if path[0] == "pools" and path[1] not in admin.pools:
        # A pool of the user's own may say what some pool of the admin's says.
        return all(_value(admin, ("pools", name, *path[2:])) != value for name in admin.pools)
    return bool(_value(admin, path) != value)


def _value(site: Site, path: Path) -> Any:
    value: Any = site
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif value is not None:
            value = getattr(value, part)
    return value


def _limits_raised(
    limits: Limits, values: Values, admin: Limits, admin_values: Values
) -> Iterator[Problem]:
    for name in ("workers", "walltime"):
        most, asked = getattr(admin, name), getattr(limits, name)
        if most is not None and (asked is None or asked > most):
            path = ("limits", name)
            shown = short_walltime(most) if name == "walltime" else most
            where = admin_values.origin(path)
            yield Problem(
                values.origin(path),
                ".".join(path),
                f"users may not raise the limit of {shown} that {where} sets",
            )
    if set(admin.locked) - set(limits.locked):
        where = admin_values.origin(_LOCKED)
        yield Problem(
            values.origin(_LOCKED),
            ".".join(_LOCKED),
            f"users may not take away what {where} locks",
        )
