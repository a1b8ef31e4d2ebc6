"""Host keys of SFTP servers, checked against known_hosts files as OpenSSH does.

The file's format is in sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": marker, names or patterns (or one
name's HMAC-SHA1), kind of key, key. Lines of certificate authorities are passed over: the host's
own key counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from rsdat.errors import CredentialError
from rsdat.storage.credentials import secrets

#: What OpenSSH reads where no file is named: the user's, then the machine's.
USUAL = (
    *("~/.ssh/known_hosts", "~/.ssh/known_hosts2"),
    *("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
)
#: Algorithms by which a server may show an RSA key.
_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


@dataclass(frozen=True)
class HostKey:
    """A key that a file knows a host by."""

    kind: str
    key: bytes
    """As on the wire."""
    where: str
    """File and line."""
    revoked: bool = False
    of_port: bool = True
    """Whether it is written down for the port in question, not for the host alone."""


@dataclass(frozen=True)
class HostKeys:
    """Makes paramiko's connection to a host (its ``transport_factory``), which then has to show a
    key that is known.

    Parameters
    ----------
    host, port
        As the address names them.
    known_hosts
        The only file to look into; None: :data:`USUAL`.
    """

    host: str
    port: int = 22
    known_hosts: str | None = None

    def __call__(self, sock: Any, **settings: Any) -> Any:
        """A connection that asks for the kinds of keys that are known, and refuses others.

        Raises
        ------
        CredentialError
            From its ``start_client``: the host's key is unknown, another than before, or revoked.
            Here: the file that was named cannot be read.
        """
        import paramiko

        known = self.known()
        check = self.check

        class Transport(paramiko.Transport):  # type: ignore[misc]
            """A connection that ends before a login where the host is not who it should be."""

            def start_client(self, event: Any = None, timeout: float | None = None) -> None:
                super().start_client(event, timeout)
                shown = self.get_remote_server_key()
                try:
                    check(known, shown.get_name(), shown.asbytes())
                except CredentialError:
                    self.close()
                    raise

        made = Transport(sock, **settings)
        algorithms = made.get_security_options()
        # Else a host with several keys might show one that is not written down.
        algorithms.key_types = _first(algorithms.key_types, known)
        return made

    def known(self) -> tuple[HostKey, ...]:
        """The keys that the files know the host by, with its port and without.

        Raises
        ------
        CredentialError
            The file that was named cannot be read.
        """
        lines = list(_lines((self.known_hosts,) if self.known_hosts else USUAL))
        own = _matching(lines, self.name)
        if self.port == 22:
            return own
        return own + tuple(replace(one, of_port=False) for one in _matching(lines, self.host))

    @property
    def name(self) -> str:
        """The host as known_hosts files write it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    def check(self, known: Sequence[HostKey], kind: str, key: bytes) -> None:
        """Compare the key that a host shows with those that are known.

        Raises
        ------
        CredentialError
            It is unknown, another than before, or revoked.
        """
        same = [one for one in known if one.key == key]
        shown = f"{kind} {fingerprint(key)}"
        if revoked := [one for one in same if one.revoked]:
            raise CredentialError(
                f"{self.name} shows a host key that was revoked ({revoked[0].where}; {shown})",
                hint="do not connect; ask the administrators of the host",
            )
        if same:
            return
        others = [one for one in known if one.kind == kind and one.of_port and not one.revoked]
        if others:
            raise CredentialError(
                f"the host key of {self.name} is not the one that is known ({others[0].where}): "
                f"somebody may stand in between, or the host has a new key ({shown})",
                hint=f"ask the administrators of the host; if the new key is theirs: "
                f"ssh-keygen -R '{self.name}'{self._file('-f')}, then ssh {self._address}",
            )
        raise CredentialError(
            f"{self.name} is not known: {self.known_hosts or USUAL[0]} has no such key of it "
            f"({shown})",
            hint=f"compare the fingerprint with what its administrators say, then: "
            f"{self._remember()}",
        )

    @property
    def _address(self) -> str:
        return self.host if self.port == 22 else f"-p {self.port} {self.host}"

    def _file(self, option: str) -> str:
        return f" {option} {self.known_hosts}" if self.known_hosts else ""

    def _remember(self) -> str:
        file = self.known_hosts
        scan = f"ssh-keyscan {self._address} >> {file or USUAL[0]}"
        return scan if file else f"ssh {self._address} (or {scan})"


def fingerprint(key: bytes) -> str:
    """A key's fingerprint as OpenSSH shows it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    return "SHA256:" + digest.rstrip("=")


def _lines(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The lines of files, each with its place; of :data:`USUAL` those that can be read."""
    for file in files:
        try:
            with open(secrets.place(file), encoding="utf-8", errors="replace") as stream:
                for number, line in enumerate(stream, 1):
                    yield f"{file}:{number}", line
        except OSError as error:
            if file in USUAL:
                continue
            raise CredentialError(
                f"credentials: known_hosts {file}: {os.strerror(error.errno or 0)}",
                hint="correct known_hosts in `credentials`, or leave it out for the usual files",
            ) from None


def _matching(lines: Sequence[tuple[str, str]], name: str) -> tuple[HostKey, ...]:
    found = (_read(where, line, name.lower()) for where, line in lines)
    return tuple(one for one in found if one is not None)


def _read(where: str, line: str, name: str) -> HostKey | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked"):
        return None
    if not _names(words[0], name):
        return None
    try:
        return HostKey(words[1], base64.b64decode(words[2], validate=True), where, bool(marker))
    except binascii.Error:
        return None


def _names(patterns: str, name: str) -> bool:
    """Whether a line is for a name: hashed, or patterns of which none that begins with ! fits."""
    if patterns.startswith("|1|"):
        salt, _, digest = patterns[3:].partition("|")
        try:
            made = hmac.digest(base64.b64decode(salt), name.encode(), "sha1")
            return hmac.compare_digest(made, base64.b64decode(digest))
        except binascii.Error:
            return False
    fits = [p.startswith("!") for p in patterns.lower().split(",") if _fits(p.lstrip("!"), name)]
    return bool(fits) and not any(fits)


def _fits(pattern: str, name: str) -> bool:
    # Brackets are plain there.
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _first(kinds: Sequence[str], known: Sequence[HostKey]) -> tuple[str, ...]:
    wanted = {one.kind for one in known if not one.revoked}
    if "ssh-rsa" in wanted:
        wanted.update(_RSA)
    return tuple(sorted(kinds, key=lambda kind: kind not in wanted))
