"""Names at a door: describing, listing, making, moving and removing them.

Describing, listing and removing go through dCache's REST interface where there is one; everything
else, and everything at other doors, is WebDAV.
"""

from __future__ import annotations

from typing import Any

from rsdat.storage.dcache import errors, rest, webdav
from rsdat.storage.dcache.client import Client, Reply
from rsdat.storage.dcache.paths import parent

# Entries of a directory in one answer. dCache starts a listing anew for each page.
PAGE = 5000
# Statuses by which a server says that it does not copy by itself.
NO_COPY = frozenset({400, 405, 501, 502})
# A server that copies or moves a tree says nothing until it is done.
LONG = 10

Entry = dict[str, Any]


class Namespace:
    """The names of one door.

    Parameters
    ----------
    client
        Sends the requests, and knows where the door's services are.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._copies = True

    @property
    def has_rest(self) -> bool:
        """Whether there is a REST interface."""
        return self._client.door.api is not None

    # --- describing

    async def info(self, path: str, flags: tuple[str, ...] = ("locality",)) -> Entry:
        """One entry; ``flags`` as in :data:`rsdat.storage.dcache.rest.FLAGS`.

        Raises
        ------
        NotFound
            There is none.
        """
        if not self.has_rest:
            found = await self._propfind(path, "0", flags)
            return found[0]
        reply = await self._namespace("GET", path, rest.query(flags), action="describe")
        return rest.entry(path, self._json(reply, path))

    async def listing(self, path: str, flags: tuple[str, ...] = ()) -> list[Entry]:
        """The entries of a directory; of a file, the file itself."""
        if not self.has_rest:
            found = await self._propfind(path, "1", flags)
            own = next((entry for entry in found if entry["name"] == path), None)
            if own is not None and own["type"] != "directory":
                return [own]
            return [entry for entry in found if entry["name"] != path]
        entries: dict[str, Entry] = {}
        offset = 0
        while True:
            page, whole = await self.page(path, flags, offset)
            # A name may come twice when the directory changes between two pages.
            entries |= {entry["name"]: entry for entry in page}
            if whole:
                return list(entries.values())
            offset += PAGE

    async def page(
        self, path: str, flags: tuple[str, ...], offset: int = 0
    ) -> tuple[list[Entry], bool]:
        """A part of a directory by the REST interface, and whether nothing follows it.

        Of a file it is the file itself.
        """
        query = rest.query(("children", *flags), limit=PAGE, offset=offset)
        reply = await self._namespace("GET", path, query, action="list")
        record = self._json(reply, path)
        if record.get("fileType") != "DIR":
            return [rest.entry(path, record)], True
        page = rest.children(path, record)
        return page, len(page) < PAGE

    async def exists(self, path: str) -> bool:
        """Whether there is an entry."""
        try:
            await self.info(path, ())
        except FileNotFoundError:
            return False
        return True

    async def _propfind(self, path: str, depth: str, flags: tuple[str, ...]) -> list[Entry]:
        reply = await self._client.request(
            "PROPFIND",
            self._client.door.file(path),
            path=path,
            headers={"Depth": depth, "Content-Type": "application/xml; charset=utf-8"},
            data=webdav.propfind(locality="locality" in flags, checksum="checksum" in flags),
        )
        self.check(reply, "list" if depth == "1" else "describe", path)
        try:
            found = webdav.entries(self._client.door, reply.body, plain=self._client.is_xrootd)
        except ValueError as error:
            raise self._nonsense(path, str(error)) from error
        if not found:
            raise self._nonsense(path, "an empty multistatus")
        if depth == "0":
            # Some doors answer with the name that a redirect or a link led to.
            found[0]["name"] = path
        return found

    async def _namespace(
        self, method: str, path: str, query: str = "", *, action: str, body: bytes | None = None
    ) -> Reply:
        reply = await self._client.request(
            method,
            self._client.door.namespace(path) + query,
            path=path,
            headers={"Content-Type": "application/json"} if body else None,
            data=body,
        )
        self.check(reply, action, path)
        return reply

    async def act(self, path: str, body: bytes, *, action: str) -> Reply:
        """An action of the REST interface on a path.

        Raises
        ------
        Unsupported
            There is no REST interface.
        """
        if not self.has_rest:
            raise self.unsupported(path, action)
        return await self._namespace("POST", path, action=action, body=body)

    # --- changing

    async def make_directory(self, path: str) -> None:
        """Make one directory.

        Raises
        ------
        Exists, NotFound
            Something of this name is there; its parent is not.
        """
        url = self._client.door.file(path, directory=True)
        reply = await self._client.request("MKCOL", url, path=path)
        if reply.status in (404, 409):
            raise self.refusal(Reply(404, {}, b""), "make", parent(path))
        if reply.status == 405 and reply.attempt and await self.is_directory(path):
            return  # an earlier try, whose answer was lost, has made it
        self.check(reply, "make", path)

    async def make_directories(self, path: str, *, exist_ok: bool = True) -> None:
        """Make a directory with all above it.

        Raises
        ------
        Exists
            It is there, and may not be, or it is a file.
        """
        if path == "/":
            return
        if not (exist_ok or self.has_rest) and await self.exists(path):
            # Some servers (rclone, XRootD) say that they have made what was there.
            raise self.refusal(Reply(405, {}, b""), "make", path)
        try:
            await self._made(path, exist_ok)
        except FileNotFoundError:
            await self.make_directories(parent(path))
            await self._made(path, exist_ok)

    async def _made(self, path: str, exist_ok: bool) -> None:
        try:
            await self.make_directory(path)
        except (FileExistsError, PermissionError):
            # Of several that make it at one time, Apache tells the losers that they may not.
            if not (exist_ok and await self.is_directory(path)):
                raise

    async def is_directory(self, path: str) -> bool:
        """Whether a path is a directory."""
        try:
            found = await self.info(path, ())
        except FileNotFoundError:
            return False
        return bool(found["type"] == "directory")

    async def remove(self, path: str) -> None:
        """Remove an entry. At doors without REST a directory goes with all that is in it."""
        door = self._client.door
        url = door.namespace(path) if self.has_rest else door.file(path)
        reply = await self._client.request("DELETE", url, path=path)
        if reply.status == 404 and reply.attempt:
            return  # an earlier try, whose answer was lost, has removed it
        if reply.status in (400, 403, 409, 412, 500) and await self._has_entries(path):
            raise errors.NotEmpty(
                f"{path} at {self._client.door.webdav} is a directory that is not empty",
                hint="remove it with recursive=True (`rsdat data rm -r`)",
                path=path,
                door=self._client.door.webdav,
                status=reply.status,
            )
        self.check(reply, "remove", path)
        self._check_parts(reply, "remove", path)

    async def _has_entries(self, path: str) -> bool:
        try:
            found = await self.listing(path)
        except OSError:
            return False
        return bool(found) and found[0]["name"] != path

    async def move(self, source: str, target: str) -> None:
        """Give a file or directory another name; a file in the way is replaced.

        Raises
        ------
        IsDirectory
            A directory has the new name.
        """
        reply = await self._transport("MOVE", source, target)
        if reply.status == 404 and reply.attempt and await self.exists(target):
            return  # an earlier try, whose answer was lost, has moved it
        self.check(reply, "move", source)
        self._check_parts(reply, "move", source)

    async def copy(self, source: str, target: str) -> bool:
        """Let the door copy a file by itself; False if it does not do that."""
        # dCache's COPY is for copies between doors.
        if self.has_rest or not self._copies:
            return False
        reply = await self._transport("COPY", source, target)
        if reply.status in NO_COPY:
            self._copies = False
            return False
        self.check(reply, "copy", source)
        self._check_parts(reply, "copy", source)
        return True

    async def _transport(self, method: str, source: str, target: str) -> Reply:
        """MOVE or COPY, first without replacing: ``Overwrite: T`` would remove a whole tree."""
        reply = await self._once(method, source, target, "F")
        if reply.status == 403 and not await self.exists(source):
            return Reply(404, reply.headers, b"", reply.attempt)
        if reply.status == 409 and not await self.exists(parent(target)):
            await self.make_directories(parent(target))
            reply = await self._once(method, source, target, "F")
        if reply.status in (409, 412):
            if await self.is_directory(target):
                door = self._client.door.webdav
                raise errors.IsDirectory(
                    f"{target} at {door} is a directory: it is not replaced by {source}",
                    hint="choose another name",
                    path=target,
                    door=door,
                )
            reply = await self._once(method, source, target, "T")
        return reply

    async def _once(self, method: str, source: str, target: str, overwrite: str) -> Reply:
        door = self._client.door
        if self._client.is_xrootd and "?" in target:
            # It takes what follows for a query, and would make a file of another name.
            raise errors.Unsupported(
                f"XRootD at {door.webdav} cannot give a file the name {target}",
                hint="choose a name without '?'",
                path=target,
                door=door.webdav,
            )
        return await self._client.request(
            method,
            door.file(source),
            path=source,
            headers={
                "Destination": door.plain(target) if self._client.is_xrootd else door.file(target),
                "Overwrite": overwrite,
            },
            idle=LONG * self._client.limits.idle,
        )

    # --- answers

    def check(self, reply: Reply, action: str, path: str) -> None:
        """Raise what an answer means that is no success."""
        if not reply.ok:
            raise self.refusal(reply, action, path)

    def refusal(self, reply: Reply, action: str, path: str) -> errors.DoorError:
        """The error that an answer stands for."""
        return self._client.refusal(reply.status, action, path, reply.body)

    def unsupported(self, path: str, action: str) -> errors.Unsupported:
        """The error for what only dCache's REST interface can do."""
        door = self._client.door.webdav
        return errors.Unsupported(
            f"cannot {action} {path}: the door at {door} has no REST interface (or none was found)",
            hint="name it with api=https://HOST:3880/api/v1 if it is dCache",
            path=path,
            door=door,
        )

    def _check_parts(self, reply: Reply, action: str, path: str) -> None:
        if reply.status != 207:
            return
        try:
            failed = webdav.failures(reply.body)
        except ValueError as error:
            raise self._nonsense(path, str(error)) from error
        if failed:
            raise errors.DoorError(
                f"cannot {action} all of {path} at {self._client.door.webdav}: {failed[0]}",
                hint="list the directory to see what is left",
                path=path,
                door=self._client.door.webdav,
                status=reply.status,
            )

    def _json(self, reply: Reply, path: str) -> dict[str, Any]:
        try:
            record = rest.parse(reply.body)
        except ValueError as error:
            raise self._nonsense(path, f"not JSON ({error})") from error
        if not isinstance(record, dict):
            raise self._nonsense(path, "JSON, but no object")
        return record

    def _nonsense(self, path: str, what: str) -> errors.DoorError:
        door = self._client.door
        return errors.DoorError(
            f"the answer of {door.api or door.webdav} about {path} makes no sense: {what}",
            hint="check the addresses webdav= and api= of this door",
            path=path,
            door=door.webdav,
        )
