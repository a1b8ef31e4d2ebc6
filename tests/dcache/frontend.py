"""The REST frontend: the namespace, tape, doors and the user, under ``/api/v1``."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from . import actions
from .access import Principal
from .announcing import API, DISCOVERY, discovery
from .origin import Origin
from .tree import Entry, Refused, join, normal

NAMESPACE = f"{API}/namespace"
REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class Frontend(Origin):
    name = "frontend"

    def subject(self, request: web.Request) -> str:
        """Under the namespace, the path asked for, its slashes plain or ``%2F``."""
        path = unquote(request.raw_path.partition("?")[0])
        if path == NAMESPACE or path.startswith(NAMESPACE + "/"):
            return normal(path[len(NAMESPACE) :])
        return path

    def refuse(self, refused: Refused) -> web.Response:
        status = refused.status
        body: dict[str, Any] = {
            "status": str(status),
            "title": REASONS.get(status, "Error"),
            "detail": refused.detail,
        }
        if self.state.options.error_format == "old":
            body = {"errors": [{"message": refused.detail, "status": str(status)}]}
        return web.json_response(body, status=status)

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        who = self.state.access.authenticate(request)
        self.state.tape.settle()
        whole = request.raw_path.partition("?")[0]
        if whole == NAMESPACE or whole.startswith(NAMESPACE + "/"):
            return await self._namespace(request, who, who.real_path(path))
        if whole.startswith(f"{API}/tape/"):
            return await self._tape(request, who, whole[len(f"{API}/tape/") :].split("/"))
        pages = {
            DISCOVERY: lambda: discovery(self.state),
            f"{API}/doors": self._doors,
            f"{API}/user": lambda: self._user(who),
        }
        if request.method == "GET" and whole in pages:
            return web.json_response(pages[whole]())
        raise Refused(404, f"No such resource: {whole}")

    async def _namespace(
        self, request: web.Request, who: Principal, place: str
    ) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(self._attributes(request, who, place))
        if request.method == "DELETE":
            self.state.access.check(who, "DELETE", place)
            self.state.tree.remove(place)
            return web.json_response({"status": "success"})
        if request.method == "POST":
            actions.perform(self.state, who, place, await _json(request))
            return web.json_response({"status": "success"}, status=201)
        raise Refused(405, f"{request.method} is not allowed")

    def _attributes(self, request: web.Request, who: Principal, place: str) -> dict[str, Any]:
        flags = {name for name, value in request.query.items() if value.lower() == "true"}
        self.state.access.check(who, "READ_METADATA", place)
        entry = self.state.tree.get(place)
        shown = self._entry(place, entry, flags)
        if "children" in flags and entry.kind == "DIR":
            self.state.access.check(who, "LIST", place)
            start, end = _page(request)
            below = list(entry.children.items())[start:end]
            shown["children"] = [
                {"fileName": name, **self._entry(join(place, name), child, flags)}
                for name, child in below
            ]
            for name, _ in below:
                self.state.listed(join(place, name))
        return shown

    def _entry(self, place: str, entry: Entry, flags: set[str]) -> dict[str, Any]:
        of_directory = entry.kind == "DIR"
        created = int(entry.created * 1000) if entry.created is not None else None
        shown: dict[str, Any] = {
            "pnfsId": entry.pnfsid,
            "nlink": 2 + len(entry.children) if of_directory else 1,
            "mtime": int(entry.modified * 1000),
            "creationTime": created,
            "size": entry.size,
            "mode": entry.mode,
            "fileType": entry.kind,
            "fileMimeType": ("application/vnd.dcache.folder" if of_directory else entry.mime_type),
        }
        if not of_directory:
            shown |= self._of_file(place, entry, flags)
        if "xattr" in flags:
            shown["extendedAttributes"] = dict(entry.xattrs)
        if "labels" in flags:
            shown["labels"] = list(entry.labels)
        omitted = self.state.options.omit
        return {k: v for k, v in shown.items() if v is not None and k not in omitted}

    def _of_file(self, place: str, entry: Entry, flags: set[str]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        if "locality" in flags:
            shown["fileLocality"] = entry.locality
        if "locations" in flags:
            shown["locations"] = ["pool1"] if entry.on_disk else []
        if "qos" in flags:
            shown["currentQos"] = entry.qos
            shown["targetQos"] = entry.target_qos or None
        if "checksum" in flags:
            adler32, md5 = self.state.checksums(place, entry)
            pairs = (("ADLER32", adler32), ("MD5_TYPE", md5))
            shown["checksums"] = [{"type": t, "value": v} for t, v in pairs if v]
        return shown

    async def _tape(
        self, request: web.Request, who: Principal, parts: list[str]
    ) -> web.StreamResponse:
        verb, tape = request.method, self.state.tape
        body = await _json(request) if verb == "POST" and request.can_read_body else {}
        if verb == "POST" and parts == ["stage"]:
            return self._stage(who, body)
        if verb == "POST" and parts == ["archiveinfo"]:
            return web.json_response([self._archived(who, path) for path in _paths(body)])
        if parts[0] == "stage" and len(parts) == 2 and verb == "GET":
            return web.json_response(tape.request(parts[1]).as_json())
        if parts[0] == "stage" and len(parts) == 2 and verb == "DELETE":
            tape.forget(parts[1])
            return web.Response()
        places = [who.real_path(path) for path in body.get("paths", [])]
        if parts[0] == "stage" and parts[2:] == ["cancel"] and verb == "POST":
            tape.cancel(parts[1], places)
            return web.Response()
        if parts[0] == "release" and len(parts) == 2 and verb == "POST":
            tape.release(parts[1], places)
            return web.Response()
        raise Refused(404, f"No such resource: {request.path}")

    def _stage(self, who: Principal, body: dict[str, Any]) -> web.Response:
        files = body.get("files")
        if not files or not all(isinstance(f, dict) and "path" in f for f in files):
            raise Refused(400, "No files to stage")
        paths = [str(file["path"]) for file in files]
        places = [who.real_path(path) for path in paths]
        for place in places:
            self.state.access.check(who, "STAGE", place)
        request = self.state.tape.stage(list(zip(places, paths, strict=True)))
        url = f"{self.state.urls['frontend']}{API}/tape/stage/{request.id}"
        body = {"requestId": request.id}
        return web.json_response(body, status=201, headers={"Location": url})

    def _archived(self, who: Principal, path: str) -> dict[str, str]:
        place = who.real_path(path)
        try:
            self.state.access.check(who, "READ_METADATA", place)
            entry = self.state.tree.get(place)
        except Refused as refused:
            return {"path": path, "error": refused.detail}
        if entry.kind != "REGULAR":
            return {"path": path, "error": "Not a file"}
        names = {
            "ONLINE": "DISK",
            "NEARLINE": "TAPE",
            "ONLINE_AND_NEARLINE": "DISK_AND_TAPE",
        }
        return {"path": path, "locality": names.get(entry.locality, entry.locality)}

    def _doors(self) -> list[dict[str, Any]]:
        scheme, _, rest = self.state.urls["webdav"].partition("://")
        host, _, port = rest.partition(":")
        door = {
            "name": f"WebDAV-{host}",
            "protocol": scheme,
            "version": "1.1",
            "root": self.state.options.root,
            "addresses": [host],
            "port": int(port),
            "load": 0.0,
            "tags": ["dcache-view"],
            "readPaths": ["/"],
            "writePaths": ["/"],
        }
        return [door]

    def _user(self, who: Principal) -> dict[str, Any]:
        if not who.user:
            return {"status": "ANONYMOUS"}
        return {
            "status": "AUTHENTICATED",
            "uid": 1000,
            "gids": [1000],
            "username": who.user,
            "rootDirectory": who.caveats.root,
            "homeDirectory": who.caveats.home,
        }


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise Refused(400, f"The body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused(400, "The body is no JSON object")
    return body


def _paths(body: dict[str, Any]) -> list[str]:
    paths = body.get("paths")
    if not isinstance(paths, list):
        raise Refused(400, "No paths")
    return [str(path) for path in paths]


def _page(request: web.Request) -> tuple[int, int | None]:
    try:
        offset = int(request.query.get("offset", "0"))
        limit = int(request.query["limit"]) if "limit" in request.query else None
    except ValueError as error:
        raise Refused(400, "limit and offset are integers") from error
    if offset < 0 or (limit is not None and limit < 0):
        raise Refused(400, "limit and offset are not negative")
    return offset, None if limit is None else offset + limit
