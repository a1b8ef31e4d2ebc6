"""The door's namespace: directories, files and links with what dCache knows of each."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from .contents import Content

Kind = Literal["REGULAR", "DIR", "LINK"]


class Refused(Exception):
    """An operation that the namespace refuses, with the HTTP status that says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass
class Entry:
    """One entry; a file without content is being uploaded."""

    kind: Kind
    modified: float
    created: float | None
    pnfsid: str = field(default_factory=lambda: secrets.token_hex(18).upper())
    mode: int = 0o755
    group: int = 1000
    children: dict[str, Entry] = field(default_factory=dict)
    content: Content | None = None
    target: str = ""
    mime_type: str = "application/octet-stream"
    xattrs: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    on_disk: bool = True
    on_tape: bool = False
    trouble: Literal["", "LOST", "UNAVAILABLE"] = ""
    pins: set[str] = field(default_factory=set)
    target_qos: str = ""
    generation: int = 0

    @property
    def size(self) -> int | None:
        if self.kind == "DIR":
            return 512
        return self.content.size if self.content is not None else None

    @property
    def locality(self) -> str:
        """As the REST frontend says it; only files have one."""
        if self.trouble:
            return self.trouble
        if self.content is None or self.content.size == 0:
            return "NONE"
        if self.on_disk:
            return "ONLINE_AND_NEARLINE" if self.on_tape else "ONLINE"
        return "NEARLINE"

    @property
    def qos(self) -> str:
        names = (["disk"] if self.on_disk else []) + (["tape"] if self.on_tape else [])
        return "+".join(names)

    @property
    def etag(self) -> str:
        return f'"{self.pnfsid}_{self.generation}"'


def normal(path: str) -> str:
    """An absolute path without empty parts, ``.`` and ``..``."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def split(path: str) -> tuple[str, str]:
    parent, _, name = normal(path).rpartition("/")
    return parent or "/", name


def join(parent: str, name: str) -> str:
    return normal(f"{parent}/{name}")


def within(path: str, root: str) -> bool:
    return root == "/" or path == root or path.startswith(root + "/")


class Tree:
    """The entries by path; `Refused` carries the status which the doors answer with."""

    def __init__(self, now: float) -> None:
        self.root = Entry("DIR", now, now)
        self._copies = itertools.count(1)

    def find(self, path: str, *, follow: bool = False) -> Entry | None:
        entry = self.root
        for part in normal(path).split("/")[1:]:
            if not part:
                continue
            found = entry.children.get(part)
            if found is None:
                return None
            entry = found
        if follow and entry.kind == "LINK":
            relative = not entry.target.startswith("/")
            return self.find(join(split(path)[0], entry.target) if relative else entry.target)
        return entry

    def get(self, path: str, *, follow: bool = False) -> Entry:
        entry = self.find(path, follow=follow)
        if entry is None:
            raise Refused(404, f"No such file or directory: {path}")
        return entry

    def directory(self, path: str, missing: int = 409) -> Entry:
        entry = self.find(path)
        if entry is None or entry.kind != "DIR":
            raise Refused(missing, f"No such directory: {path}")
        return entry

    def add(self, path: str, entry: Entry) -> Entry:
        """Put an entry at a path, in the place of a file that may be there."""
        parent, name = split(path)
        directory = self.directory(parent)
        old = directory.children.get(name)
        if not name or (old is not None and old.kind == "DIR"):
            raise Refused(405, f"Is a directory: {path}")
        if old is not None and old.content is not None:
            old.content.remove()
        directory.children[name] = entry
        directory.modified = entry.modified
        return entry

    def make_directory(self, path: str, now: float, *, parents: bool = False) -> Entry:
        parent, name = split(path)
        if parents and self.find(parent) is None:
            self.make_directory(parent, now, parents=True)
        directory = self.directory(parent)
        if not name or name in directory.children:
            raise Refused(405, f"File exists: {path}")
        directory.children[name] = Entry("DIR", now, now)
        return directory.children[name]

    def remove(self, path: str, *, recursive: bool = False) -> None:
        entry = self.get(path)
        parent, name = split(path)
        if not name:
            raise Refused(403, "The root cannot be removed")
        if entry.children and not recursive:
            raise Refused(400, f"Directory is not empty: {path}")
        for _, below in self.walk(path):
            if below.content is not None:
                below.content.remove()
        del self.directory(parent).children[name]

    def move(self, source: str, target: str, *, overwrite: bool) -> bool:
        """Rename; True if something was replaced."""
        entry = self.get(source)
        if normal(source) == normal(target):
            raise Refused(403, "Source and destination are the same")
        if entry.kind == "DIR" and within(normal(target), normal(source)):
            raise Refused(409, f"Cannot move {source} below itself")
        replaced = self._make_room(target, overwrite)
        parent, name = split(source)
        del self.directory(parent).children[name]
        self._place(target, entry)
        return replaced

    def copy(self, source: str, target: str, now: float, *, overwrite: bool) -> bool:
        entry = self.get(source)
        if within(normal(target), normal(source)):
            raise Refused(403, "Source and destination overlap")
        replaced = self._make_room(target, overwrite)
        self._place(target, self._duplicate(entry, now))
        return replaced

    def walk(self, path: str = "/") -> Iterator[tuple[str, Entry]]:
        """The entry at a path and everything below it."""
        entry = self.get(path)
        yield normal(path), entry
        for name in list(entry.children):
            yield from self.walk(join(path, name))

    def used(self) -> int:
        """Bytes that count against the quota."""
        return sum(entry.content.size for _, entry in self.walk() if entry.content is not None)

    def _make_room(self, target: str, overwrite: bool) -> bool:
        self.directory(split(target)[0])
        if self.find(target) is None:
            return False
        if not overwrite:
            raise Refused(412, f"File exists: {target}")
        self.remove(target, recursive=True)
        return True

    def _place(self, path: str, entry: Entry) -> None:
        parent, name = split(path)
        self.directory(parent).children[name] = entry

    def _duplicate(self, entry: Entry, now: float) -> Entry:
        content = entry.content
        if content is not None and content.file is not None:
            file = content.file.with_name(f"{content.file.name}.{next(self._copies)}")
            file.hardlink_to(content.file)
            content = Content(content.size, content.adler32, content.md5, file=file)
        return Entry(
            entry.kind,
            now,
            now,
            mode=entry.mode,
            children={n: self._duplicate(e, now) for n, e in entry.children.items()},
            content=content,
            target=entry.target,
            mime_type=entry.mime_type,
            xattrs=dict(entry.xattrs),
        )
