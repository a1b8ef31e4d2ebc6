"""Names and addresses: every quoting, joining and comparing of paths and URLs is done here.

A path inside the filesystem is the plain name that a person sees (``/d/f 1+#.txt``); it is quoted
exactly once, when an address is made of it, and unquoted exactly once, when a door's answer is
read. Nothing else in this package touches a ``%``.
"""

from __future__ import annotations

import errno
import secrets
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# A name of 255 bytes is the longest that file systems and dCache take.
LONGEST_NAME = 255
TEMPORARY_SUFFIX = ".part"


def clean(path: str) -> str:
    """A path from the root, without empty parts and without a slash at its end (``/`` is the root).

    Raises
    ------
    OSError
        ``EINVAL`` for ``.`` and ``..``: doors disagree about what they mean, and so a path could
        lead to a file that nobody named.
    """
    parts = [part for part in path.split("/") if part]
    if "." in parts or ".." in parts:
        raise OSError(errno.EINVAL, "'.' and '..' are not allowed in a path", path)
    return "/" + "/".join(parts)


def parent(path: str) -> str:
    """The directory that a path is in; the root is in itself."""
    return path.rpartition("/")[0] or "/"


def name_of(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def join(directory: str, name: str) -> str:
    """The path of an entry of a directory."""
    return f"{directory.rstrip('/')}/{name}"


def quoted(path: str) -> str:
    """A path as it stands in an address. Everything but letters, digits and ``-._~/`` is quoted."""
    return quote(path, safe="/", errors="surrogateescape")


def unquoted(text: str) -> str:
    """The path of an address as a person sees it; bytes that are not UTF-8 survive a round trip."""
    return unquote(text, errors="surrogateescape")


def temporary(path: str) -> str:
    """A name beside a path under which an upload can grow: hidden, and unlike any other."""
    ending = f".{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    stem = name_of(path).encode("utf-8", "surrogateescape")[: LONGEST_NAME - len(ending) - 1]
    return join(parent(path), "." + stem.decode("utf-8", "ignore") + ending)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address: what a secret is valid for."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS.get(scheme, 0)


def is_loopback(url: str) -> bool:
    """Whether an address never leaves this machine."""
    host = origin(url)[1]
    return host in ("localhost", "::1") or host.startswith("127.")


def without_query(url: str) -> str:
    """An address for messages: the query and the user information may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redirected(url: str, location: str) -> str:
    """Where a redirect leads to; it may be relative."""
    return urljoin(url, location)


def split_url(url: str) -> tuple[str | None, str]:
    """The host (with its port) and the path of ``dcache://host:port/path``.

    The path is taken literally: ``%``, ``?`` and ``#`` in it are parts of names, as elsewhere in
    fsspec. Without ``://`` there is no host.
    """
    _, mark, rest = url.partition("://")
    if not mark:
        return None, clean(url)
    host, _, path = rest.partition("/")
    return host.rpartition("@")[2] or None, clean(path)


def host_of(url: str) -> str:
    """Host, and the port if one is given, of an http address."""
    return urlsplit(url).netloc.rpartition("@")[2]


@dataclass(frozen=True)
class Door:
    """Where a door's services are.

    Parameters
    ----------
    webdav
        Address that stands for the root of the filesystem, without a slash at its end.
    api
        Base of dCache's REST interface (``https://…/api/v1``), if there is one.
    tape
        Base of a WLCG tape REST interface (``https://…/tape``), if there is one.
    root
        Path of the filesystem's root in the REST interface's namespace.
    """

    webdav: str
    api: str | None = None
    tape: str | None = None
    root: str = ""

    def file(self, path: str, *, directory: bool = False) -> str:
        """The WebDAV address of a path."""
        slash = "/" if directory and path != "/" else ""
        return f"{self.webdav}{quoted(path)}{slash}"

    def plain(self, path: str) -> str:
        """The same without quoting, for servers that take names as they are."""
        return f"{self.webdav}{path}"

    def namespace(self, path: str) -> str:
        """The address of a path in the REST interface's namespace."""
        return f"{self.api}/namespace{quoted(self.full(path))}"

    def full(self, path: str) -> str:
        """A path as the REST interfaces name it."""
        return clean(f"{self.root}{path}")

    def own(self, full: str) -> str:
        """A path of the REST interfaces as this filesystem names it."""
        path = clean(full)
        return clean(path[len(self.root) :]) if path.startswith(f"{self.root}/") else path

    def path_of(self, href: str, *, plain: bool = False) -> str:
        """The path that an ``href`` of a WebDAV answer stands for (an address, or its path).

        Parameters
        ----------
        plain
            Whether the server writes names without quoting them.
        """
        target = "/" + href.partition("://")[2].partition("/")[2] if _is_address(href) else href
        base = unquoted(urlsplit(self.webdav).path)
        path = target if plain else unquoted(target)
        return clean(path[len(base) :] if base and path.startswith(base) else path)


def _is_address(href: str) -> bool:
    return href.startswith(("http://", "https://"))
