"""One server's credential: a reference to secrets, which are read at the moment of use.

The value is frozen and can be pickled, printed and hashed: it holds names of files, variables and
commands, never what is in them.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from rsdat.errors import ConfigError, CredentialError
from rsdat.storage.credentials import certificates, netrcs, secrets
from rsdat.storage.credentials.tokens import Token, decode, moment
from rsdat.storage.dcache.paths import is_loopback, origin
from rsdat.storage.files import shown

#: Seconds that a token may be over its end: clocks differ, and the server decides.
_GRACE = timedelta(seconds=60)


@dataclass(frozen=True, repr=False)
class Credential:
    """How a server is told who asks.

    The fields are those of ``credentials`` in the YAML files, explained in docs/credentials.md;
    paths may begin with ``~`` and hold variables, which are resolved on the machine that uses them.
    """

    token_file: str | None = None
    token_env: str | None = None
    token_command: tuple[str, ...] | None = None
    oidc_agent: str | None = None
    username: str | None = None
    password_file: str | None = None
    password_env: str | None = None
    netrc: bool | str | None = None
    proxy_file: str | None = None
    ca_file: str | None = None
    key_file: str | None = None
    known_hosts: str | None = None
    profile: str | None = None
    credentials_file: str | None = None
    access_key_env: str | None = None
    secret_key_env: str | None = None
    session_token_env: str | None = None
    anonymous: bool | None = None
    endpoint: str | None = None
    region: str | None = None
    api: str | None = None
    addressing: str | None = None
    sas: str | None = None
    login: str | None = None
    clear: bool = True
    """Whether a secret may go over plain http to another machine."""

    @classmethod
    def from_options(cls, *, clear: bool = True, **options: Any) -> Credential:
        """A credential from the YAML keys as keywords; None is "not given".

        Parameters
        ----------
        clear
            Whether a secret may go over plain http to another machine.

        Raises
        ------
        ConfigError
            A key is unknown, or two of them exclude one another.
        """
        from pydantic import ValidationError

        from rsdat.config.models import Access
        from rsdat.config.possible import access_contradictions

        try:
            access = Access.model_validate({k: v for k, v in options.items() if v is not None})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"])
            what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
            raise ConfigError(
                f"credential: {name}: {what}",
                hint="docs/credentials.md lists the keys of a credential",
            ) from None
        for found in access_contradictions((), access):
            raise ConfigError(
                f"credential: {'.'.join(found.keys[0])}: {found.message}",
                hint="docs/credentials.md lists the keys of a credential",
            )
        return cls.from_access(access, clear=clear)

    @classmethod
    def from_access(cls, access: Any, *, clear: bool = True) -> Credential:
        """A credential from a checked entry of ``credentials`` (:class:`config.models.Access`)."""
        names = {field.name for field in fields(cls)} - {"clear"}
        return cls(**{name: getattr(access, name) for name in names}, clear=clear)

    def __repr__(self) -> str:
        return f"Credential({self.reference or 'nothing'})"

    @property
    def reference(self) -> str:
        """What is referred to, in words for messages: kind and place."""
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "clear"]
        return ", ".join(f"{name}={_word(value)}" for name, value in given if value is not None)

    @property
    def bears(self) -> bool:
        """Whether it is a token (or a macaroon)."""
        return bool(self.token_file or self.token_env or self.token_command or self.oidc_agent)

    @property
    def identifies(self) -> bool:
        """Whether it says who asks; else it only says whom to trust, or where a service is."""
        known = self.username or self.netrc or self.proxy_file or self.profile
        return self.bears or bool(known or self.credentials_file or self.access_key_env)

    @property
    def logs_in(self) -> bool:
        """Whether user and password are for a login that the server's redirects lead to."""
        return self.login is not None and not self.bears

    def is_login(self, url: str) -> bool:
        """Whether a URL is one of the login that the server's redirects lead to."""
        return self.login is not None and origin(url) == origin(self.login)

    @property
    def source(self) -> str:
        """Where the token or password comes from, in words for messages."""
        if self.token_file or self.password_file:
            return str(self.token_file or self.password_file)
        if self.token_env or self.password_env:
            return f"variable {self.token_env or self.password_env}"
        if self.oidc_agent:
            return f"oidc-agent account {self.oidc_agent}"
        if self.token_command:
            return f"command {self.token_command[0]}"
        if self.netrc:
            return netrcs.place_of(self.netrc)
        if self.secret_key_env:
            return f"variable {self.secret_key_env}"
        return str(self.proxy_file or self.profile or self.credentials_file or "no secret")

    def headers(self, url: str) -> dict[str, str]:
        """The ``Authorization`` header for a URL, resolved now; empty where none is needed.

        Parameters
        ----------
        url
            What is going to be asked: its host picks the line of a netrc file.

        Raises
        ------
        CredentialError
            The secret is missing or has expired, or would go over plain http to another machine.
        """
        if self.logs_in and not self.is_login(url):
            return {}
        value = self._authorization(url)
        if value is None:
            return {}
        parts = urlsplit(url)
        if parts.scheme in ("http", "dav") and not (self.clear or is_loopback(url)):
            raise CredentialError(
                f"{shown(url)}: the secret of {self.source} would go over plain http",
                hint="use https; or write the address with http:// in `credentials` to allow it",
            )
        return {"Authorization": value}

    def _authorization(self, url: str) -> str | None:
        if self.bears:
            return f"Bearer {self.secret_token()}"
        if self.username is not None and (self.password_file or self.password_env):
            user = self.username
            password = (
                secrets.from_file(self.password_file)
                if self.password_file
                else secrets.from_environment(str(self.password_env))
            )
        elif self.netrc:
            found = netrcs.login(self.netrc, urlsplit(url).hostname or "")
            if found is None:
                return None
            user, password = found
        else:
            return None
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    def secret_token(self) -> str:
        """The token itself, for a header and nothing else.

        Raises
        ------
        CredentialError
            It is missing, has expired, or is no single word.
        """
        if self.token_file:
            token = bare(secrets.from_file(self.token_file))
        elif self.token_env:
            token = secrets.from_environment(self.token_env)
        else:
            token = secrets.from_command(self._command())
        if not token.isascii() or not token.isprintable() or " " in token:
            raise CredentialError(
                f"credentials: what {self.source} holds is no token (more than one word)",
                hint="the token alone belongs there, or rclone's `bearer_token = …`",
            )
        ends = decode(token).expires
        if ends is not None and ends + _GRACE < datetime.now(UTC):
            raise CredentialError(
                f"the token of {self.source} expired on {moment(ends)}",
                hint=self.renewal,
            )
        return token

    def token(self) -> Token | None:
        """What can be read of the token: kind, caveats, end; None where there is no token."""
        return decode(self.secret_token()) if self.bears else None

    def renew(self) -> None:
        """Forget what a command gave: a server has refused it."""
        if self.token_command or self.oidc_agent:
            secrets.forget(self._command())

    @property
    def renewal(self) -> str:
        """What to do about a token that has expired, in words for messages."""
        if self.token_file:
            return (
                f"write a new token into {self.token_file}; for a macaroon: "
                f"`rsdat data token create URL -o {self.token_file}`"
            )
        if self.token_env:
            return f"set {self.token_env} anew, in workers as well; a file would be read by itself"
        return f"{self._command()[0]} gives expired tokens: renew its login"

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS with the X.509 proxy and the authorities that are named; None for the usual.

        Raises
        ------
        CredentialError
            A file is missing, is no certificate, or has expired.
        """
        if not (self.proxy_file or self.ca_file):
            return None
        return certificates.context(self.proxy_file, self.ca_file)

    def s3_options(self) -> dict[str, Any]:
        """The keywords of ``s3fs.S3FileSystem``; holds references, its keys are read when used."""
        from rsdat.storage.credentials import s3

        return s3.options(self)

    def storage_options(self, url: str) -> dict[str, Any]:
        """The keywords for fsspec's filesystem of a URL; references only."""
        from rsdat.storage.credentials import backends

        return backends.options(self, url)

    def without_secret(self) -> Credential:
        """The same trust and endpoint, without who asks: for another server."""
        return replace(
            Credential(), ca_file=self.ca_file, endpoint=self.endpoint, region=self.region
        )

    def _command(self) -> tuple[str, ...]:
        if self.oidc_agent:
            return ("oidc-token", "--time", str(2 * secrets.MARGIN), self.oidc_agent)
        return tuple(self.token_command or ())


def bare(text: str) -> str:
    """The token in a file's text: the text itself, or ``bearer_token`` of an rclone remote."""
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == "bearer_token" and value.strip():
            return value.strip()
    return text


def _word(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return str(value[0]) + (" …" if len(value) > 1 else "")
    return str(value)
