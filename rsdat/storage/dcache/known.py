"""What a process has learned of a door: shared by its filesystems, and never a secret.

Libraries make filesystems of their own beside the one they are given (zarr makes an asynchronous
one). What the first has found out, the next need not ask again; and a file that one of them has
written anew is not read by another from where it was before.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rsdat.storage.dcache.paths import Door

if TYPE_CHECKING:
    from rsdat.storage.credentials import Credential

# Seconds for which a pool's address is used again, from its last use.
ADDRESS_SECONDS = 60.0
MOST_ADDRESSES = 1024
# An address that is refused when it is not older says that the door gives them for one use.
FRESH_SECONDS = 5.0
# At a door whose addresses have lasted before, it takes so many of them in a row.
REFUSALS = 2
# Seconds until it is tried again whether addresses last.
SINGLE_USE_SECONDS = 60.0


@dataclass
class _Address:
    url: str
    given: float
    used: float


class Addresses:
    """The pools' addresses of files, and whether an address serves more than one request.

    Doors differ, and say nothing of it. Until it is known, one request at a time tries an address
    again, while all others ask the door: nobody waits for an answer that may be a refusal.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Address] = OrderedDict()
        self._lasting = False
        self._trying = False
        self._refusals = 0
        self._single_use_until = 0.0

    @property
    def lasting(self) -> bool:
        """Whether addresses have been seen to serve several requests."""
        return self._lasting

    @property
    def single_use(self) -> bool:
        """Whether addresses have lately been seen to serve one request only."""
        return time.monotonic() < self._single_use_until

    def take(self, path: str) -> str | None:
        """An address to read a file from; None: ask the door.

        What becomes of it has to be told: :meth:`served`, :meth:`refused` or :meth:`failed`.
        """
        with self._lock:
            found = self._kept.get(path)
            if found is None or time.monotonic() - found.used >= ADDRESS_SECONDS:
                return None
            if not self._lasting:
                if self._trying or self.single_use:
                    return None
                self._trying = True
            return found.url

    def keep(self, path: str, url: str) -> None:
        """Note the address that the door gave."""
        if self.single_use:
            return
        now = time.monotonic()
        with self._lock:
            self._kept[path] = _Address(url, now, now)
            self._kept.move_to_end(path)
            if len(self._kept) > MOST_ADDRESSES:
                self._kept.popitem(last=False)

    def served(self, path: str, url: str) -> None:
        """An address was good for another request."""
        with self._lock:
            self._lasting, self._trying, self._refusals = True, False, 0
            found = self._kept.get(path)
            if found is not None and found.url == url:
                found.used = time.monotonic()
                self._kept.move_to_end(path)

    def refused(self, path: str, url: str) -> None:
        """A pool does not know an address (any more)."""
        with self._lock:
            self._trying = False
            found = self._kept.get(path)
            if found is None or found.url != url:
                return
            del self._kept[path]
            if found.used > found.given or time.monotonic() - found.given > FRESH_SECONDS:
                return
            self._refusals += 1
            if not self._lasting or self._refusals >= REFUSALS:
                self._lasting, self._refusals = False, 0
                self._single_use_until = time.monotonic() + SINGLE_USE_SECONDS
                self._kept.clear()

    def failed(self, path: str, url: str) -> None:
        """A pool could not be reached, or could not answer."""
        with self._lock:
            self._trying = False
            found = self._kept.get(path)
            if found is not None and found.url == url:
                del self._kept[path]

    def forget(self, path: str) -> None:
        """Forget a file's address: it was written anew, moved or removed."""
        with self._lock:
            self._kept.pop(path, None)


@dataclass(eq=False)
class Known:
    """What is known of a door.

    Parameters
    ----------
    found
        The door with the interfaces that were found; None: not looked for yet.
    digests
        Whether it takes ``Want-Digest``.
    parts
        Whether it sends several ranges in one answer.
    """

    found: Door | None = None
    digests: bool = True
    parts: bool = True
    addresses: Addresses = field(default_factory=Addresses)


_shared: weakref.WeakValueDictionary[tuple[Door, Credential | None], Known] = (
    weakref.WeakValueDictionary()
)
_lock = threading.Lock()


def shared(door: Door, credential: Credential | None) -> Known:
    """What this process knows of a door as it is named, asked with one reference to a secret.

    It is kept as long as a filesystem uses it. Others' credentials have their own: an address that
    a door gave to one of them opens a file.
    """
    with _lock:
        found = _shared.get((door, credential))
        if found is None:
            found = _shared[door, credential] = Known()
        return found
