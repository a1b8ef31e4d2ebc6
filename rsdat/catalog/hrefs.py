"""Links in STAC files: what a relative one means, and how one file names another."""

from __future__ import annotations

import posixpath
from urllib.parse import urljoin, urlsplit

from rsdat.storage import absolute, is_remote


def joined(base: str, href: str) -> str:
    """What a link in the file ``base`` leads to: an absolute href."""
    if ":" in href and (is_remote(href) or href.startswith("file://")):
        # A path of this machine would be one of the server, in a file that lies there.
        return href if href.startswith("file://") and is_remote(base) else absolute(href)
    scheme, mark, rest = base.partition("://")
    if not mark:
        return posixpath.normpath(posixpath.join(posixpath.dirname(base), href))
    if scheme in ("http", "https"):
        return urljoin(base, href)
    host, _, path = rest.partition("/")
    folder = posixpath.dirname("/" + path)
    return f"{scheme}://{host}{posixpath.normpath(posixpath.join(folder, href))}"


def relative(href: str, base: str) -> str:
    """How the file ``base`` names ``href``: relative where both lie in one place."""
    there, here = urlsplit(href), urlsplit(base)
    if (there.scheme, there.netloc) != (here.scheme, here.netloc) or there.query:
        return href
    root = f"{here.scheme}://{here.netloc}" if is_remote(base) else ""
    name = posixpath.relpath(href[len(root) :], posixpath.dirname(base[len(root) :]))
    return name if name.startswith("../") else f"./{name}"


def below(folder: str, *names: str) -> str:
    """An href in a folder."""
    return "/".join([folder.rstrip("/"), *names])
