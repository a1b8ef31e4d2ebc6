"""GDAL reads remote rasters by itself: its name of an href, and the settings that go with it.

The secret reaches GDAL in a file that holds the header line and is named in the path:
``/vsicurl?header_file=…&url=…``; the file is memory of this process where the system allows it
(:mod:`~rsdat.storage.credentials.secretfiles`). GDAL reads it for each request, so a token that is
renewed counts at once, also for datasets that are open; its content is exchanged in one step when
the credential's answer has changed. Other ways were
measured or read in the sources and are worse: ``GDAL_HTTP_HEADERS`` and ``GDAL_HTTP_BEARER`` put
the secret into the configuration that ``rasterio.env.getenv()`` lists; a configuration option set
in the main thread is global in rasterio, so that a header would go to another thread's host; netrc
knows no bearer tokens. libcurl (7.58 and later) sends ``Authorization`` to the first scheme, host
and port only: a pool on another port of the same host gets none.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from rsdat.errors import CredentialError
from rsdat.storage.credentials import Credential, certificates, find, lacks, s3, secrets
from rsdat.storage.credentials.secretfiles import header_file, keys_file, login_settings
from rsdat.storage.dcache.paths import quoted, split_url
from rsdat.storage.files import is_remote, scrubbed, shown
from rsdat.storage.signing import signed

NEVER_REMEMBER = "CPL_VSIL_CURL_NON_CACHED"
#: For every remote file, whatever the environment says.
_ALWAYS = {
    # The rule that keeps a token from foreign hosts.
    "CPL_VSIL_CURL_AUTHORIZATION_HEADER_ALLOWED_IF_REDIRECT": "IF_SAME_HOST",
    # What is known of a file is forgotten when it is closed, but where rsdat has GDAL forget it
    # (gdal_cache).
    NEVER_REMEMBER: "/vsicurl:/vsis3",
}
_SECURE = ("dcache", "davs")
_CLEAR = ("dav",)
_AWS_SECRET = "AWS_SECRET_ACCESS_KEY"
# As its filesystem says.
_DCACHE_PORT = 2880


@dataclass(frozen=True)
class Refusal:
    """Why a server does not give a file."""

    words: str
    denied: bool = False
    """Whether it is about who asks."""


def gdal_path(href: str) -> str:
    """What GDAL opens for an href; local and unknown ones as they are.

    Raises
    ------
    CredentialError
        The secret for this address is missing or has expired, or its signer gives none.
    """
    scheme = urlsplit(href).scheme
    if not is_remote(href):
        return href
    if scheme in ("s3", "s3a"):
        return "/vsis3/" + href.partition("://")[2]
    url = web_address(href)
    if url is None:
        return href
    credential = find(href)
    file = header_file(credential, url) if credential else None
    address = signed(url)
    if file is None:
        plain = address == url and urlsplit(href).scheme in ("http", "https")
        return href if plain else f"/vsicurl/{address}"
    named = quote(address, safe="")
    return f"/vsicurl?header_file={quote(file, safe='')}&empty_dir=yes&url={named}"


def opening(href: str) -> dict[str, Any]:
    """The arguments of :func:`rasterio.open` for an href: GDAL's name of it, as ``fp``.

    Where GDAL has no name for a file, such as one at SFTP, there is an ``opener`` as well: GDAL
    then reads the parts that it wants through files of Python.

    Raises
    ------
    CredentialError
        As :func:`gdal_path` does.
    OSError, DataError
        A file that Python opens cannot be opened: this is tried here, as GDAL would not say why.
    """
    path = gdal_path(href)
    if not is_remote(path) or path.startswith(("http://", "https://")):
        return {"fp": path}
    from rsdat.storage.transfer_places import place_of

    place = place_of(href)
    first = [_opened(place.fs, place.path)]

    def opener(name: str, *_: Any, **__: Any) -> Any:
        if name != place.path:  # files beside it, and rasterio's trial
            raise FileNotFoundError(name)
        # A connection belongs to the thread that asks.
        return first.pop() if first else place_of(href).fs.open(name, "rb")

    return {"fp": place.path, "opener": opener}


def _opened(filesystem: Any, path: str) -> Any:
    try:
        return filesystem.open(path, "rb")
    except OSError:
        raise
    except Exception as error:  # whatever a backend raises
        raise OSError(str(error) or type(error).__name__) from error


def web_address(href: str) -> str | None:
    """The http(s) address behind an href; None where there is none.

    ``dcache://`` and ``dav://`` paths are taken literally, as their filesystem does; the addresses
    of the web are quoted already.
    """
    scheme = urlsplit(href).scheme
    if scheme in ("http", "https"):
        return href
    if scheme not in _SECURE + _CLEAR:
        return None
    host, path = split_url(href)
    port = f":{_DCACHE_PORT}" if scheme == "dcache" and urlsplit(f"//{host}").port is None else ""
    return f"{'https' if scheme in _SECURE else 'http'}://{host}{port}{quoted(path)}"


def options(href: str) -> dict[str, str]:
    """GDAL's configuration for an href: names of files and services, never a secret.

    Raises
    ------
    CredentialError
        A file that is named for this address is missing or open to others.
    """
    if not is_remote(href):
        return {}
    credential = find(href)
    found = dict(_ALWAYS)
    if credential is not None:
        found |= _tls(credential)
        if credential.logs_in:
            found |= login_settings(credential)
        if urlsplit(href).scheme in ("s3", "s3a"):
            found |= _s3(credential)
    return found


def scrub(text: str, href: str) -> str:
    """What GDAL said of an href, for messages: GDAL's own name of it replaced, queries left out."""
    path = href.partition("://")[2].partition("/")[2]
    text = re.sub(rf"/vsiriopener_[0-9a-f]+/+{re.escape(path)}", lambda _: shown(href), text)
    url = web_address(href)
    if url is not None and is_remote(href):
        encoded = quote(url, safe="")
        for mark in ("vsicurl?header_file=", "/vsicurl?header_file="):
            while (start := text.find(mark)) >= 0 and (end := text.find(encoded, start)) >= 0:
                left = re.sub(r"^%3F[^\s'\"<>]*", "?…", text[end + len(encoded) :])
                text = text[:start].rstrip("/") + shown(href) + left
        text = scrubbed(text.replace(f"/vsicurl/{url}", url), url).replace(url, shown(href))
    return text


