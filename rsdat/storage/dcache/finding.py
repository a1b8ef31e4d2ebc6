"""Finding a door's services: what the options say, else what the door announces of itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

from rsdat.storage.dcache import rest, retrying
from rsdat.storage.dcache.client import Client
from rsdat.storage.dcache.paths import Door, is_loopback, origin

# Where dCache's REST interface listens by default.
REST_PORT = 3880
WELL_KNOWN = "/.well-known/wlcg-tape-rest-api"
# Seconds; ports that a firewall swallows must not hold the first request up.
PATIENCE = 3.0


async def find(client: Client) -> tuple[Door, bool]:
    """The door with the REST interface that it announces, if there is one.

    The announcement is asked for without the credential. What it names has to be on the door's own
    host, and as safe as the door, because the credential will be sent there.

    Returns
    -------
    tuple
        The door, and whether the answer is sure: without a network it is not, and has to be asked
        for again.
    """
    door = client.door
    parts = urlsplit(door.webdav)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    places = [f"{parts.scheme}://{parts.netloc}", f"{parts.scheme}://{host}:{REST_PORT}"]
    answers = await asyncio.gather(*(_ask(client, place) for place in dict.fromkeys(places)))
    for _, api, tape in answers:
        if tape is not None and _belongs(tape, door.webdav):
            return replace(door, api=api, tape=tape), True
    return door, answers[0][0]


async def _ask(client: Client, place: str) -> tuple[bool, str | None, str | None]:
    """Whether somebody answered, and what was announced there."""
    try:
        async with asyncio.timeout(PATIENCE):
            response = await client.send("GET", place + WELL_KNOWN, anonymous=True)
            async with response:
                body = await response.content.read(65536)
    except Exception as error:
        if not retrying.is_break(error):
            raise
        return False, None, None
    try:
        return True, *rest.discovered(rest.parse(body) if response.status == 200 else None)
    except ValueError:
        return True, None, None


def _belongs(announced: str, door: str) -> bool:
    scheme, host, _ = origin(announced)
    return host == origin(door)[1] and (scheme == "https" or is_loopback(announced))
