"""What the origins of one door share: the namespace, credentials, faults, options, transfers."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .access import Access
from .contents import Storage, Writer, content_of
from .faults import Faults, Request
from .tape import Clock, Tape
from .tree import Entry, Refused, Tree, split


@dataclass
class Options:
    """How this door behaves, where dCache's configurations and versions differ."""

    rest: bool = True
    #: The directory that the WebDAV door shows as its root; the REST frontend shows all.
    root: str = "/"
    storage: Storage = "memory"
    md5: bool = True
    overwrite: bool = True
    #: Whether the door copies within itself; dCache's own WebDAV door does not.
    copies: bool = True
    #: Whether a PUT makes the directories above it, as dCache's door does; others answer 409.
    put_makes_parents: bool = False
    quota: int | None = None
    #: Seconds before each answer, of every origin.
    latency: float = 0.0
    redirect_status: int = 302
    #: Whether reads are redirected to a pool; if not, the door hands the bytes on.
    redirect_reads: bool = True
    error_format: Literal["new", "old"] = "new"
    #: What namespace entries do not say, as in older versions: "creationTime", "fileMimeType".
    omit: tuple[str, ...] = ()
    #: Whether the WebDAV door, too, says where the REST frontend is, as behind one proxy.
    announce: bool = False
    #: Whether a pool's address for reading stays good, as dCache's do while a transfer lives.
    lasting_addresses: bool = False
    #: What answers a request for several ranges: all in parts, the first alone, or the file.
    several_ranges: Literal["parts", "first", "whole"] = "parts"
    #: Seconds after which an upload that broke off is there, as it is; None: never, as in dCache.
    keeps_broken_uploads: float | None = None
    #: Whether to keep the log of requests.
    log: bool = True


@dataclass(frozen=True)
class Transfer:
    """What a pool's address stands for; it is good for one request, unless reads may last."""

    verb: Literal["GET", "PUT"]
    path: str
    entry: Entry | None


@dataclass
class State:
    options: Options
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    log: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    urls: dict[str, str] = field(default_factory=dict)
    pools: list[str] = field(default_factory=list)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    wrong_checksums: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tree = Tree(self.clock.now())
        self.access = Access(self.clock.now)
        self.tape = Tape(self.tree, self.clock)
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._turns = 0
        #: Requests that are being answered, and the most at one time.
        self.active = self.most_active = 0
        #: Uploads that broke off and were kept.
        self.kept = 0

    @property
    def directory(self) -> Path:
        """Where contents lie on disk; made when first used."""
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="door")
        return Path(self._directory.name)

    def writer(self) -> Writer:
        on_disk = self.options.storage == "disk"
        directory = self.directory if on_disk else None
        return Writer(self.options.storage, directory, self.options.md5)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One more request that is being answered."""
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            yield
        finally:
            self.active -= 1

    def close(self) -> None:
        if self._directory is not None:
            self._directory.cleanup()

    def pool_url(self, transfer: Transfer) -> str:
        """A pool's address for one transfer; the pools take turns."""
        self._turns += 1
        key = secrets.token_hex(16)
        self.transfers[key] = transfer
        pool = self.pools[self._turns % len(self.pools)]
        return f"{pool}/{secrets.token_hex(8)}?dcache-http-uuid={key}"

    def check_quota(self, path: str, size: int) -> None:
        quota = self.options.quota
        if quota is None:
            return
        old = self.tree.find(path)
        freed = old.content.size if old is not None and old.content is not None else 0
        if self.tree.used() - freed + size > quota:
            raise Refused(507, f"Out of space: the quota is {quota} bytes")

    def check_target(self, path: str) -> None:
        """What can be known about an upload before its first byte."""
        entry = self.tree.find(path)
        if (entry is not None and entry.kind == "DIR") or not split(path)[1]:
            raise Refused(405, f"Is a directory: {path}")
        if entry is not None and not self.options.overwrite:
            raise Refused(409, f"File exists: {path}")
        parent = split(path)[0]
        if self.options.put_makes_parents and self.tree.find(parent) is None:
            self.tree.make_directory(parent, self.clock.now(), parents=True)
        self.tree.directory(parent)

    def keep(self, path: str) -> None:
        """Show an upload that broke off, as servers do that keep what they have."""
        now = self.clock.now()
        self.tree.add(path, Entry("REGULAR", now, now, content=content_of(b"a part")))
        self.kept += 1

    def checksums(self, path: str, entry: Entry) -> tuple[str, str]:
        """Adler32 and md5 in hexadecimal, as reported: wrong where a fault says so."""
        content = entry.content
        if content is None:
            return "", ""
        if self.faults.take("checksum", "", "", path) is not None:
            self.wrong_checksums.add(path)
        if path in self.wrong_checksums:
            return "deadbeef", "00" * 16 if content.md5 else ""
        return content.adler32, content.md5

    def listed(self, path: str) -> None:
        """A listing showed this entry: the moment to make it vanish."""
        if self.faults.take("vanish", "", "", path) is not None:
            self.tree.remove(path, recursive=True)
