"""The WebDAV door: names and permissions are its own work, bytes it leaves to the pools."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from aiohttp import web

from . import propfind
from .access import Principal
from .announcing import DISCOVERY, discovery
from .origin import Origin
from .pool import download, file_headers, upload
from .state import Transfer
from .tree import Entry, Refused, join, normal

METHODS = "OPTIONS, GET, HEAD, PUT, POST, DELETE, PROPFIND, MKCOL, COPY, MOVE"


class WebDav(Origin):
    name = "webdav"

    def subject(self, request: web.Request) -> str:
        return self._below_root(super().subject(request))

    def _below_root(self, path: str) -> str:
        root = self.state.options.root
        return path if root == "/" else join(root, path)

    def _shown(self, place: str) -> str:
        root = self.state.options.root
        return place if root == "/" else place[len(root) :] or "/"

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if self.state.options.announce and request.path == DISCOVERY and self.state.options.rest:
            return web.json_response(discovery(self.state))
        who = self.state.access.authenticate(request)
        place = who.real_path(path)
        self.state.tape.settle()
        verb = request.method
        if verb in ("GET", "HEAD"):
            return await self._read(request, who, place)
        if verb == "PUT":
            return await self._write(request, who, place)
        if verb == "PROPFIND":
            return await self._properties(request, who, place)
        if verb in ("MOVE", "COPY"):
            return self._transport(request, who, place)
        if verb == "MKCOL":
            self.state.access.check(who, "UPLOAD", place)
            if request.can_read_body:
                raise Refused(415, "MKCOL takes no body")
            self.state.tree.make_directory(place, self.state.clock.now())
            return web.Response(status=201)
        if verb == "DELETE":
            self.state.access.check(who, "DELETE", place)
            self.state.tree.remove(place, recursive=True)
            return web.Response(status=204)
        if verb == "POST":
            return await self._macaroon(request, who, self._shown(path))
        if verb == "OPTIONS":
            return web.Response(headers={"DAV": "1", "Allow": METHODS})
        raise Refused(405, f"{verb} is not allowed")

    async def _read(self, request: web.Request, who: Principal, place: str) -> web.StreamResponse:
        check = self.state.access.check
        check(who, "READ_METADATA", place)
        entry = self.state.tree.get(place, follow=True)
        if entry.kind == "DIR":
            check(who, "LIST", place)
            return self._html(place, entry)
        if entry.content is None:
            raise Refused(404, f"File is being uploaded: {place}")
        if request.method == "HEAD":
            return self._head(request, place, entry)
        check(who, "DOWNLOAD", place)
        if entry.trouble:
            raise Refused(503, f"File is {entry.trouble.lower()}: {place}")
        await self.state.tape.online(place, entry)
        if not self.state.options.redirect_reads:
            return await download(self, request, place, entry)
        url = self.state.pool_url(Transfer("GET", place, entry))
        status = self.state.options.redirect_status
        return web.Response(status=status, headers={"Location": url})

    def _head(self, request: web.Request, place: str, entry: Entry) -> web.Response:
        headers = file_headers(self.state, request, place, entry)
        headers["Content-Length"] = str(entry.size)
        headers["Accept-Ranges"] = "bytes"
        modified = datetime.fromtimestamp(entry.modified, UTC)
        headers["Last-Modified"] = modified.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return web.Response(headers=headers)

    def _html(self, place: str, entry: Entry) -> web.Response:
        names = [name + ("/" if e.kind == "DIR" else "") for name, e in entry.children.items()]
        links = "".join(f'<li><a href="{quote(n)}">{html.escape(n)}</a></li>' for n in names)
        title = html.escape(f"File system listing of {place}")
        page = f"<!DOCTYPE html><title>{title}</title><h1>{title}</h1><ul>{links}</ul>"
        return web.Response(text=page, content_type="text/html")

    async def _write(self, request: web.Request, who: Principal, place: str) -> web.StreamResponse:
        check = self.state.access.check
        check(who, "UPLOAD", place)
        self.state.check_target(place)
        if self.state.tree.find(place) is not None:
            check(who, "DELETE", place)
        if request.content_length is not None:
            self.state.check_quota(place, request.content_length)
        if request.headers.get("Expect", "").lower() == "100-continue":
            url = self.state.pool_url(Transfer("PUT", place, None))
            return web.Response(status=307, headers={"Location": url})
        return await upload(self, request, place)

    async def _properties(
        self, request: web.Request, who: Principal, place: str
    ) -> web.StreamResponse:
        access = self.state.access
        access.check(who, "READ_METADATA", place)
        depth = request.headers.get("Depth", "infinity")
        if depth not in ("0", "1"):
            raise Refused(403, "PROPFIND of depth infinity is switched off")
        entry = self.state.tree.get(place)
        wanted = propfind.wanted(await request.read())
        shown = [(place, entry)]
        if depth == "1" and entry.kind == "DIR":
            try:
                access.check(who, "LIST", place)
            except Refused:
                # As dCache does: a directory that may not be listed looks empty.
                shown = [(place, entry)]
            else:
                shown += [(join(place, name), e) for name, e in entry.children.items()]
        rows = [
            (self._shown(who.shown_path(place)), entry, self.state.checksums(place, entry))
            for place, entry in shown
        ]
        body = propfind.multistatus(rows, wanted)
        for below, _ in shown[1:]:
            self.state.listed(below)
        return web.Response(status=207, body=body, content_type="application/xml", charset="utf-8")

    def _transport(self, request: web.Request, who: Principal, place: str) -> web.Response:
        state = self.state
        target = who.real_path(self._destination(request))
        overwrite = request.headers.get("Overwrite", "T").upper() != "F"
        if state.tree.find(target) is not None and overwrite:
            state.access.check(who, "DELETE", target)
        state.access.check(who, "UPLOAD", target)
        if request.method == "MOVE":
            state.access.check(who, "MANAGE", place)
            replaced = state.tree.move(place, target, overwrite=overwrite)
        else:
            if not state.options.copies:
                raise Refused(405, "COPY within the door is not supported")
            state.access.check(who, "DOWNLOAD", place)
            now = state.clock.now()
            replaced = state.tree.copy(place, target, now, overwrite=overwrite)
        return web.Response(status=204 if replaced else 201)

    def _destination(self, request: web.Request) -> str:
        header = request.headers.get("Destination")
        if not header:
            raise Refused(400, "No Destination")
        parts = urlsplit(header)
        if parts.netloc and parts.netloc != request.headers.get("Host"):
            raise Refused(502, f"{parts.netloc} is not this server")
        return self._below_root(normal(unquote(parts.path)))

    async def _macaroon(self, request: web.Request, who: Principal, path: str) -> web.Response:
        if request.content_type != "application/macaroon-request":
            raise Refused(405, "POST takes macaroon requests")
        if not who.user:
            raise Refused(401, "A macaroon needs somebody that it speaks for")
        try:
            wanted = json.loads(await request.read() or b"{}")
            caveats = [str(caveat) for caveat in wanted.get("caveats", [])]
            if "validity" in wanted:
                end = self.state.clock.now() + seconds(wanted["validity"])
                text = datetime.fromtimestamp(end, UTC).isoformat(timespec="milliseconds")
                caveats.append("before:" + text.replace("+00:00", "Z"))
            if normal(path) != "/":
                caveats.append(f"path:{normal(path)}")
            macaroon = self.state.access.make_macaroon(who, tuple(caveats))
        except (ValueError, AttributeError) as error:
            raise Refused(400, f"Bad request for a macaroon: {error}") from error
        base = self.state.urls["webdav"]
        target = base + quote(path)
        text = macaroon.serialized()
        uri = {
            "targetWithMacaroon": f"{target}?authz={text}",
            "baseWithMacaroon": f"{base}/?authz={text}",
            "target": target,
            "base": f"{base}/",
        }
        return web.json_response({"macaroon": text, "uri": uri})


def seconds(duration: str) -> float:
    """Seconds of an ISO 8601 duration; ValueError if it is none."""
    match = re.fullmatch(
        r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", duration
    )
    if not match or not any(match.groups()):
        raise ValueError(f"{duration!r} is no duration")
    factors = (604800, 86400, 3600, 60, 1)
    return sum(float(n or 0) * f for n, f in zip(match.groups(), factors, strict=True))
