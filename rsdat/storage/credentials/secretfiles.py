"""Secrets for libraries of this process that take them from files.

On Linux such a file is memory that only this process has open (memfd) and that its number in
``/proc/self/fd`` names: nothing lies on a disk, and nothing is left by a process that is killed.
Elsewhere, and for the cookie jar that libcurl itself writes, it is a file (0600) in a directory
(0700) of this process, where the system keeps what belongs to a login (``$XDG_RUNTIME_DIR``, in
memory and emptied at logout), else where temporary files lie. It goes when the process ends; what
a killed process of the same user left on this machine is removed by the next one that has a secret
for GDAL.
"""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rsdat.errors import CredentialError
from rsdat.storage.credentials import netrcs, secrets
from rsdat.storage.credentials.credential import Credential

_PREFIX = "rsdat-secrets-"

_lock = threading.Lock()
_directories: dict[int, Path] = {}
_written: dict[Path, str] = {}
_memory: dict[str, _Memory] = {}
#: How many directories of killed processes were removed, once it was looked for them.
_swept: list[int] = []


@dataclass(frozen=True)
class _Memory:
    """A text that a descriptor of this process leads to."""

    descriptor: int
    inode: int
    text: str

    @property
    def place(self) -> str:
        """Its name for who opens it: each opening begins at its beginning."""
        return f"/proc/self/fd/{self.descriptor}"

    def stands(self) -> bool:
        """Whether the descriptor still leads there, and nobody has closed it."""
        try:
            return os.fstat(self.descriptor).st_ino == self.inode
        except OSError:
            return False


def header_file(credential: Credential, url: str) -> str | None:
    """A file with the header lines for a URL's origin as they are now; None without any.

    The same credential and origin have the same file, whose content follows the credential.

    Raises
    ------
    CredentialError
        The secret is missing or has expired.
    """
    headers = credential.headers(url)
    if not headers:
        return None
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
    text = "".join(f"{name}: {value}\n" for name, value in headers.items())
    return _file(f"header-{_number((credential, origin))}", text)


def keys_file(credential: Credential) -> str | None:
    """The AWS credentials file of a credential: the one it names, or one made of its variables.

    Raises
    ------
    CredentialError
        The file or a variable is missing.
    """
    if credential.credentials_file:
        secrets.version(credential.credentials_file)
        return secrets.place(credential.credentials_file)
    if not credential.access_key_env:
        return None
    lines = ["[default]"]
    for key, name in (
        ("aws_access_key_id", credential.access_key_env),
        ("aws_secret_access_key", credential.secret_key_env),
        ("aws_session_token", credential.session_token_env),
    ):
        if name:
            lines.append(f"{key} = {secrets.from_environment(name)}")
    return _file(f"keys-{_number(credential)}", "\n".join(lines) + "\n")


def login_settings(credential: Credential) -> dict[str, str]:
    """GDAL's settings for a login that redirects lead to: names of a netrc file and a cookie jar.

    Raises
    ------
    CredentialError
        The password is missing.
    """
    if credential.netrc:
        netrc = secrets.place(netrcs.place_of(credential.netrc))
        secrets.version(netrc)
    else:
        assert credential.login is not None
        value = credential.headers(credential.login)["Authorization"].partition(" ")[2]
        user, _, password = base64.b64decode(value).decode().partition(":")
        host = urlsplit(credential.login).hostname
        line = f"machine {host} login {user} password {password}\n"
        netrc = _file(f"login-{_number((credential, 'login'))}", line)
    number = _number((credential, "cookies"))
    with _lock:
        cookies = _directory() / f"cookies-{number}"
    return {
        "GDAL_HTTP_NETRC": "YES",
        "GDAL_HTTP_NETRC_FILE": netrc,
        "GDAL_HTTP_COOKIEFILE": str(cookies),
        "GDAL_HTTP_COOKIEJAR": str(cookies),
    }


def write(path: Path, text: str) -> None:
    """Write a secret (0600) and rename it into place: readers see the old or the new, never half.

    Raises
    ------
    CredentialError
        The folder is missing, read-only or full.
    """
    temporary: str | None = None
    try:
        # mkstemp gives 0600 from the first moment.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise CredentialError(
            f"{path} cannot be written: {error.strerror}", hint="choose another place for it"
        ) from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


_numbers: dict[object, int] = {}


def _number(key: object) -> int:
    with _lock:
        return _numbers.setdefault(key, len(_numbers))


def _file(name: str, text: str) -> str:
    with _lock:
        _sweep_once()
        return _in_memory(name, text) or _on_disk(name, text)


def _in_memory(name: str, text: str) -> str | None:
    """A file in memory, the same name for each text; None where the system has no such files."""
    if sys.platform != "linux":
        return None
    kept = _memory.get(name)
    stands = kept is not None and kept.stands()
    if kept is not None and stands and kept.text == text:
        return kept.place
    try:
        made = os.memfd_create("rsdat-secret")
    except OSError:
        return None
    os.fchmod(made, 0o600)
    os.write(made, text.encode())
    if kept is not None and stands:
        # In one step: who opens the name finds the old text or the new one.
        os.dup2(made, kept.descriptor, inheritable=False)
        os.close(made)
        made = kept.descriptor
    found = _Memory(made, os.fstat(made).st_ino, text)
    if not os.path.exists(found.place):
        # No /proc in this container.
        os.close(made)
        return None
    _memory[name] = found
    return found.place


def _on_disk(name: str, text: str) -> str:
    path = _directory() / name
    if _written.get(path) != text or not path.exists():
        write(path, text)
        _written[path] = text
    return str(path)


def _directory() -> Path:
    pid = os.getpid()
    # The system may empty a login's directory while the process goes on; and after a fork the
    # parent's files stay the parent's.
    if pid not in _directories or not _directories[pid].is_dir():
        _written.clear()
        _sweep_once()
        _directories[pid] = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{pid}-", dir=_above()))
        atexit.register(_remove, pid)
    return _directories[pid]


def _above() -> Path:
    """Where such directories lie."""
    above = os.environ.get("XDG_RUNTIME_DIR") or ""
    usable = os.path.isdir(above) and os.access(above, os.W_OK)
    return Path(above if usable else tempfile.gettempdir())


def _remove(pid: int) -> None:
    if pid == os.getpid():
        shutil.rmtree(_directories[pid], ignore_errors=True)


def _sweep_once() -> None:
    if not _swept:
        _swept.append(_sweep(_above()))


def _sweep(above: Path) -> int:
    """Remove what killed processes have left; how many of them."""
    count = 0
    for left in above.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and left.lstat().st_uid == os.getuid() and not _alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
                count += 1
    return count


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
