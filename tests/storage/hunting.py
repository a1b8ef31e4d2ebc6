"""Looks for the text of secrets wherever somebody else could read it, or where it would be kept."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cloudpickle

#: Seconds between two looks at all processes.
BETWEEN = 0.1


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, quoted for an address, and in base64 as in a header."""
    plain = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {text.encode() for text in {*plain, coded}}


@dataclass
class Hunt:
    """The secrets by the name of their kind, and where they were seen."""

    secrets: Mapping[str, list[str]]
    seen: list[str] = field(default_factory=list)
    #: How many places were looked at, and which packages have logged something.
    looked: int = 0
    loggers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._needles = {
            kind: {one for text in texts for one in spellings(text)}
            for kind, texts in self.secrets.items()
        }

    def kinds(self, text: bytes) -> list[str]:
        """The kinds of the secrets in a text."""
        return [kind for kind, needles in self._needles.items() if any(n in text for n in needles)]

    def look(self, where: str, text: str | bytes) -> None:
        self.looked += 1
        raw = text.encode(errors="replace") if isinstance(text, str) else text
        self.seen += [f"{kind}: {where}" for kind in self.kinds(raw)]

    def thing(self, where: str, value: Any, *, pickled: bool = True) -> None:
        """What a value shows of itself, to people and to other processes."""
        for way in (repr, str):
            self.look(f"{way.__name__} of {where}", way(value))
        if hasattr(value, "__dict__"):
            self.look(f"attributes of {where}", repr(vars(value)))
        if pickled:
            self.look(f"pickle of {where}", pickle.dumps(value))
            self.look(f"cloudpickle of {where}", cloudpickle.dumps(value))

    def filesystem(self, where: str, fs: Any) -> None:
        self.thing(where, fs)
        self.look(f"options of {where}", repr(fs.storage_options))
        self.look(f"token of {where}", str(fs._fs_token))
        with suppress(TypeError):
            # A session of the AWS library is no JSON.
            self.look(f"JSON of {where}", fs.to_json())

    def error(self, where: str, error: BaseException) -> None:
        """An error's words, its traceback, and all that caused it."""
        self.look(f"traceback of {where}", "".join(traceback.format_exception(error)))
        left: list[BaseException | None] = [error]
        known: set[int] = set()
        while left:
            one = left.pop()
            if one is None or id(one) in known:
                continue
            known.add(id(one))
            self.thing(f"{type(one).__name__} of {where}", one, pickled=False)
            with suppress(Exception):
                self.look(f"pickle of {type(one).__name__} of {where}", pickle.dumps(one))
            left += [one.__cause__, one.__context__]

    def process(self) -> None:
        """What others see of this process, and what GDAL lists."""
        import rasterio

        self.look("os.environ", repr(dict(os.environ)))
        with rasterio.Env():
            self.look("GDAL's settings", repr(rasterio.env.getenv()))

    def processes(self) -> None:
        """Command lines and environments of all processes that this user may look at."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    self.look(f"{name} of a process", Path("/proc", pid, name).read_bytes())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at all processes all the time."""
        done = threading.Event()

        def watch() -> None:
            while True:
                self.processes()
                if done.wait(BETWEEN):
                    return

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Look at all that is logged, at the most talkative level of every library."""
        handler = _Handler(self)
        root = logging.getLogger()
        levels = {
            name: logger.level
            # A copy: other threads import meanwhile.
            for name, logger in list(logging.root.manager.loggerDict.items())
            if isinstance(logger, logging.Logger)
        }
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        for name in levels:
            logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)

    def files(self, *folders: Path, but: set[Path]) -> None:
        """What lies in folders, besides the files that were named as the secrets' own."""
        for folder, _, names in (one for top in folders for one in os.walk(top)):
            for file in (Path(folder, name) for name in names):
                # What others remove meanwhile is not left.
                with suppress(FileNotFoundError):
                    if file.is_file() and file not in but:
                        self.look(f"file {file}", file.read_bytes())


class _Handler(logging.Handler):
    def __init__(self, hunt: Hunt) -> None:
        super().__init__(logging.DEBUG)
        self._hunt = hunt
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._hunt.loggers.add(record.name.partition(".")[0])
        self._hunt.look(f"log of {record.name}", self.format(record))
        # As handlers write that keep the arguments apart.
        self._hunt.look(f"log of {record.name}, arguments", repr(record.args))
