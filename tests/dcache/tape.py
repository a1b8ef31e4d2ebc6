"""Tape: a clock that tests advance, and stage requests that take their time on it."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field

from .tree import Entry, Refused, Tree, normal


class Clock:
    """The time of day, and what a test has added to it; tests advance it instead of sleeping."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._changed = asyncio.Event()

    def now(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds
        self._changed.set()
        self._changed = asyncio.Event()

    async def reach(self, moment: float) -> None:
        """Wait until the time has come, by itself or by `advance`."""
        while (left := moment - self.now()) > 0:
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return


@dataclass
class Target:
    """One file of a stage request."""

    path: str
    started: float
    ready: float
    state: str = "STARTED"
    finished: float | None = None
    error: str | None = None

    def end(self, state: str, now: float, error: str | None = None) -> None:
        self.state, self.finished, self.error = state, now, error

    def as_json(self) -> dict[str, object]:
        shown = {
            "path": self.path,
            "state": self.state,
            "startedAt": int(self.started * 1000),
            "finishedAt": int(self.finished * 1000) if self.finished is not None else None,
            "error": self.error,
        }
        return {key: value for key, value in shown.items() if value is not None}


@dataclass
class StageRequest:
    created: float
    targets: dict[str, Target]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def as_json(self) -> dict[str, object]:
        shown: dict[str, object] = {"id": self.id, "createdAt": int(self.created * 1000)}
        shown["startedAt"] = int(self.created * 1000)
        finished = [target.finished for target in self.targets.values()]
        if all(moment is not None for moment in finished):
            shown["completedAt"] = int(max((m for m in finished if m), default=0) * 1000)
        shown["files"] = [target.as_json() for target in self.targets.values()]
        return shown


class Tape:
    """Brings files from tape to disk, each ``delay`` seconds after it was asked for."""

    def __init__(self, tree: Tree, clock: Clock) -> None:
        self.delay = 60.0
        self._tree = tree
        self._clock = clock
        self._requests: dict[str, StageRequest] = {}

    def stage(self, files: list[tuple[str, str]]) -> StageRequest:
        """Ask for files, each as the path in the tree and as the client calls it."""
        now = self._clock.now()
        request = StageRequest(now, {})
        for place, called in files:
            target = Target(called, now, now + self.delay)
            request.targets[normal(place)] = target
            entry = self._tree.find(place)
            if entry is None or entry.kind != "REGULAR":
                what = "No such file or directory" if entry is None else "Not a file"
                target.end("FAILED", now, what)
            elif entry.trouble:
                target.end("FAILED", now, f"File is {entry.trouble.lower()}")
            elif entry.on_disk:
                target.end("COMPLETED", now)
            if entry is not None:
                entry.pins.add(request.id)
        self._requests[request.id] = request
        return request

    def request(self, name: str) -> StageRequest:
        self.settle()
        if name not in self._requests:
            raise Refused(404, f"No such request: {name}")
        return self._requests[name]

    def cancel(self, name: str, places: list[str] | None = None) -> None:
        request = self.request(name)
        for place in request.targets if places is None else map(normal, places):
            if place not in request.targets:
                raise Refused(400, f"{place} is not part of request {name}")
            if request.targets[place].state in ("SUBMITTED", "STARTED"):
                request.targets[place].end("CANCELLED", self._clock.now())

    def forget(self, name: str) -> None:
        self.cancel(name)
        self.release(name, list(self._requests.pop(name).targets))

    def release(self, name: str, places: list[str]) -> None:
        """Give up the pins of a request; what is on tape, too, leaves the disk with the last."""
        for place in places:
            entry = self._tree.find(place)
            if entry is not None:
                entry.pins.discard(name)

    def settle(self) -> None:
        """Let everything happen that is due."""
        now = self._clock.now()
        for request in self._requests.values():
            for place, target in request.targets.items():
                if target.state == "STARTED" and target.ready <= now:
                    self._arrive(place, target)

    def _arrive(self, place: str, target: Target) -> None:
        entry = self._tree.find(place)
        if entry is None or entry.trouble:
            target.end("FAILED", target.ready, "File was lost while it was staged")
            return
        entry.on_disk = True
        target.end("COMPLETED", target.ready)

    async def online(self, place: str, entry: Entry) -> None:
        """Wait as a reader does whose file has to come from tape first."""
        if entry.kind == "REGULAR" and entry.locality == "NEARLINE":
            target = self.stage([(place, place)]).targets[normal(place)]
            await self._clock.reach(target.ready)
            self.settle()
