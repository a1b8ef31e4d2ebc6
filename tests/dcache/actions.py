"""What ``POST /namespace/{path}`` can do to an entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .access import Principal
from .state import State
from .tree import Entry, Refused, join, split

Body = dict[str, Any]


def perform(state: State, who: Principal, place: str, body: Body) -> None:
    """Carry out the action of a request's body; 400 for one that is not known."""
    action = _ACTIONS.get(str(body.get("action")))
    if action is None:
        raise Refused(400, f"No such action: {body.get('action')}")
    try:
        action(state, who, place, body)
    except (KeyError, TypeError) as error:
        raise Refused(400, f"{body['action']} lacks {error}") from error


def _mkdir(state: State, who: Principal, place: str, body: Body) -> None:
    target = join(place, body["name"])
    state.access.check(who, "UPLOAD", target)
    state.tree.directory(place, missing=404)
    try:
        state.tree.make_directory(target, state.clock.now())
    except Refused as refused:
        raise Refused(400, refused.detail) from refused


def _mv(state: State, who: Principal, place: str, body: Body) -> None:
    destination = body["destination"]
    if destination.startswith("/"):
        target = who.real_path(destination)
    else:
        target = join(split(place)[0], destination)
    state.access.check(who, "MANAGE", place)
    state.access.check(who, "UPLOAD", target)
    try:
        state.tree.move(place, target, overwrite=state.options.overwrite)
    except Refused as refused:
        status = refused.status if refused.status == 404 else 400
        raise Refused(status, refused.detail) from refused


def _qos(state: State, who: Principal, place: str, body: Body) -> None:
    entry = _changeable(state, who, place)
    target = body["target"]
    if target not in ("disk", "tape", "disk+tape", "volatile"):
        raise Refused(400, f"No such QoS: {target}")
    if entry.kind != "REGULAR":
        raise Refused(400, "Only files have a QoS")
    if "tape" not in target and entry.on_tape:
        raise Refused(400, "A file does not leave the tape")
    entry.target_qos = target
    entry.on_tape = entry.on_tape or "tape" in target
    if "disk" in target:
        state.tape.stage([(place, place)])


def _pin(state: State, who: Principal, place: str, body: Body) -> None:
    state.access.check(who, "STAGE", place)
    state.tree.get(place)
    state.tape.stage([(place, place)])


def _unpin(state: State, who: Principal, place: str, body: Body) -> None:
    state.access.check(who, "STAGE", place)
    state.tree.get(place).pins.clear()


def _set_xattr(state: State, who: Principal, place: str, body: Body) -> None:
    entry = _changeable(state, who, place)
    mode = body.get("mode", "EITHER").upper()
    attributes = body["attributes"]
    for name in attributes:
        if (mode == "CREATE" and name in entry.xattrs) or (
            mode == "MODIFY" and name not in entry.xattrs
        ):
            raise Refused(409, f"Attribute {name} does not allow {mode}")
    entry.xattrs.update({str(name): str(value) for name, value in attributes.items()})


def _rm_xattr(state: State, who: Principal, place: str, body: Body) -> None:
    entry = _changeable(state, who, place)
    names = [body["names"]] if isinstance(body["names"], str) else body["names"]
    for name in names:
        if name not in entry.xattrs:
            raise Refused(400, f"No such attribute: {name}")
    for name in names:
        entry.xattrs.pop(name, None)


def _set_label(state: State, who: Principal, place: str, body: Body) -> None:
    entry = _changeable(state, who, place)
    if body["label"] not in entry.labels:
        entry.labels.append(body["label"])


def _rm_label(state: State, who: Principal, place: str, body: Body) -> None:
    entry = _changeable(state, who, place)
    if body["label"] not in entry.labels:
        raise Refused(400, f"No such label: {body['label']}")
    entry.labels.remove(body["label"])


def _chgrp(state: State, who: Principal, place: str, body: Body) -> None:
    _changeable(state, who, place).group = int(body["gid"])


def _chmod(state: State, who: Principal, place: str, body: Body) -> None:
    _changeable(state, who, place).mode = int(body["mode"])


def _changeable(state: State, who: Principal, place: str) -> Entry:
    state.access.check(who, "UPDATE_METADATA", place)
    return state.tree.get(place)


_ACTIONS: dict[str, Callable[[State, Principal, str, Body], None]] = {
    "mkdir": _mkdir,
    "mv": _mv,
    "qos": _qos,
    "pin": _pin,
    "unpin": _unpin,
    "set-xattr": _set_xattr,
    "rm-xattr": _rm_xattr,
    "set-label": _set_label,
    "rm-label": _rm_label,
    "chgrp": _chgrp,
    "chmod": _chmod,
}