def refusal(href: str) -> Refusal | None:
    """Why a server does not give a file, asked again: GDAL's reads do not tell. None: it does.

    One request for one byte; redirects are not followed, so a pool is not asked.
    """
    url = web_address(href)
    if url is None or not is_remote(href):
        return None
    credential = find(href)
    headers = credential.headers(url) if credential else {}
    request = urllib.request.Request(signed(url), headers={"Range": "bytes=0-0", **headers})
    context = credential.ssl_context() if credential else None
    opener = urllib.request.build_opener(_Stay, urllib.request.HTTPSHandler(context=context))
    try:
        opener.open(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
        return _answer(error.code, credential, url)
    except OSError as error:
        proxy = credential.proxy_file if credential else None
        meant = (credential and proxy and certificates.greeted(url, credential)) or error
        if told := certificates.refused(meant, proxy):
            return Refusal(told[0], denied=True)
        return Refusal(f"no answer ({getattr(error, 'reason', None) or error})")
    return None


def _answer(code: int, credential: Credential | None, url: str) -> Refusal | None:
    if code < 400 or code == 416:
        return None
    if code == 404:
        return Refusal("the server has no such file (404)")
    if code not in (401, 403):
        return Refusal(f"the server answers {code}")
    if credential is None or not credential.identifies:
        words = f"the server wants to know who asks ({code}), and no credential is configured"
        return Refusal(words, denied=True)
    token = credential.token()
    why = lacks(token, "DOWNLOAD", unquote(urlsplit(url).path)) if token else None
    words = f"the server refuses the credential ({code}; {credential.reference})"
    return Refusal(f"{words}: {why}" if why else words, denied=True)


def _tls(credential: Credential) -> dict[str, str]:
    found = {}
    if credential.proxy_file:
        certificates.check_end(credential.proxy_file)
        found["GDAL_HTTP_SSLCERT"] = found["GDAL_HTTP_SSLKEY"] = secrets.place(
            credential.proxy_file
        )
    if credential.ca_file:
        trusted = secrets.place(credential.ca_file)
        folder = os.path.isdir(trusted)
        found["GDAL_HTTP_CAPATH" if folder else "GDAL_CURL_CA_BUNDLE"] = trusted
    return found


def _s3(credential: Credential) -> dict[str, str]:
    found = {}
    if credential.anonymous:
        found["AWS_NO_SIGN_REQUEST"] = "YES"
    elif credential.identifies and credential.secret_key_env != _AWS_SECRET:
        if _AWS_SECRET in os.environ:
            raise CredentialError(
                f"GDAL would take {_AWS_SECRET} of this process instead of {credential.source}",
                hint=f"unset {_AWS_SECRET}, or name it with secret_key_env in `credentials`",
            )
        found["AWS_PROFILE"] = credential.profile or "default"
        if file := keys_file(credential):
            found["CPL_AWS_CREDENTIALS_FILE"] = file
    if credential.endpoint:
        scheme, _, service = credential.endpoint.partition("://")
        found["AWS_S3_ENDPOINT"] = service.rstrip("/")
        found["AWS_HTTPS"] = "YES" if scheme == "https" else "NO"
    if credential.region:
        found["AWS_REGION"] = credential.region
    if style := s3.addressing(credential):
        found["AWS_VIRTUAL_HOSTING"] = "TRUE" if style == "virtual" else "FALSE"
    return found


class _Stay(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer."""

    def redirect_request(self, *_: Any) -> None:
        return None
