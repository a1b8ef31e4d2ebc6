"""The two ends of a copy: which filesystem an address means, and what it says of a file there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import stat
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from rsdat.errors import DataError
from rsdat.storage.dcache import checksums, tape
from rsdat.storage.dcache.spans import opaque
from rsdat.storage.files import absolute, is_remote, shown, storage_options
from rsdat.storage.transfer_errors import Stopped

KINDS = {
    **dict.fromkeys(("dcache", "davs", "dav"), "door"),
    **dict.fromkeys(("http", "https"), "http"),
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
}
# Seconds between two looks whether a copy was called off, and for its end to be tidied up.
LOOK, TIDY = 0.2, 15.0
# Answers to HEAD of servers, or signed addresses, that allow GET alone.
NO_HEAD = frozenset({400, 401, 403, 405, 501})

_of_thread = threading.local()


@dataclass(frozen=True)
class Facts:
    """What a server says of a file.

    Parameters
    ----------
    size
        Bytes; None if it does not say.
    mtime
        Seconds since 1970 of the last change, or None.
    version
        A text that changes when the content does; empty if nothing is said.
    sums
        Checksums by name, hexadecimal.
    etag
        S3's of an object that was uploaded in parts, where it is the content's; else empty.
    locality
        Where dCache has it (``NEARLINE``: on tape only); empty elsewhere.
    weak
        Whether a range may not be asked for on the condition (``If-Range``) of this version.
    """

    size: int | None
    mtime: float | None = None
    version: str = ""
    sums: Mapping[str, str] = field(default_factory=dict)
    locality: str = ""
    etag: str = ""
    weak: bool = False


@dataclass(frozen=True)
class Place:
    """A file's address, opened: ``kind`` is ``local``, ``door``, ``http``, ``s3``, ``sftp`` or
    ``other`` (any other filesystem of fsspec); ``path`` is its name in the filesystem.
    """

    url: str
    kind: str
    fs: Any
    path: str


def place_of(url: str) -> Place:
    """Open the filesystem of an address, with the credential that is configured for it.

    Raises
    ------
    DataError
        Nothing is installed for this kind of address, or (SFTP, which is logged into at once) the
        server does not let us in.
    """
    import fsspec

    where = absolute(url)
    if not is_remote(where):
        return Place(where, "local", fsspec.filesystem("file"), where)
    kind = KINDS.get(where.partition("://")[0], "other")
    given = storage_options(where)
    try:
        if kind == "sftp":
            fs, path = _sftp(where, given)
        else:
            fs, path = fsspec.url_to_fs(where, **given)
    except ImportError as error:
        raise DataError(
            f"{shown(where)}: no filesystem is installed for this kind of address ({error})",
            hint="install rsdat[s3], rsdat[sftp], or the package that the message names",
        ) from None
    return Place(where, kind, fs, path)


def _sftp(where: str, given: dict[str, Any]) -> tuple[Any, str]:
    """A connection of this thread: paramiko's are not for several; opened anew when it is gone."""
    import fsspec

    from rsdat.storage.credentials.backends import sftp_trouble

    scheme, _, rest = where.partition("://")
    address, _, name = rest.partition("/")
    options = {**fsspec.get_filesystem_class("sftp")._get_kwargs_from_urls(f"{scheme}://{address}")}
    options |= given
    kept = _of_thread.__dict__.setdefault("connections", {})
    key = os.getpid(), repr(sorted(options.items()))
    fs = kept.get(key)
    transport = fs.client.get_transport() if fs is not None else None
    if transport is None or not transport.is_active():
        try:
            fs = kept[key] = fsspec.filesystem("sftp", skip_instance_cache=True, **options)
        except ImportError:
            raise
        except Exception as error:
            raise sftp_trouble(error, where, options) from None
    return fs, "/" + name


def same(one: Place, other: Place) -> bool:
    """Whether two addresses mean one file: the same name, link or inode, or another spelling."""
    if one.kind == other.kind == "local":
        try:
            return os.path.samefile(one.path, other.path)
        except OSError:
            return os.path.realpath(one.path) == os.path.realpath(other.path)
    return _identity(one) == _identity(other)


def _identity(place: Place) -> tuple[str, ...]:
    if place.kind in ("door", "http"):
        url = place.fs.door.file(place.path) if place.kind == "door" else place.url
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        query = parts.query if place.kind == "http" else ""
        path = quote(unquote(parts.path))
        return parts.scheme, (parts.hostname or "").lower(), str(port), path, query
    if place.kind == "s3":
        endpoint = place.fs.endpoint_url or place.fs.client_kwargs.get("endpoint_url") or ""
        return "s3", endpoint.rstrip("/"), place.path
    if place.kind == "sftp":
        port = place.fs.ssh_kwargs.get("port") or 22
        return "sftp", place.fs.host.lower(), str(port), os.path.normpath(place.path)
    return place.kind, str(place.fs.unstrip_protocol(place.path))


