"""Storage options: which of them are references to a credential, and that none is a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rsdat.errors import ConfigError

if TYPE_CHECKING:
    from rsdat.storage.credentials import Credential

# What other filesystems take a secret by.
SECRETS = frozenset({"token", "password", "secret", "macaroon", "bearer_token", "api_key"})


def credential(
    given: Credential | Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Credential | None:
    """The credential that the options refer to; None: the configuration is asked.

    Parameters
    ----------
    given
        ``credential=``: a credential, or its keywords.
    options
        The other options: keywords of a credential (``token_file=…``).

    Raises
    ------
    ConfigError
        An option is a secret, or is unknown.
    """
    from rsdat.storage.credentials import Credential

    named = dict(given) if isinstance(given, Mapping) else {}
    for name in [*options, *named]:
        if name in SECRETS:
            raise ConfigError(
                f"{name}= would put a secret into pickles, graphs and logs",
                hint="write it into a file of mode 0600 and give token_file=, or put it into an "
                "environment variable and give token_env=",
            )
    known = {field.name for field in fields(Credential)}
    for name in options:
        if name not in known:
            raise ConfigError(
                f"unknown storage option {name}=", hint="see the options of DCacheFileSystem"
            )
    references = {**named, **options}
    if isinstance(given, Credential):
        if references:
            raise ConfigError(
                f"credential= and {', '.join(references)} exclude one another", hint="give one"
            )
        return given
    return Credential.from_options(**references) if references else None


def spelled(options: Mapping[str, Any]) -> dict[str, Any]:
    """Storage options that JSON can hold: a credential as its keywords."""
    from rsdat.storage.credentials import Credential

    found = dict(options)
    given = found.get("credential")
    if isinstance(given, Credential):
        values = {field.name: getattr(given, field.name) for field in fields(Credential)}
        plain = {name: getattr(Credential(), name) for name in values}
        found["credential"] = {n: v for n, v in values.items() if v != plain[n]}
    return found
