"""WebDAV (RFC 4918) as pure functions: the XML to send, entries read from a multistatus."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from rsdat.storage.dcache import checksums
from rsdat.storage.dcache.paths import Door
from rsdat.storage.dcache.spans import opaque

DAV = "{DAV:}"
LOCALITY = "{http://srm.lbl.gov/StorageResourceManager}FileLocality"
CHECKSUMS = "{http://www.dcache.org/2013/webdav}Checksums"
OWNCLOUD_CHECKSUMS = "{http://owncloud.org/ns}checksums"

BASIC = (
    "resourcetype",
    "getcontentlength",
    "getlastmodified",
    "creationdate",
    "getetag",
    "getcontenttype",
)
Entry = dict[str, Any]


def propfind(*, locality: bool = False, checksum: bool = False) -> bytes:
    """The body of a PROPFIND that asks for what an entry needs, and not for more.

    A door has to look each file's checksum and locality up; they are asked for only where wanted.
    """
    names = [f"{DAV}{name}" for name in BASIC]
    names += [LOCALITY] * locality + [CHECKSUMS, OWNCLOUD_CHECKSUMS] * checksum
    root = ElementTree.Element(f"{DAV}propfind")
    wanted = ElementTree.SubElement(root, f"{DAV}prop")
    for name in names:
        ElementTree.SubElement(wanted, name)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def entries(door: Door, body: bytes, *, plain: bool = False) -> list[Entry]:
    """The entries of a multistatus, in its order; what it says is missing is left out.

    Parameters
    ----------
    plain
        Whether the server writes names without quoting them.

    Raises
    ------
    ValueError
        The body is not a multistatus, or has a document type (whose entities could be a bomb).
    """
    root = _tree(body)
    if root.tag != f"{DAV}multistatus":
        raise ValueError(f"expected a multistatus, found {root.tag}")
    found = []
    for response in root.iter(f"{DAV}response"):
        href = response.findtext(f"{DAV}href")
        if href and not _missing(response.findtext(f"{DAV}status")):
            found.append(_entry(door.path_of(href.strip(), plain=plain), _properties(response)))
    return found


def failures(body: bytes) -> list[str]:
    """The status lines of a multistatus that are not successes (a DELETE that went half way)."""
    lines = (node.text or "" for node in _tree(body).iter(f"{DAV}status"))
    return [line for line in lines if not _success(line)]


def _tree(body: bytes) -> ElementTree.Element:
    """The parsed XML, refused at the first sign of a document type."""

    def refuse(*_: object) -> None:
        raise ValueError("the answer has a document type, which no WebDAV server sends")

    # The guard has to be a parser of its own: ElementTree's does not show its declarations.
    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    guard.EntityDeclHandler = refuse
    try:
        guard.Parse(body, True)
        return ElementTree.fromstring(body)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise ValueError(f"the answer is not XML: {error}") from None


def _properties(response: ElementTree.Element) -> dict[str, ElementTree.Element]:
    found: dict[str, ElementTree.Element] = {}
    for propstat in response.iter(f"{DAV}propstat"):
        if _success(propstat.findtext(f"{DAV}status") or "200"):
            for container in propstat.iter(f"{DAV}prop"):
                found |= {node.tag: node for node in container}
    return found


def _entry(path: str, properties: dict[str, ElementTree.Element]) -> Entry:
    kinds = properties.get(f"{DAV}resourcetype")
    directory = kinds is not None and kinds.find(f"{DAV}collection") is not None
    size = _text(properties, f"{DAV}getcontentlength")
    modified = _date(_text(properties, f"{DAV}getlastmodified"))
    found: Entry = {
        "name": path,
        "size": 0 if directory else int(size) if size.isdigit() else None,
        "type": "directory" if directory else "file",
        "mtime": modified,
        "created": _date(_text(properties, f"{DAV}creationdate")),
        "mimetype": _text(properties, f"{DAV}getcontenttype") or None,
        "etag": opaque(_text(properties, f"{DAV}getetag")) or None,
    }
    if locality := _text(properties, LOCALITY):
        found["locality"] = locality
    node = properties.get(CHECKSUMS, properties.get(OWNCLOUD_CHECKSUMS))
    if node is not None:
        found["checksums"] = checksums.of_property(" ".join(node.itertext()))
    return found


def _text(properties: dict[str, ElementTree.Element], name: str) -> str:
    node = properties.get(name)
    return "" if node is None else (node.text or "").strip()


def _date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date or an ISO 8601 one: servers mix them up."""
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _success(status: str) -> bool:
    return any(word.startswith("2") and len(word) == 3 for word in status.split())


def _missing(status: str | None) -> bool:
    return status is not None and not _success(status)
