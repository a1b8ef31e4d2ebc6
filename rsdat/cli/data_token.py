"""The `rsdat data token` commands: ask a door for a macaroon, show what a token allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import ssl

    from rsdat.storage.credentials import Token

app = typer.Typer(no_args_is_help=True, help="Tokens: ask a door for a macaroon, look at one.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="The door, as dcache://HOST/.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here (mode 0600).")
    ] = None,
    shown: Annotated[bool, typer.Option("--print", help="Print the secret itself.")] = False,
    activity: Annotated[
        str, typer.Option(help="What it allows, as DOWNLOAD,LIST; all by default.")
    ] = "",
    path: Annotated[str | None, typer.Option(help="Where, as /pnfs/data; else anywhere.")] = None,
    validity: Annotated[
        str | None, typer.Option(help="How long it lasts, as PT12H or 12h.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Ask as this user; the password is asked for.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Ask with the X.509 proxy in this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a dCache door for a macaroon.

    The configured credential of the door asks, unless --user or --proxy is given. The macaroon is
    written to a file; it is printed only with --print.
    """
    from rsdat.cli.data_words import period_of
    from rsdat.cli.output import print_json
    from rsdat.errors import ConfigError
    from rsdat.storage.credentials import decode
    from rsdat.storage.credentials.request import Request, ask
    from rsdat.storage.credentials.secretfiles import write
    from rsdat.storage.gdal import web_address

    if output is None and not shown:
        raise ConfigError("where is the macaroon to go?", hint="give -o FILE, or --print")
    door = web_address(url)
    if door is None:
        raise ConfigError(f"{url!r} is no door", hint="give dcache://HOST/ or https://HOST:PORT/")
    words = tuple(word.strip().upper() for word in activity.split(",") if word.strip())
    wanted = Request(words, path, None if validity is None else period_of(validity, "--validity"))
    headers, context = _who(url, door, user, proxy)
    token = ask(door, wanted, headers, context)
    if output is not None:
        write(output.expanduser(), token + "\n")
    facts = _facts(decode(token))
    if as_json:
        secret = {"token": token} if shown else {}
        print_json({"file": output, **facts, **secret})
        return
    if shown:
        print(token)
        return
    print(f"{output}: written")
    _print(facts)


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="FILE|URL", help="A token's file, or a door.")],
    as_json: Json = False,
) -> None:
    """Show what a token allows and when it ends; never the secret."""
    from rsdat.cli.output import print_json
    from rsdat.errors import CredentialError, DataError
    from rsdat.storage import is_remote
    from rsdat.storage.credentials import Credential, decode, find
    from rsdat.storage.credentials.credential import bare
    from rsdat.storage.credentials.secrets import from_file

    if not is_remote(place):
        if not Path(place).expanduser().exists():
            raise DataError(
                f"{place} does not exist", hint="give the file of a token, or dcache://HOST/"
            )
        token = decode(bare(from_file(place)))
        source = place
    else:
        credential = find(place) or Credential()
        found = credential.token()
        if found is None:
            raise CredentialError(
                f"no token is configured for {place}",
                hint="add its host to `credentials` in ~/.config/rsdat/defaults.yaml",
            )
        token, source = found, credential.source
    facts = {"source": source, **_facts(token)}
    if as_json:
        print_json(facts)
        return
    _print(facts)


def _facts(token: Token) -> dict[str, Any]:
    return {
        "kind": token.kind,
        "location": token.location,
        "identifier": token.identifier,
        "caveats": list(token.caveats),
        "scopes": list(token.scopes),
        "expires": token.expires.isoformat() if token.expires else None,
    }


def _print(facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        if key == "expires":
            value = _when(value)
        for line in value if isinstance(value, list) else [value]:
            if line:
                print(f"{key:<11} {line}")


def _when(text: str | None) -> str:
    from rsdat.cli.words import duration
    from rsdat.storage.credentials.tokens import moment

    if text is None:
        return "does not say"
    ends = datetime.fromisoformat(text)
    left = ends - datetime.now(UTC)
    state = f"in {duration(left)}" if left > timedelta(0) else "it has expired"
    return f"{moment(ends)} ({state})"


def _who(
    url: str, door: str, user: str | None, proxy: str | None
) -> tuple[dict[str, str], ssl.SSLContext | None]:
    """The header and the TLS context of whoever asks."""
    import base64

    from rsdat.errors import CredentialError
    from rsdat.storage.credentials import Credential, find
    from rsdat.storage.dcache.paths import is_loopback

    configured = find(url)
    trusted = configured.ca_file if configured else None
    if proxy is not None:
        return {}, Credential.from_options(proxy_file=proxy, ca_file=trusted).ssl_context()
    if user is not None:
        if door.startswith("http:") and not is_loopback(door):
            raise CredentialError(
                f"{url}: the password would go over plain http", hint="give the https address"
            )
        password = typer.prompt(f"Password of {user}", hide_input=True, err=True)
        word = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        context = Credential.from_options(ca_file=trusted).ssl_context()
        return {"Authorization": f"Basic {word}"}, context
    if configured is None or not configured.identifies:
        raise CredentialError(
            f"no credential is configured for {url}",
            hint="add its host to `credentials` in ~/.config/rsdat/defaults.yaml, or give --user "
            "or --proxy",
        )
    return configured.headers(door), configured.ssl_context()
