"""Sites as the rest of rsdat sees them: found by name, merged from their layers, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from rsdat.config.check import check, check_locks, with_empty_sections
from rsdat.config.document import parse_document
from rsdat.config.keys import NAMED, known_keys, nearest, sections
from rsdat.config.locks import check_against_admin
from rsdat.config.origin import (
    DEFAULT,
    Layer,
    Origin,
    Problem,
    SiteNotFound,
    in_order,
    invalid,
)
from rsdat.config.places import DEFAULTS, Places, places, same_place, site_file
from rsdat.config.values import Values, from_mapping, merge
from rsdat.config.variables import from_environment, from_options
from rsdat.errors import ConfigError

if TYPE_CHECKING:
    from rsdat.config.models import Site


@dataclass(frozen=True)
class LoadedSite:
    """A site and where each of its values came from."""

    site: Site
    origins: Mapping[str, Origin]
    """Dotted key to origin, for every key of the site; :data:`DEFAULT` for those not set."""


@dataclass(frozen=True)
class SiteEntry:
    """One line of the list of sites."""

    name: str
    description: str
    files: tuple[tuple[Layer, FilePath], ...]
    """The files of this name, the lowest layer first."""


def load_site(
    name: str,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    where: Places | None = None,
) -> LoadedSite:
    """Read a site from all its layers.

    Parameters
    ----------
    name
        As ``rsdat site list`` shows it.
    overrides
        The command line's values: dotted key (``head.cores``) to a value, or to an
        :class:`~rsdat.config.variables.Option` that knows the option's name. None is "not given".
    environ
        Instead of ``os.environ``.
    where
        Instead of the usual directories.

    Raises
    ------
    SiteNotFound
        There is no site of this name.
    InvalidSite
        Anything is wrong with it; all problems at once, each with its place.
    """
    environ = os.environ if environ is None else environ
    where = where or places(environ)
    files = where.files(name) if _is_name(name) else []
    if not files:
        raise _not_found(name, where)
    problems: list[Problem] = []
    layers = []
    for layer, path in files:
        values, wrong = read_layer(path, layer)
        layers.append((layer, values))
        problems += wrong
    return _finish(name, layers, problems, overrides or {}, environ)


def load_drafted(
    draft: Mapping[str, Any],
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedSite:
    """A drafted site (:func:`rsdat.config.draft.draft_site`) under variables and the command line.

    Parameters and errors are those of :func:`load_site`.
    """
    name = str(draft["name"])
    environ = os.environ if environ is None else environ
    values = from_mapping(draft, Origin(Layer.SHIPPED, f"drafted for {name}"))
    return _finish(name, [(Layer.SHIPPED, values)], [], overrides or {}, environ)


def _finish(
    name: str,
    layers: list[tuple[Layer, Values]],
    problems: list[Problem],
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
) -> LoadedSite:
    """Put variables and options over the layers that were read, and check the whole."""
    pools = _pools(merge(values for _, values in layers))
    variables, wrong = from_environment(environ, pools)
    options, unfit = from_options(overrides, pools)
    over = [(Layer.VARIABLE, variables), (Layer.OPTION, options)]
    site, values, found = _judge(name, [*layers, *over])
    problems = [*problems, *wrong, *unfit, *found]
    if site is None or problems:
        raise invalid(f"site {name}", problems)
    return LoadedSite(site, _origins(site, values))


def site_names(
    *, environ: Mapping[str, str] | None = None, where: Places | None = None
) -> list[SiteEntry]:
    """All sites with the files they come from; a wrong file does not hide the others."""
    where = where or places(os.environ if environ is None else environ)
    entries = []
    for name in where.names():
        files = where.site_files(name)
        values = merge(_read_quietly(path, layer) for layer, path in files)
        description = values.leaves.get(("description",), "")
        entries.append(SiteEntry(name, str(description or ""), tuple(files)))
    return entries


def lint(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    where: Places | None = None,
) -> list[Problem]:
    """What is wrong with one file; nothing for a correct one.

    A file that lies where a layer's files lie is judged on top of the layers below it, so that
    locks and limits count; any other file is judged alone. ``RSDAT_*`` variables do not count.
    Raises :class:`~rsdat.errors.ConfigError` where there is no such file.
    """
    where = where or places(os.environ if environ is None else environ)
    file = FilePath(path)
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file", hint="give the path of a site's file")
    own = where.layer_of(file)
    name = file.stem
    layers = []
    if own is not None and file.name != DEFAULTS:
        for layer, below in where.files(name):
            if same_place(below, file):
                break
            layers.append((layer, _read_quietly(below, layer)))
    layer = own or Layer.ADMIN
    values, problems = read_layer(file, layer)
    if not _is_name(name) and file.name != DEFAULTS:
        problems.append(Problem(Origin(layer, str(file)), "", _NAME_RULE.format(name)))
    _, _, wrong = _judge(name if file.name != DEFAULTS else "defaults", [*layers, (layer, values)])
    return [p for p in in_order(problems + wrong) if p.origin.place in (str(file), "")]


def read_layer(path: FilePath, layer: Layer) -> tuple[Values, list[Problem]]:
    """One file's values and what is wrong with its form."""
    origin = Origin(layer, str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return Values(), [Problem(origin, "", f"not a text in UTF-8 (byte {error.start})")]
    except OSError as error:
        return Values(), [Problem(origin, "", f"cannot be read: {error.strerror}")]
    values, problems = parse_document(text, file=str(path), layer=layer)
    given = values.leaves.get(("name",))
    if given is not None and path.name == DEFAULTS:
        place = values.origin(("name",))
        problems.append(Problem(place, "name", "defaults belong to all sites and have no name"))
    elif given is not None and given != path.stem:
        place = values.origin(("name",))
        problems.append(Problem(place, "name", f"the file's own name says {path.stem!r}"))
    return values, problems


def _judge(
    name: str, layers: list[tuple[Layer, Values]]
) -> tuple[Site | None, Values, list[Problem]]:
    """Merge, check, and hold the user's layers against the admin's."""
    named = Values({("name",): name})
    layers = [(layer, with_empty_sections(values)) for layer, values in layers]
    values = merge([named, *(v for _, v in layers)])
    values = Values({**values.leaves, ("name",): name}, values.origins)
    site, problems = check(values)
    admin_values = merge([named, *(v for layer, v in layers if not layer.of_user)])
    admin_values = Values({**admin_values.leaves, ("name",): name}, admin_values.origins)
    admin, admin_problems = check(admin_values)
    if site is not None:
        problems += check_locks(site.limits.locked, values)
    if any(not layer.of_user for layer, _ in layers):
        if site is not None and admin is not None:
            problems += check_against_admin(site, values, admin, admin_values)
        # A user's value may hide an admin's mistake; without the admin's part there are no locks.
        problems += admin_problems
    return site, values, problems


def _origins(site: Site, values: Values) -> dict[str, Origin]:
    """Every key that holds a value, with its origin."""
    found: dict[str, Origin] = {}
    for key in known_keys():
        if key in sections() and key != ("environment", "container"):
            continue
        names = getattr(site, key[0]) if key[0] in NAMED else ()
        for path in [(key[0], name, *key[2:]) for name in names] if key[0] in NAMED else [key]:
            if path in values.leaves:
                found[".".join(path)] = values.origins.get(path, DEFAULT)
            else:
                found[".".join(path)] = DEFAULT
    return found


def _pools(values: Values) -> list[str]:
    return list(dict.fromkeys(p[1] for p in values.leaves if p[0] == "pools" and len(p) > 1)) or [
        "default"
    ]


def _read_quietly(path: FilePath, layer: Layer) -> Values:
    return read_layer(path, layer)[0]


_NAME_RULE = "a site's name has letters, digits, '.', '-' and '_', got {!r}"


def _is_name(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name))


def _not_found(name: str, where: Places) -> SiteNotFound:
    names = where.names()
    near = nearest(name, names)
    other = f"; did you mean {near!r}?" if near else ""
    return SiteNotFound(
        f"there is no site {name!r} (looked for {site_file(where.user, name)} and in "
        f"{where.admin / 'sites'} and the shipped sites){other}",
        hint="`rsdat site list` shows the sites; `rsdat site init HOST` drafts a new one",
    )
