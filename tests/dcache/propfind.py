"""PROPFIND: which properties are wanted, and the multistatus that says them."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from urllib.parse import quote

from .tree import Entry, Refused, split

DAV = "{DAV:}"
DCACHE = "{http://www.dcache.org/2013/webdav}"
SRM = "{http://srm.lbl.gov/StorageResourceManager}"

ET.register_namespace("d", DAV[1:-1])
ET.register_namespace("dcache", DCACHE[1:-1])
ET.register_namespace("srm", SRM[1:-1])

Shown = tuple[str, Entry, tuple[str, str]]


def wanted(body: bytes) -> list[str] | None:
    """The names of the properties a request asks for; None for all."""
    if not body:
        return None
    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        raise Refused(400, f"The body is no XML: {error}") from error
    prop = root.find(f"{DAV}prop")
    return [child.tag for child in prop] if prop is not None else None


def multistatus(shown: list[Shown], names: list[str] | None) -> bytes:
    root = ET.Element(f"{DAV}multistatus")
    for path, entry, checksums in shown:
        response = ET.SubElement(root, f"{DAV}response")
        href = path + "/" if entry.kind == "DIR" and path != "/" else path
        # Characters that need no escape in a path stay as they are, as in other servers.
        ET.SubElement(response, f"{DAV}href").text = quote(href, safe="/+&=@:~!$'()*,;")
        known = _properties(path, entry, checksums)
        found = list(known) if names is None else [name for name in names if name in known]
        missing = [name for name in names or [] if name not in known]
        _propstat(response, [known[name] for name in found], "HTTP/1.1 200 OK")
        if missing:
            _propstat(response, [ET.Element(name) for name in missing], "HTTP/1.1 404 Not Found")
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _propstat(response: ET.Element, elements: list[ET.Element], status: str) -> None:
    propstat = ET.SubElement(response, f"{DAV}propstat")
    ET.SubElement(propstat, f"{DAV}prop").extend(elements)
    ET.SubElement(propstat, f"{DAV}status").text = status


def _properties(path: str, entry: Entry, checksums: tuple[str, str]) -> dict[str, ET.Element]:
    values: dict[str, str | None] = {
        f"{DAV}displayname": split(path)[1] or "/",
        f"{DAV}getlastmodified": _http_date(entry.modified),
        f"{DAV}creationdate": _iso_date(entry.created),
    }
    if entry.kind != "DIR":
        values |= _of_file(entry, checksums)
    elements = {}
    for name, value in values.items():
        if value is not None:
            elements[name] = ET.Element(name)
            elements[name].text = value
    kind = elements[f"{DAV}resourcetype"] = ET.Element(f"{DAV}resourcetype")
    if entry.kind == "DIR":
        ET.SubElement(kind, f"{DAV}collection")
    return elements


def _of_file(entry: Entry, checksums: tuple[str, str]) -> dict[str, str | None]:
    adler32, md5 = checksums
    words = [f"adler32={adler32}"] if adler32 else []
    words += [f"md5={base64.b64encode(bytes.fromhex(md5)).decode()}"] if md5 else []
    return {
        f"{DAV}getcontentlength": str(entry.size) if entry.size is not None else None,
        f"{DAV}getcontenttype": entry.mime_type,
        f"{DAV}getetag": entry.etag,
        f"{DCACHE}Checksums": ",".join(words) or None,
        f"{SRM}FileLocality": entry.locality,
        f"{SRM}AccessLatency": "NEARLINE" if entry.on_tape and not entry.pins else "ONLINE",
        f"{SRM}RetentionPolicy": "CUSTODIAL" if entry.on_tape else "REPLICA",
    }


def _http_date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


def _iso_date(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
