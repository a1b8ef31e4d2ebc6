"""Keywords for fsspec's filesystems (http, s3, sftp) that hold references instead of secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rsdat.errors import ConfigError, CredentialError, DataError

if TYPE_CHECKING:
    from rsdat.storage.credentials.credential import Credential


def options(credential: Credential, url: str) -> dict[str, Any]:
    """The keywords for the filesystem of a URL's scheme.

    Raises
    ------
    ConfigError
        This scheme has no use for such a credential.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return {"get_client": Client(credential, origin_of(url))}
    if parts.scheme in ("s3", "s3a"):
        return credential.s3_options()
    if parts.scheme in ("sftp", "ssh"):
        return sftp(credential, url)
    return {"credential": credential}


@dataclass(frozen=True)
class Client:
    """Makes the aiohttp session of a filesystem; each request resolves the credential anew.

    The same for a signature: it is in no address but that of the request itself.
    """

    credential: Credential | None
    origin: str
    """``scheme://host:port``; redirects that lead elsewhere go without the secret."""

    async def __call__(self, **settings: Any) -> Any:
        """A session, as fsspec's ``get_client``."""
        import asyncio

        import aiohttp
        import yarl

        from rsdat.storage.credentials import certificates
        from rsdat.storage.credentials.responses import response_class

        latest: dict[str, Any] = {"ssl": await asyncio.to_thread(self._trust)}

        class Request(aiohttp.ClientRequest):
            """A request whose connection has the certificates as they are now."""

            @property
            def ssl(self) -> Any:
                return latest["ssl"]

        async def authorize(request: Any, handler: Any) -> Any:
            url = str(request.url)
            # In a thread: a command, a file on a slow disk or a service must not hold the loop.
            trust, headers, address = await asyncio.to_thread(self._looked_up, url)
            latest["ssl"] = trust
            request.headers.update(headers)
            if address != url:
                request.url = yarl.URL(address, encoded=True)
            try:
                return await handler(request)
            except (aiohttp.ClientConnectionError, ConnectionError) as error:
                meant = await certificates.clearer(error, url, self.credential)
                if meant is error:
                    raise
                raise meant from meant.__cause__

        settings.setdefault("trust_env", True)
        settings.setdefault("request_class", Request)
        settings.setdefault("response_class", response_class())
        return aiohttp.ClientSession(middlewares=(authorize,), **settings)

    def _trust(self) -> Any:
        context = self.credential.ssl_context() if self.credential else None
        return True if context is None else context

    def _looked_up(self, url: str) -> tuple[Any, dict[str, str], str]:
        """Whom to trust, the headers that say who asks, and the address with its signature."""
        from rsdat.storage import signing

        known = self.credential
        own = origin_of(url) == self.origin
        told = known is not None and (own or (known.logs_in and known.is_login(url)))
        headers = known.headers(url) if known is not None and told else {}
        return self._trust(), headers, signing.signed(url) if own else url


def origin_of(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def sftp(credential: Credential | None, url: str) -> dict[str, Any]:
    """The keywords of fsspec's SFTP filesystem, which by itself takes any key for the host's.

    Raises
    ------
    ConfigError
        A password is configured.
    CredentialError
        The private key is missing or open to others.
    """
    from rsdat.storage.credentials import secrets
    from rsdat.storage.credentials.hostkeys import HostKeys

    parts = urlsplit(url)
    known = credential.known_hosts if credential else None
    found: dict[str, Any] = {
        "transport_factory": HostKeys(parts.hostname or "", parts.port or 22, known)
    }
    if credential is None:
        return found
    if credential.bears or credential.password_file or credential.password_env or credential.netrc:
        raise ConfigError(
            "sftp:// takes a key: a password would have to be handed over in clear",
            hint="name a private key with key_file, or use ssh's agent",
        )
    if credential.username:
        found["username"] = credential.username
    if credential.key_file:
        secrets.version(credential.key_file)
        found["key_filename"] = secrets.place(credential.key_file)
    return found


def sftp_trouble(error: Exception, url: str, given: dict[str, Any]) -> Exception:
    """What paramiko says when it cannot log in, as an error that says what to do about it.

    What a moment may heal stays as it is: others try it again.

    Parameters
    ----------
    given
        The keywords of the connection.
    """
    import socket

    import paramiko

    from rsdat.storage.files import shown

    place, key, untold = shown(url), given.get("key_filename"), error
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        # It is made of those of all addresses, and has no errno.
        first: Exception = next(iter(error.errors.values()), error)
        return first
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        return DataError(
            f"{place}: there is no host {urlsplit(url).hostname}", hint="check its name"
        )
    if not isinstance(error, paramiko.SSHException) or "saw EOF" in str(error):
        return untold
    if isinstance(error, paramiko.PasswordRequiredException):
        return CredentialError(
            f"{place}: the private key {key or 'of ~/.ssh'} is encrypted",
            hint="ssh-add it and leave key_file out, or name a key without a passphrase",
        )
    if key is not None and (why := _no_key(key)):
        return CredentialError(
            f"credentials: {key} holds no private key that can be used ({why})",
            hint="name the private key with key_file, not the .pub beside it",
        )
    if isinstance(error, paramiko.AuthenticationException) or "No authentication" in str(error):
        who = given.get("username") or "this user (no username in the address or `credentials`)"
        return CredentialError(
            f"{place}: the server does not accept the login of {who} with "
            + (f"the key {key}" if key else "the keys of ssh's agent and ~/.ssh"),
            hint="check username and key_file in `credentials`, and that the server knows the key; "
            f"`ssh -v` to {urlsplit(url).hostname} tells more",
        )
    return untold


def _no_key(path: str) -> str | None:
    """Why a file is no private key; None if it is one."""
    import paramiko

    try:
        paramiko.PKey.from_path(path)
    except Exception as error:
        # Its words may be a part of what is in the file.
        return type(error).__name__
    return None
