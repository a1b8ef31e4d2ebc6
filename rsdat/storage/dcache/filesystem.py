"""The filesystem: fsspec's interface to a dCache door, or to any other WebDAV door.

Addresses are ``dcache://host[:port]/path`` (https, port 2880 unless given; the REST interface is
found by itself), ``davs://host/path`` and ``dav://host/path`` (WebDAV alone, over https and http).
Each door has its own instance. The path is literal: ``%``, ``?`` and ``#`` are parts of names.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AsyncFileSystem, sync_wrapper
from fsspec.utils import stringify_path

from rsdat.storage.dcache import errors, finding, known, options
from rsdat.storage.dcache.asynchronous import AsyncReadFile, AsyncWriteFile
from rsdat.storage.dcache.checksums import LENGTHS
from rsdat.storage.dcache.client import Client, Limits
from rsdat.storage.dcache.data import Data
from rsdat.storage.dcache.describing import Describing
from rsdat.storage.dcache.extras import Extras
from rsdat.storage.dcache.files import ReadFile, WriteFile, open_layers
from rsdat.storage.dcache.names import Names
from rsdat.storage.dcache.namespace import Namespace
from rsdat.storage.dcache.paths import Door, clean, host_of, split_url
from rsdat.storage.dcache.reading import Reader
from rsdat.storage.dcache.recent import Recent
from rsdat.storage.dcache.retrying import Policy
from rsdat.storage.dcache.storing import Store
from rsdat.storage.dcache.tape import Tape

if TYPE_CHECKING:
    from rsdat.storage.credentials import Credential

PROTOCOLS = ("dcache", "davs", "dav")
Entry = dict[str, Any]


class DCacheFileSystem(Describing, Names, Data, Extras, AsyncFileSystem):  # type: ignore[misc]
    """A dCache door (``dcache://host[:port]/path``).

    Parameters
    ----------
    host
        The door's host, with a port if it is not 2880. In an address it stands before the path.
    webdav
        The address of the WebDAV door where it follows not from ``host``: another port, a prefix
        (``https://cloud.example.org/remote.php/dav/files/anna``), or plain http.
    api
        The address of dCache's REST interface (``https://host:3880/api/v1``). None: what
        ``credentials`` says, or what the door announces; False: WebDAV alone.
    root
        The path of the door's root in the REST interface's namespace, if they differ.
    credential
        A reference to the secret: a :class:`~rsdat.storage.credentials.Credential`, or its
        keywords; these can be given directly, too (``token_file="~/token"``). None: what the
        ``credentials`` section of the configuration says for the host. A secret itself is refused.
    connect_timeout, timeout
        Seconds for a connection, and for a silence in the middle of an answer.
    concurrency
        Requests at one time.
    retries, pause
        Tries after the first, and seconds before the first of them (then doubled).
    block_size
        Bytes of fsspec's read-ahead, and of the blocks that ``open(…, "wb")`` sends.
    checksum
        What is computed of uploads and compared with the door: ``adler32``, ``md5``, ….
    temporary
        Whether files grow under a hidden name and are renamed when they are complete. None: at
        doors without a REST interface (dCache itself removes what an upload leaves unfinished).
    verify
        Whether to ask for a file's checksum after an upload whose answer did not say it.
    recent
        Seconds for which one listing may answer :meth:`info` about many names of a directory that
        were asked for at one time, or closely one after the other; 0: never. Own changes end it
        at once. Nothing else is answered so: neither whether a file exists, nor what is opened.
    use_listings_cache, listings_expiry_time, max_paths
        fsspec's cache of listings; off unless asked for.

    Notes
    -----
    Beyond fsspec: :meth:`locality`, :meth:`stage`, :meth:`release` (tape), :meth:`checksums`,
    :meth:`getxattrs`, :meth:`labels` and their kin. Errors are kinds of
    :class:`~rsdat.storage.dcache.errors.DoorError`, which are the OSErrors that Python expects.
    """

    protocol: Any = "dcache"
    root_marker = "/"
    cachable = True
    scheme = "https"
    port: int | None = 2880
    announces = True

    def __init__(
        self,
        host: str | None = None,
        *,
        webdav: str | None = None,
        api: str | bool | None = None,
        root: str = "",
        credential: Credential | Mapping[str, Any] | None = None,
        connect_timeout: float = 15.0,
        timeout: float = 60.0,
        concurrency: int = 64,
        retries: int = 8,
        pause: float = 0.25,
        block_size: int | None = None,
        checksum: str = "adler32",
        temporary: bool | None = None,
        verify: bool = True,
        recent: float = 1.0,
        asynchronous: bool = False,
        loop: Any = None,
        batch_size: int | None = None,
        use_listings_cache: bool = False,
        listings_expiry_time: float | None = None,
        max_paths: int | None = None,
        **references: Any,
    ) -> None:
        super().__init__(
            asynchronous=asynchronous,
            loop=loop,
            batch_size=batch_size,
            use_listings_cache=use_listings_cache,
            listings_expiry_time=listings_expiry_time,
            max_paths=max_paths,
        )
        door = self._door(host, webdav, api, root)
        self.host = host or host_of(door.webdav)
        # Of the instance, because it knows which door's addresses are its own.
        self._strip_protocol = self._own_path  # type: ignore[method-assign]
        self._given = options.credential(credential, references)
        self._searches = api is None and self.announces
        self._block_size = block_size
        if checksum not in LENGTHS:
            raise ValueError(f"checksum is one of {', '.join(LENGTHS)}, not {checksum!r}")
        limits = Limits(connect_timeout, timeout, concurrency)
        self.client = Client(door, self._given, limits, Policy(retries, pause))
        self.namespace = Namespace(self.client)
        self.recent = Recent(self.namespace, recent)
        self._assemble(checksum, temporary, verify)

    def _assemble(self, checksum: str, temporary: bool | None, verify: bool) -> None:
        """The parts that work on the client."""
        self.reader = Reader(self.client, self._where, self.namespace.is_directory)
        self.store = Store(
            self.client,
            self.namespace,
            self.reader,
            names=(checksum,),
            renames=temporary,
            verifies=verify,
        )
        self.tape = Tape(self.client, self.namespace)
        self._settled = False
        self._settling: weakref.WeakKeyDictionary[Any, asyncio.Task[None]] = (
            weakref.WeakKeyDictionary()
        )

    def _door(
        self, host: str | None, webdav: str | None, api: str | bool | None, root: str
    ) -> Door:
        if webdav is None:
            if not host:
                raise ValueError("give the host of the door (dcache://host/path), or webdav=")
            bare = host.rpartition("]")[2] if host.startswith("[") else host
            port = "" if self.port is None or ":" in bare else f":{self.port}"
            webdav = f"{self.scheme}://{host}{port}"
        base = api.rstrip("/") if isinstance(api, str) else None
        below = "/" + root.strip("/") if root.strip("/") else ""
        return Door(webdav.rstrip("/"), base, f"{base}/tape" if base else None, below)

    # --- addresses and instances

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = stringify_path(path)
        if text.partition("://")[0] in PROTOCOLS:
            return split_url(text)[1]
        return clean(text)

    def _own_path(self, path: Any) -> Any:
        for one in path if isinstance(path, list) else [path]:
            given = self._get_kwargs_from_urls(stringify_path(one)).get("host", self.host)
            if given != self.host:
                raise ValueError(
                    f"{stringify_path(one)} is an address of another door than {self.host}: "
                    "open it with fsspec.url_to_fs"
                )
        return type(self)._strip_protocol(path)

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        host = split_url(path)[0] if path.partition("://")[0] in PROTOCOLS else None
        return {"host": host} if host else {}

    def unstrip_protocol(self, name: str) -> str:
        """The whole address of a path."""
        return f"{self.protocol}://{self.host}{self._strip_protocol(name)}"

    @property
    def fsid(self) -> str:
        """The door, for comparing filesystems."""
        return f"{self.protocol}_{self.host}"

    @property
    def door(self) -> Door:
        """Where the door's services are, as far as they are known now."""
        return self.client.door

    @property
    def storage_options(self) -> dict[str, Any]:
        """The options as they were given; they hold references, never secrets."""
        return self._storage_options

    @storage_options.setter
    def storage_options(self, given: dict[str, Any]) -> None:
        self._storage_options = options.spelled(given)

    async def ready(self) -> None:
        """Find the credential and the REST interface, once."""
        if self._settled:
            return
        loop = asyncio.get_running_loop()
        task = self._settling.get(loop)
        if task is None or task.done():
            task = self._settling[loop] = asyncio.ensure_future(self._settle())
        # Shielded: others wait for it, too.
        await asyncio.shield(task)

    async def _settle(self) -> None:
        if self._given is None:
            from rsdat.storage.credentials import find

            self.client.credential = await asyncio.to_thread(find, self.door.webdav + "/")
        # Under the name that the options gave it: what is found is what others look up.
        self.reader.known = known.shared(self.door, self.client.credential)
        named = self.client.credential.api if self.client.credential else None
        if self._searches and named:
            base = named.rstrip("/")
            self.client.door = replace(self.door, api=base, tape=f"{base}/tape")
            self._settled = True
        elif self._searches:
            await self._search(self.reader.known)
        else:
            self._settled = True

    async def _search(self, shared: known.Known) -> None:
        """Find the REST interface, unless another filesystem of this process has found it."""
        sure = True
        if shared.found is None:
            door, sure = await finding.find(self.client)
            shared.found = door if sure else None
        else:
            door = shared.found
        self.client.door, self._settled = door, sure

    async def _close(self) -> None:
        """Close this event loop's connections; they open again when they are needed."""
        await self.client.close()

    close = sync_wrapper(_close)

    # --- open files

    def open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        """Open a file (:class:`~rsdat.storage.dcache.files.WriteFile` for writing).

        Writing takes ``size=``, the number of bytes, for servers that want it beforehand.
        """
        if "r" in mode:
            return super().open(path, mode, **given)
        return open_layers(super().open, path, mode, given)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **given: Any,
    ) -> Any:
        size = block_size or self._block_size
        if mode == "rb":
            return ReadFile(self, path, block_size=size, cache_options=cache_options or {}, **given)
        if mode not in ("wb", "xb"):
            raise errors.Unsupported(
                f"{path}: files at a door are not opened with mode {mode!r}",
                hint="write the file anew; a door cannot append",
                path=path,
                door=self.door.webdav,
            )
        return WriteFile(
            self,
            path,
            block_size=size,
            exclusive=mode == "xb",
            autocommit=autocommit,
            size=given.get("size"),
        )

    async def open_async(
        self, path: str, mode: str = "rb", **given: Any
    ) -> AsyncReadFile | AsyncWriteFile:
        """Open a file in a coroutine: for reading, or (``wb``, ``xb``) for writing as a stream.

        Writing takes ``block_size=``, and ``size=`` as :meth:`open` does.
        """
        await self.ready()
        if mode == "rb":
            info = await self._look(path)
            return AsyncReadFile(self, info["name"], size=info["size"], **given)
        name = self._strip_protocol(path)
        if mode not in ("wb", "xb"):
            raise errors.Unsupported(
                f"{name}: files at a door are opened in coroutines with rb, wb or xb, "
                f"not with mode {mode!r}",
                hint="text and compression are for the layers above",
                path=name,
                door=self.door.webdav,
            )
        await self._vacant(name, "create" if mode == "xb" else "overwrite")
        given.setdefault("block_size", self._block_size)
        return AsyncWriteFile(self, name, mode, **given)


class DavsFileSystem(DCacheFileSystem):
    """A WebDAV door over https that is not dCache (``davs://host[:port]/path``)."""

    protocol = "davs"
    port = None
    announces = False


class DavFileSystem(DCacheFileSystem):
    """A WebDAV door over plain http (``dav://host[:port]/path``)."""

    protocol = "dav"
    scheme = "http"
    port = None
    announces = False
