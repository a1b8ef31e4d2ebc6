"""Patterns of addresses, as ``credentials`` is keyed by them: which URL each matches, how closely.

A pattern is ``[scheme://]host[:port][/path]``. The host may have ``*`` and ``?``; the path is a
folder and everything below it. For ``s3://`` the host is the bucket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

#: Schemes that reach one server by HTTP over TLS: a pattern with one of them means all.
_SECURE = frozenset({"https", "dcache", "davs"})
_CLEAR = frozenset({"http", "dav"})
_PORTS = {
    "https": "443",
    "davs": "443",
    "http": "80",
    "dav": "80",
    "dcache": "2880",
    "sftp": "22",
}
_SAME = {"s3a": "s3", "s3n": "s3", "ssh": "sftp"}


@dataclass(frozen=True)
class Pattern:
    """Which addresses are meant."""

    text: str
    scheme: str
    host: str
    port: str
    path: str

    @property
    def clear(self) -> bool:
        """Whether a secret may go over plain http, because the pattern says ``http://``."""
        return self.scheme in _CLEAR

    @property
    def rank(self) -> tuple[int, int, int, int, int]:
        """The larger, the closer: a whole host name, its length, a port, a path, a scheme."""
        wild = any(letter in self.host for letter in "*?[")
        fixed = len(re.sub(r"[*?]", "", self.host))
        return (not wild, fixed, bool(self.port), len(self.path), bool(self.scheme))

    def matches(self, url: str) -> bool:
        """Whether a URL is meant; never one whose host different programs read differently."""
        parts = _split(url)
        if parts is None:
            return False
        scheme, host, port, path = parts
        if self.scheme and not _same_family(self.scheme, scheme):
            return False
        if not fnmatchcase(host, self.host) or (self.port and not fnmatchcase(port, self.port)):
            return False
        return not self.path or path == self.path or path.startswith(self.path + "/")


def parse_pattern(text: str) -> Pattern:
    """A pattern from its text.

    Raises
    ------
    ValueError
        It is none, or so wide that a secret would go to hosts of strangers.
    """
    match = re.fullmatch(
        r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?"
        r"(?P<host>[^\s/:@\\#\[\]]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9*]+))?(?P<path>/[^\s]*)?",
        text,
    )
    if match is None:
        raise ValueError(
            f"expected a host such as door.example.org, *.example.org:2880 or "
            f"https://door.example.org/data, got {text!r}"
        )
    scheme = match["scheme"] or ""
    scheme = _SAME.get(scheme, scheme)
    host = match["host"].lower().strip("[]")
    if scheme != "s3" and _too_wide(host):
        raise ValueError(
            f"{text!r} would give the secret to every host: write the domain, as *.example.org"
        )
    path = unquote(match["path"] or "").rstrip("/")
    port = "" if match["port"] in (None, "*") else match["port"]
    return Pattern(text, scheme, host, port, path)


def _too_wide(host: str) -> bool:
    if not any(letter in host for letter in "*?"):
        return False
    labels = host.split(".")
    fixed = 0
    for label in reversed(labels):
        if any(letter in label for letter in "*?"):
            break
        fixed += 1
    return fixed < 2


def _same_family(wanted: str, scheme: str) -> bool:
    if wanted in _CLEAR:
        return scheme in _CLEAR or scheme in _SECURE
    if wanted in _SECURE:
        return scheme in _SECURE
    return wanted == scheme


def _split(url: str) -> tuple[str, str, str, str] | None:
    # curl, browsers and urllib disagree about backslashes and control characters in an authority.
    authority = url.partition("://")[2].partition("/")[0]
    if re.search(r"[\s\\\x00-\x1f\x7f]", authority):
        return None
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    scheme = _SAME.get(parts.scheme, parts.scheme)
    shown = str(port) if port is not None else _PORTS.get(scheme, "")
    return (scheme, host, shown, unquote(parts.path)) if host else None
