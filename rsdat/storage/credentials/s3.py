"""S3 for a credential: profile, file or variables by reference, any endpoint."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from rsdat.errors import DataError
from rsdat.storage.credentials import secrets

if TYPE_CHECKING:
    from rsdat.storage.credentials.credential import Credential

#: Loggers of the AWS library that write whole requests when they are asked for details.
TALKATIVE = ("botocore.auth", "botocore.endpoint")
_TOKEN = re.compile(r"""(x-amz-security-token['"]?\s*[:=]\s*b?['"]?)[^\s'"&]+""", re.IGNORECASE)


class _WithoutToken(logging.Filter):
    """Takes session tokens out of what is logged: requests carry them as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        told = _TOKEN.sub(r"\1…", said)
        if told != said:
            record.msg, record.args = told, ()
        return True


_without_token = _WithoutToken()


def options(credential: Credential) -> dict[str, Any]:
    """The keywords of ``s3fs.S3FileSystem``.

    Keys from a file or from variables come in a ``session`` which is pickled as the reference.

    Raises
    ------
    CredentialError
        A file or a variable that is named is missing.
    DataError
        s3fs is not installed.
    """
    _keep_logs_clean()
    found: dict[str, Any] = {}
    if credential.anonymous:
        found["anon"] = True
    if credential.endpoint:
        found["endpoint_url"] = credential.endpoint
    client: dict[str, Any] = {}
    if credential.region:
        client["region_name"] = credential.region
    if credential.ca_file:
        client["verify"] = secrets.place(credential.ca_file)
    if client:
        found["client_kwargs"] = client
    if style := addressing(credential):
        found["config_kwargs"] = {"s3": {"addressing_style": style}}
    if credential.access_key_env or credential.credentials_file:
        found["session"] = _session(credential)
    elif credential.profile:
        found["profile"] = credential.profile
    return found


def addressing(credential: Credential) -> str | None:
    """``path`` or ``virtual``; few services beside AWS have a host name for each bucket."""
    return credential.addressing or ("path" if credential.endpoint else None)


def _keep_logs_clean() -> None:
    # Here and not when this is imported: and in every process that a session is sent to.
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_without_token)


def _session(credential: Credential) -> Any:
    try:
        from aiobotocore.session import AioSession
    except ImportError:
        raise DataError(
            "s3:// needs the package s3fs", hint="install rsdat[s3], or s3fs by itself"
        ) from None

    class Session(AioSession):  # type: ignore[misc]
        """A session of the AWS library that is pickled as its reference."""

        def __reduce__(self) -> tuple[Any, ...]:
            return _session, (credential,)

        def __repr__(self) -> str:
            return f"Session({credential.reference})"

    _keep_logs_clean()
    made = Session(profile=credential.profile)
    if credential.credentials_file:
        secrets.version(credential.credentials_file)
        made.set_config_variable("credentials_file", secrets.place(credential.credentials_file))
    if credential.access_key_env:
        made.set_credentials(
            secrets.from_environment(credential.access_key_env),
            secrets.from_environment(str(credential.secret_key_env)),
            credential.session_token_env and secrets.from_environment(credential.session_token_env),
        )
    return made
