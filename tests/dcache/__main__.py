"""The door as a program: prints its addresses as one line of JSON and serves until it is ended.

    python -m tests.dcache --storage sink --latency 0.02 --files 1000

It ends with its parent process, too. ``control`` in the JSON is an address for what tests do by
method calls: ``GET /log``, ``DELETE /log``, ``POST /fault`` (fields of `faults.Fault`),
``DELETE /fault``, ``POST /options``, ``POST /advance`` (``{"seconds": n}``), ``GET /memory``,
``GET /macaroon?caveat=…``.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import resource
import signal
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

from aiohttp import web

from .contents import Content, content_of
from .door import Door
from .state import Options
from .tree import join, normal


def main() -> None:
    options = _arguments()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    door = Door(
        tls=options.tls,
        host=options.host,
        pools=["127.0.0.2", "127.0.0.3"] if options.host == "127.0.0.1" else [options.host],
        ports=(options.rest_port, options.webdav_port),
        rest=not options.no_rest,
        storage=options.storage,
        md5=not options.no_md5,
        latency=options.latency,
        quota=options.quota,
        copies=not options.no_copies,
        log=not options.no_log,
    )
    with door:
        _fill(door, options)
        asyncio.run(_serve(door, options))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.dcache", description="A dCache door for tests and benchmarks."
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the door's address; another one is that of its pool, too",
    )
    parser.add_argument("--rest-port", type=int, default=0, help="0: a free one (default)")
    parser.add_argument("--webdav-port", type=int, default=0, help="0: a free one (default)")
    parser.add_argument("--no-rest", action="store_true", help="a pure WebDAV door")
    parser.add_argument("--storage", choices=("memory", "disk", "sink"), default="memory",
                        help="sink: count and checksum only, files read as zeros")  # fmt: skip
    parser.add_argument("--no-md5", action="store_true", help="adler32 only, as pools do")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds for each request")
    parser.add_argument("--quota", type=int, help="bytes")
    parser.add_argument("--no-copies", action="store_true", help="COPY is refused")
    parser.add_argument("--no-log", action="store_true", help="keep no log of requests")
    parser.add_argument("--tls", choices=("good", "expired", "other-host"))
    parser.add_argument("--ca", type=Path, help="where to write the authority's certificate")
    parser.add_argument("--files", type=int, default=0, help="small files to make in /files")
    parser.add_argument("--zeros", action="append", default=[], metavar="PATH:BYTES",
                        help="a file of zeros that takes no memory")  # fmt: skip
    parser.add_argument("--tree", type=Path, help="a directory whose files are laid into /")
    parser.add_argument("--token", action="append", default=[], help="further tokens")
    return parser.parse_args()


def _fill(door: Door, options: argparse.Namespace) -> None:
    for number in range(options.files):
        door.put(f"/files/f{number:06}.bin", b"%d\n" % number)
    for word in options.zeros:
        path, _, size = word.rpartition(":")
        door.put(path, Content(int(size), f"{_adler_of_zeros(int(size)):08x}", ""))
    if options.tree is not None:
        for file in sorted(options.tree.rglob("*")):
            if file.is_file():
                place = join("/", str(file.relative_to(options.tree)))
                door.put(normal(place), content_of(file.read_bytes()))
    for token in options.token:
        door.allow(token)


def _adler_of_zeros(size: int) -> int:
    """Adler32 of zeros: the first sum stays 1, the second counts the bytes."""
    return (size % 65521) << 16 | 1


async def _serve(door: Door, options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(_control(door), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    known = {
        "rest": door.rest,
        "webdav": door.webdav,
        "pools": door.state.pools,
        "control": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "token": door.token,
    }
    if options.ca is not None and door.authority is not None:
        known["ca"] = str(door.authority.write(options.ca))
    print(json.dumps(known), flush=True)
    await ended.wait()
    await runner.cleanup()


def _control(door: Door) -> web.Application:
    async def log(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            door.clear_log()
            return web.Response()
        return web.json_response([entry.as_json() for entry in door.log])

    async def fault(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            door.clear_faults()
        else:
            door.fault(**await request.json())
        return web.Response()

    async def options(request: web.Request) -> web.Response:
        changes: dict[str, Any] = await request.json()
        unknown = changes.keys() - {field.name for field in fields(Options)}
        if unknown:
            raise web.HTTPBadRequest(text=f"No such options: {', '.join(sorted(unknown))}")
        door.call(lambda: vars(door.options).update(changes))
        return web.Response()

    async def advance(request: web.Request) -> web.Response:
        door.advance((await request.json())["seconds"])
        return web.Response()

    async def memory(request: web.Request) -> web.Response:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return web.json_response({"peak": peak, "threads": threading.active_count()})

    async def macaroon(request: web.Request) -> web.Response:
        return web.Response(text=door.macaroon(*request.query.getall("caveat", [])))

    app = web.Application()
    app.router.add_get("/macaroon", macaroon)
    app.router.add_get("/log", log)
    app.router.add_delete("/log", log)
    app.router.add_post("/fault", fault)
    app.router.add_delete("/fault", fault)
    app.router.add_post("/options", options)
    app.router.add_post("/advance", advance)
    app.router.add_get("/memory", memory)
    return app


if __name__ == "__main__":
    main()
