"""What this laptop remembers between commands; all of it can be found out again.

One small JSON file: which sites were used, how their nodes are reached, and which session was
launched where. It only saves questions. Deleting it loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from rsdat.host.places import state_directory
from rsdat.session.files import write_atomically


def _read() -> dict[str, Any]:
    try:
        value = json.loads((state_directory() / "memory.json").read_text())
    except (OSError, ValueError):
        value = {}
    return value if isinstance(value, dict) else {}


def _update(section: str, key: str, value: dict[str, Any]) -> None:
    known = _read()
    entries = known.setdefault(section, {})
    entries[key] = {**entries.get(key, {}), **value, "used": time.time()}
    # Old sessions and sites fall out by themselves.
    newest = sorted(entries.items(), key=lambda one: -one[1].get("used", 0))[:100]
    known[section] = dict(newest)
    # A full disk here must not get in the way of what happens on the cluster.
    with contextlib.suppress(OSError):
        write_atomically(state_directory() / "memory.json", json.dumps(known, indent=1))


def remember_session(session_id: str, site: str) -> None:
    """Note where a session lives, and that its site was used."""
    _update("sessions", session_id, {"site": site})
    _update("sites", site, {})


def site_of(session_id: str) -> str | None:
    """The site where a session was last seen from here."""
    entry = _read().get("sessions", {}).get(session_id)
    return str(entry["site"]) if entry else None


def used_sites() -> list[str]:
    """The sites used from this laptop, the last one first."""
    entries = _read().get("sites", {})
    return sorted(entries, key=lambda name: -entries[name].get("used", 0))


def remember_route(site: str, route: str) -> None:
    """Note how the nodes of a site are reached: ``socket`` or ``tcp``."""
    _update("sites", site, {"route": route})


def route_of(site: str) -> str | None:
    """The remembered route of a site."""
    route = _read().get("sites", {}).get(site, {}).get("route")
    return str(route) if route else None
