"""Faults to order, and the record of what was asked: how tests see and disturb the door."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal[
    "status",  # answer with this status instead (value)
    "expired",  # say that the token has expired: 401
    "reset",  # reset the connection (value: after so many bytes of the body)
    "truncate",  # end the connection after so many bytes of the body (value)
    "slow",  # wait before each 64 kB of a body (value: seconds)
    "hold",  # send or take so many bytes of a body (value), and no more until the connection ends
    "meet",  # wait before the answer until so many requests (value) do so
    "delay",  # wait before the answer (value: seconds)
    "corrupt",  # flip the byte at this offset of a body (value); the checksums stay right
    "checksum",  # report a checksum that is not the content's
    "vanish",  # remove the entry right after a listing has shown it
]
#: Taken when a body is on its way, at the origin that carries it.
OF_BODIES = ("truncate", "hold", "slow", "corrupt")


@dataclass
class Fault:
    """One fault; ``path`` is exact, or a prefix where it ends in ``*``; ``times=None``: always."""

    kind: Kind
    path: str = "*"
    verb: str | None = None
    origin: str | None = None
    value: float | None = None
    times: int | None = 1
    after: int = 0
    #: Requests that have come to meet others.
    met: int = 0

    def matches(self, origin: str, verb: str, path: str) -> bool:
        same = path.startswith(self.path[:-1]) if self.path.endswith("*") else path == self.path
        return same and self.verb in (None, verb) and self.origin in (None, origin)


@dataclass
class Request:
    """A request as it was answered; ``authorized``: it carried an ``Authorization`` header."""

    origin: str
    method: str
    path: str
    authorized: bool
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    received: int = 0
    sent: int = 0
    #: The address that asked.
    remote: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(
        self, kind: Kind, origin: str, verb: str, path: str, body: bool = False
    ) -> Fault | None:
        """The fault of a kind for this request, counted as used."""
        for fault in self._faults:
            if fault.kind != kind or not fault.matches(origin, verb, path):
                continue
            # A reset with a value belongs to the body, one without to the request.
            if kind == "reset" and (fault.value is not None) != body:
                continue
            if fault.after > 0:
                fault.after -= 1
                return None
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            return fault
        return None