def run(
    fs: Any, work: Callable[[], Coroutine[Any, Any, Any]], stop: threading.Event | None = None
) -> Any:
    """Await something in a filesystem's event loop; it is cancelled, and its tidying up waited
    for, when this thread is interrupted or ``stop`` is set.
    """
    begun, ended = threading.Event(), threading.Event()

    async def framed() -> Any:
        begun.set()
        try:
            return await work()
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(framed(), fs.loop)
    try:
        while not concurrent.futures.wait({future}, timeout=LOOK).done:
            if stop is not None and stop.is_set():
                raise Stopped
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            if begun.is_set():
                ended.wait(TIDY)
        raise


def facts_of(place: Place, stop: threading.Event | None = None) -> Facts:
    """What is said of a file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        It is none, or may not be asked about.
    """
    if place.kind == "local":
        return _local(place.path)
    if place.kind == "door":
        return _door(run(place.fs, lambda: place.fs._info(place.path, checksum=True), stop), place)
    if place.kind == "http":
        facts: Facts = run(place.fs, lambda: _http(place), stop)
        return facts
    if place.kind == "s3":
        return _s3(place, stop)
    info = place.fs.info(place.path)
    if info["type"] == "directory":
        raise IsADirectoryError(place.path)
    when = seconds(info)
    return Facts(info["size"], when, f"{when}-{info['size']}" if when is not None else "")


def seconds(info: Mapping[str, Any]) -> float | None:
    """The time of the last change in an entry of any filesystem."""
    for key in ("mtime", "LastModified", "last_modified", "modified", "updated", "created"):
        when = info.get(key)
        if isinstance(when, datetime):
            return when.timestamp()
        if isinstance(when, int | float):
            return float(when)
    return None


def _local(path: str) -> Facts:
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(path)
    return Facts(found.st_size, found.st_mtime, f"{found.st_mtime_ns}-{found.st_size}")


def _door(info: dict[str, Any], place: Place) -> Facts:
    if info["type"] == "directory":
        raise IsADirectoryError(place.path)
    parts = [info.get(key) for key in ("etag", "pnfsid", "mtime", "size")]
    known = any(part is not None for part in parts[:3])
    version = "-".join(str(part) for part in parts) if known else ""
    return Facts(
        info["size"],
        info.get("mtime"),
        version,
        info.get("checksums", {}),
        info.get("locality") or "",
    )


def refuse_offline(place: Place, facts: Facts) -> None:
    """Say what to do about a source that is on tape only, or lost.

    Raises
    ------
    Nearline, Lost
        It cannot be read now.
    """
    if place.kind == "door":
        tape.refuse_offline(place.path, facts.locality, place.fs.door.webdav)


async def _http(place: Place) -> Facts:
    session = await place.fs.set_session()
    digests = {"Want-Digest": "adler32,md5;q=0.5"}
    for method, more in (("HEAD", digests), ("GET", {"Range": "bytes=0-0"})):
        async with session.request(method, **asked(place, more)) as answer:
            if method == "HEAD" and answer.status in NO_HEAD:
                continue
            if answer.status != 416:
                answer.raise_for_status()
            return of_headers(answer.status, answer.headers)
    raise AssertionError("unreachable")


def asked(place: Place, headers: Mapping[str, str]) -> dict[str, Any]:
    """The keywords of a request for an ``https://`` address: no limit on its whole time."""
    import aiohttp

    given = dict(place.fs.kwargs)
    sent = {**given.pop("headers", {}), "Accept-Encoding": "identity", **headers}
    return {
        **given,
        "url": place.fs.encode_url(place.url),
        "headers": sent,
        "allow_redirects": True,
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60),
    }


def of_headers(status: int, headers: Mapping[str, str]) -> Facts:
    """What the headers of an HTTP answer say of the whole file."""
    length: str | None = headers.get("Content-Length")
    if status in (206, 416):
        length = headers.get("Content-Range", "").rpartition("/")[2]
    encoded = headers.get("Content-Encoding", "identity") not in ("", "identity")
    size = int(length) if length and length.isdigit() and not encoded else None
    try:
        mtime = parsedate_to_datetime(headers["Last-Modified"]).timestamp()
    except (KeyError, TypeError, ValueError):
        mtime = None
    etag = headers.get("ETag", "")
    version = opaque(etag) or ("" if mtime is None else f"{mtime}-{size}")
    weak = not etag.startswith('"')
    return Facts(size, mtime, version, checksums.of_header(headers), weak=weak)


def _s3(place: Place, stop: threading.Event | None) -> Facts:
    from rsdat.storage import transfer_etags

    bucket, key, _ = place.fs.split_path(place.path)
    if not key:
        raise IsADirectoryError(place.path)
    asked = {"Bucket": bucket, "Key": key, "ChecksumMode": "ENABLED"}
    try:
        found = run(place.fs, lambda: place.fs._call_s3("head_object", **asked), stop)
    except FileNotFoundError:
        # Raises unless it is what others call a directory: names that begin with it.
        run(place.fs, lambda: place.fs._info(place.path, refresh=True), stop)
        raise IsADirectoryError(place.path) from None
    sums, etag = transfer_etags.of_answer(found)
    return Facts(
        found["ContentLength"],
        found["LastModified"].timestamp(),
        str(found.get("ETag", "")).strip('"'),
        sums,
        etag=etag,
    )
