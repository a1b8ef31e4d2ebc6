"""What files of the door hold: bytes in memory, in a directory on disk, or only counted."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

Storage = Literal["memory", "disk", "sink"]

# Made once: a pool has better things to do than to clear memory.
ZEROS = bytes(1 << 18)


@dataclass(frozen=True)
class Content:
    """The bytes of one file and their checksums; where only counted, they read as zeros."""

    size: int
    adler32: str
    md5: str
    data: bytes | None = None
    file: Path | None = None

    def read(self, start: int, length: int) -> bytes:
        length = max(0, min(length, self.size - start))
        if self.data is not None:
            return self.data[start : start + length]
        if self.file is not None:
            with self.file.open("rb") as stream:
                stream.seek(start)
                return stream.read(length)
        return bytes(length) if length > len(ZEROS) else ZEROS[:length]

    @property
    def md5_base64(self) -> str:
        return base64.b64encode(bytes.fromhex(self.md5)).decode()

    def remove(self) -> None:
        if self.file is not None:
            self.file.unlink(missing_ok=True)


class Writer:
    """Takes the chunks of an upload; constant memory unless the storage is memory.

    With ``md5=False`` only adler32 is computed, as a pool does by default: md5 is the slower of
    the two and would bound the throughput of a benchmark.
    """

    def __init__(self, storage: Storage, directory: Path | None, md5: bool = True) -> None:
        self.size = 0
        self._adler = zlib.adler32(b"")
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._chunks: list[bytes] = []
        self._storage = storage
        self._stream: IO[bytes] | None = None
        if storage == "disk":
            self._stream = tempfile.NamedTemporaryFile(dir=directory, delete=False)  # noqa: SIM115

    def append(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._adler = zlib.adler32(chunk, self._adler)
        if self._md5 is not None:
            self._md5.update(chunk)
        if self._stream is not None:
            self._stream.write(chunk)
        elif self._storage == "memory":
            self._chunks.append(chunk)

    def finish(self) -> Content:
        adler = f"{self._adler:08x}"
        md5 = self._md5.hexdigest() if self._md5 is not None else ""
        if self._stream is not None:
            self._stream.close()
            return Content(self.size, adler, md5, file=Path(self._stream.name))
        data = b"".join(self._chunks) if self._storage == "memory" else None
        return Content(self.size, adler, md5, data=data)

    def abandon(self) -> None:
        self._chunks.clear()
        if self._stream is not None:
            self._stream.close()
            with contextlib.suppress(OSError):
                Path(self._stream.name).unlink()


def content_of(data: bytes) -> Content:
    writer = Writer("memory", None)
    writer.append(data)
    return writer.finish()
